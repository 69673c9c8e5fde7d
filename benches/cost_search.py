"""Looks for a chain that costs more than any known: `python -m benches.cost_search SECONDS`."""

from __future__ import annotations

import random
import sys
import time

from tests.support.forge import AT

from holdfast import TrustStore, Verifier

from .hostile import ANCHOR, FAMILIES, Dial, presentable
from .machine import describe
from .test_units import cpu_seconds, hostile_policy

KEPT = 8


def search(family: str, seconds: float, seed: int) -> list[tuple[float, str, Dial]]:
    """The worst chains of `family` that `seconds` of turning dials found: CPU seconds, code, dials."""
    dice = random.Random(seed)  # noqa: S311 (a run can be repeated)
    verifier = Verifier(TrustStore([ANCHOR]), hostile_policy())
    worst: list[tuple[float, str, Dial]] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if worst and dice.random() < 0.8:
            dial = dice.choice(worst)[2].mutate(dice)
        else:
            dial = Dial(dice.randrange(450), dice.randrange(4_000), dice.randrange(30_000), dice.randrange(1 << 30))
        chain = FAMILIES[family](dial)
        if not presentable(chain):
            continue
        (outcome,) = verifier.verify_many([chain], AT)
        found = cpu_seconds(lambda chain=chain: verifier.verify_many([chain], AT), 1)
        worst = sorted([*worst, (found, str(outcome.code), dial)], key=lambda one: -one[0])[:KEPT]
    return worst


def main() -> None:
    """Search all families for the time given, and print the worst of each."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    for line in (f"{key}: {value}" for key, value in describe().items()):
        print(line)
    for number, family in enumerate(FAMILIES):
        ((found, code, dial), *_) = search(family, seconds / len(FAMILIES), number)
        print(f"{family:>14}  {found * 1e3:6.2f} ms  {code:<28} seed {number}, {dial}")


if __name__ == "__main__":
    main()
