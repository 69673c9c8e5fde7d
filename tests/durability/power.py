"""Power cuts: a hub's whole life is recorded once, under load, and cut wherever one likes afterwards.

Each cut is a state of the disk that the calls before it allow; it is opened as a hub would, and held against what had
been acknowledged by then.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from holdfast._holdfast import TelemetryWriter
from holdfast.backup import files as backups
from holdfast.errors import HoldfastError
from holdfast.inbox import open_inbox
from holdfast.registry import open_registry

from ..support.hub import HUB, now, running, wait_for
from ..support.pki import Ca
from .crowd import Crowd
from .disk import Disk
from .journal import Journal, faults, rows, telemetry
from .kills import start_again
from .recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ..support.hub import RunningHub
    from .recorder import Told

WORKERS = 2
TEMPORARY = re.compile(r"(?<=\.holdfast-).*|(?<=\.restore-).*")
"""What makes names of staging directories unique."""
REST_SECONDS = 0.02
"""Between two windows of messages: a longer trace shows nothing more."""
RARE_SHARE = 0.5
"""Of the cuts that come after a kind of call, whichever: most kinds are rare beside the writes to logs."""


class Noted(set[Any]):
    """A set that knows how long the trace was when each came."""

    def __init__(self, position: Callable[[], int]) -> None:
        super().__init__()
        self._position = position
        self.at: dict[Any, int] = {}

    def add(self, one: Any) -> None:
        self.at.setdefault(one, self._position())
        super().add(one)

    def until(self, position: int) -> set[Any]:
        return {one for one, at in self.at.items() if at <= position}


class NotedPins(dict[str, tuple[bytes, bytes]]):
    """The same of a table."""

    def __init__(self, position: Callable[[], int]) -> None:
        super().__init__()
        self.noted = Noted(position)

    def __setitem__(self, device: str, pin: tuple[bytes, bytes]) -> None:
        self.noted.add(device)
        super().__setitem__(device, pin)


class Stored(dict[str, set[str]]):
    """The same of each device's messages."""

    def __init__(self, position: Callable[[], int]) -> None:
        super().__init__()
        self._position = position

    def __missing__(self, device: str) -> set[str]:
        self[device] = made = Noted(self._position)
        return made


@dataclass
class Life:
    """A recorded one."""

    told: Sequence[Told]
    journal: Journal
    proven: Noted
    """CAs that a command said were proven."""
    backups: Noted
    """Backups that a command said were made."""
    root: Path

    def promised(self, position: int) -> Journal:
        """What had been acknowledged when the trace was so long."""
        whole = self.journal
        until = {name: getattr(whole, name).until(position) for name in ("subscribed", "revoked", "sent", "received")}
        stored = {device: ids.until(position) for device, ids in whole.stored.items() if isinstance(ids, Noted)}
        assert isinstance(whole.pinned, NotedPins)
        pinned = {device: whole.pinned[device] for device in whole.pinned.noted.until(position)}
        return Journal(stored=stored, pinned=pinned, **until)


@dataclass
class Report:
    """What came of it."""

    cuts: int = 0
    after: Counter[str] = field(default_factory=Counter)
    """The call that was the last before each cut."""
    promised: Counter[str] = field(default_factory=Counter)
    """What was looked for, all cuts together."""
    faults: list[str] = field(default_factory=list)


def record(directory: Path, library: Path, seconds: float) -> Life:
    """From an empty directory: CAs, a hub, devices, revocations, a backup, ends good and bad, a restore."""
    with contextmanager(running)(directory, workers=WORKERS, drain_seconds=0) as hub:
        root = Ca.root("Company-X Root")
        recorder = Recorder(hub, library)
        at = recorder.position
        proven, backed_up = Noted(at), Noted(at)
        noted = {name: Noted(at) for name in ("subscribed", "revoked", "sent", "received")}
        journal = Journal(stored=Stored(at), pinned=NotedPins(at), **noted)
        hub.start()
        _prove(hub, root)
        proven.add("company")
        crowd = Crowd(hub, journal, root.intermediate("Factory-Y"), rest_seconds=REST_SECONDS)
        with crowd.running():
            wait_for(lambda: all(journal.counts().values()), "acknowledgement of each kind")
            time.sleep(seconds / 2)
            hub.command("backup", "first")
            backed_up.add("first")
            hub.kill_worker()
            time.sleep(seconds / 4)
            hub.kill()
            start_again(hub)
            before = len(journal.pinned)
            wait_for(lambda: len(journal.pinned) > before, "device that is let in")
            time.sleep(seconds / 4)
        hub.stop()
        hub.command("restore", "first")
        start_again(hub)
        hub.stop()
        return Life(list(recorder.told()), journal, proven, backed_up, directory)


def _prove(hub: RunningHub, root: Ca) -> None:
    """As an operator does it, by commands."""
    (hub.directory / "root.pem").write_bytes(root.pem)
    hub.command("ca", "add", "root.pem", "--name", "company")
    code = hub.command("ca", "challenge", "company", "--json").stdout
    (hub.directory / "proof.pem").write_bytes(root.verification(json.loads(code)["code"]))
    hub.command("ca", "prove", "company", "--certificate", "proof.pem")


def cut_often(life: Life, place: Path, cuts: int, seed: int, report: Report) -> None:
    """Cut the power so many times, in places that `seed` chooses, and look at what is left in `place`."""
    chance = random.Random(seed)
    places = sorted(_places(life, cuts, chance))
    disk, done = Disk(life.root), 0
    for index, told in enumerate(life.told):
        disk.tell(told)
        while done < len(places) and places[done] == index:
            done += 1
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            disk.cut(place, chance)
            found = look(life, place, told.ends, report)
            report.faults += [f"seed {seed}, after call {index} ({told.name}): {fault}" for fault in found]
            report.cuts += 1
            report.after[TEMPORARY.sub("", told.name)] += 1


def _places(life: Life, cuts: int, chance: random.Random) -> Iterator[int]:
    """Numbers of calls."""
    kinds: dict[str, list[int]] = {}
    for index, told in enumerate(life.told):
        kinds.setdefault(TEMPORARY.sub("", told.name), []).append(index)
    for _ in range(cuts):
        if chance.random() < RARE_SHARE:
            yield chance.choice(kinds[chance.choice(list(kinds))])
        else:
            yield chance.randrange(len(life.told))


def look(life: Life, place: Path, position: int, report: Report) -> list[str]:
    """What is missing or broken in the files of `place`, which are opened as by a hub that starts."""
    promised, state = life.promised(position), place / "state"
    report.promised.update(promised.counts())
    own = {"hub": HUB, "tenant": "default", "create": True}
    try:
        with open_registry(state / "registry.db", at=now(), **own), open_inbox(state / "inbox.db", **own):
            pass
        for log in telemetry(state):
            TelemetryWriter(str(log)).close()
        found = faults(promised, state)
    except HoldfastError as error:
        return [f"{error.code}: {error.message}"]
    kept = {name for name, _ in rows(state / "registry.db", "SELECT name, state FROM cas WHERE state = 'proven'")}
    found += [f"lost proof of {name}" for name in life.proven.until(position) - kept]
    for name in life.backups.until(position):
        with suppress(FileNotFoundError):
            shutil.rmtree(place / "fetched")
        (place / "fetched").mkdir()
        try:
            backup = backups.read(place / name)
            for number, one in enumerate(backup.files):
                backups.fetch(backup, one, place / "fetched" / str(number))
        except HoldfastError as error:
            found.append(f"backup: {error.code}: {error.message}")
    return found
