"""Chains from a stream of PEM, DER or JSON Lines of any size: a piece at a time, each ready for `verify_packed`."""

from __future__ import annotations

import array
import binascii
import json
import re
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Protocol

from holdfast._holdfast import chain_offsets
from holdfast.errors import ConfigurationError, LimitExceededError
from holdfast.files import BYTE_ORDER_MARK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PIECE_BYTES: Final = 2 * 1024 * 1024
"""What is read at once: more than a thousand chains, enough to keep the kernel's lanes full."""
UNFINISHED_BYTES_MAX: Final = 1024 * 1024
"""How long a certificate, a chain or a line may be: thirty times what a chain may have."""
BAD_CHAIN_LINE: Final = "bad_chain_line"
"""The code of a line that holds no chain."""

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END ([A-Z0-9 ]+)-----")
_DER_SEQUENCE: Final = b"\x30"


class Source(Protocol):
    """What is read from: a binary file, a pipe."""

    def read(self, size: int, /) -> bytes: ...  # noqa: D102 (as files have it)


@dataclass(frozen=True, slots=True)
class Piece:
    """Chains as `verify_packed` takes them; of JSON Lines `lines` has their numbers, and `ids` what they were called.

    `unreadable` says of a line that holds no chain why, by its place among these. In `buffer` its chain has no
    certificate, and so is refused whoever judges it.
    """

    buffer: bytes
    offsets: array.array[int]
    lines: list[int] = field(default_factory=list)
    ids: list[str | int | None] = field(default_factory=list)
    unreadable: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets) - 1


def read_chains(source: Source, *, certificates: int | None = None, piece_bytes: int = PIECE_BYTES) -> Iterator[Piece]:
    """Read chains, end entity first, in the format that the first octet shows.

    DER: certificates one after another. PEM: blocks; what stands between them is ignored. In both a chain goes on while
    a certificate bears the name of the issuer of the one before it, or has `certificates` of them. JSON Lines: a line
    is a chain, as a list of base64 DER or as PEM text; or an object with it as `chain` and, if you like, an `id`, text
    or a whole number. A line that is none of these is `unreadable` in its piece, and reading goes on.

    Memory: a few times `piece_bytes`, however long the stream.

    Raises:
        ConfigurationError: `no_chains`, `bad_pem`, `unexpected_pem_block`.
        LimitExceededError: `chain_unfinished`: a certificate, chain or line of more than 1 MiB.
    """
    pieces = iter(lambda: source.read(piece_bytes), b"")
    first = next(pieces, b"")
    while len(first) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(first) and (more := next(pieces, b"")):
        first += more
    first = first.removeprefix(BYTE_ORDER_MARK) or next(pieces, b"")
    while first and not first.strip():
        first = next(pieces, b"")
    if not first:
        raise ConfigurationError("no_chains", "there is nothing to read")
    rest = _chain(first, pieces)
    if first[:1] == _DER_SEQUENCE:
        yield from _cut(rest, certificates)
    elif first.lstrip()[:1] in b'{["':
        yield from _lines(rest)
    else:
        yield from _cut(_decoded(rest), certificates)


