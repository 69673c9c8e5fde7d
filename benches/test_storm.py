"""The hub in a storm: a branch closed under load, and a crowd at the door of which half is garbage and some only stall.

Both ends run on this machine: what the crowd costs its own programs, the hub does not get. HOLDFAST_BENCH_BRANCH and
HOLDFAST_BENCH_STORM_SECONDS ask for larger branches and longer storms.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support import servers
from tests.support.hub import METRICS_PORT, wait_for

from holdfast.fleet.plan import Crowd, Publish
from holdfast.fleet.report import latency, outcomes

from . import results
from .accounting import cpu_seconds
from .crowds import everybody, fleet_of, held, is_open, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.fleet.papers import Fleet

    from .crowds import Run

BRANCH = int(os.environ.get("HOLDFAST_BENCH_BRANCH", "10000"))
SIBLINGS = 1_000
STORM_SECONDS = float(os.environ.get("HOLDFAST_BENCH_STORM_SECONDS", "60"))
CALM_SECONDS = 15.0
CONNECTED = 500
MESSAGES_PER_SECOND = 200.0
STORMS = 3
AFTERWARDS = 500
"""A round of them takes about a second, so that it is seen when normal times begin."""
AFTERWARDS_SECONDS_MAX = 12.0
CROWDS = 2
"""Of honest devices: the rounds of one end, with whoever had to wait for longest, while the others go on."""
STALLED = 2_000
TIMES_CAPACITY = 10
HONEST, HONEST_WAITING = 7_000, 6_000
"""Of each crowd: devices, and how many of them wait to be let in at any time. One worker has strips for all."""
NEWCOMERS = Crowd(name="newcomers", first=CONNECTED, count=CROWDS * HONEST)
RISE_SECONDS = 5.0
HUB_SHARE = float(os.environ.get("HOLDFAST_BENCH_HUB_SHARE", "0.25"))
"""Of its core, which the hub has. Whoever plays the crowd needs as much of a core for a device as the hub does: only so
are there ten times as many at the door as it can let in."""

pytestmark = pytest.mark.timeout(3600)


# ── a branch ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_branch_is_closed_under_load(tmp_path: Path) -> None:
    below, beside = fleet_of(tmp_path, "below", BRANCH), fleet_of(tmp_path, "beside", SIBLINGS)
    factory = x509.load_pem_x509_certificates((below.directory / "intermediates.pem").read_bytes())[-1]
    fingerprint = hashlib.sha256(factory.public_bytes(Encoding.DER)).hexdigest()
    (tmp_path / "hub").mkdir()
    publish = Publish(rate=MESSAGES_PER_SECOND, messages=0, in_flight=16, qos=1, payload_bytes=128)
    with ExitStack() as stack:
        server = stack.enter_context(servers.holdfast(tmp_path / "hub", below, workers=2))
        assert server.hub is not None
        told = len(server.hub.events("trust_applied"))
        server.hub.trust(beside=servers.root_ca(beside))
        server.hub.wait_for_events("trust_applied", told + 2)
        shut = stack.enter_context(running(server, below, held("below", BRANCH)))
        kept = stack.enter_context(running(server, beside, held("beside", SIBLINGS, publish=publish)))
        wait_for(lambda: is_open(shut, BRANCH) and is_open(kept, SIBLINGS), "everybody connected", 300)
        transcript = []

        def command(*words: str) -> float:
            began = time.monotonic()
            said = server.hub.command(*words) if server.hub else None
            took = time.monotonic() - began
            transcript.append(f"$ holdfast {' '.join(words)}   # {took:.2f} s\n{said and said.stdout}")
            return took

        command("branch", "close", fingerprint, "--preview")
        began = time.monotonic()
        acknowledged = command("branch", "close", fingerprint, "--yes", "--reason", "a stolen laptop")
        wait_for(lambda: sum(shut.crowd()["lost"].values()) >= BRANCH, "the last one's end", 60)
        gone = time.monotonic() - began
        with running(server, below, Crowd(name="again", first=0, count=BRANCH)) as again:
            tries = outcomes(again.join())
        siblings = kept.stop()
        shut.stop()
    record = {
        "sessions": BRANCH,
        "siblings": SIBLINGS,
        "acknowledged_seconds": acknowledged,
        "last_gone_seconds": gone,
        "siblings_lost": siblings["lost"],
        "siblings_published": siblings["published"],
        "siblings_acknowledged": siblings["acknowledged"],
        "tries_afterwards": tries,
    }
    text = f"""
