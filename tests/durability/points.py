"""Death at every call: each thing that a hub or a command writes is cut short before, within and after every call to
the disk that it makes, by the process that makes it.

A point is named by what was done, the call, its number and the moment: `admit/sync registry.db-wal/3/before`. Nothing
of this is in the product: `recorder.c` is preloaded.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509

from holdfast.backup import files as backups
from holdfast.errors import HoldfastError

from ..support.hub import running, wait_for
from ..support.mqtt import CONNACK_YES
from . import dealings
from .crowd import key_sha256
from .dealings import FACTORY, ROOT, answer, files, is_stored, is_subscribed
from .journal import Journal, faults, rows
from .kills import start_again
from .recorder import Call, Moment, Recorder

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from ..support.hub import RunningHub
    from ..support.pki import Device
    from .recorder import Told

BURST_COUNT, BURST_BYTES = 24, 200_000
"""Messages after which a log of telemetry has grown so long that it is copied into its database."""
LISTENER = "listener"
FORGOTTEN_SECONDS = 3.0
NOTICED_SECONDS = 2.0
"""A hub notices what a command has written within half a second, more on a machine that has other work."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where somebody dies."""

    step: str
    number: int
    """Of the call within the step, from 1."""
    moment: Moment
    call: str

    def __str__(self) -> str:
        return f"{self.step}/{self.call}/{self.number}/{self.moment.name.lower()}"


