"""NIST PKITS, every section: valid where NIST says so, else refused for the right reason; differences are written."""

from __future__ import annotations

import json

import pytest

from . import pkits

TESTS = pkits.tests()
# id → expected, actual, reason, under the validation of §6; and beside it what the default policy refuses more.
DIFFERENCES: dict[str, dict[str, str]] = json.loads((pkits.HERE / "pkits-differences.json").read_text())
# id → the code that the default policy refuses a valid path with: what §4 asks of issuers, and CAs as end entities.
STRICTER: dict[str, str] = json.loads((pkits.HERE / "pkits-stricter.json").read_text())


@pytest.mark.parametrize("test", TESTS, ids=[test.id for test in TESTS])
def test_pkits(test: pkits.Test) -> None:
    code = pkits.judge(test, **pkits.VALIDATION)
    known = DIFFERENCES.get(test.id)
    if known is None:
        assert (code is None) == test.valid
    else:
        assert (known["expected"], known["actual"]) == (str(test.valid), str(code is None))
        assert known["reason"]
    assert code == test.code


@pytest.mark.parametrize("test", TESTS, ids=[test.id for test in TESTS])
def test_pkits_under_the_default_policy(test: pkits.Test) -> None:
    """Nothing invalid is accepted, and what is refused beside it is refused by name."""
    code = pkits.judge(test)
    if not test.valid:
        assert code is not None
    elif test.id in STRICTER:
        assert code == STRICTER[test.id]
    else:
        assert (code is None) == (test.id not in DIFFERENCES)


def test_every_section_and_every_end_entity_is_there() -> None:
    sections = {test.section for test in TESTS}
    assert sections == {f"4.{number}" for number in range(1, 17)}
    used = {test.end_entity for test in TESTS}
    assert used == {stem for stem in pkits.certificates() if stem.endswith("EE")}
    assert len(TESTS) == 247
    assert set(DIFFERENCES) | set(STRICTER) <= {test.id for test in TESTS}
    assert len(TESTS) - len(DIFFERENCES) >= 244
