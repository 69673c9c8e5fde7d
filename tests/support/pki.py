"""Certificates for tests, made by `cryptography` so that nothing of ours vouches for itself. One odd fact at a time."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def p256() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def build(
    subject: x509.Name,
    key: Any,
    issuer: x509.Name,
    issuer_key: Key,
    *,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + 30 * DAY,
    digest: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key() if hasattr(key, "public_key") else key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, digest or hashes.SHA256())


@dataclass(frozen=True)
class Device:
    """A leaf with its key and the certificates above it, the root left out."""

    key: Key
    chain: tuple[x509.Certificate, ...]

    @property
    def der(self) -> list[bytes]:
        return [one.public_bytes(DER) for one in self.chain]

    @property
    def pem(self) -> bytes:
        return b"".join(one.public_bytes(PEM) for one in self.chain)

    def write(self, directory: Path, stem: str = "device") -> tuple[Path, Path]:
        certificate, key = directory / f"{stem}.pem", directory / f"{stem}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(key_pem(self.key))
        key.chmod(0o600)
        return certificate, key


@dataclass(frozen=True)
class Ca:
    """A CA; `above` are the intermediates between it and its root, its own certificate first (empty for a root)."""

    certificate: x509.Certificate
    key: Key
    above: tuple[x509.Certificate, ...] = field(default=())

    @classmethod
    def root(cls, common_name: str = "Company-X Root", **odd: Any) -> Ca:
        key = odd.pop("key", None) or p256()
        extensions = odd.pop("extensions", [(x509.BasicConstraints(True, odd.pop("path_len", None)), True)])
        return cls(build(name(common_name), key, name(common_name), key, extensions=extensions, **odd), key)

    def intermediate(self, common_name: str, **odd: Any) -> Ca:
        key = odd.pop("key", None) or p256()
        extensions = odd.pop("extensions", [(x509.BasicConstraints(True, odd.pop("path_len", None)), True)])
        certificate = build(name(common_name), key, self.certificate.subject, self.key, extensions=extensions, **odd)
        return Ca(certificate, key, (certificate, *self.above))

    def device(self, device_id: str | x509.Name, **odd: Any) -> Device:
        key = odd.pop("key", None) or p256()
        subject = name(device_id) if isinstance(device_id, str) else device_id
        extensions = odd.pop(
            "extensions",
            [
                (x509.BasicConstraints(False, None), True),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
            ],
        )
        certificate = build(subject, key, self.certificate.subject, self.key, extensions=extensions, **odd)
        return Device(key, (certificate, *self.above))

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    def verification(self, code: str, **odd: Any) -> bytes:
        """The verification certificate that answers a challenge by issuance, PEM."""
        subject = odd.pop("subject", name(code))
        issuer = odd.pop("issuer", self.certificate.subject)
        extensions = odd.pop("extensions", [(x509.BasicConstraints(False, None), True)])
        return build(subject, p256(), issuer, self.key, extensions=extensions, **odd).public_bytes(PEM)


def posing_key(victim: Device) -> bytes:
    """A key file with the victim's public key and another secret: TLS libraries load it, and sign wrongly."""
    own = p256()
    der = own.private_bytes(DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    points = [
        key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        for key in (own.public_key(), victim.chain[0].public_key())
    ]
    assert points[0] in der
    body = base64.encodebytes(der.replace(*points))
    return b"-----BEGIN PRIVATE KEY-----\n" + body + b"-----END PRIVATE KEY-----\n"


def server_identity(
    directory: Path, *names: x509.GeneralName, stem: str = "tls", ends: datetime = NOW + 30 * DAY
) -> tuple[Path, Path]:
    """A hub's own certificate, self-signed, and its key: files as `serve` wants them."""
    key = p256()
    extensions = [(x509.SubjectAlternativeName(names), False)]
    certificate = build(name("hub"), key, name("hub"), key, extensions=extensions, ends=ends)
    return Device(key, (certificate,)).write(directory, stem)
