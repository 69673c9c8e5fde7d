"""Nothing that was acknowledged is lost, and nothing that was revoked is undone, whoever is killed and when."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest

from .kills import Report, life

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 20
SEED = int(os.environ.get("HOLDFAST_SEED", secrets.randbelow(1 << 32)))


@pytest.mark.timeout(300)
def test_g01_r01_nothing_acknowledged_is_lost_and_nothing_revoked_is_undone(tmp_path: Path) -> None:
    """Twenty kills; `python -m tests.durability kills` for more, HOLDFAST_SEED=n for the same choices again."""
    print(f"HOLDFAST_SEED={SEED}")
    report = Report()
    life(tmp_path, KILLS, SEED, report)
    print(report)
    assert report.faults == []
    assert sum(report.kills.values()) >= KILLS
    assert all(report.acknowledged.values())
