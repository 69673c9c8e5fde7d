"""`python -m tests.durability [KILLS] [SECONDS]`: so many kills, in lives of twenty, ended early when the time is up.

Keeps `benches/results/DATE-kills.*`. Exit 1 where anything that was acknowledged is missing. HOLDFAST_SEED=n begins
with that seed.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from benches import results

from .kills import Report, life

KILLS_A_LIFE = 20
FAULTS_SHOWN_MAX = 50


def main(kills: int, seconds_max: float) -> int:
    seed = int(os.environ.get("HOLDFAST_SEED", secrets.randbelow(1 << 32)))
    began = time.monotonic()
    report = Report()
    lives = 0
    while sum(report.kills.values()) < kills and time.monotonic() - began < seconds_max:
        with tempfile.TemporaryDirectory() as directory:
            life(Path(directory), min(KILLS_A_LIFE, kills - sum(report.kills.values())), seed + lives, report)
        lives += 1
        spent, done = time.monotonic() - began, sum(report.kills.values())
        print(f"{spent:7.0f} s  {done} kills, {len(report.faults)} faults", flush=True)
    seconds = round(time.monotonic() - began)
    record = {
        "seed": seed,
        "lives": lives,
        "seconds": seconds,
        "wanted": kills,
        "kills": dict(report.kills),
        "acknowledged": dict(report.acknowledged),
        "faults": report.faults,
    }
    print(results.write("kills", record, text=_text(report, lives, seconds, kills, seed)))
    return 1 if report.faults else 0


def _text(report: Report, lives: int, seconds: int, wanted: int, seed: int) -> str:
    done = sum(report.kills.values())
    killed = results.table(["killed", "times"], sorted(report.kills.items()))
    kept = results.table(["acknowledged, and kept outside", "count"], sorted(report.acknowledged.items()))
    faults = "\n".join(f"- {fault}" for fault in report.faults[:FAULTS_SHOWN_MAX]) or "None."
    return f"""
## kill -9 under load (G01, R01)

{done} of {wanted} kills in {lives} lives of a hub with two workers, {seconds} s, seed {seed}. After each kill all that
was acknowledged is looked for in the files, every revocation and pin too, each with its act, and every file must pass
SQLite's integrity check.

{killed}

{kept}

### Lost, undone or damaged: {len(report.faults)}

{faults}
"""


if __name__ == "__main__":
    _, *given = sys.argv
    sys.exit(main(int(given[0]) if given else 2000, float(given[1]) if len(given) > 1 else float("inf")))
