"""The hub's own TLS certificate and key, as an operator keeps them in files."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from holdfast.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

FILE_BYTES_MAX = 256 * 1024


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
            `tls_key_mismatch`, `key_file_exposed` (others than its owner may read the key).
    """
    try:
        chain = x509.load_pem_x509_certificates(_read(certificate))
    except ValueError as error:
        message = f"{certificate} holds no PEM certificates: {error}"
        raise ConfigurationError("bad_tls_certificate", message) from error
    mode = stat.S_IMODE(private_key.stat().st_mode) if private_key.exists() else 0
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"{private_key} may be read or written by others than its owner (mode {mode:04o})"
        raise ConfigurationError("key_file_exposed", message, hint=f"chmod 600 {private_key}")
    try:
        key = serialization.load_pem_private_key(_read(private_key), None)
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


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise ConfigurationError("unreadable_file", message) from error
    if len(data) > FILE_BYTES_MAX:
        message = f"{path} is larger than {FILE_BYTES_MAX} bytes"
        raise ConfigurationError("unreadable_file", message)
    return data
