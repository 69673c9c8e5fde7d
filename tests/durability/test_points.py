"""A process dies at a call of its own choosing: nothing is lost, undone or left half done (G01)."""

from __future__ import annotations

import os
import random
import secrets
import sys
from typing import TYPE_CHECKING

import pytest

from .points import STEPS, Report, run, spread
from .recorder import compile_recorder

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the library that records calls is made for Linux")
STEPS_COUNT = 6
SEED = int(os.environ.get("HOLDFAST_SEED", secrets.randbelow(1 << 32)))


@pytest.mark.timeout(300)
def test_g01_death_at_a_named_point_loses_nothing(tmp_path: Path) -> None:
    """One point of some steps; `python -m tests.durability points` for more, HOLDFAST_SEED=n for the same choices."""
    print(f"HOLDFAST_SEED={SEED}")
    chance, report = random.Random(SEED), Report()
    library = compile_recorder(tmp_path)
    (tmp_path / "hub").mkdir()
    steps = sorted(chance.sample(list(STEPS), STEPS_COUNT), key=list(STEPS).index)
    run(tmp_path / "hub", library, lambda found: spread(found, 1, chance), report, steps)
    print(report)
    assert report.faults == []
    # Not every call comes again: what the life before has left to do differs.
    assert report.died
    assert sum(report.died.values()) + report.missed == STEPS_COUNT
