"""The hub in a storm: a branch closed under load, and a crowd at the door of which half is garbage and some only stall.

Both ends run on this machine: what the crowd costs its own programs, the hub does not get. HOLDFAST_BENCH_BRANCH and
HOLDFAST_BENCH_STORM_SECONDS ask for larger branches and longer storms.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support import servers
from tests.support.hub import wait_for

from holdfast.fleet.plan import Crowd, Publish
from holdfast.fleet.report import latency, outcomes

from . import results
from .accounting import cpu_seconds
from .crowds import everybody, fleet_of, held, is_open, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .crowds import Run

BRANCH = int(os.environ.get("HOLDFAST_BENCH_BRANCH", "10000"))
SIBLINGS = 1_000
STORM_SECONDS = float(os.environ.get("HOLDFAST_BENCH_STORM_SECONDS", "60"))
CALM_SECONDS = 15.0
CONNECTED = 500
MESSAGES_PER_SECOND = 200.0
NEWCOMERS = 4_000
CROWDS = 2
"""Of honest devices: the rounds of one end, with whoever had to wait for longest, while the others go on."""
STALLED = 2_000
TIMES_CAPACITY = 10
HONEST, HONEST_WAITING = 10_000, 5_000
"""Of each crowd: devices, and how many of them wait to be let in at any time."""
RISE_SECONDS = 5.0
HUB_SHARE = float(os.environ.get("HOLDFAST_BENCH_HUB_SHARE", "0.34"))
"""Of its core, which the hub has. Whoever plays the crowd needs as much of a core for a device as the hub does: only so
are there ten times as many at the door as it can let in. 1: all of it."""
PERIOD_US = 3_000
CROWD_NICE = 10

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
        server.hub.trust(beside=servers.root_ca(beside))
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


def test_a_crowd_at_the_door(tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path, "widget", CONNECTED + CROWDS * HONEST)
    (tmp_path / "hub").mkdir()
    publish = Publish(rate=MESSAGES_PER_SECOND, messages=0, in_flight=16, qos=1, payload_bytes=128)
    connected = held("connected", CONNECTED, publish=publish)
    newcomers = Crowd(name="newcomers", first=CONNECTED, count=NEWCOMERS)
    with (
        servers.holdfast(tmp_path / "hub", fleet, workers=1) as server,
        one_core_each(server),
        a_share_of_it(server, HUB_SHARE),
    ):
        assert server.hub is not None
        everybody(server, fleet, replace(newcomers, count=CROWDS * HONEST, concurrency=1_000))  # first contact
        with running(server, fleet, connected) as calm:
            wait_for(lambda: is_open(calm, CONNECTED), "everybody connected")
            time.sleep(CALM_SECONDS)
            quiet = latency(calm.stop()["acknowledgement"])
        with running(server, fleet, connected) as calm:
            wait_for(lambda: is_open(calm, CONNECTED), "everybody connected")
            capacity = statistics.median(everybody(server, fleet, newcomers) for _ in range(5))
        # As many as ever wait, each of which dials again and again until it is let in.
        honest = [
            replace(
                newcomers, first=CONNECTED + number * HONEST, count=HONEST, concurrency=HONEST_WAITING, rounds=1_000
            )
            for number in range(CROWDS)
        ]
        stalled = replace(
            newcomers, name="stalled", count=STALLED, misbehaviour="stall-client-hello", concurrency=STALLED, rounds=100
        )
        floods = {"garbage": 0.4 * TIMES_CAPACITY * capacity, "replay": 0.1 * TIMES_CAPACITY * capacity}
        with ExitStack() as stack:
            inside = stack.enter_context(running(server, fleet, connected))
            wait_for(lambda: is_open(inside, CONNECTED), "everybody connected")
            busy = set(children())
            waiting = stack.enter_context(running(server, fleet, stalled))
            coming = stack.enter_context(running(server, fleet, *honest))
            strangers = [stack.enter_context(flooding(server, rate, kind)) for kind, rate in floods.items() if rate]
            for pid in set(children()) - busy:
                os.setpriority(os.PRIO_PROCESS, pid, CROWD_NICE)
            time.sleep(RISE_SECONDS)
            door_before, cpu_before = door(), cpu_seconds(server.pids())
            let_in_before, began = all_outcomes(coming), time.monotonic()
            time.sleep(STORM_SECONDS)
            # What has been done in the storm, before anybody is called off.
            seconds = time.monotonic() - began
            met, stalling = all_outcomes(coming), outcomes(waiting.crowd())
            cpu = (cpu_seconds(server.pids()) - cpu_before) / seconds
            at_door = {name: (count - door_before[name]) / seconds for name, count in door().items()}
            for stranger in strangers:
                stranger.stdin.close()  # type: ignore[union-attr]
            flooded = [json.loads(stranger.stdout.read()) for stranger in strangers]  # type: ignore[union-attr]
            for run in (waiting, coming):
                run.stop()
            after = time.monotonic()
            wait_for(lambda: everybody(server, fleet, newcomers) >= 0.8 * capacity, "normal times", 60)
            normal = time.monotonic() - after
            stormy = inside.stop()
        refused: dict[str, int] = {}
        for event in server.hub.events("refused"):
            refused[event["code"]] = refused.get(event["code"], 0) + 1
    goodput = (met["connected"] - let_in_before["connected"]) / seconds
    offered = at_door["dialled"] + at_door["dialled again"]
    storm = latency(stormy["acknowledgement"])
    record = {
        "capacity_per_second": capacity,
        "goodput_per_second": goodput,
        "offered_per_second": at_door,
        "floods": flooded,
        "hub_cores": cpu,
        "hub_share": HUB_SHARE,
        "honest": met,
        "stalled": stalling,
        "quiet": {name: value for name, value in quiet.items() if name != "buckets_us"},
        "storm": {name: value for name, value in storm.items() if name != "buckets_us"},
        "lost": stormy["lost"],
        "normal_seconds": normal,
        "refusal_lines": refused,
    }
    begun = {one["kind"]: one["begun"] / seconds for one in flooded}
    text = f"""
