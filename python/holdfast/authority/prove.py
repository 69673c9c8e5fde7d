"""Answers to a possession challenge, by the CA key that it names. `trust.md` §4.1, §4.2.

Nothing else that is issued here has a common name with the prefix of these, and nothing else that is signed here begins
with these words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509.oid import NameOID

from holdfast._holdfast import POSSESSION_PREFIX
from holdfast.authority.certificate import BACKDATE, Issued, make_certificate
from holdfast.authority.keys import generate_key, signature_hash
from holdfast.authority.profile import end_entity_extensions, key_identifiers
from holdfast.authority.verdict import refusing
from holdfast.errors import IssuanceError

if TYPE_CHECKING:
    from holdfast.authority.issuer import Issuer

# The hub refuses a verification certificate that lasts longer (O06).
PROOF_VALIDITY_MAX: Final = timedelta(hours=24)

# A common name holds 64 characters (RFC 5280, ub-common-name).
_CODE: Final = re.compile(rf"{re.escape(POSSESSION_PREFIX)}[A-Z0-9]{{1,57}}")
_MESSAGE_BEGINS: Final = b"holdfast CA possession v1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature over a possession message, as the engine's `verify_signature` takes it."""

    algorithm: str
    """`ecdsa-p256-sha256`, `ecdsa-p384-sha384` or `rsa-pkcs1-sha256`."""
    octets: bytes
    """ECDSA in DER, or RSA PKCS #1 v1.5."""


def prove_by_certificate(issuer: Issuer, *, code: str, not_after: datetime, at: datetime) -> Issued:
    """A verification certificate: its one common name is `code`, its key is thrown away, it ends with the challenge.

    It proves that someone got this CA to sign a chosen name, no more; where that is not enough, prove by signature. The
    chain is that certificate alone.

    Raises:
        IssuanceError: `bad_possession_code`: `code` is not of the hub's form; `validity_out_of_range`: `not_after` is
            over; `expired`: the CA is.
    """
    if not _CODE.fullmatch(code):
        message = f"a possession code is {POSSESSION_PREFIX} and up to 57 letters and digits"
        raise IssuanceError("bad_possession_code", message)
    if not_after <= at:
        message = f"a proof that ends at {not_after} cannot be made at {at}"
        raise IssuanceError("validity_out_of_range", message)
    issuer.check_in_date(at)
    key = generate_key()
    not_before = max((at - BACKDATE).replace(microsecond=0), issuer.certificate.not_before)
    certificate = make_certificate(
        subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, code)]),
        public_key=key.public_key(),
        issuer=issuer.parsed.subject,
        issuer_key=issuer.key,
        not_before=not_before,
        not_after=min(not_after, issuer.not_after, not_before + PROOF_VALIDITY_MAX),
        extensions=[*end_entity_extensions(), *key_identifiers(key.public_key(), issuer)],
    )
    with refusing("the verification certificate would be refused"):
        certificate.check_in_date(at)
        certificate.check_issued_by(issuer.certificate)
    return Issued(certificate=certificate, chain=(certificate.der,))


def prove_by_signature(issuer: Issuer, *, message: bytes) -> Signature:
    """A signature over the text that `holdfast.possession.signed_message` makes, and over no other.

    Raises:
        IssuanceError: `bad_possession_message`: a text of another kind; `bad_signature`: the private key only poses as
            the certificate's.
    """
    if not message.startswith(_MESSAGE_BEGINS):
        refused = "the message is not that of a possession challenge"
        raise IssuanceError("bad_possession_message", refused)
    key = issuer.key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        digest = signature_hash(key)
        octets = key.sign(message, ec.ECDSA(digest))
        algorithm = f"ecdsa-p{key.curve.key_size}-{digest.name}"
    else:
        octets = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        algorithm = "rsa-pkcs1-sha256"
    with refusing("the signature would be refused"):
        issuer.certificate.verify_signature(message, octets)
    return Signature(algorithm=algorithm, octets=octets)
