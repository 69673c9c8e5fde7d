"""Certificates and revocation lists out of files: PEM, DER, several of either, PKCS #7; `-` is standard input."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Final

from holdfast.cli.options import read_bounded
from holdfast.cli.text import printable
from holdfast.errors import ConfigurationError, LimitExceededError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from holdfast._holdfast import TrustStore

BUNDLE_BYTES_MAX: Final = 64 * 1024 * 1024
"""A revocation list of a million entries; the roots of all browsers together are a quarter of a megabyte."""

ELEMENTS_COUNT_MAX: Final = 100_000
"""In DER an element takes two bytes, and each is shown or judged; all roots that anybody trusts are some hundreds."""

# RFC 7468 §5.1 and what older tools write.
CERTIFICATE_LABELS: Final = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
LIST_LABELS: Final = frozenset({"X509 CRL", "CRL"})
PKCS7_LABELS: Final = frozenset({"PKCS7", "CMS"})
_SEQUENCE: Final = b"\x30"
_PEM: Final = b"-----BEGIN "
# id-signedData, 1.2.840.113549.1.7.2: how a PKCS #7 bundle begins behind its length.
_SIGNED_DATA: Final = bytes.fromhex("06092a864886f70d010702")


def read_certificates(path: Path, *, bytes_max: int = BUNDLE_BYTES_MAX) -> list[bytes]:
    """The certificates in `path`, DER, in the order written, at least one; what else there is gets a line on stderr.

    Raises:
        ConfigurationError: `unreadable_file`; `no_certificate`.
        IssuanceError: `bad_pem`.
        LimitExceededError: `file_too_large`.
    """
    return _read_elements(
        read_bounded(path, bytes_max=bytes_max), path, CERTIFICATE_LABELS, "no_certificate", "certificate"
    )


def read_lists(path: Path) -> list[bytes]:
    """The revocation lists in `path`, as `read_certificates` reads; whether DER is any is asked when it is used.

    Raises:
        ConfigurationError: `bad_crl` instead.
    """
    data = read_bounded(path, bytes_max=BUNDLE_BYTES_MAX)
    return _read_elements(data, path, LIST_LABELS, "bad_crl", "revocation list")


def _read_elements(data: bytes, path: Path, labels: frozenset[str], code: str, what: str) -> list[bytes]:
    """DER says what it is by itself only to who reads it whole: it counts as what is wanted."""
    found: list[bytes] = []
    left_out: list[str] = []
    if _PEM in data:
        from holdfast.authority.pem import read_blocks
        from holdfast.authority.verdict import about

        with about(path):
            blocks = read_blocks(data)
        for label, der in blocks:
            if label in labels:
                found.append(der)
            elif label in PKCS7_LABELS and labels is CERTIFICATE_LABELS:
                found.extend(_unpacked(der, path))
            else:
                left_out.append(label)
    elif data.startswith(_SEQUENCE):
        found.extend(_unpacked(data, path))
    else:
        message = f"there is neither PEM nor DER in {path}"
        raise ConfigurationError(code, message)
    if not found:
        message = f"there is no {what} in {path}" + (f", but {', '.join(left_out)}" if left_out else "")
        raise ConfigurationError(code, message)
    if left_out:
        sys.stderr.write(printable(f"holdfast: {path}: left out: {', '.join(left_out)}") + "\n")
    return found


def read_anchors(files: Iterable[Path], *, bytes_max: int = BUNDLE_BYTES_MAX) -> TrustStore:
    """The certificates in `files`, to be trusted.

    Raises:
        ConfigurationError: `bad_anchor`, and as `read_certificates`.
        LimitExceededError: `file_too_large`.
    """
    from holdfast._holdfast import TrustStore

    anchors = [(file, der) for file in files for der in read_certificates(file, bytes_max=bytes_max)]
    try:
        return TrustStore([der for _, der in anchors])
    except VerificationError as error:
        file = anchors[error.position or 0][0]
        message = f"a certificate in {file} cannot be trusted: {error.message} ({error.code})"
        raise ConfigurationError("bad_anchor", message, hint=error.hint) from error


def _unpacked(data: bytes, path: Path) -> Iterator[bytes]:
    """The certificates of a PKCS #7 bundle, or else the elements of `data` one by one.

    What cannot be an element of its own stays with the one before it, so that the engine says what is wrong with it.
    """
    if _SIGNED_DATA in data[:16]:
        from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what openssl writes is BER, and no matter of whoever reads it here
                inside = [one.public_bytes(Encoding.DER) for one in pkcs7.load_der_pkcs7_certificates(data)]
        except ValueError as error:
            message = f"the PKCS #7 bundle in {path} cannot be read: {error}"
            raise ConfigurationError("no_certificate", message) from error
        yield from inside
        return
    begin = count = 0
    while begin < len(data):
        if (count := count + 1) > ELEMENTS_COUNT_MAX:
            message = f"there are more than {ELEMENTS_COUNT_MAX} elements of DER in {path}"
            raise LimitExceededError("file_too_large", message)
        end = _element_end(data, begin)
        if not data.startswith(_SEQUENCE, end):
            end = len(data)
        yield data[begin:end]
        begin = end


def _element_end(data: bytes, begin: int) -> int:
    """Where the element at `begin` says that it ends, tag and length included (X.690 §8.1.3)."""
    inside = begin + 2
    first = data[begin + 1] if inside <= len(data) else 0
    octets = first & 0x7F if first & 0x80 else 0
    return inside + octets + (int.from_bytes(data[inside : inside + octets]) if octets else first)
