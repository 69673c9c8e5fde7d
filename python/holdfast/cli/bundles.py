"""Certificates and revocation lists out of files: PEM, DER, several of either, PKCS #7; `-` is standard input."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast.errors import ConfigurationError, LimitExceededError, VerificationError
from holdfast.files import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUNDLE_BYTES_MAX: Final = 64 * 1024 * 1024
"""A revocation list of a million entries; the roots of all browsers together are a quarter of a megabyte."""

# RFC 7468 §5.1 and what older tools write.
CERTIFICATE_LABELS: Final = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
LIST_LABELS: Final = frozenset({"X509 CRL", "CRL"})
PKCS7_LABELS: Final = frozenset({"PKCS7", "CMS"})
_SEQUENCE: Final = b"\x30"
_PEM: Final = b"-----BEGIN "
# id-signedData, 1.2.840.113549.1.7.2: how a PKCS #7 bundle begins behind its length.
_SIGNED_DATA: Final = bytes.fromhex("06092a864886f70d010702")


class Bundle(NamedTuple):
    """What a file holds, in the order written; DER each."""

    certificates: list[bytes]
    lists: list[bytes]
    left_out: list[str]
    """Labels of PEM elements that are neither."""


def read_bundle(path: Path) -> Bundle:
    """What is in `path`. DER says what it is by itself only to who reads it whole: it counts as certificates.

    Raises:
        ConfigurationError: `unreadable_file`; `no_certificate`: neither PEM nor DER.
        IssuanceError: `bad_pem`.
        LimitExceededError: `file_too_large`.
    """
    data = _read(path)
    if _PEM not in data:
        if not data.startswith(_SEQUENCE):
            message = f"there is neither PEM nor DER in {path}"
            raise ConfigurationError("no_certificate", message)
        return Bundle(list(_unpacked(data)), [], [])
    from holdfast.authority.pem import read_blocks

    bundle = Bundle([], [], [])
    for label, der in read_blocks(data):
        if label in CERTIFICATE_LABELS:
            bundle.certificates.append(der)
        elif label in PKCS7_LABELS:
            bundle.certificates.extend(_unpacked(der))
        elif label in LIST_LABELS:
            bundle.lists.append(der)
        else:
            bundle.left_out.append(label)
    return bundle


def read_certificates(path: Path) -> list[bytes]:
    """The certificates in `path`, at least one; what else there is gets a line on stderr.

    Raises:
        ConfigurationError: `no_certificate` too.
    """
    bundle = read_bundle(path)
    left_out = [*bundle.left_out, *("X509 CRL" for _ in bundle.lists)]
    if not bundle.certificates:
        message = f"there is no certificate in {path}" + (f", but {', '.join(left_out)}" if left_out else "")
        raise ConfigurationError("no_certificate", message)
    if left_out:
        sys.stderr.write(f"holdfast: {path}: left out: {', '.join(left_out)}\n")
    return bundle.certificates


def read_lists(path: Path) -> list[bytes]:
    """The revocation lists in `path`; whether they are any is asked when they are used."""
    bundle = read_bundle(path)
    return bundle.lists or bundle.certificates


def bad_anchor(file: Path, error: VerificationError) -> ConfigurationError:
    """What is said of a certificate in `file` that is to be trusted, and cannot be."""
    message = f"a certificate in {file} cannot be trusted: {error.message} ({error.code})"
    return ConfigurationError("bad_anchor", message, hint=error.hint)


def _read(path: Path) -> bytes:
    if str(path) != "-":
        return read_file(path, bytes_max=BUNDLE_BYTES_MAX)
    data = sys.stdin.buffer.read(BUNDLE_BYTES_MAX + 1)
    if len(data) > BUNDLE_BYTES_MAX:
        message = f"standard input is larger than the {BUNDLE_BYTES_MAX} bytes that are allowed"
        raise LimitExceededError("file_too_large", message)
    return data


def _unpacked(data: bytes) -> Iterator[bytes]:
    """The certificates of a PKCS #7 bundle, or else the elements of `data` one by one.

    What cannot be an element of its own stays with the one before it, so that the engine says what is wrong with it.
    """
    if _SIGNED_DATA in data[:16]:
        from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

        try:
            inside = [one.public_bytes(Encoding.DER) for one in pkcs7.load_der_pkcs7_certificates(data)]
        except ValueError as error:
            message = f"the PKCS #7 bundle cannot be read: {error}"
            raise ConfigurationError("no_certificate", message) from error
        yield from inside
        return
    while data:
        length = _element_length(data)
        if not data[length:].startswith(_SEQUENCE):
            length = len(data)
        yield data[:length]
        data = data[length:]


def _element_length(data: bytes) -> int:
    """How long the element at the head of `data` says it is, tag and length included (X.690 §8.1.3)."""
    first = data[1] if len(data) > 1 else 0
    octets = first & 0x7F if first & 0x80 else 0
    return 2 + octets + (int.from_bytes(data[2 : 2 + octets]) if octets else first)
