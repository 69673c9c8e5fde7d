"""Streams of chains, cut anywhere: what comes out is what went in, and what is no chain is told apart."""

from __future__ import annotations

import base64
import io
import json

import pytest

from holdfast.bulk.read import UNFINISHED_BYTES_MAX, read_chains
from holdfast.errors import ConfigurationError, LimitExceededError

from ..support.pki import Ca

ROOT = Ca.root("Company-X Root")
FACTORY = ROOT.intermediate("Factory-Y")
DEVICES = [FACTORY.intermediate(f"Technician-{number}").device(f"widget-{number}") for number in range(4)]
CHAINS = [b"".join(device.der) for device in DEVICES]
DER = b"".join(CHAINS)
PEM = b"".join(b"# a comment\nfriendlyName: device\n" + device.pem + b"\n" for device in DEVICES)
LINES = b"\n".join(
    [
        json.dumps([base64.b64encode(one).decode() for one in DEVICES[0].der]).encode(),
        b"",
        json.dumps({"id": "two", "chain": [base64.b64encode(one).decode() for one in DEVICES[1].der]}).encode(),
        json.dumps({"chain": DEVICES[2].pem.decode()}).encode(),
        json.dumps(DEVICES[3].pem.decode()).encode(),
    ]
)


def chains(source: bytes, piece_bytes: int, certificates: int | None = None) -> list[bytes]:
    pieces = list(read_chains(io.BytesIO(source), piece_bytes=piece_bytes, certificates=certificates))
    assert all(len(piece.ids) in {0, len(piece)} for piece in pieces)
    return [
        piece.buffer[begin:end]
        for piece in pieces
        for begin, end in zip(piece.offsets, piece.offsets[1:], strict=False)
    ]


@pytest.mark.parametrize("source", [DER, PEM, LINES], ids=["der", "pem", "json-lines"])
@pytest.mark.parametrize("piece_bytes", [1, 2, 7, 13, 64, 1000, 4096, 1 << 20])
def test_a_stream_may_be_cut_anywhere(source: bytes, piece_bytes: int) -> None:
    assert chains(source, piece_bytes) == CHAINS
    if source is not LINES:
        assert chains(source, piece_bytes, certificates=3) == CHAINS


def test_lines_have_their_numbers_and_ids_if_they_have_some() -> None:
    pieces = list(read_chains(io.BytesIO(LINES)))
    assert [one for piece in pieces for one in piece.lines] == [1, 3, 4, 5]
    assert [one for piece in pieces for one in piece.ids] == [None, "two", None, None]


@pytest.mark.parametrize("piece_bytes", [1, 3, 1 << 20])
def test_a_mark_at_the_beginning_is_none_of_it(piece_bytes: int) -> None:
    assert chains(b"\xef\xbb\xbf" + LINES, piece_bytes) == chains(b"\xef\xbb\xbf" + PEM, piece_bytes) == CHAINS


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (b"", "no_chains"),
        (b" \n", "no_chains"),
        (b"\xef\xbb\xbf", "no_chains"),
        (b"\xef\xbb\xbf \n", "no_chains"),
        (b"hello world", "no_chains"),
        (PEM.replace(b"-----END CERT", b"-----EN CERT"), "bad_pem"),
        (PEM[:-100], "bad_pem"),
        (DEVICES[0].pem.replace(b"MII", b"=MII"), "bad_pem"),
        (b"-----BEGIN PRIVATE KEY-----\nMII=\n-----END PRIVATE KEY-----\n", "unexpected_pem_block"),
    ],
)
def test_what_is_no_stream_of_chains_is_refused(source: bytes, code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        list(read_chains(io.BytesIO(source)))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "line",
    [
        b'{"chain": 7, "id": "seven"}',
        b'["!"]',
        b'"hello"',
        b"[]",
        b'[""]',
        b'{"id": "seven", "chain": []}',
        b'{"chain": "-----BEGIN X-----\\n-----END X-----"}',
        b'{"chain": "\\ud800"}',
        b"[" * 100_000,
        b"{not json",
        b"7",
        b"\xff",
    ],
)
@pytest.mark.parametrize("piece_bytes", [7, 1 << 20])
def test_a_line_that_holds_no_chain_is_told_and_its_neighbours_are_read(line: bytes, piece_bytes: int) -> None:
    source = b"\n".join([LINES, line, LINES])
    found = list(read_chains(io.BytesIO(source), piece_bytes=piece_bytes))
    told = [text for piece in found for text in piece.unreadable.values()]
    assert len(told) == 1
    assert told[0].startswith("line 6 holds no chain: ")
    assert chains(source, piece_bytes) == [*CHAINS, b"", *CHAINS]
    assert [one for piece in found for one in piece.lines] == [1, 3, 4, 5, 6, 7, 9, 10, 11]
    ids = [one for piece in found for one in piece.ids]
    assert ids == [None, "two", None, None, "seven" if b"seven" in line else None, None, "two", None, None]


@pytest.mark.parametrize("its_id", ["1e999", "1.5", "NaN", "[7]", "{}", "null", "true"])
def test_an_id_is_text_or_a_whole_number(its_id: str) -> None:
    """Beside each the nearest that is one."""
    chain = json.dumps([base64.b64encode(one).decode() for one in DEVICES[0].der]).encode()
    ids = its_id.encode(), b'"1e999"', b"-7", b"1" + b"0" * 30
    source = b"\n".join(b'{"id": %s, "chain": %s}' % (one, chain) for one in ids)
    (piece,) = read_chains(io.BytesIO(source + b"\n"))
    assert piece.ids == [None, "1e999", -7, 10**30]
    assert piece.unreadable == {0: "line 1 holds no chain: its id is neither text nor a whole number"}


@pytest.mark.parametrize(
    "source",
    [
        b"\x30\x84\x7f\xff\xff\xff",
        b"-----BEGIN CERTIFICATE-----\n",
        b'{"chain": "',
    ],
    ids=["der", "pem", "json-lines"],
)
def test_what_never_ends_is_refused_in_bounded_memory(source: bytes) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1, /) -> bytes:
            self.given += size
            assert self.given < 8 * UNFINISHED_BYTES_MAX
            return source if self.given == size else b"A" * size

    with pytest.raises(LimitExceededError) as caught:
        list(read_chains(Endless(), piece_bytes=65536))
    assert caught.value.code == "chain_unfinished"
