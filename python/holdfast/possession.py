"""Possession of a CA's key: what the hub asks for, and what counts as an answer. `trust.md` §4, RFC 4211 §4.

Challenges and answers travel as files: everything in them is untrusted until it is a `Challenge` or a `Proof`.
No clock, no randomness, no I/O here; aws-lc-rs, from the raw DER, decides every signature (§6.2).
"""

from __future__ import annotations

import base64
import binascii
import enum
import hmac
import json
import re
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from holdfast._holdfast import POSSESSION_PREFIX
from holdfast.errors import PossessionError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast._holdfast import Certificate

CODE_CHARACTERS: Final = 52
"""What follows `POSSESSION_PREFIX`: 256 bits in base32 (RFC 4648 §6), upper case, without padding."""
DOCUMENT_BYTES_MAX: Final = 16 * 1024
"""A challenge or a proof as a JSON document."""

_CHALLENGE_FORMAT: Final = "holdfast-possession-challenge"
_PROOF_FORMAT: Final = "holdfast-possession-proof"
_VERSION: Final = 1

# Words of one line of ASCII: none can end the line it stands on in the signed message and begin another.
_WORD: Final = re.compile(r"[!-~]{1,253}")
_HEX_32: Final = re.compile(r"[0-9a-f]{64}")
_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    "hub": _WORD,
    "tenant": _WORD,
    "certificate_sha256": _HEX_32,
    "spki_sha256": _HEX_32,
    "etag": _WORD,
    "challenge_id": _WORD,
    "code": re.compile(rf"{re.escape(POSSESSION_PREFIX)}[A-Z2-7]{{{CODE_CHARACTERS}}}"),
    "nonce": _HEX_32,
}
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_NAME: Final = re.compile(r".{1,128}")
_SIGNATURE_BYTES_MAX: Final = 512  # RSA with 4096 bits
_ALGORITHM: Final = re.compile(r"[a-z0-9-]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What must be signed, by which key, for whom, and until when.

    Raises:
        PossessionError: `bad_challenge`, with the field that is not in its form.
    """

    hub: str
    tenant: str
    ca: str
    """The name under which the CA is registered."""
    certificate_sha256: str
    """SHA-256 of the CA certificate, 64 lower-case hexadecimal digits; the same for the two below."""
    spki_sha256: str
    etag: str
    """The state of the registration; it changes with every change."""
    challenge_id: str
    code: str
    """The one common name of a verification certificate that answers."""
    nonce: str
    expires_at: datetime
    """UTC, whole seconds."""

    def __post_init__(self) -> None:
        for name, form in _FORMS.items():
            if not _is_text(getattr(self, name), form):
                raise _bad("challenge", f"'{name}' is missing or not in its form")
        if not _is_text(self.ca, _NAME) or not self.ca.isprintable():
            raise _bad("challenge", "'ca' is not a printable name")
        if not _is_utc_second(self.expires_at):
            raise _bad("challenge", "'expires_at' is not a time in UTC, in whole seconds")

    def to_json(self) -> str:
        """The document that the hub hands out."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        own["expires_at"] = _time(self.expires_at)
        return _document(_CHALLENGE_FORMAT, own)

    @classmethod
    def from_json(cls, document: bytes | str) -> Challenge:
        """Read exactly what `to_json` writes; white space and the order of fields are free.

        Raises:
            PossessionError: `bad_challenge` for anything else.
        """
        own = _read_document("challenge", _CHALLENGE_FORMAT, document, {field.name for field in fields(cls)})
        if not isinstance(own["expires_at"], str) or not _TIME.fullmatch(own["expires_at"]):
            raise _bad("challenge", "'expires_at' is not a time as 2026-01-31T23:59:59Z")
        try:
            own["expires_at"] = datetime.fromisoformat(own["expires_at"])
        except ValueError as error:
            raise _bad("challenge", "'expires_at' is not a time") from error
        return cls(**own)

    def check_meant_for(
        self, *, hub: str, tenant: str, certificate_sha256: str, spki_sha256: str, at: datetime
    ) -> None:
        """Refuse to answer a challenge that is someone else's (O02): whoever answers knows for whom.

        Raises:
            PossessionError: `wrong_hub`, `wrong_tenant`, `wrong_ca`, `challenge_expired`.
        """
        if self.hub != hub:
            message = f"the challenge is for hub '{self.hub}', not for '{hub}'"
            raise PossessionError("wrong_hub", message, hint="Answer only challenges of a hub that you know.")
        if self.tenant != tenant:
            message = f"the challenge is for tenant '{self.tenant}', not for '{tenant}'"
            raise PossessionError("wrong_tenant", message, hint="Answer only challenges of a tenant that you know.")
        if (self.certificate_sha256, self.spki_sha256) != (certificate_sha256, spki_sha256):
            message = f"the challenge is for certificate {self.certificate_sha256}, not for {certificate_sha256}"
            raise PossessionError("wrong_ca", message)
        if at >= self.expires_at:
            message = f"the challenge ended at {_time(self.expires_at)}"
            raise PossessionError("challenge_expired", message, hint="Ask the hub for a new one.")


class ProofKind(enum.Enum):
    """What was shown (trust.md §4.3)."""

    ISSUANCE = "issuance"
    """That somebody got this CA to issue a certificate for a name that the hub chose."""
    SIGNATURE = "signature"
    """That somebody signed the challenge itself with the CA's key."""


class Proof(Protocol):
    """An answer to a challenge."""

    @property
    def kind(self) -> ProofKind:
        """What it shows."""

    @property
    def evidence(self) -> bytes:
        """What the record keeps, so that anybody can check it again."""

    def check(self, challenge: Challenge, ca: Certificate, at: datetime) -> None:
        """Raise `PossessionError` unless this answers `challenge` with the key of `ca`."""


@dataclass(frozen=True, slots=True)
class IssuanceProof:
    """A certificate whose only common name is the code, signed directly by the challenged key (trust.md §4.1)."""

    certificate: Certificate

    @property
    def kind(self) -> ProofKind:
        """Issuance."""
        return ProofKind.ISSUANCE

    @property
    def evidence(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.der

    def check(self, challenge: Challenge, ca: Certificate, at: datetime) -> None:
        """Raise unless it carries the code, is signed by the very key that was challenged, and is valid at `at`.

        Raises:
            PossessionError: `proof_for_another_certificate`, `proof_wrong_code`, `proof_wrong_issuer`,
                `proof_bad_signature`, `proof_not_in_date`, `proof_is_a_ca`.
        """
        _check_challenged(challenge, ca)
        try:
            found = self.certificate.sole_common_name
        except VerificationError as error:
            raise PossessionError(
                "proof_wrong_code", f"the verification certificate's name: {error.message}"
            ) from error
        if not hmac.compare_digest(found.encode(), challenge.code.encode()):
            message = "the common name of the verification certificate is not the code, exactly as issued"
            raise PossessionError("proof_wrong_code", message, hint=f"Wanted is CN={challenge.code}")
        _check_issuer(self.certificate, ca)
        # An answer that is itself a CA would be worth more to a thief than an answer.
        if self.certificate.is_ca:
            raise PossessionError("proof_is_a_ca", "the verification certificate must not be a CA")
        try:
            self.certificate.check_in_date(at)
        except VerificationError as error:
            raise PossessionError("proof_not_in_date", f"the verification certificate is {error.message}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureProof:
    """An answer by signature over `signed_message`.

    Raises:
        PossessionError: `bad_proof`, with the field that is not in its form.
    """

    challenge_id: str
    algorithm: str
    """For the reader's information: the registered certificate's key decides how it is verified."""
    signature: bytes
    """ECDSA in DER with the curve's hash, or RSA PKCS #1 v1.5 with SHA-256."""

    def __post_init__(self) -> None:
        if not _is_text(self.challenge_id, _WORD):
            raise _bad("proof", "'challenge_id' is missing or not in its form")
        if not _is_text(self.algorithm, _ALGORITHM):
            raise _bad("proof", "'algorithm' is missing or not in its form")
        if not 1 <= len(self.signature) <= _SIGNATURE_BYTES_MAX:
            raise _bad("proof", f"'signature' is not of 1 to {_SIGNATURE_BYTES_MAX} bytes")

    def to_json(self) -> str:
        """The document that the owner hands in."""
        signature = base64.b64encode(self.signature).decode()
        own = {"challenge_id": self.challenge_id, "algorithm": self.algorithm, "signature": signature}
        return _document(_PROOF_FORMAT, own)

    @classmethod
    def from_json(cls, document: bytes | str) -> SignatureProof:
        """Read exactly what `to_json` writes; white space and the order of fields are free.

        Raises:
            PossessionError: `bad_proof` for anything else.
        """
        own = _read_document("proof", _PROOF_FORMAT, document, {field.name for field in fields(cls)})
        try:
            own["signature"] = binascii.a2b_base64(own["signature"], strict_mode=True)
        except (TypeError, ValueError) as error:
            raise _bad("proof", "'signature' is not base64") from error
        return cls(**own)

    @property
    def kind(self) -> ProofKind:
        """Signature."""
        return ProofKind.SIGNATURE

    @property
    def evidence(self) -> bytes:
        """The signature; the act of the challenge names what was signed."""
        return self.signature

    def check(self, challenge: Challenge, ca: Certificate, at: datetime) -> None:
        """Raise unless the key that was challenged has signed this challenge; a signature has no dates of its own.

        Raises:
            PossessionError: `proof_for_another_certificate`, `proof_for_another_challenge`, `proof_bad_signature`.
        """
        _check_challenged(challenge, ca)
        if not hmac.compare_digest(self.challenge_id.encode(), challenge.challenge_id.encode()):
            message = "the signature answers another challenge than the one that is open"
            raise PossessionError("proof_for_another_challenge", message)
        try:
            ca.verify_signature(signed_message(challenge), self.signature)
        except VerificationError as error:
            raise PossessionError("proof_bad_signature", "the signature is not by the CA's key") from error


def signed_message(challenge: Challenge) -> bytes:
    """The ASCII that a proof by signature signs: readable, so that its signer sees what for.

    No reader of another protocol takes it for its own: it is neither DER nor a TLS, JWS or SSH structure (O06).
    """
    lines = {
        "hub": challenge.hub,
        "tenant": challenge.tenant,
        "certificate-sha256": challenge.certificate_sha256,
        "spki-sha256": challenge.spki_sha256,
        "etag": challenge.etag,
        "challenge-id": challenge.challenge_id,
        "nonce": challenge.nonce,
        "expires-at": _time(challenge.expires_at),
    }
    text = "holdfast CA possession v1\n" + "".join(f"{name}: {value}\n" for name, value in lines.items())
    return text.encode("ascii")


def _is_text(value: object, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _is_utc_second(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() == timedelta(0) and value.microsecond == 0


def _check_challenged(challenge: Challenge, ca: Certificate) -> None:
    """The key was fixed before the nonce: an answer speaks for what was challenged, and for nothing else (O10)."""
    if (challenge.certificate_sha256, challenge.spki_sha256) != (ca.fingerprint, ca.spki_sha256):
        message = "the challenge was issued for another certificate"
        raise PossessionError("proof_for_another_certificate", message)


def _check_issuer(certificate: Certificate, ca: Certificate) -> None:
    try:
        certificate.check_issued_by(ca)
    except VerificationError as error:
        if error.code == "issuer_name_mismatch":
            message = f"the verification certificate is issued by '{certificate.issuer}', wanted is '{ca.subject}'"
            raise PossessionError("proof_wrong_issuer", message) from error
        message = f"the verification certificate is not signed by the challenged key: {error.message}"
        raise PossessionError("proof_bad_signature", message) from error


class _FormError(PossessionError):
    """Bad input; of a challenge or a proof that can be read the answer is no."""

    exit_status = 3


def _bad(what: str, why: str) -> PossessionError:
    return _FormError(f"bad_{what}", f"not a possession {what}: {why}")


def _time(time: datetime) -> str:
    """RFC 3339, as in `2026-01-31T23:59:59Z`; `time` is UTC."""
    return f"{time.replace(tzinfo=None).isoformat()}Z"


def _document(form: str, own: Mapping[str, Any]) -> str:
    return json.dumps({"format": form, "version": _VERSION, **own}, indent=2) + "\n"


def _read_document(what: str, form: str, document: bytes | str, names: set[str]) -> dict[str, Any]:
    """The fields `names` of a JSON object that has exactly those, its format and its version."""
    if len(document) > DOCUMENT_BYTES_MAX:
        raise _bad(what, f"it is longer than {DOCUMENT_BYTES_MAX} bytes")

    def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise _bad(what, "a field occurs twice")
        return dict(pairs)

    try:
        text = document if isinstance(document, str) else document.decode()
        value = json.loads(text, object_pairs_hook=without_repetition)
    except (ValueError, RecursionError) as error:
        raise _bad(what, "it is not JSON") from error
    if not isinstance(value, dict):
        raise _bad(what, "it is not a JSON object")
    if found := sorted(value.keys() ^ {"format", "version", *names}):
        raise _bad(what, f"fields missing or unknown: {', '.join(map(repr, found))[:256]}")
    if value.pop("format") != form:
        raise _bad(what, f"its format is not '{form}'")
    version = value.pop("version")
    if type(version) is not int or version != _VERSION:
        raise _bad(what, f"its version is not {_VERSION}")
    return value