## A branch of {BRANCH:,} connected sessions, closed under load

Two workers, {SIBLINGS:,} siblings publishing {MESSAGES_PER_SECOND:.0f} messages a second meanwhile; both ends on this
machine.

| figure | wanted | seen |
|---|---:|---:|
| from the command's start to its return: every worker knows | | {acknowledged:.2f} s |
| from the command's start to the end of the last session | ≤ 5 s | {gone:.2f} s |
| siblings lost | 0 | {sum(siblings["lost"].values())} |
| messages of siblings sent, acknowledged | equal | {siblings["published"]}, {siblings["acknowledged"]} |
| let in of {sum(tries.values()):,} tries after the acknowledgement | 0 | {tries.get("connected", 0)} |

What the tries met: {tries}.

```
{"".join(transcript).rstrip()}
```
"""
    print("\n", results.write("branch", record, text=text))
    assert tries.get("connected", 0) == sum(siblings["lost"].values()) == 0


# ── a crowd ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "share"), [("storm", HUB_SHARE), ("storm-whole-core", 1.0)])
def test_a_crowd_at_the_door(tmp_path: Path, name: str, share: float) -> None:
    fleet = fleet_of(tmp_path, "widget", CONNECTED + CROWDS * HONEST)
    (tmp_path / "hub").mkdir()
    with (
        servers.holdfast(tmp_path / "hub", fleet, workers=1, metrics_port=METRICS_PORT) as server,
        one_core_each(server) as core,
        a_share_of_it(core, share) as rounds,
    ):
        assert server.hub is not None
        everybody(server, fleet, replace(NEWCOMERS, concurrency=300))  # first contact
        calms = [in_calm(server, fleet)]
        capacities, storms = [at_capacity(server, fleet, rounds)], []
        for _ in range(STORMS):
            storms.append(a_storm(server, fleet, capacities[-1], rounds))
            capacities.append(at_capacity(server, fleet, rounds))
        calms.append(in_calm(server, fleet))
        refused: dict[str, int] = {}
        for event in server.hub.events("refused"):
            refused[event["code"]] = refused.get(event["code"], 0) + 1
    for one, before, after in zip(storms, capacities, capacities[1:], strict=False):
        # This machine drifts: what the hub could do is what it does before and after.
        one["capacity"] = (before.per_second + after.per_second) / 2
        one["times"] = one["offered"] / one["capacity"]
        one["share"] = one["goodput"] / one["capacity"]
        normal = [seconds for seconds, rate in one["afterwards"] if rate >= 0.8 * one["capacity"]]
        one["normal"] = normal[0] if normal else math.inf
        one["slower"] = one["speed"] / statistics.mean((before.speed, after.speed))
        # Of what it could do by a core that is worth as much as in the storm.
        worth = statistics.mean(around.per_second / around.speed for around in (before, after))
        one["share_of_worth"] = one["goodput"] / one["speed"] / worth
    quiet = min(calms, key=lambda one: one["p99_ms"])
    record = {
        "hub_share": share,
        "calms": calms,
        "at_capacity": [asdict(one) for one in capacities],
        "storms": storms,
        "refusal_lines": refused,
    }

    def each(figure: Callable[[dict[str, Any]], float], form: str) -> str:
        values = [figure(one) for one in storms]
        return f"{statistics.median(values):{form}} ({', '.join(f'{value:{form}}' for value in values)})"

    def tail(one: dict[str, Any]) -> float:
        return float(one["latency"]["p99_ms"])

    lost = sum((Counter(one["lost"]) for one in storms), Counter[str]())
    capacity = "capacity: the same devices, 64 under way, connected ones publishing, a second"
    rows: list[list[object]] = [
        [capacity, "", each(lambda one: one["capacity"], ",.0f")],
        ["dialled, a second", "", each(lambda one: one["at_door"]["dialled"], ",.0f")],
        ["offered, a second", "", each(lambda one: one["offered"], ",.0f")],
        ["offered, as multiples of capacity", "10", each(lambda one: one["times"], ".1f")],
        ["connections that came to be, a second", "", each(lambda one: one["at_door"]["came to be"], ",.0f")],
        ["goodput in the storm, a second", "", each(lambda one: one["goodput"], ",.0f")],
        ["goodput, as a share of capacity", "≥ 80 %", each(lambda one: one["share"], ".0%")],
        ["what the core was worth, in that at capacity", "", each(lambda one: one["slower"], ".2f")],
        ["goodput, as a share of capacity by such a core", "", each(lambda one: one["share_of_worth"], ".0%")],
        ["p50 of acknowledgements in the storm, ms", "", each(lambda one: one["latency"]["p50_ms"], ".1f")],
        ["p99 of them in the storm, ms", "", each(tail, ".1f")],
        [
            "p99 at capacity, before and after each, ms",
            "",
            ", ".join(f"{one.latency['p99_ms']:.1f}" for one in capacities),
        ],
        ["p99 in calm, at first and in the end, ms", "", ", ".join(f"{one['p99_ms']:.1f}" for one in calms)],
        ["p99 in the storm, in those of the better calm", "≤ 2", each(lambda one: tail(one) / quiet["p99_ms"], ".1f")],
        ["connected devices dropped", "0", lost.total()],
        ["from the storm's end to 80 % of capacity, s", "≤ 10", each(lambda one: one["normal"], ".1f")],
        ["of a core, spent by the hub", "", each(lambda one: one["cpu"], ".0%")],
        ["of all cores, taken by the machine's neighbours", "", each(lambda one: one["stolen"], ".1%")],
    ]
    did = {name: statistics.median(one["did"].get(name, 0) for one in storms) for name in storms[0]["did"]}
    text = f"""
