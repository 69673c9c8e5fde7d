"""DER written and read by hand: what `cryptography` refuses to make, these tests need most."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID, ENUMERATED = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A
UTF8, PRINTABLE, TELETEX, IA5, UTC_TIME, GENERALIZED_TIME, BMP = 0x0C, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1E
SEQUENCE, SET = 0x30, 0x31
TRUE = bytes([BOOLEAN, 1, 0xFF])


def element(tag: int, *parts: bytes) -> bytes:
    inside = b"".join(parts)
    return bytes([tag]) + length(len(inside)) + inside


def length(count: int) -> bytes:
    if count < 0x80:
        return bytes([count])
    octets = count.to_bytes((count.bit_length() + 7) // 8)
    return bytes([0x80 | len(octets)]) + octets


def sequence(*parts: bytes) -> bytes:
    return element(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    return element(SET, *parts)


def explicit(number: int, *parts: bytes) -> bytes:
    """`[number]`, constructed."""
    return element(0xA0 | number, *parts)


def implicit(number: int, contents: bytes) -> bytes:
    """`[number]`, primitive."""
    return element(0x80 | number, contents)


def integer(value: int) -> bytes:
    return element(INTEGER, integer_octets(value))


def integer_octets(value: int) -> bytes:
    return value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, signed=True)


def oid_octets(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    octets = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | (arc & 0x7F))
        octets += bytes(reversed(groups))
    return bytes(octets)


def oid(dotted: str) -> bytes:
    return element(OID, oid_octets(dotted))


def octets(value: bytes) -> bytes:
    return element(OCTET_STRING, value)


def bits(value: bytes, unused: int = 0) -> bytes:
    return element(BIT_STRING, bytes([unused]), value)


def named_bits(*numbers: int, tag: int = BIT_STRING) -> bytes:
    """A named-bit list: bit 0 is the first, trailing zeros are left out."""
    if not numbers:
        return element(tag, b"\x00")
    count = max(numbers) + 1
    size = (count + 7) // 8
    value = sum(1 << (size * 8 - 1 - number) for number in numbers)
    return element(tag, bytes([size * 8 - count]), value.to_bytes(size))


def text(value: str, tag: int = UTF8) -> bytes:
    return element(tag, value.encode("utf-16-be" if tag == BMP else "utf-8"))


def children(contents: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, contents and whole of each element in `contents`; only definite lengths."""
    at = 0
    while at < len(contents):
        tag, size, begin = contents[at], contents[at + 1], at + 2
        if size & 0x80:
            begin += size & 0x7F
            size = int.from_bytes(contents[at + 2 : begin])
        yield tag, contents[begin : begin + size], contents[at : begin + size]
        at = begin + size


def inside(der: bytes) -> list[tuple[int, bytes, bytes]]:
    """The children of the one element in `der`."""
    ((_, contents, _),) = children(der)
    return list(children(contents))