## A crowd at the door for {STORM_SECONDS:.0f} s

One worker. The hub has {HUB_SHARE:.0%} of one core, all others together have another; capacity is measured in the same
arrangement.
{CONNECTED} devices are connected and publish {MESSAGES_PER_SECOND:.0f} messages a second (QoS 1). At the door:
{CROWDS * HONEST_WAITING:,} honest devices that are always waiting, strangers that send garbage
({begun["garbage"]:,.0f} dials a second) or a recorded ClientHello ({begun["replay"]:,.0f}) and reset, a tenth of them
from addresses that honest devices share, {STALLED:,} that
stall in their ClientHello and come again. Offered are SYNs: what the full queue of the listener turns away, a system
dials again. The hub's limits are the default ones. Connected devices are played at a higher priority than the crowd, so
that what is measured is the hub.

| figure | wanted | seen |
|---|---:|---:|
| capacity, second contact, 64 under way, connected devices publishing, a second | | {capacity:,.0f} |
| offered, a second | | {offered:,.0f} ({at_door["dialled again"]:,.0f} again) |
| connections that came to be, a second | | {at_door["came to be"]:,.0f} |
| offered, as multiples of capacity | 10 | {offered / capacity:.1f} |
| goodput in the storm, a second | ≥ 80 % | {goodput:,.0f} ({goodput / capacity:.0%}) |
| acknowledgement to connected devices, p50 / p99, calm | | {quiet["p50_ms"]} / {quiet["p99_ms"]} ms |
| the same in the storm | p99 ≤ twice | {storm["p50_ms"]} / {storm["p99_ms"]} ms |
| connected devices dropped | 0 | {sum(stormy["lost"].values())} |
| from the storm's end to 80 % of capacity | ≤ 10 s | {normal:.1f} s |
| of a core, spent by the hub | | {cpu:.0%} |

Honest newcomers met {dict(met)}; the log's lines about refusals: {refused}.
"""
    print("\n", results.write("storm", record, text=text))
    assert stormy["lost"] == {}


def all_outcomes(run: Run) -> Counter[str]:
    """Of all its crowds."""
    return sum((Counter(outcomes(crowd)) for crowd in run.merged["crowds"]), Counter())


@contextmanager
def one_core_each(server: servers.Server) -> Iterator[None]:
    """The hub has one core to itself, this process and all that it starts meanwhile another."""
    own, other = sorted(os.sched_getaffinity(0))[:2]
    for pid in server.pids():
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {own})
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {other})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def a_share_of_it(server: servers.Server, share: float) -> Iterator[None]:
    """The hub has no more than this share of its core: cgroups(7), version 1 or 2."""
    if share >= 1:
        yield
        return
    first = Path("/sys/fs/cgroup/cpu")
    version_1 = first.is_dir()
    group = (first if version_1 else Path("/sys/fs/cgroup")) / f"holdfast-bench-{os.getpid()}"
    group.mkdir()
    try:
        quota_us = round(share * PERIOD_US)
        if version_1:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
        for pid in server.pids():
            (group / "cgroup.procs").write_text(str(pid))
        yield
        for pid in server.pids():
            (group.parent / "cgroup.procs").write_text(str(pid))
    finally:
        with suppress(OSError):
            group.rmdir()


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
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


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