def _chain(first: bytes, others: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def _bounded(unfinished: bytes, what: str) -> bytes:
    if len(unfinished) > UNFINISHED_BYTES_MAX:
        message = f"{what} has more than {UNFINISHED_BYTES_MAX} bytes"
        raise LimitExceededError("chain_unfinished", message)
    return unfinished


def _cut(pieces: Iterable[bytes], certificates: int | None) -> Iterator[Piece]:
    """DER pieces, cut anywhere, into whole chains."""
    unfinished = b""

    def cut(buffer: bytes, *, last: bool) -> Iterator[Piece]:
        offsets = array.array("q", chain_offsets(buffer, certificates=certificates, last=last))
        if len(offsets) > 1:
            yield Piece(buffer, offsets)
        nonlocal unfinished
        unfinished = buffer[offsets[-1] :] if offsets else buffer

    for piece in pieces:
        yield from cut(unfinished + piece, last=False)
        _bounded(unfinished, "what should be a chain")
    if unfinished:
        yield from cut(unfinished, last=True)


def _decoded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The DER of PEM pieces, cut anywhere."""
    unfinished, any_block = b"", False
    for piece in pieces:
        text = unfinished + piece
        der, end = _blocks(text)
        any_block = any_block or bool(der)
        if der:
            yield der
        # Text between blocks is dropped, but for the beginning of a block, which may be cut anywhere.
        begin = text.find(b"-----BEGIN", end)
        unfinished = _bounded(text[begin:] if begin >= 0 else text[max(end, len(text) - 16) :], "a PEM block")
    if b"-----BEGIN" in unfinished:
        raise ConfigurationError("bad_pem", "the last PEM block has no end")
    if not any_block:
        raise ConfigurationError("no_chains", "this is neither DER nor PEM nor JSON Lines: no certificate was found")


def _blocks(text: bytes) -> tuple[bytes, int]:
    """The DER of all whole blocks, one after another, and where the last one ends."""
    ders, end = [], 0
    for block in _BLOCK.finditer(text):
        label, encoded, closing = block.groups()
        if label != b"CERTIFICATE" or closing != label:
            message = f"a PEM block {label.decode()!r} … {closing.decode()!r}, certificates alone are wanted"
            raise ConfigurationError("unexpected_pem_block", message)
        try:
            ders.append(binascii.a2b_base64(b"".join(encoded.split()), strict_mode=True))
        except ValueError as error:
            message = f"not base64: {error}"
            raise ConfigurationError("bad_pem", message) from None
        end = block.end()
    return b"".join(ders), end


def _lines(pieces: Iterable[bytes]) -> Iterator[Piece]:
    unfinished, number = b"", 0
    for piece in pieces:
        *lines, unfinished = (unfinished + piece).split(b"\n")
        _bounded(unfinished, f"line {number + len(lines) + 1}")
        yield from _packed(lines, number)
        number += len(lines)
    yield from _packed([unfinished], number)


def _packed(lines: list[bytes], before: int) -> Iterator[Piece]:
    chains: list[bytes] = []
    numbers: list[int] = []
    ids: list[str | int | None] = []
    unreadable: dict[int, str] = {}
    for number, line in enumerate(lines, before + 1):
        if not line.strip():
            continue
        its_id = None
        try:
            value = json.loads(line)
            if isinstance(value, dict):
                its_id = _id(value["id"]) if "id" in value else None
            chain = _line(value.get("chain") if isinstance(value, dict) else value)
        except (ValueError, RecursionError, ConfigurationError) as error:
            chain, unreadable[len(chains)] = b"", f"line {number} holds no chain: {error}"
        chains.append(chain)
        numbers.append(number)
        ids.append(its_id)
    if chains:
        offsets = array.array("q", accumulate(map(len, chains), initial=0))
        yield Piece(b"".join(chains), offsets, numbers, ids, unreadable)


def _line(value: object) -> bytes:
    """The chain in one line, as DER one after another."""
    if isinstance(value, str):
        ders = _blocks(value.encode())[0]
    elif isinstance(value, list) and all(isinstance(one, str) for one in value):
        ders = b"".join(binascii.a2b_base64(one, strict_mode=True) for one in value)
    else:
        message = "neither a list of base64 texts nor PEM"
        raise ValueError(message)
    if not ders:
        message = "there is no certificate in it"
        raise ValueError(message)
    return ders


def _id(value: object) -> str | int:
    """What a line calls its chain; of what else JSON knows, `1e999` is none any more when it is written."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        message = "its id is neither text nor a whole number"
        raise ValueError(message)  # noqa: TRY004 (of what is read, not of what is called)
    return value
