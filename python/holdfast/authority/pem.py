"""PEM and DER, told apart by content; PEM out. RFC 7468."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast.errors import IssuanceError
from holdfast.files import BYTE_ORDER_MARK

if TYPE_CHECKING:
    from collections.abc import Iterable

CERTIFICATE: Final = "CERTIFICATE"
CERTIFICATE_REQUEST: Final = "CERTIFICATE REQUEST"

# What old tools call a request (RFC 7468 §7).
_REQUEST_LABELS: Final = (CERTIFICATE_REQUEST, "NEW CERTIFICATE REQUEST")
_BOUNDARY: Final = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----")
_LINE_CHARACTERS: Final = 64
_BEGIN: Final = b"-----BEGIN "
_DER_SEQUENCE: Final = b"\x30"


class Block(NamedTuple):
    """One element with the label that says what it is."""

    label: str
    der: bytes


def read_certificates(data: bytes) -> list[bytes]:
    """One certificate in DER, or one and more in PEM and nothing but those; DER, in the order given.

    Raises:
        IssuanceError: `bad_pem`, `no_certificate`, `unexpected_pem_block`.
    """
    return [block.der for block in _only(data, (CERTIFICATE,), "no_certificate", "a certificate")]


def read_request(data: bytes) -> bytes:
    """One certification request, in DER or PEM.

    Raises:
        IssuanceError: `bad_pem`, `no_request`, `several_requests`, `unexpected_pem_block`.
    """
    blocks = _only(data, _REQUEST_LABELS, "no_request", "a certification request")
    if len(blocks) > 1:
        message = f"there are {len(blocks)} certification requests in one file, one is wanted"
        raise IssuanceError("several_requests", message)
    return blocks[0].der


def read_blocks(data: bytes) -> list[Block]:
    """Every element of a PEM text, in linear time. Text between them is explanation (RFC 7468 §2) and ignored.

    Raises:
        IssuanceError: `bad_pem`: a boundary without its partner, or contents that are not base64.
    """
    blocks: list[Block] = []
    label: bytes | None = None
    body: list[bytes] = []
    for line in map(bytes.strip, data.removeprefix(BYTE_ORDER_MARK).splitlines()):
        boundary = _BOUNDARY.fullmatch(line)
        if boundary is None:
            if label is not None:
                body.append(line)
        elif label is None and boundary[1] == b"BEGIN":
            label, body = boundary[2], []
        elif label == boundary[2] and boundary[1] == b"END":
            blocks.append(Block(boundary[2].decode(), _decode(b"".join(body))))
            label = None
        else:
            raise _bad_pem("a boundary stands where another was expected")
    if label is not None:
        raise _bad_pem("the last element has no end")
    return blocks


def to_pem(label: str, elements: Iterable[bytes]) -> bytes:
    """Each DER element as a PEM element of that label."""
    return b"".join(_encode(label, der) for der in elements)


def elements(data: bytes, label: str) -> list[Block]:
    """What a file holds: the elements of its PEM, or the whole as DER of a `label`, or nothing."""
    if _BEGIN in data:
        return read_blocks(data)
    return [Block(label, data)] if data.startswith(_DER_SEQUENCE) else []


def _only(data: bytes, labels: tuple[str, ...], code: str, what: str) -> list[Block]:
    blocks = elements(data, labels[0])
    for block in blocks:
        if block.label not in labels:
            message = f"a PEM element '{block.label}' where only {what} is expected"
            raise IssuanceError("unexpected_pem_block", message)
    if not blocks:
        message = f"there is neither PEM nor DER of {what}"
        raise IssuanceError(code, message)
    return blocks


def _decode(body: bytes) -> bytes:
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except binascii.Error as error:
        raise _bad_pem("the contents are not base64") from error


def _encode(label: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode()
    lines = [text[start : start + _LINE_CHARACTERS] for start in range(0, len(text), _LINE_CHARACTERS)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def _bad_pem(why: str) -> IssuanceError:
    return IssuanceError("bad_pem", f"not PEM: {why}")
