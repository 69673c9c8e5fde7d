"""The long counts: `python -m tests.durability kills|points|cuts [COUNT] [SECONDS]`, ended early when the time is up.

`kills`: kill -9 at random moments, in lives of twenty. `points`: death at every call to the disk, COUNT a step. `cuts`:
power cuts, 250 a recorded life. Each keeps `benches/results/DATE-NAME.*`; exit 1 where anything that was acknowledged
is missing. HOLDFAST_SEED=n begins with that seed.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benches import results

from . import kills, points, power
from .recorder import compile_recorder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KILLS_A_LIFE = 20
CUTS_A_LIFE = 250
RECORDED_SECONDS = 4.0
FAULTS_SHOWN_MAX = 50
SEED = int(os.environ.get("HOLDFAST_SEED", secrets.randbelow(1 << 32)))


def kill(wanted: int, seconds_max: float) -> int:
    began, report, lives = time.monotonic(), kills.Report(), 0
    while (done := sum(report.kills.values())) < wanted and time.monotonic() - began < seconds_max:
        try:
            with tempfile.TemporaryDirectory() as directory:
                kills.life(Path(directory), min(KILLS_A_LIFE, wanted - done), SEED + lives, report)
        except AssertionError as error:  # it never came back: as bad as losing something, and worth going on for
            report.faults.append(f"seed {SEED + lives}: the life ended early: {error}")
        lives += 1
        _progress(began, f"{sum(report.kills.values())} kills", report.faults)
    record = {"kills": report.kills, "acknowledged": report.acknowledged, "lives": lives, "wanted": wanted}
    text = f"""
## kill -9 under load (G01, R01)

{sum(report.kills.values())} of {wanted} kills in {lives} lives of a hub with two workers, {_since(began)} s, seed
{SEED}. After each kill all that was acknowledged is looked for in the files, every revocation and pin too, each with
its act, and every file must pass SQLite's integrity check.

{results.table(["killed", "times"], sorted(report.kills.items()))}

{results.table(["acknowledged, and kept outside", "count"], sorted(report.acknowledged.items()))}
"""
    return _keep("kills", record, text, began, report.faults)


def die(wanted: int, seconds_max: float) -> int:
    began, report, chance = time.monotonic(), points.Report(), random.Random(SEED)
    known: dict[str, int] = {}

    def choose(found: list[points.Point]) -> Sequence[points.Point]:
        step = found[0].step
        known[step] = len(found)
        _progress(began, f"{sum(report.died.values())} deaths, next {step}: {len(found)} points", report.faults)
        left = seconds_max - (time.monotonic() - began)
        return points.spread(found, wanted, chance) if left > 0 else []

    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / "hub"
        place.mkdir()
        points.run(place, compile_recorder(Path(directory)), choose, report)
    rows = [(step, call, times) for (step, call), times in sorted(report.died.items())]
    deaths = {step: sum(times for name, _, times in rows if name == step) for step in known}
    record = {
        "points": known,
        "deaths": [list(row) for row in rows],
        "missed": report.missed,
        "acknowledged": report.acknowledged,
    }
    steps = [(step, known[step], deaths[step], _called(points.STEPS[step])) for step in known]
    text = f"""
## Death at every call (G01)

{sum(deaths.values())} deaths at named points, at most {wanted} a step, {_since(began)} s, seed {SEED}; {report.missed}
points were not met again. The process that makes the call kills itself before it, half way through a write, or after
it; afterwards all is started again, everything acknowledged is looked for, nothing may be half done, and it is done
again.

{results.table(["step", "points", "deaths", "what is done"], steps)}

{results.table(["step", "call", "deaths"], rows)}
"""
    return _keep("points", record, text, began, report.faults)


def cut(wanted: int, seconds_max: float) -> int:
    began, report, lives = time.monotonic(), power.Report(), 0
    calls = acknowledged = 0
    while report.cuts < wanted and time.monotonic() - began < seconds_max:
        with tempfile.TemporaryDirectory(dir=_memory()) as directory:
            place = Path(directory) / "hub"
            place.mkdir()
            life = power.record(place, compile_recorder(Path(directory)), RECORDED_SECONDS)
            count = min(CUTS_A_LIFE, wanted - report.cuts)
            power.cut_often(life, Path(directory) / "cut", count, SEED + lives, report)
        lives, calls = lives + 1, calls + len(life.told)
        acknowledged += sum(life.journal.counts().values())
        _progress(began, f"{report.cuts} cuts", report.faults)
    record = {
        "cuts": report.cuts,
        "lives": lives,
        "calls": calls,
        "acknowledged": acknowledged,
        "after": report.after,
        "looked_for": report.promised,
    }
    text = f"""
## Power cuts (G02)

{report.cuts} cuts of {lives} recorded lives of a hub with two workers: {calls:,} calls to the disk, {acknowledged:,}
acknowledgements, {_since(began)} s, seed {SEED}. A life: CAs are registered in an empty directory, devices and an
operator load the hub, a backup is made, a worker and then the hub are killed, the hub is stopped, the backup restored.
At a cut, of what was not synced nothing is there, or all, or any part: each write of each file, down to torn sectors,
each length, each name of each directory. What is left is opened as by a hub that starts.

{results.table(["looked for, all cuts together", "count"], sorted(report.promised.items()))}

{results.table(["the last call before the cut", "cuts"], report.after.most_common())}

Not modelled: a disk that loses what it said was synced, and sectors that go bad by themselves.
"""
    return _keep("power", record, text, began, report.faults)


def _keep(name: str, record: Mapping[str, Any], text: str, began: float, faults: Sequence[str]) -> int:
    record = {"seed": SEED, "seconds": _since(began), **record, "faults": faults}
    listed = "\n".join(f"- {fault}" for fault in faults[:FAULTS_SHOWN_MAX]) or "None."
    print(results.write(name, record, text=f"{text}\n### Lost, undone or damaged: {len(faults)}\n\n{listed}\n"))
    return 1 if faults else 0


def _since(began: float) -> int:
    return round(time.monotonic() - began)


def _progress(began: float, done: str, faults: Sequence[str]) -> None:
    print(f"{_since(began):7} s  {done}, {len(faults)} faults", flush=True)


def _called(step: points.Step) -> str:
    return (step.__doc__ or "").splitlines()[0]


def _memory() -> str | None:
    """Files that need not outlive the process."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 (a directory of our own is made in it)


COUNTS = {"kills": (kill, 2000), "points": (die, 40), "cuts": (cut, 1000)}

if __name__ == "__main__":
    _, what, *given = sys.argv
    count, usual = COUNTS[what]
    sys.exit(count(int(given[0]) if given else usual, float(given[1]) if len(given) > 1 else float("inf")))
