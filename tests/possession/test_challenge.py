"""The challenge as a document, and the words that a proof by signature signs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import PossessionError
from holdfast._holdfast import POSSESSION_PREFIX
from holdfast.possession import (
    CODE_CHARACTERS,
    DOCUMENT_BYTES_MAX,
    Challenge,
    SignatureProof,
    signed_message,
)

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
CHALLENGE = Challenge(
    hub="hub.example",
    tenant="default",
    ca="Company-X Wurzel ß",
    certificate_sha256="ab" * 32,
    spki_sha256="cd" * 32,
    etag="7",
    challenge_id="01J0000000",
    code=POSSESSION_PREFIX + "A" * CODE_CHARACTERS,
    nonce="0f" * 32,
    expires_at=AT,
)
PROOF = SignatureProof(challenge_id="01J0000000", algorithm="ecdsa-p256-sha256", signature=bytes(range(70)))


def refused(code: str, call: Callable[[], object]) -> str:
    with pytest.raises(PossessionError) as caught:
        call()
    assert caught.value.code == code
    return caught.value.message


def changed(document: str, **fields: Any) -> str:
    value = json.loads(document) | fields
    return json.dumps({name: entry for name, entry in value.items() if entry is not ...})


# ── documents ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_documents_are_read_back() -> None:
    assert Challenge.from_json(CHALLENGE.to_json()) == CHALLENGE
    assert Challenge.from_json(CHALLENGE.to_json().encode()) == CHALLENGE
    assert SignatureProof.from_json(PROOF.to_json()) == PROOF


def test_the_documents_say_what_they_are() -> None:
    assert json.loads(CHALLENGE.to_json()) == {
        "format": "holdfast-possession-challenge",
        "version": 1,
        "hub": "hub.example",
        "tenant": "default",
        "ca": "Company-X Wurzel ß",
        "certificate_sha256": "ab" * 32,
        "spki_sha256": "cd" * 32,
        "etag": "7",
        "challenge_id": "01J0000000",
        "code": "HFPOP1-" + "A" * 52,
        "nonce": "0f" * 32,
        "expires_at": "2030-01-02T03:04:05Z",
    }
    assert json.loads(PROOF.to_json()).keys() == {"format", "version", "challenge_id", "algorithm", "signature"}


@pytest.mark.parametrize("name", json.loads(CHALLENGE.to_json()))
def test_refuses_a_challenge_without_one_of_its_fields_or_with_one_of_another_type(name: str) -> None:
    for value in (..., None, True, 2, 1.0, "", [], {}, "\n", "x\ny: z"):
        if name == "ca" and isinstance(value, str) and value.isprintable() and value:
            continue
        refused("bad_challenge", lambda: Challenge.from_json(changed(CHALLENGE.to_json(), **{name: value})))  # noqa: B023


@pytest.mark.parametrize("name", json.loads(PROOF.to_json()))
def test_refuses_a_proof_without_one_of_its_fields_or_with_one_of_another_type(name: str) -> None:
    for value in (..., None, True, 2, 1.0, "", [], {}, "\n", "é"):
        refused("bad_proof", lambda: SignatureProof.from_json(changed(PROOF.to_json(), **{name: value})))  # noqa: B023


@pytest.mark.parametrize(
    "fields",
    [
        {"extra": 1},
        {"format": "holdfast-possession-proof"},
        {"version": 2},
        {"hub": "hub example"},
        {"hub": "x" * 254},
        {"hub": "hüb.example"},
        {"tenant": "default\ncertificate-sha256: 00"},
        {"ca": "x" * 129},
        {"ca": "a\u202eb"},
        {"certificate_sha256": "AB" * 32},
        {"certificate_sha256": "ab" * 31},
        {"spki_sha256": "cd" * 33},
        {"nonce": "0g" * 32},
        {"code": "HFPOP1-" + "A" * 51},
        {"code": "HFPOP1-" + "A" * 53},
        {"code": "HFPOP1-" + "a" * 52},
        {"code": "HFPOP1-" + "1" * 52},
        {"code": "HFPOP2-" + "A" * 52},
        {"expires_at": "2030-01-02T03:04:05+00:00"},
        {"expires_at": "2030-01-02T03:04:05.5Z"},
        {"expires_at": "2030-01-02 03:04:05Z"},
        {"expires_at": "2030-13-02T03:04:05Z"},
        {"expires_at": "２030-01-02T03:04:05Z"},
        {"expires_at": "2030-01-02T03:04:05"},
    ],
    ids=str,
)
def test_refuses_a_challenge_with_one_field_out_of_its_form(fields: dict[str, object]) -> None:
    refused("bad_challenge", lambda: Challenge.from_json(changed(CHALLENGE.to_json(), **fields)))


@pytest.mark.parametrize(
    "fields", [{"hub": "x" * 253}, {"hub": "192.0.2.1"}, {"ca": "x" * 128}, {"code": "HFPOP1-" + "Z7" * 26}], ids=str
)
def test_accepts_the_nearest_forms(fields: dict[str, object]) -> None:
    read = Challenge.from_json(changed(CHALLENGE.to_json(), **fields))
    assert {name: getattr(read, name) for name in fields} == fields


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe{",
        b"{" * 10_000,
        b"[" * 16_000,
        b'{"a":1,"a":1}',
        b'{"version":' + b"1" * 5000 + b"}",
        CHALLENGE.to_json().encode()[:-3],
        CHALLENGE.to_json().encode() + b"x",
        CHALLENGE.to_json().encode() + b" " * DOCUMENT_BYTES_MAX,
        CHALLENGE.to_json().replace('"tenant": "default"', '"tenant": "default", "tenant": "default"').encode(),
    ],
)
def test_refuses_what_is_no_such_document(document: bytes) -> None:
    refused("bad_challenge", lambda: Challenge.from_json(document))
    refused("bad_proof", lambda: SignatureProof.from_json(document))


def test_accepts_a_document_of_the_largest_size() -> None:
    document = CHALLENGE.to_json().encode()
    assert Challenge.from_json(document + b" " * (DOCUMENT_BYTES_MAX - len(document))) == CHALLENGE


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_random_documents_are_refused_and_nothing_else_happens(document: str | bytes) -> None:
    refused("bad_challenge", lambda: Challenge.from_json(document))
    refused("bad_proof", lambda: SignatureProof.from_json(document))


@pytest.mark.parametrize(
    "expires_at",
    [AT.replace(tzinfo=None), AT.replace(microsecond=1), AT.astimezone(timezone(timedelta(hours=1)))],
)
def test_a_challenge_cannot_be_made_with_a_time_that_its_document_could_not_hold(expires_at: datetime) -> None:
    refused("bad_challenge", lambda: replace(CHALLENGE, expires_at=expires_at))


@pytest.mark.parametrize("signature", [b"", bytes(513)])
def test_a_proof_cannot_be_made_without_a_signature_or_with_one_that_no_key_makes(signature: bytes) -> None:
    refused("bad_proof", lambda: replace(PROOF, signature=signature))
    assert replace(PROOF, signature=bytes(512)).signature == bytes(512)


# ── the signed message ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_signed_message_is_what_a_person_can_read() -> None:
    assert signed_message(CHALLENGE).decode("ascii") == (
        "holdfast CA possession v1\n"
        "hub: hub.example\n"
        "tenant: default\n"
        f"certificate-sha256: {'ab' * 32}\n"
        f"spki-sha256: {'cd' * 32}\n"
        "etag: 7\n"
        "challenge-id: 01J0000000\n"
        f"nonce: {'0f' * 32}\n"
        "expires-at: 2030-01-02T03:04:05Z\n"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"hub": "other.example"},
        {"tenant": "other"},
        {"certificate_sha256": "00" * 32},
        {"spki_sha256": "00" * 32},
        {"etag": "8"},
        {"challenge_id": "other"},
        {"nonce": "00" * 32},
        {"expires_at": AT + timedelta(seconds=1)},
    ],
    ids=str,
)
def test_o02_everything_that_a_challenge_is_bound_to_is_signed(fields: dict[str, Any]) -> None:
    assert signed_message(replace(CHALLENGE, **fields)) != signed_message(CHALLENGE)


@given(
    st.builds(
        Challenge,
        hub=st.from_regex(r"[!-~]{1,253}", fullmatch=True),
        tenant=st.from_regex(r"[!-~]{1,253}", fullmatch=True),
        ca=st.just("ca"),
        certificate_sha256=st.just("ab" * 32),
        spki_sha256=st.just("cd" * 32),
        etag=st.from_regex(r"[!-~]{1,253}", fullmatch=True),
        challenge_id=st.from_regex(r"[!-~]{1,253}", fullmatch=True),
        code=st.just(CHALLENGE.code),
        nonce=st.just("0f" * 32),
        expires_at=st.just(AT),
    )
)
def test_no_value_passes_for_another_line(challenge: Challenge) -> None:
    """The message says line by line what the challenge says: nothing in one value looks like the next."""
    lines = signed_message(challenge).decode("ascii").split("\n")
    assert len(lines) == 10
    told = dict(line.split(": ", 1) for line in lines[1:-1])
    for name in ("hub", "tenant", "etag"):
        assert told[name] == getattr(challenge, name)
    assert told["challenge-id"] == challenge.challenge_id


# ── whose challenge it is ──────────────────────────────────────────────────────────────────────────────────────────

MEANT: dict[str, Any] = {
    "hub": "hub.example",
    "tenant": "default",
    "certificate_sha256": "ab" * 32,
    "spki_sha256": "cd" * 32,
    "at": AT - timedelta(seconds=1),
}


def test_answers_a_challenge_that_is_meant_for_it() -> None:
    CHALLENGE.check_meant_for(**MEANT)


@pytest.mark.parametrize(
    ("code", "other"),
    [
        ("wrong_hub", {"hub": "HUB.example"}),
        ("wrong_hub", {"hub": ""}),
        ("wrong_tenant", {"tenant": "other"}),
        ("wrong_ca", {"certificate_sha256": "00" * 32}),
        ("wrong_ca", {"spki_sha256": "00" * 32}),
        ("challenge_expired", {"at": AT}),
    ],
)
def test_o02_refuses_a_challenge_that_is_meant_for_another(code: str, other: dict[str, Any]) -> None:
    refused(code, lambda: CHALLENGE.check_meant_for(**(MEANT | other)))
