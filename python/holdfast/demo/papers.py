"""Papers that no holdfast command makes: the impostors', and the hub's own TLS certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.authority.pem import to_pem
from holdfast.demo.mqtt import Credentials

if TYPE_CHECKING:
    from pathlib import Path

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()


def make_server_certificate(name: str, directory: Path) -> None:
    """A self-signed certificate for the hub's own name, as any web server might have: `tls.pem` and `tls.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    today = datetime.now(UTC)
    certificate = (
        _certificate(name, key.public_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .not_valid_before(today - timedelta(hours=1))
        .not_valid_after(today + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "tls.pem").write_bytes(certificate.public_bytes(PEM))
    _write_key(directory / "tls.key", key.private_bytes(PEM, PKCS8, PLAIN))


def make_expired(device_id: str, ca: Path, directory: Path) -> Credentials:
    """A device certificate by the genuine CA in `ca`.pem and `ca`.key, whose last day was yesterday."""
    chain = ca.with_suffix(".pem").read_bytes()
    issuer = x509.load_pem_x509_certificate(chain)
    issuer_key = serialization.load_pem_private_key(ca.with_suffix(".key").read_bytes(), None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        message = "the demo's CAs have ECDSA keys"
        raise TypeError(message)
    key = ec.generate_private_key(ec.SECP256R1())
    yesterday = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        _certificate(device_id, key.public_key(), issuer.subject)
        .not_valid_before(yesterday - timedelta(days=30))
        .not_valid_after(yesterday)
        .sign(issuer_key, hashes.SHA256())
    )
    expired = Credentials(chain=directory / f"{device_id}.pem", key=directory / f"{device_id}.key")
    expired.chain.write_bytes(certificate.public_bytes(PEM) + chain)
    _write_key(expired.key, key.private_bytes(PEM, PKCS8, PLAIN))
    return expired


def make_stolen(victim: Credentials, directory: Path) -> Credentials:
    """The victim's public certificate beside a key file that names the victim's public key but holds another secret.

    TLS libraries compare only the public half when they load it: the thief gets as far as signing, and signs wrongly.
    """
    certificate = x509.load_pem_x509_certificate(victim.chain.read_bytes())
    own = ec.generate_private_key(ec.SECP256R1())
    der = own.private_bytes(serialization.Encoding.DER, PKCS8, PLAIN)
    posing = der.replace(_point(own.public_key()), _point(certificate.public_key()))
    key = directory / "stolen.key"
    _write_key(key, to_pem("PRIVATE KEY", [posing]))
    return Credentials(chain=victim.chain, key=key)


def _certificate(name: str, key: ec.EllipticCurvePublicKey, issuer: x509.Name) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )


def _point(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        message = "the demo's devices have ECDSA keys"
        raise TypeError(message)
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _write_key(path: Path, pem: bytes) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(pem)
