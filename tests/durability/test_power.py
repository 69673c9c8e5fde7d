"""The power fails: what was acknowledged is on the disk, whatever of the rest is (G02)."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from .power import Life, Report, cut_often, record
from .recorder import Call, compile_recorder

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the library that records calls is made for Linux")
CUTS = 60
RECORDED_SECONDS = 1.0
SEED = int(os.environ.get("HOLDFAST_SEED", secrets.randbelow(1 << 32)))


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    library = compile_recorder(tmp_path_factory.mktemp("shim"))
    return record(tmp_path_factory.mktemp("hub"), library, RECORDED_SECONDS)


@pytest.mark.timeout(300)
def test_g02_nothing_acknowledged_is_lost_when_the_power_fails(life: Life, tmp_path: Path) -> None:
    """Sixty cuts; `python -m tests.durability cuts` for more, HOLDFAST_SEED=n for the same choices again."""
    print(f"HOLDFAST_SEED={SEED}")
    report = Report()
    cut_often(life, tmp_path / "cut", CUTS, SEED, report)
    print(report)
    assert report.faults == []
    assert report.cuts == CUTS
    assert all(report.promised.values())


@pytest.mark.parametrize(
    ("never", "lost"),
    [("worker-0.db-wal", "lost telemetry"), ("registry.db-wal", "lost pin"), ("inbox.db-wal", "lost")],
)
def test_what_is_not_synced_is_missed(life: Life, tmp_path: Path, never: str, lost: str) -> None:
    """The same life, had one file never been synced. It may have said little there: cuts go on until one finds out."""
    told = [one for one in life.told if not (one.call is Call.SYNC and one.path.endswith(never))]
    report = Report()
    for seed in range(10):
        cut_often(replace(life, told=told), tmp_path / f"cut-{seed}", 36, seed, report)
        if any(lost in fault for fault in report.faults):
            return
    pytest.fail(str(report))
