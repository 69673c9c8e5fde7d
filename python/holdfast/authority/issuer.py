"""A CA that can sign: its certificate, those above it, and the key that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography import x509

from holdfast._holdfast import Certificate, TrustStore, Verifier
from holdfast.authority import pem
from holdfast.authority.keys import spki
from holdfast.authority.verdict import UNREADABLE, refusing
from holdfast.errors import IssuanceError, VerificationError
from holdfast.verify import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from holdfast.authority.keys import PrivateKey

# What the hub accepts by default: what is longer or larger could never be presented.
_POLICY: Final = Policy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A CA certificate with its key; made by `load_issuer` or `make_root`, which have judged both.

    What it may still sign (until when, how deep) is asked when it signs.
    """

    chain: tuple[Certificate, ...]
    """The CA's own certificate first, each signed by the next; the root only where it is the CA, or was given."""
    key: PrivateKey = field(repr=False)
    path_len: int | None
    """How many CAs may follow below one another; `None` is without limit."""
    presented: tuple[bytes, ...] = field(repr=False)
    """DER of what stands above this CA's certificates in a chain, without the root, which every verifier has."""
    parsed: x509.Certificate = field(repr=False)
    """The CA's own certificate as `cryptography` sees it."""

    @classmethod
    def of(cls, chain: Sequence[Certificate], key: PrivateKey) -> Issuer:
        """Put together what has been judged.

        Raises:
            IssuanceError: `path_len_exceeded`, `issuer_unreadable`.
        """
        above = chain[:-1] if _is_self_signed(chain[-1]) else chain
        return cls(
            chain=tuple(chain),
            key=key,
            path_len=_path_len_left(chain),
            presented=tuple(certificate.der for certificate in above),
            parsed=_parsed(chain[0]),
        )

    @property
    def certificate(self) -> Certificate:
        """The CA's own."""
        return self.chain[0]

    @property
    def pem(self) -> bytes:
        """What `load_issuer` reads."""
        return pem.to_pem(pem.CERTIFICATE, [certificate.der for certificate in self.chain])

    @property
    def not_after(self) -> datetime:
        """The earliest end in the chain: nothing signed here can be accepted later."""
        return min(certificate.not_after for certificate in self.chain)

    def check_in_date(self, at: datetime) -> None:
        """Refuse to sign at a time at which one of the chain is not valid.

        Raises:
            IssuanceError: `expired`, `not_yet_valid`.
        """
        for certificate in self.chain:
            with refusing(f"CA '{certificate.subject}'"):
                certificate.check_in_date(at)

    def verifier(self) -> Verifier:
        """Our engine, trusting the top of this chain and nothing else."""
        return Verifier(TrustStore([self.chain[-1].der]), _POLICY)


def load_issuer(*, certificates: bytes, key: PrivateKey, at: datetime) -> Issuer:
    """A CA from its file: its certificate first, those above it in order, with or without the root; PEM, or one DER.

    Raises:
        IssuanceError: `key_mismatch`; the engine's reason why one of them is no CA at `at` (`not_a_ca`, `expired`,
            `not_yet_valid`, `key_usage_not_allowed` …), is not signed by the next (`issuer_name_mismatch`,
            `bad_signature` …) or stands too low (`path_len_exceeded`); `issuer_unreadable`; `bad_pem`,
            `no_certificate`, `unexpected_pem_block`.
    """
    chain: list[Certificate] = []
    for position, der in enumerate(pem.read_certificates(certificates)):
        with refusing(f"CA certificate {position}"):
            certificate = Certificate(der)
            certificate.check_anchor(at)
            if chain:
                chain[-1].check_issued_by(certificate)
        chain.append(certificate)
    if chain[0].spki != spki(key):
        message = f"the private key does not belong to the CA certificate '{chain[0].subject}'"
        hint = "The CA's own certificate comes first in its file."
        raise IssuanceError("key_mismatch", message, hint=hint)
    return Issuer.of(chain, key)


def _path_len_left(chain: Sequence[Certificate]) -> int | None:
    """What the path lengths of `chain` leave to the CA at its lower end. RFC 5280 §6.1.4 (l), (m)."""
    left: int | None = None
    for certificate in reversed(chain):
        if left is not None and not certificate.self_issued:
            if left == 0:
                message = f"'{certificate.subject}' stands lower than the path lengths above it allow"
                raise IssuanceError("path_len_exceeded", message)
            left -= 1
        own = certificate.path_len
        if own is not None:
            left = own if left is None else min(left, own)
    return left


def _parsed(certificate: Certificate) -> x509.Certificate:
    """With everything read that is needed later, so that what cannot be read is refused before anything is signed."""
    try:
        parsed = x509.load_der_x509_certificate(certificate.der)
        _ = parsed.subject, parsed.extensions
    except UNREADABLE as error:
        message = f"'{certificate.subject}' has a name or an extension that cannot be read: {error}"
        raise IssuanceError("issuer_unreadable", message) from error
    return parsed


def _is_self_signed(certificate: Certificate) -> bool:
    try:
        certificate.check_issued_by(certificate)
    except VerificationError:
        return False
    return True
