"""Nothing is accepted that two others refuse, but for reasons that are written down; so is what we refuse alone."""

from __future__ import annotations

import shutil

import pytest

from .judge import run
from .mutate import mutant

# In blocks, so that a failure names its block and no test takes long. `make deep` takes other seeds, and more chains.
SEED, CHAINS, WITH_OPENSSL, BLOCK = 20_261_123, 20_000, 2_000, 1_000


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", range(0, CHAINS, BLOCK))
def test_cryptography_and_webpki(first: int) -> None:
    tally = run(SEED, range(first, first + BLOCK))
    assert not tally.surprises()
    assert tally.accepted["holdfast"] > BLOCK / 10, "mutants that nobody accepts show nothing"


@pytest.mark.services
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", range(CHAINS, CHAINS + WITH_OPENSSL, BLOCK // 2))
def test_openssl_too(first: int) -> None:
    tally = run(SEED, range(first, first + BLOCK // 2), with_openssl=True)
    assert not tally.surprises()


def test_a_mutant_is_always_the_same() -> None:
    assert mutant(1, 7) == mutant(1, 7)
    assert mutant(1, 7) != mutant(2, 7)
