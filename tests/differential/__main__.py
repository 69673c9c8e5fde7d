"""`python -m tests.differential CHAINS [SEED]`: many more, on every core; the outcome is kept in benches/results."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import warnings
from typing import TYPE_CHECKING

from benches import results

from ..support.peers import versions, webpki_program
from .judge import Tally, run

if TYPE_CHECKING:
    from collections import Counter

BLOCK = 5_000
# One in this many is shown to the `openssl` program as well, which takes ten times as long as all the others together.
OPENSSL_ONE_IN = 50


def block(seed: int, first: int, count: int, openssl: int) -> Tally:
    warnings.simplefilter("ignore")
    tally = run(seed, range(first, first + count - openssl))
    tally.add(run(seed, range(first + count - openssl, first + count), with_openssl=True))
    return tally


def record(tally: Tally, seed: int, seconds: float) -> dict[str, object]:
    """The run as it is kept."""
    fields = {"peers": versions(), "seed": seed, "seconds": round(seconds), "surprises": tally.surprises()}
    return {**fields, **vars(tally)}


def report(tally: Tally, seed: int) -> str:
    """The same for people."""
    peers = ", ".join(f"{name} {version}" for name, version in versions().items())
    asked = f"{tally.chains} mutated chains of seed {seed}, judged by us and by {peers}"
    return "\n\n".join(
        (
            f"{asked}; OpenSSL was shown one in {OPENSSL_ONE_IN}. {len(tally.surprises())} surprises.",
            counted("accepted by", tally.accepted),
            "What we accept and two others refuse, by their reasons:",
            counted("refused, because it …", tally.explained),
            "What all the others accept and we do not, by our codes:",
            counted("code", tally.alone),
        )
    )


def counted(what: str, counts: Counter[str]) -> str:
    return results.table((what, "chains"), counts.most_common())


def main() -> int:
    count = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    began = time.monotonic()
    sizes = [(first, min(BLOCK, count - first)) for first in range(0, count, BLOCK)]
    blocks = [(seed, first, size, size // OPENSSL_ONE_IN) for first, size in sizes]
    webpki_program()  # built before there are many to ask for it
    tally = Tally()
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for found in pool.starmap(block, blocks, chunksize=1):
            tally.add(found)
    kept = results.write("differential", record(tally, seed, time.monotonic() - began), text=report(tally, seed))
    sys.stdout.write(f"{tally.chains} chains, {len(tally.surprises())} surprises: {kept}\n")
    return bool(tally.surprises())


if __name__ == "__main__":
    sys.exit(main())