## A crowd at the door, {STORMS} times {STORM_SECONDS:.0f} s

One worker. The hub has {share:.0%} of one core, all others together have another; capacity is measured in the same
arrangement and by the same devices, before and after each storm. Who takes the rest of the hub's core, if somebody
does, counts what it is worth meanwhile: less, too, where the system is at work there for the crowd.
{CONNECTED} devices are connected and publish {MESSAGES_PER_SECOND:.0f} messages a second (QoS 1). At the door:
{CROWDS * HONEST_WAITING:,} honest devices that are always waiting, strangers that send garbage
({each(lambda one: one["begun"]["garbage"], ",.0f")} dials a second) or a recorded ClientHello
({each(lambda one: one["begun"]["replay"], ",.0f")}) and reset, a tenth of them
from addresses that honest devices share, {STALLED:,} that
stall in their ClientHello and come again. Offered are these dials and what systems have sent again
of handshakes of TCP: SYNs that the full queue of the listener has turned away, and its own answers to those who have
said nothing for a second. The hub's limits are the default ones. Who plays the connected devices has the other core
whenever it wants to (`SCHED_RR`), so that what is measured is the hub.

{results.table(["figure, median (each storm)", "wanted", "seen"], rows)}

A second, the hub accepted {did["connections_opened"]:,.0f} connections and passed over {did["accepts_gone"]:,.0f} that
were over before; it answered {did["strangers_answered"]:,.0f} of them, saw {did["handshakes_completed"]:,.0f} keys
proven, and let in {did["admitted"]:,.0f}. Refused: {refusals(did)}. In all of a storm the door was made narrow
{did["door_narrowed"] * STORM_SECONDS:.0f} times.

Honest newcomers of each storm met {[one["honest"] for one in storms]}; the log's lines about refusals: {refused}.
"""
    print("\n", results.write(name, record, text=text))
    assert not lost


@dataclass(frozen=True, slots=True)
class Capacity:
    """Devices let in by a hub that has nothing else to do but its connected devices, and what these notice of it."""

    per_second: float
    speed: float
    """Rounds of the hub's neighbour, a second; 1 where there is none."""
    latency: dict[str, Any]


def in_calm(server: servers.Server, fleet: Fleet) -> dict[str, Any]:
    """What connected devices notice of a hub that has nobody else."""
    with connected_to(server, fleet) as inside:
        time.sleep(CALM_SECONDS)
        return without_buckets(latency(inside.stop()["acknowledgement"]))


def at_capacity(server: servers.Server, fleet: Fleet, rounds: Callable[[], float]) -> Capacity:
    with connected_to(server, fleet) as inside:
        before, began = rounds(), time.monotonic()
        per_second = everybody(server, fleet, NEWCOMERS)
        speed = (rounds() - before) / (time.monotonic() - began)
        return Capacity(per_second, speed, without_buckets(latency(inside.stop()["acknowledgement"])))


