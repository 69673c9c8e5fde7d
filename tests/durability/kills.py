"""Kill -9 at random moments under load: of a worker, of the supervisor, of all at once, of the operator.

Everything random comes of one seed, so that what failed can be tried again; the moments of the machine's own do not.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..support.hub import running, wait_for
from ..support.pki import Ca
from .crowd import Crowd
from .journal import Journal, faults

if TYPE_CHECKING:
    from ..support.hub import RunningHub

VICTIMS = {"worker": 6, "supervisor": 2, "all": 2, "operator": 2}
WORKERS = 2
REST_SECONDS = 0.02
"""Between two windows of messages: all that was ever acknowledged is looked for after each kill."""
MOMENT_SECONDS_MAX = 0.4
AGAIN_SHARE = 0.2
"""Of the kills of a whole hub that are followed by another while it starts."""


@dataclass
class Report:
    """What came of it."""

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def life(directory: Path, kills: int, seed: int, report: Report) -> None:
    """One hub in `directory` that dies `kills` times, and is looked at after each."""
    chance = random.Random(seed)
    journal = Journal()
    root = Ca.root("Company-X Root")
    for hub in running(directory, workers=WORKERS, drain_seconds=0):
        hub.trust(company=root)
        hub.start()
        crowd = Crowd(hub, journal, root.intermediate("Factory-Y"), rest_seconds=REST_SECONDS)
        with crowd.running():
            wait_for(lambda: all(journal.counts().values()), "acknowledgement of each kind")
            done = 0
            while done < kills:
                victim = chance.choices(list(VICTIMS), list(VICTIMS.values()))[0]
                before = len(journal.pinned)
                time.sleep(chance.uniform(0, MOMENT_SECONDS_MAX))
                done += _kill(hub, crowd, victim, chance, report)
                wait_for(lambda before=before: len(journal.pinned) > before, "device that is let in")  # type: ignore[misc]
                found = faults(journal, directory / "state")
                report.faults += [f"seed {seed}, kill {done} ({victim}): {fault}" for fault in found]
        hub.stop()
        report.faults += [f"seed {seed}, at the end: {fault}" for fault in faults(journal, directory / "state")]
    report.acknowledged.update(journal.counts())


def _kill(hub: RunningHub, crowd: Crowd, victim: str, chance: random.Random, report: Report) -> int:
    """Kill, and wait until all is there again; answers how many kills that were."""
    report.kills[victim] += 1
    assert hub.process is not None
    if victim == "operator":
        crowd.kill_operator()
        return 1
    if victim == "worker":
        pids = wait_for(lambda: found if len(found := _workers(hub)) == WORKERS else [], "workers")
        os.kill(chance.choice(pids), signal.SIGKILL)
        wait_for(lambda: len(_workers(hub)) == WORKERS, "another worker")
        return 1
    pids = _workers(hub)
    hub.process.kill()
    if victim == "all":
        for pid in pids:
            with suppress(ProcessLookupError):  # it has noticed already
                os.kill(pid, signal.SIGKILL)
    hub.process.wait()
    # They end by themselves; until then they hold the port, and a hub that starts would say so and end.
    wait_for(lambda: not any(map(_is_there, pids)), "end of the workers")
    kills = 1
    while chance.random() < AGAIN_SHARE:
        hub.begin()
        time.sleep(chance.uniform(0, 2 * MOMENT_SECONDS_MAX))
        hub.process.kill()
        hub.process.wait()
        report.kills["while it starts"] += 1
        kills += 1
    start_again(hub)
    return kills


def _workers(hub: RunningHub) -> list[int]:
    """Processes of workers that serve."""
    latest = {event["worker"]: event["pid"] for event in hub.events("serving")}
    return list(filter(_is_there, latest.values()))


def _is_there(pid: int) -> bool:
    """Whether a process runs: one that nobody has waited for yet has ended all the same."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start_again(hub: RunningHub) -> None:
    """Start as systemd would: again after a moment, if the last life's workers still hold the port."""
    for _ in range(20):
        hub.begin()
        wait_for(lambda: hub.ended() or hub.events("serving"), "serving hub")
        if not hub.ended():
            return
        assert "address_in_use" in hub.log.read_text(), hub.log.read_text()
        time.sleep(0.1)
    message = "the port was never free"
    raise AssertionError(message)
