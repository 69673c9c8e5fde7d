"""One certificate, made: fields and signature; whether it may be handed out is for whoever asked for it to judge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast._holdfast import Certificate
from holdfast.authority import pem
from holdfast.authority.keys import signature_hash
from holdfast.authority.verdict import refusing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.authority.keys import PrivateKey, PublicKey

# A new certificate is often used within seconds, by a machine whose clock is behind: step-ca allows for a minute,
# public CAs for an hour. Five minutes is the most that the hub's own leniency could be set to.
BACKDATE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new certificate, and the chain that its holder presents."""

    certificate: Certificate
    chain: tuple[bytes, ...]
    """DER: the new certificate, then those above it in order, without the root."""
    ignored: tuple[str, ...] = ()
    """Extensions that the request asked for and the certificate does not have."""

    @property
    def pem(self) -> bytes:
        """The chain in PEM, as TLS libraries and device SDKs read it."""
        return pem.to_pem(pem.CERTIFICATE, self.chain)


def make_certificate(
    *,
    subject: x509.Name,
    public_key: PublicKey,
    issuer: x509.Name,
    issuer_key: PrivateKey,
    not_before: datetime,
    not_after: datetime,
    extensions: Iterable[tuple[x509.ExtensionType, bool]],
) -> Certificate:
    """Sign a certificate with a new serial number: positive, 159 random bits (RFC 5280 §4.1.2.2).

    Raises:
        IssuanceError: the engine's reason why it could not even be read.
    """
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    der = builder.sign(issuer_key, signature_hash(issuer_key)).public_bytes(Encoding.DER)
    with refusing("the certificate would be refused"):
        return Certificate(der)
