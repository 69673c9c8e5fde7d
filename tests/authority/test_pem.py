"""PEM and DER, told apart by content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import IssuanceError
from holdfast.authority.pem import Block, read_blocks, read_certificates, read_request, to_pem

from .papers import refused

ONE, TWO = b"\x30\x03\x02\x01\x01", b"\x30\x03\x02\x01\x02"


@given(st.lists(st.tuples(st.from_regex(r"[A-Z0-9]([A-Z0-9 ]{0,20}[A-Z0-9])?", fullmatch=True), st.binary())))
def test_what_is_written_is_read_back(elements: list[tuple[str, bytes]]) -> None:
    text = b"explanation\n".join(to_pem(label, [der]) for label, der in elements)
    assert read_blocks(text) == [Block(*element) for element in elements]


def test_lines_are_of_64_characters_as_rfc_7468_asks() -> None:
    lines = to_pem("CERTIFICATE", [bytes(100)]).decode().splitlines()
    assert [len(line) for line in lines[1:-1]] == [64, 64, 8]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b" \n", b"\n\n"])
def test_line_ends_of_every_system_are_read(end: bytes) -> None:
    assert read_certificates(to_pem("CERTIFICATE", [ONE, TWO]).replace(b"\n", end)) == [ONE, TWO]


def test_der_is_told_by_content() -> None:
    assert read_certificates(ONE) == [ONE]
    assert read_request(ONE) == ONE


def test_text_around_elements_is_explanation() -> None:
    text = b"subject=/CN=Company-X\n" + to_pem("CERTIFICATE", [ONE]) + b"\nissuer: none\n"
    assert read_certificates(text) == [ONE]


def test_an_old_tools_label_of_a_request_is_read() -> None:
    assert read_request(to_pem("NEW CERTIFICATE REQUEST", [ONE])) == ONE


CERTIFICATE = to_pem("CERTIFICATE", [ONE])
REQUEST = to_pem("CERTIFICATE REQUEST", [ONE])
BAD = [
    pytest.param(CERTIFICATE[:-2], id="cut in its end"),
    pytest.param(CERTIFICATE[:40], id="cut in its body"),
    pytest.param(CERTIFICATE.replace(b"END CERTIFICATE", b"END CERTIFICATE REQUEST"), id="ends as something else"),
    pytest.param(b"-----BEGIN CERTIFICATE-----\n" + CERTIFICATE, id="begins twice"),
    pytest.param(CERTIFICATE + b"-----END CERTIFICATE-----\n-----BEGIN ", id="ends twice"),
    pytest.param(CERTIFICATE.replace(b"MAM", b"M!M"), id="no base64"),
    pytest.param(CERTIFICATE.replace(b"MAMC", b"MAMC="), id="padding inside"),
    pytest.param(CERTIFICATE.replace(b"-----\nM", b"-----\nProc-Type: 4,ENCRYPTED\n\nM"), id="headers"),
    pytest.param(CERTIFICATE.replace(b"MAMC", b"MA\x00C"), id="NUL"),
]


@pytest.mark.parametrize("text", BAD)
def test_d18_refuses_broken_pem(text: bytes) -> None:
    refused("bad_pem", lambda: read_certificates(text))


def test_d18_refuses_64_kib_of_beginnings_in_linear_time() -> None:
    """The first begins within another: nothing is searched twice."""
    refused("bad_pem", lambda: read_certificates(b"-----BEGIN CERTIFICATE-----\n" * 2300))
    refused("no_certificate", lambda: read_certificates(b"-----BEGIN" * 6500))


@pytest.mark.parametrize("data", [b"", b"hello", CERTIFICATE.decode().encode("utf-16"), b"\x00" * 100])
def test_refuses_what_is_neither_pem_nor_der(data: bytes) -> None:
    refused("no_certificate", lambda: read_certificates(data))
    refused("no_request", lambda: read_request(data))


def test_refuses_elements_of_other_kinds() -> None:
    refused("unexpected_pem_block", lambda: read_certificates(CERTIFICATE + REQUEST))
    refused("unexpected_pem_block", lambda: read_certificates(to_pem("TRUSTED CERTIFICATE", [ONE])))
    refused("unexpected_pem_block", lambda: read_certificates(to_pem("PRIVATE KEY", [ONE]) + CERTIFICATE))
    refused("unexpected_pem_block", lambda: read_request(CERTIFICATE))


def test_d19_refuses_two_requests_in_one_file() -> None:
    refused("several_requests", lambda: read_request(REQUEST + REQUEST))


@given(st.binary(max_size=400))
def test_random_bytes_are_read_or_refused_and_nothing_else_happens(data: bytes) -> None:
    for text in (data, CERTIFICATE[:30] + data, data + CERTIFICATE):
        try:
            read_certificates(text)
        except IssuanceError as error:
            assert error.code in {"bad_pem", "no_certificate", "unexpected_pem_block"}