@dataclass
class Report:
    """What came of it."""

    died: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often in which step and call."""
    missed: int = 0
    """Points that the second run of a step did not come to."""
    acknowledged: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Scene:
    """A hub with one worker, devices of which it knows one, and the journal of what was acknowledged."""

    def __init__(self, hub: RunningHub, recorder: Recorder) -> None:
        self.hub = hub
        self.recorder = recorder
        self.journal = Journal()
        self.number = self.last = 0
        self.branch = FACTORY
        self.backups: set[str] = set()
        """Backups that were acknowledged."""
        hub.trust(company=ROOT)
        hub.start()
        wait_for(lambda: answer(hub, "known") == CONNACK_YES, "first admission")
        wait_for(lambda: is_subscribed(hub, LISTENER), "subscription")

    @property
    def state(self) -> Path:
        return self.hub.directory / "state"

    def command(self, *words: str) -> bool:
        return self.hub.command(*words, check=False).returncode == 0

    def publish(self, number: int, payload: bytes = b"{}") -> bool:
        """As a device does that keeps the message until it is acknowledged."""
        again, self.last = number <= self.last, max(number, self.last)
        if is_stored(self.hub, number, payload, again=again):
            self.journal.stored["known"].add(str(number))
            return True
        return False

    def stand_up(self) -> None:
        """Whatever has died is there again."""
        if self.hub.ended():
            start_again(self.hub)
        wait_for(lambda: answer(self.hub, "known") == CONNACK_YES, "worker that admits")


# ── what is done: each answers whether it was told yes, and has noted it then ──────────────────────────────────────


class Step:
    """Something that is written down. `prepare` comes before anybody is to die."""

    def prepare(self, scene: Scene) -> None:
        scene.number += 1

    def act(self, scene: Scene) -> bool:
        raise NotImplementedError

    def settled(self, scene: Scene) -> Iterator[str]:
        """What is half done, after all has been started again."""
        yield from ()


class Admit(Step):
    """A first admission: its pin, its act, its path."""

    def act(self, scene: Scene) -> bool:
        name = f"newcomer-{scene.number}"
        if answer(scene.hub, name) != CONNACK_YES:
            return False
        issuer, leaf = key_sha256(FACTORY.certificate), _leaf_key(files(scene.hub, name))
        scene.journal.pinned[name] = issuer, leaf
        return True


class Publish(Step):
    """A message of a device."""

    def act(self, scene: Scene) -> bool:
        return scene.publish(scene.number)


class Burst(Step):
    """So many large messages that the log is copied into its database."""

    def prepare(self, scene: Scene) -> None:
        scene.number += BURST_COUNT

    def act(self, scene: Scene) -> bool:
        numbers = range(scene.number - BURST_COUNT + 1, scene.number + 1)
        return all(scene.publish(number, bytes(BURST_BYTES)) for number in numbers)


class Subscribe(Step):
    """A session that outlives its connection."""

    def prepare(self, scene: Scene) -> None:
        super().prepare(scene)
        answer(scene.hub, f"subscriber-{scene.number}")

    def act(self, scene: Scene) -> bool:
        name = f"subscriber-{scene.number}"
        if is_subscribed(scene.hub, name):
            scene.journal.subscribed.add(name)
            return True
        return False


class Send(Step):
    """A message for a device, by a command."""

    def act(self, scene: Scene) -> bool:
        name = f"message-{scene.number}"
        done = scene.command("device", "send", LISTENER, "--payload", name, "--message-id", name)
        waiting = {one for (one,) in rows(scene.state / "inbox.db", "SELECT message_id FROM messages")}
        if done:
            scene.journal.sent.add(name)
        return done or name in waiting


class Deliver(Step):
    """The device takes it, and it is forgotten."""

    def prepare(self, scene: Scene) -> None:
        super().prepare(scene)
        assert Send().act(scene)

    def act(self, scene: Scene) -> bool:
        def waits() -> bool:
            return bool(rows(scene.state / "inbox.db", "SELECT 1 FROM messages WHERE device_id = 'listener'"))

        with suppress(OSError, AssertionError):
            if waits():
                dealings.receive(scene.hub, LISTENER, scene.journal.received.add)
            wait_for(lambda: not waits(), "end of the message", FORGOTTEN_SECONDS)
            return True
        return False


class Close(Step):
    """A branch is closed, by a command that returns when the worker knows; every second time for ever."""

    def prepare(self, scene: Scene) -> None:
        super().prepare(scene)
        scene.branch = FACTORY.intermediate(f"Technician {scene.number}")
        self.device(scene).write(scene.hub.directory, self.name(scene))
        wait_for(lambda: answer(scene.hub, self.name(scene)) == CONNACK_YES, "device of the branch")

    def device(self, scene: Scene) -> Device:
        return scene.branch.device(self.name(scene))

    def name(self, scene: Scene) -> str:
        return f"below-{scene.number}"

    def act(self, scene: Scene) -> bool:
        key = key_sha256(scene.branch.certificate)
        revoke = ["--revoke"] if scene.number % 2 else []
        if not scene.command("branch", "close", key.hex(), "--yes", *revoke):
            return False
        if revoke:
            scene.journal.revoked.add(key)
        if answer(scene.hub, self.name(scene)) == CONNACK_YES:
            raise AssertionError(self.name(scene), "let in after the acknowledgement")
        return True

    def settled(self, scene: Scene) -> Iterator[str]:
        key = key_sha256(scene.branch.certificate)
        closures = rows(scene.state / "registry.db", "SELECT sha256, state FROM closures")
        acts = rows(scene.state / "registry.db", "SELECT subject FROM acts")
        is_closed = any(sha256 == key and where != "open" for sha256, where in closures)
        if is_closed and not any(key.hex() in subject for (subject,) in acts):
            yield "a closure without its act"
        # Nothing was acknowledged: the hub has until its next look at the registry.
        try:
            wait_for(
                lambda: (answer(scene.hub, self.name(scene)) == CONNACK_YES) != is_closed,
                "the hub's look",
                NOTICED_SECONDS,
            )
        except AssertionError:
            yield f"{self.name(scene)} is {'let in' if is_closed else 'refused'}, the registry says otherwise"


class Open(Close):
    """It is opened again."""

    def prepare(self, scene: Scene) -> None:
        super().prepare(scene)
        assert scene.command("branch", "close", key_sha256(scene.branch.certificate).hex(), "--yes")

    def act(self, scene: Scene) -> bool:
        key = key_sha256(scene.branch.certificate).hex()
        said = scene.hub.command("branch", "open", key, "--json", check=False)
        # Given again after it was done and not said.
        return said.returncode == 0 or "not_closed" in said.stderr


class Backup(Step):
    """A copy of all, beside a hub that runs."""

    def act(self, scene: Scene) -> bool:
        name = f"backup-{scene.number}"
        if scene.command("backup", name):
            scene.backups.add(name)
            return True
        return (scene.hub.directory / name).exists()

    def settled(self, scene: Scene) -> Iterator[str]:
        name = f"backup-{scene.number}"
        directory, place = scene.hub.directory / name, scene.hub.directory / f"fetched-{name}"
        if not directory.exists():
            if name in scene.backups:
                yield f"lost {name}"
            return
        place.mkdir(exist_ok=True)
        try:
            backup = backups.read(directory)
            for number, one in enumerate(backup.files):
                (place / str(number)).unlink(missing_ok=True)
                backups.fetch(backup, one, place / str(number))
        except HoldfastError as error:
            yield f"half a backup: {error.code}: {error.message}"


class Restore(Step):
    """It comes back, merged into what has been acknowledged since."""

    def prepare(self, scene: Scene) -> None:
        super().prepare(scene)
        assert scene.command("backup", f"backup-{scene.number}")
        assert Admit().act(scene)
        scene.hub.stop()

    def act(self, scene: Scene) -> bool:
        if not scene.hub.ended():
            scene.hub.stop()
        return scene.command("restore", f"backup-{scene.number}")


class Stop(Step):
    """An orderly end: all logs are copied into their databases."""

    def act(self, scene: Scene) -> bool:
        if not scene.hub.ended():
            scene.hub.stop()
        return True


class Start(Step):
    """A start with a state that is there: what the last life left open is put in order."""

    def prepare(self, scene: Scene) -> None:
        super().prepare(scene)
        scene.hub.kill()

    def act(self, scene: Scene) -> bool:
        if not scene.hub.ended():
            scene.hub.stop()
        with suppress(AssertionError):
            start_again(scene.hub)
        return not scene.hub.ended()


class Begin(Step):
    """A state directory out of nothing, by the first command."""

    def act(self, scene: Scene) -> bool:
        (scene.hub.directory / "root.pem").write_bytes(ROOT.pem)
        place = f"fresh-{scene.number}"
        own = ["--state-dir", place, "--json"]
        said = scene.hub.command("ca", "add", "root.pem", "--name", "company", *own, check=False)
        return said.returncode == 0 or "ca_exists" in said.stderr or "already" in said.stderr


STEPS: dict[str, Step] = {
    "begin": Begin(),
    "admit": Admit(),
    "publish": Publish(),
    "burst": Burst(),
    "subscribe": Subscribe(),
    "send": Send(),
    "deliver": Deliver(),
    "close": Close(),
    "open": Open(),
    "backup": Backup(),
    "restore": Restore(),
    "stop": Stop(),
    "start": Start(),
}


# ── dying ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def run(
    directory: Path,
    library: Path,
    choose: Callable[[list[Point]], Sequence[Point]],
    report: Report,
    steps: Iterable[str] = tuple(STEPS),
) -> None:
    """One hub in `directory`; `choose` says at which of the points that there are somebody is to die."""
    for hub in running(directory, workers=1, drain_seconds=0):
        scene = Scene(hub, Recorder(hub, library))
        for name in steps:
            step = STEPS[name]
            for point in choose(list(points(scene, name, step))):
                _die(scene, step, point, report)
        hub.stop()
        report.faults += [f"at the end: {fault}" for fault in faults(scene.journal, scene.state)]
        report.acknowledged.update(scene.journal.counts())


def points(scene: Scene, name: str, step: Step) -> Iterator[Point]:
    """Do the step once and whole: every call that it made, and the moments of each."""
    step.prepare(scene)
    began = scene.recorder.position()
    assert step.act(scene), name
    calls = list(scene.recorder.told(began))
    scene.stand_up()
    assert not list(step.settled(scene)), name
    for number, told in enumerate(calls, 1):
        for moment in _moments(told, last=number == len(calls)):
            yield Point(name, number, moment, told.name)


def _moments(told: Told, *, last: bool) -> Iterator[Moment]:
    yield Moment.BEFORE
    if told.call is Call.WRITE:
        yield Moment.HALF
    if last:  # else it is the moment before the next
        yield Moment.AFTER


def _die(scene: Scene, step: Step, point: Point, report: Report) -> None:
    step.prepare(scene)
    scene.recorder.kill_at(point.number, point.moment)
    step.act(scene)
    died = scene.recorder.disarm()
    if not died:
        report.missed += 1
    else:
        report.died[point.step, point.call] += 1
    process = scene.hub.process
    if process is not None and died == process.pid:
        process.wait()
    scene.stand_up()
    found = [*faults(scene.journal, scene.state), *step.settled(scene)]
    if not step.act(scene):
        found.append("it cannot be done again")
    scene.stand_up()
    found += step.settled(scene)
    report.faults += [f"{point}: {fault}" for fault in found]


def spread(found: list[Point], count: int, chance: random.Random) -> list[Point]:
    """Some of them: each kind of call comes before any comes twice."""
    kinds: dict[tuple[str, Moment], list[Point]] = {}
    for point in found:
        kinds.setdefault((point.call, point.moment), []).append(point)
    rounds = [chance.sample(one, len(one)) for one in kinds.values()]
    chance.shuffle(rounds)
    chosen = []
    while rounds and len(chosen) < count:
        chosen += [one.pop() for one in rounds]
        rounds = [one for one in rounds if one]
    return sorted(chosen[:count], key=lambda point: (point.number, point.moment))


def _leaf_key(paths: tuple[Path, Path]) -> bytes:
    return key_sha256(x509.load_pem_x509_certificates(paths[0].read_bytes())[0])
