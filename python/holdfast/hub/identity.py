"""The hub's own TLS certificate and key, as an operator keeps them in files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from holdfast.errors import ConfigurationError
from holdfast.files import read_file, read_secret_file

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the hub shows to devices, and proves."""

    certificate_chain: tuple[bytes, ...]
    """DER, end entity first."""
    private_key: bytes
    """PKCS #8, DER."""
    not_after: datetime
    """When the end entity's certificate ends."""


def read_identity(certificate: Path, private_key: Path) -> Identity:
    """Read both files.

    Raises:
        ConfigurationError: `unreadable_file`, `bad_tls_certificate`, `bad_tls_key`, `tls_key_encrypted`,
            `tls_key_mismatch`, `secret_file_exposed` (others than its owner may read the key).
        LimitExceededError: `file_too_large`.
    """
    contents = read_file(certificate)
    try:
        chain = x509.load_pem_x509_certificates(contents)
    except ValueError as error:
        # cryptography's own words are of all formats that it knows, and lead to its FAQ.
        message = f"{certificate} holds no certificates in PEM: {_what_else(contents)}"
        raise ConfigurationError("bad_tls_certificate", message) from error
    try:
        key = serialization.load_pem_private_key(read_secret_file(private_key), None)
    except TypeError as error:
        raise ConfigurationError("tls_key_encrypted", f"{private_key} is encrypted; a hub starts unattended") from error
    except ValueError as error:
        raise ConfigurationError("bad_tls_key", f"{private_key} holds no PEM private key") from error
    der = serialization.Encoding.DER
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(der, spki) != chain[0].public_key().public_bytes(der, spki):
        message = f"the key in {private_key} does not belong to the first certificate in {certificate}"
        raise ConfigurationError("tls_key_mismatch", message)
    return Identity(
        certificate_chain=tuple(one.public_bytes(der) for one in chain),
        private_key=key.private_bytes(der, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        not_after=chain[0].not_valid_after_utc,
    )


def _what_else(contents: bytes) -> str:
    if b"-----BEGIN" in contents:
        return "a block is damaged, or is no certificate's"
    if contents.startswith(b"\x30"):
        return "it is DER"
    return "it has no PEM block" if contents.strip() else "it is empty"
