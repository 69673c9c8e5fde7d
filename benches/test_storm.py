"""The hub in a storm: a branch closed under load, and a crowd at the door of which half is garbage and some only stall.

Both ends run on this machine: what the crowd costs its own programs, the hub does not get. HOLDFAST_BENCH_BRANCH and
HOLDFAST_BENCH_STORM_SECONDS ask for larger branches and longer storms.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support import servers
from tests.support.hub import wait_for

from holdfast.fleet.plan import Crowd, Publish
from holdfast.fleet.report import latency, outcomes

from . import results
from .crowds import everybody, fleet_of, held, is_open, running

BRANCH = int(os.environ.get("HOLDFAST_BENCH_BRANCH", "10000"))
SIBLINGS = 1_000
STORM_SECONDS = float(os.environ.get("HOLDFAST_BENCH_STORM_SECONDS", "60"))
CALM_SECONDS = 15.0
CONNECTED = 500
MESSAGES_PER_SECOND = 200.0
NEWCOMERS = 4_000
STALLED = 2_000
TIMES_CAPACITY = 10

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
    fleet = fleet_of(tmp_path, "widget", CONNECTED + NEWCOMERS)
    (tmp_path / "hub").mkdir()
    publish = Publish(rate=MESSAGES_PER_SECOND, messages=0, in_flight=16, qos=1, payload_bytes=128)
    connected = held("connected", CONNECTED, publish=publish)
    newcomers = Crowd(name="newcomers", first=CONNECTED, count=NEWCOMERS)
    with servers.holdfast(tmp_path / "hub", fleet, workers=1) as server:
        assert server.hub is not None
        everybody(server, fleet, newcomers)  # first contact
        capacity = statistics.median(everybody(server, fleet, newcomers) for _ in range(3))
        with running(server, fleet, connected) as calm:
            wait_for(lambda: is_open(calm, CONNECTED), "everybody connected")
            time.sleep(CALM_SECONDS)
            quiet = latency(calm.stop()["acknowledgement"])
        offered = TIMES_CAPACITY * capacity
        honest = replace(newcomers, rate=offered / 2, concurrency=10_000, rounds=1_000)
        garbage = replace(
            newcomers, name="garbage", misbehaviour="garbage", rate=offered / 2, concurrency=1_000, rounds=1_000
        )
        stalled = replace(
            newcomers, name="stalled", count=STALLED, misbehaviour="stall-client-hello", concurrency=STALLED, rounds=100
        )
        with ExitStack() as stack:
            inside = stack.enter_context(running(server, fleet, connected))
            wait_for(lambda: is_open(inside, CONNECTED), "everybody connected")
            crowds = [stack.enter_context(running(server, fleet, one)) for one in (stalled, garbage, honest)]
            time.sleep(STORM_SECONDS)
            # What has been done in the storm, before anybody is called off.
            done = [dict(run.crowd()) for run in crowds]
            for run in crowds:
                run.stop()
            after = time.monotonic()
            wait_for(lambda: everybody(server, fleet, newcomers) >= 0.8 * capacity, "normal times", 60)
            normal = time.monotonic() - after
            stormy = inside.stop()
        refused: dict[str, int] = {}
        for event in server.hub.events("refused"):
            refused[event["code"]] = refused.get(event["code"], 0) + 1
    begun = [sum(one["started"] for one in crowd["rounds"]) for crowd in done]
    goodput = outcomes(done[2]).get("connected", 0) / STORM_SECONDS
    storm = latency(stormy["acknowledgement"])
    record = {
        "capacity_per_second": capacity,
        "goodput_per_second": goodput,
        "begun": dict(zip(("stalled", "garbage", "honest"), begun, strict=True)),
        "honest": outcomes(done[2]),
        "garbage": outcomes(done[1]),
        "stalled": outcomes(done[0]),
        "quiet": {name: value for name, value in quiet.items() if name != "buckets_us"},
        "storm": {name: value for name, value in storm.items() if name != "buckets_us"},
        "lost": stormy["lost"],
        "normal_seconds": normal,
        "refusal_lines": refused,
    }
    text = f"""
## A crowd at the door for {STORM_SECONDS:.0f} s

One worker. {CONNECTED} devices are connected and publish {MESSAGES_PER_SECOND:.0f} messages a second (QoS 1). Offered:
{begun[2]:,} honest connections, {begun[1]:,} of garbage, {STALLED:,} that stall in their ClientHello and come again.
Both ends run on this machine's cores: the hub has what the crowd leaves it.

| figure | wanted | seen |
|---|---:|---:|
| capacity alone, second contact, 64 under way, a second | | {capacity:,.0f} |
| offered, as multiples of it | 10 | {(begun[1] + begun[2]) / STORM_SECONDS / capacity:.1f} |
| goodput in the storm, a second | ≥ 80 % | {goodput:,.0f} ({goodput / capacity:.0%}) |
| acknowledgement to connected devices, p50 / p99, calm | | {quiet["p50_ms"]} / {quiet["p99_ms"]} ms |
| the same in the storm | p99 ≤ twice | {storm["p50_ms"]} / {storm["p99_ms"]} ms |
| connected devices dropped | 0 | {sum(stormy["lost"].values())} |
| from the storm's end to 80 % of capacity | ≤ 10 s | {normal:.1f} s |

Honest newcomers met {outcomes(done[2])}; the log's lines about refusals: {refused}.
"""
    print("\n", results.write("storm", record, text=text))
    assert stormy["lost"] == {}


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