def a_storm(server: servers.Server, fleet: Fleet, before: Capacity, rounds: Callable[[], float]) -> dict[str, Any]:
    """Rates are a second."""
    # As many as ever wait, each of which dials again and again until it is let in.
    honest = [
        replace(NEWCOMERS, first=CONNECTED + number * HONEST, count=HONEST, concurrency=HONEST_WAITING, rounds=1_000)
        for number in range(CROWDS)
    ]
    stalled = replace(
        NEWCOMERS, name="stalled", count=STALLED, misbehaviour="stall-client-hello", concurrency=STALLED, rounds=100
    )
    floods = {"garbage": 0.6 * TIMES_CAPACITY * before.per_second, "replay": 0.15 * TIMES_CAPACITY * before.per_second}
    with ExitStack() as stack:
        inside = stack.enter_context(connected_to(server, fleet))
        waiting = stack.enter_context(running(server, fleet, stalled))
        coming = stack.enter_context(running(server, fleet, *honest))
        strangers = [stack.enter_context(flooding(server, rate, kind)) for kind, rate in floods.items()]
        time.sleep(RISE_SECONDS)
        counts_before, let_in_before, began = counts(server), all_outcomes(coming), time.monotonic()
        rounds_before = rounds()
        time.sleep(STORM_SECONDS)
        # What has been done in the storm, before anybody is called off.
        seconds = time.monotonic() - began
        speed = (rounds() - rounds_before) / seconds
        met, stalling = all_outcomes(coming), outcomes(waiting.crowd())
        rates = {
            group: {name: (count - counts_before[group].get(name, 0)) / seconds for name, count in counted.items()}
            for group, counted in counts(server).items()
        }
        for stranger in strangers:
            stranger.stdin.close()  # type: ignore[union-attr]
        flooded = [json.loads(stranger.stdout.read()) for stranger in strangers]  # type: ignore[union-attr]
        for run in (waiting, coming):
            run.stop()
        after, afterwards = time.monotonic(), list[tuple[float, float]]()
        while not afterwards or (afterwards[-1][1] < before.per_second and afterwards[-1][0] < AFTERWARDS_SECONDS_MAX):
            rate = everybody(server, fleet, replace(NEWCOMERS, count=AFTERWARDS))
            afterwards.append((time.monotonic() - after, rate))
        stormy = inside.stop()
    return {
        "goodput": (met["connected"] - let_in_before["connected"]) / seconds,
        "offered": rates["door"]["dialled"] + rates["door"]["dialled again"],
        "at_door": rates["door"],
        "speed": speed,
        "did": rates["hub"],
        "cpu": rates["cpu"]["hub"],
        "stolen": rates["cpu"]["stolen"] / (os.cpu_count() or 1),
        "floods": flooded,
        "begun": {one["kind"]: one["begun"] / (seconds + RISE_SECONDS) for one in flooded},
        "honest": dict(met),
        "stalled": stalling,
        "latency": without_buckets(latency(stormy["acknowledgement"])),
        "lost": stormy["lost"],
        "afterwards": afterwards,
    }


@contextmanager
def connected_to(server: servers.Server, fleet: Fleet) -> Iterator[Run]:
    """Devices that are connected and publish."""
    publish = Publish(rate=MESSAGES_PER_SECOND, messages=0, in_flight=16, qos=1, payload_bytes=128)
    others = set(children())
    with running(server, fleet, held("connected", CONNECTED, publish=publish)) as run:
        wait_for(lambda: is_open(run, CONNECTED), "everybody connected")
        for pid in set(children()) - others:
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(1))
        yield run


def counts(server: servers.Server) -> dict[str, dict[str, float]]:
    """What only grows: of the hub, of its and the machine's CPU, and of the door."""
    cpu = {"hub": cpu_seconds(server.pids()), "stolen": stolen_seconds()}
    return {"hub": dict(done(server)), "cpu": cpu, "door": dict(door())}


def without_buckets(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "buckets_us"}


def all_outcomes(run: Run) -> Counter[str]:
    """Of all its crowds."""
    return sum((Counter(outcomes(crowd)) for crowd in run.merged["crowds"]), Counter())


