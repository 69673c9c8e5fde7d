"""x509-limbo and BetterTLS: differences are written down with their reasons, and a change on either side fails."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ..support.peers import ours
from . import limbo
from .page import DOCS, page

HERE = Path(__file__).parent
# id → expected, actual, reason: exactly these differ.
DIFFERENCES: dict[str, dict[str, str]] = json.loads((HERE / "limbo-differences.json").read_text())
# id → the code that a case is refused with, each looked at by hand: a refusal for another reason is no proof.
CODES: dict[str, str] = json.loads((HERE / "limbo-codes.json").read_text())
CORE, CLIENT = limbo.cases("core"), limbo.cases("client")
LATER = datetime(2040, 1, 1, tzinfo=UTC)

pytestmark = [
    pytest.mark.vectors,
    pytest.mark.skipif(limbo.directory() is None, reason="HOLDFAST_VECTORS names no directory of conformance data"),
]


def check(case: dict[str, Any]) -> None:
    code = ours(limbo.question(case))
    assert ours(limbo.question(case, LATER)) == code, "a verdict that depends on the day"
    known = DIFFERENCES.get(case["id"])
    if known is None:
        assert limbo.result(code) == case["expected_result"], code
    else:
        assert (case["expected_result"], limbo.result(code)) == (known["expected"], known["actual"])
        assert known["reason"]
    if case["id"] in CODES:
        assert code == CODES[case["id"]]


@pytest.mark.parametrize("case", CORE, ids=[case["id"] for case in CORE])
def test_core(case: dict[str, Any]) -> None:
    check(case)


@pytest.mark.parametrize("case", CLIENT, ids=[case["id"] for case in CLIENT])
def test_client(case: dict[str, Any]) -> None:
    check(case)


def test_bettertls() -> None:
    listed = limbo.cases("bettertls")
    assert len(listed) >= 5_744
    codes = {case["id"]: ours(limbo.question(case)) for case in listed}
    different = {case["id"] for case in listed if limbo.result(codes[case["id"]]) != case["expected_result"]}
    assert different == {case_id for case_id in DIFFERENCES if case_id.startswith("bettertls::")}
    pathbuilding = [case for case in listed if "pathbuilding" in case["id"]]
    assert all(ours(limbo.question(case)) == codes[case["id"]] for case in pathbuilding)


def test_the_lists_name_cases_that_exist_and_the_counts_are_what_we_say() -> None:
    listed = {case["id"]: case["expected_result"] for case in (*CORE, *CLIENT, *limbo.cases("bettertls"))}
    assert set(CODES) | set(DIFFERENCES) <= set(listed)
    assert len([case for case in CORE if case["id"] not in DIFFERENCES]) >= 118
    assert not [case for case in CLIENT if case["id"] in DIFFERENCES]


def test_we_accept_an_invalid_chain_only_by_a_rule_of_the_web() -> None:
    accepted = {case_id for case_id, known in DIFFERENCES.items() if known["actual"] == "SUCCESS"}
    assert all(case_id.startswith("webpki::") for case_id in accepted)


def test_the_page_says_what_happens() -> None:
    """If this fails: `python -m tests.conformance`, and read what changed."""
    assert DOCS.read_text() == page()
