"""Why a chain is refused: the same verdict, every rule of every certificate, and exactly one finding that refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdfast import Policy, Purpose, TrustStore, VerificationError, Verifier
from holdfast._holdfast import Certificate

from ..damaged.recipes import all_cases
from ..support.forge import AT, BASIC, honest

if TYPE_CHECKING:
    from ..damaged.recipes import Case

# What is wrong with more or less than one certificate of a path.
WITHOUT_A_RULE = {"budget_exceeded", "chain_too_large", "empty_chain", "too_many_certificates"}


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: f"{case.group}-{case.slug}")
def test_the_one_rule_that_refuses_is_named(case: Case) -> None:
    fields = dict(case.policy)
    if "purpose" in fields:
        fields["purpose"] = Purpose[fields["purpose"]]
    explanation = Verifier(TrustStore(case.anchors), Policy(**fields)).explain(case.chain, case.at)
    outcome = explanation.outcome
    assert (outcome.code, outcome.position) == (case.code, case.position)
    refusing = [finding for finding in explanation.findings if finding.refusing]
    if case.code in WITHOUT_A_RULE:
        assert refusing == []
        return
    if not explanation.findings:
        assert case.position is not None
        with pytest.raises(VerificationError, match=case.code):
            Certificate(case.chain[case.position])
        return
    (finding,) = refusing
    assert (finding.position, finding.code, finding.found) == (case.position, case.code, outcome.message)
    assert finding.section
    assert finding.wanted
    assert finding.mend
    asked = [(finding.position, finding.rule) for finding in explanation.findings]
    assert len(set(asked)) == len(asked), "a rule is told once of each certificate"


def test_every_rule_of_a_good_chain_is_kept() -> None:
    *chain, root = honest().encode()
    explanation = Verifier(TrustStore([root]), Policy()).explain(chain, AT)
    assert explanation.outcome.ok
    assert (explanation.presented, explanation.anchor) == ([0, 1, 2], 0)
    assert {finding.position for finding in explanation.findings} == {0, 1, 2, 3}
    assert all(finding.code is None and finding.mend is None for finding in explanation.findings)
    signed = [finding.position for finding in explanation.findings if finding.rule == "signature"]
    assert signed == [0, 1, 2]


def test_a_rule_that_is_broken_does_not_hide_the_others() -> None:
    """The device's certificate has ended and its issuer is no CA: the verdict names one, the findings both."""
    *chain, root = honest().without(1, BASIC).encode()
    explained = Verifier(TrustStore([root]), Policy()).explain(chain, AT.replace(year=2200))
    assert (explained.outcome.code, explained.outcome.position) == ("expired", 0)
    assert (explained.presented, explained.anchor) == ([0, 1, 2], 0), "the rest is followed by names"
    broken = {(finding.position, finding.code) for finding in explained.findings if finding.code}
    assert broken == {(0, "expired"), (1, "expired"), (1, "not_a_ca"), (2, "expired"), (3, "expired")}