@contextmanager
def one_core_each(server: servers.Server) -> Iterator[int]:
    """The hub has one core, whose number this is; this process and all that it starts meanwhile have another."""
    own, other = sorted(os.sched_getaffinity(0))[:2]
    for pid in server.pids():
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {own})
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {other})
    try:
        yield own
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def a_share_of_it(core: int, share: float) -> Iterator[Callable[[], float]]:
    """The hub has no more than this share of its core: a neighbour has the rest of it, and says how many rounds it has
    made in it. Where there is none, time is all that is known of the core."""
    if share >= 1:
        yield time.monotonic
        return
    command = [sys.executable, "-m", "benches.neighbour", str(core), str(share)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as neighbour:

        def rounds() -> float:
            neighbour.stdin.write(b"\n")  # type: ignore[union-attr]
            return float(neighbour.stdout.readline())  # type: ignore[union-attr]

        try:
            yield rounds
        finally:
            neighbour.kill()


@contextmanager
def flooding(server: servers.Server, rate: float, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "benches.flood", server.address, str(servers.PORT), str(rate), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def children() -> list[int]:
    """Processes that this one has started."""
    pids: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that ends meanwhile
            pids += (task / "children").read_text().split()
    return [int(pid) for pid in pids]


def done(server: servers.Server) -> Counter[str]:
    """What the hub has counted, by name and by the code of a refusal."""
    counted: Counter[str] = Counter()
    for sample in server.hub.samples() if server.hub else []:
        if sample.name.endswith("_total"):
            name = sample.name.removeprefix("holdfast_").removesuffix("_total")
            counted[f"refused {sample.labels['code']}" if name == "refused" else name] += int(sample.value)
    return counted


def stolen_seconds() -> float:
    """CPU that this machine was ready to use and did not get, proc(5)."""
    _, _, _, _, _, _, _, _, steal, *_ = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(steal) / os.sysconf("SC_CLK_TCK")


def refusals(did: dict[str, float]) -> str:
    codes = {name.removeprefix("refused "): round(rate) for name, rate in did.items() if name.startswith("refused ")}
    return ", ".join(f"{code} {rate:,}" for code, rate in codes.items() if rate) or "nobody"


def door() -> dict[str, int]:
    """SYNs that this machine has sent since it was started, first ones and again, and connections that came to be."""
    fields = {}
    for name in ("snmp", "netstat"):
        lines = [line.split() for line in Path(f"/proc/net/{name}").read_text().splitlines()]
        for (kind, *names), (_, *values) in zip(lines[::2], lines[1::2], strict=True):
            fields |= {f"{kind}{one}": int(value) for one, value in zip(names, values, strict=True)}
    return {
        "dialled": fields["Tcp:ActiveOpens"],
        "dialled again": fields["TcpExt:TCPSynRetrans"],
        "came to be": fields["Tcp:PassiveOpens"],
    }


def test_many_cycles_leave_nothing_behind(tmp_path: Path) -> None:
    """100,000 connects and good-byes: resident memory and descriptors before and after."""
    cycles = int(os.environ.get("HOLDFAST_BENCH_CYCLES", "100000"))
    fleet = fleet_of(tmp_path, "widget", 2_000)
    (tmp_path / "hub").mkdir()
    crowd = Crowd(name="all", first=0, count=2_000)
    with servers.holdfast(tmp_path / "hub", fleet, workers=1) as server:

        def figures() -> tuple[int, int]:
            worker = server.hub.worker_pid() if server.hub else 0
            pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in server.pids())
            return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{worker}/fd").iterdir()))

        for _ in range(10):  # first contact, and whatever is kept for the second
            everybody(server, fleet, crowd)
        time.sleep(2)
        before = figures()
        rates = [everybody(server, fleet, crowd) for _ in range(cycles // 2_000)]
        time.sleep(2)
        after = figures()
    record = {"cycles": cycles, "before": before, "after": after, "per_second": rates}
    growth = (after[0] - before[0]) / 2**20
    text = f"""
## {cycles:,} connects and good-byes

| figure | wanted | seen |
|---|---:|---:|
| growth of resident memory, all processes | ≤ 2 MiB | {growth:.2f} MiB |
| descriptors of the worker before, after | equal | {before[1]}, {after[1]} |
| connects a second, first and last round | | {rates[0]:,.0f}, {rates[-1]:,.0f} |
"""
    print("\n", results.write("cycles", record, text=text))
    assert after[1] == before[1]
