"""A neighbour on a core: `python -m benches.neighbour CORE SHARE`, until its input ends, takes all but SHARE of it.

For each line of its input it answers how many rounds it has made so far: what the core is worth at the time, which on a
machine that is shared with others is now more, now less.

It comes and goes every 0.6 ms, and whoever else is on the core waits for it: to them the core is a slower one. Needs
CAP_SYS_NICE.

A quota of cgroups is looked at by the kernel's tick, each 4 ms here, and leaves holes of 8 ms and more. A neighbour
among all others, at nice -20, is somebody to be fair to: the kernel's own worker of block devices, at -20 as well and
for which each fsync waits, was kept from the core for 5.6 ms then, though it wanted 0.04.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from pathlib import Path

PERIOD_SECONDS = 0.0006
rounds = 0


def answer() -> None:
    for _ in sys.stdin:
        print(rounds, flush=True)
    os._exit(0)


def take(share: float) -> None:
    global rounds
    clock, pause = time.perf_counter, time.sleep
    begins = clock()
    while True:
        ends = begins + share * PERIOD_SECONDS
        made = 0
        while clock() < ends:
            made += 1
        rounds += made
        begins += PERIOD_SECONDS
        left = begins - clock()
        if left > 0:
            pause(left)
        else:  # it was kept from it, and does not make up for that
            begins = clock()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    Path("/proc/self/timerslack_ns").write_text("1")
    gc.disable()
    threading.Thread(target=answer, daemon=True).start()
    take(1 - float(sys.argv[2]))
