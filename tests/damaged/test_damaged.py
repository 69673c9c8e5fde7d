"""Each damaged chain is refused with its one code at its one position, one fact away from a chain that is accepted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import Policy, Purpose, TrustStore, VerificationError, Verifier
from holdfast._holdfast import Certificate, codes

from ..support.forge import honest
from .recipes import Case, DeviceCase, all_cases, device_cases
from .tables import DOCS, PAGES

if TYPE_CHECKING:
    from datetime import datetime

CASES = all_cases()
DEVICES = list(device_cases())


def judge(
    chain: list[bytes], anchors: list[bytes], policy: dict[str, Any], at: datetime
) -> tuple[str, int | None] | None:
    """`None` for yes; one chain and many agree."""
    fields = dict(policy)
    if "purpose" in fields:
        fields["purpose"] = Purpose[fields["purpose"]]
    verifier = Verifier(TrustStore(anchors), Policy(**fields))
    (outcome,) = verifier.verify_many([chain], at)
    try:
        verifier.verify(chain, at)
    except VerificationError as error:
        assert (error.code, error.position, error.message) == (outcome.code, outcome.position, outcome.message)
        assert error.hint
        return error.code, error.position
    assert outcome.ok
    return None


@pytest.mark.parametrize("case", CASES, ids=[f"{case.group.replace(' ', '-')}:{case.slug}" for case in CASES])
def test_a_damaged_chain_has_one_right_code(case: Case) -> None:
    assert case.near is not None
    assert judge(*case.near()) is None, "the chain beside it is accepted"
    assert judge(case.chain, case.anchors, case.policy, case.at) == (case.code, case.position)


@pytest.mark.parametrize("case", DEVICES, ids=[case.slug for case in DEVICES])
def test_d06_d08_a_name_that_is_no_device_id_has_one_right_code(case: DeviceCase) -> None:
    assert Certificate(honest().encode()[0]).device_id == "widget-1"
    with pytest.raises(VerificationError) as caught:
        _ = Certificate(case.certificate).device_id
    assert caught.value.code == case.code


def test_a_signature_under_another_name_is_not_an_issuers() -> None:
    leaf, technician, factory, _ = map(Certificate, honest().encode())
    leaf.check_issued_by(technician)
    with pytest.raises(VerificationError) as caught:
        leaf.check_issued_by(factory)
    assert caught.value.code == "issuer_name_mismatch"


def test_there_are_two_hundred_and_each_once() -> None:
    assert len(CASES) + len(DEVICES) >= 200
    assert not [slug for slug, count in Counter((case.group, case.slug) for case in CASES).items() if count > 1]
    chains = Counter((tuple(case.chain), tuple(case.anchors), repr(case.policy), case.at) for case in CASES)
    assert not [chain for chain, count in chains.items() if count > 1]


def test_every_code_is_provoked() -> None:
    provoked = {case.code for case in (*CASES, *DEVICES)} | {"issuer_name_mismatch"}
    assert provoked == set(codes())


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_say_what_happens(page: str) -> None:
    """If this fails: `python -m tests.damaged`, and read what changed."""
    assert (DOCS / page).read_text() == PAGES[page]()


def test_recipes_make_the_same_bytes_each_time() -> None:
    again = {(case.group, case.slug): case.chain for case in all_cases()}
    assert all(again[case.group, case.slug] == case.chain for case in CASES)
