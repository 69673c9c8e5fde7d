"""As many devices as asked for, let in over TLS and held at once, both ends on this machine.

A process has so many descriptors and no more, so workers of the hub and processes of the fleet are as many as that
takes. HOLDFAST_BENCH_HELD asks for 200,000.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support import servers
from tests.support.hub import wait_for

from holdfast.fleet.plan import DESCRIPTORS_KEPT
from holdfast.fleet.report import outcomes

from . import results
from .accounting import Memory, cpu_seconds, kernel_bytes
from .crowds import fleet_of, held, running

COUNT = int(os.environ.get("HOLDFAST_BENCH_HELD", "20000"))
ROOM = 0.93
"""How full a process may be on average: the kernel spreads connections by chance."""
KEEP_ALIVE_SECONDS = 1_700
WARM_UP_SECONDS = 5.0
HOLD_SECONDS = 30.0
CONNECTS_PER_SECOND_MIN = 100

pytestmark = pytest.mark.timeout(0)


def fleet_pids() -> list[int]:
    """Processes that play devices; the hub's are somebody else's children by name."""
    own = Path(f"/proc/{os.getpid()}/task")
    children = {int(pid) for task in own.iterdir() for pid in (task / "children").read_text().split()}
    return [pid for pid in children if b"holdfast.fleet.process" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_so_many_are_held(tmp_path: Path) -> None:
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = descriptors - DESCRIPTORS_KEPT
    workers = max(2, -int(-COUNT // (room * ROOM)))
    fleet = fleet_of(tmp_path, "widget", COUNT)
    (tmp_path / "hub").mkdir()
    limits = {"connections_count_max": room, "keep_alive_ms_max": 3_600_000}
    with servers.holdfast(tmp_path / "hub", fleet, workers=workers, limits=limits) as server:
        assert server.hub is not None
        server.hub.wait_for_events("serving", workers)
        time.sleep(WARM_UP_SECONDS)
        pids = server.pids()
        before, kernel_before, cpu_before = Memory.of(pids), kernel_bytes(), cpu_seconds(pids)
        began = time.monotonic()
        # A first contact waits for the disk: many wait for it together.
        crowd = held("held", COUNT, concurrency=1_000, keep_alive_seconds=KEEP_ALIVE_SECONDS)
        with running(server, fleet, crowd, every=1.0, patience=60.0) as run:
            wait_for(fleet_pids, "process of the fleet")
            fleet_before = Memory.of(fleet_pids())
            wait_for(lambda: up(run.crowd()) >= COUNT, "everybody answered", COUNT / CONNECTS_PER_SECOND_MIN)
            took, cpu = time.monotonic() - began, cpu_seconds(pids) - cpu_before
            fleet_cpu = run.merged["cpu_seconds"]
            time.sleep(HOLD_SECONDS)
            players = fleet_pids()
            after, kernel_after, fleet_after = Memory.of(pids), kernel_bytes(), Memory.of(players)
            spread = sorted(connections(pid) for pid in pids[1:])
            figures = run.crowd()
        refused = [event["code"] for event in server.hub.events("refused")]
        assert server.pids() == pids, "a worker had to be started again"
    met, lost = outcomes(figures), sum(figures["lost"].values())
    count = met.get("connected", 0) - lost
    kernel = (kernel_after or 0) - (kernel_before or 0)
    record: dict[str, Any] = {
        "asked_for": COUNT,
        "met": met,
        "lost": figures["lost"],
        "workers": workers,
        "fleet_processes": len(players),
        "seconds": took,
        "hub_cpu_seconds": cpu,
        "fleet_cpu_seconds": fleet_cpu,
        "hub": {"before": vars_of(before), "after": vars_of(after)},
        "fleet": {"before": vars_of(fleet_before), "after": vars_of(fleet_after)},
        "kernel_bytes": {"before": kernel_before, "after": kernel_after},
        "connections_a_worker": spread,
        "refusal_lines": {code: refused.count(code) for code in sorted(set(refused))},
    }
    hub = after.proportional - before.proportional
    players_own = fleet_after.proportional - fleet_before.proportional
    text = f"""
## {count:,} authenticated TLS connections at once

{workers} workers of the hub and {len(players)} processes of the fleet, of {descriptors:,} descriptors each, on this
machine; TLS 1.3, each device's first contact, chains of three. Held for {HOLD_SECONDS:.0f} s after the last was let in.

| figure | seen |
|---|---:|
| asked for, let in, lost | {COUNT:,}, {met.get("connected", 0):,}, {lost} |
| time until all were in | {took:.0f} s ({COUNT / took:,.0f} a second) |
| CPU of the hub, all processes, a first contact | {cpu / COUNT * 1e6:,.0f} µs |
| CPU of the fleet, a first contact | {fleet_cpu / COUNT * 1e6:,.0f} µs |
| memory of the hub (proportional) | {_mib(before)} → {_mib(after)} MiB: {hub / count:,.0f} bytes each |
| of the fleet | {_mib(fleet_before)} → {_mib(fleet_after)} MiB: {players_own / count:,.0f} bytes each |
| of the kernel, both ends | {kernel / 2**20:,.0f} MiB: {kernel / count:,.0f} bytes each |
| connections of a worker, least and most | {spread[0]:,}, {spread[-1]:,} |

What they met: {met}; the log's lines about refusals: {record["refusal_lines"]}.
"""
    print("\n", results.write("held", record, text=text))
    assert count == COUNT


def up(figures: dict[str, Any]) -> int:
    """Devices that have their answer, whatever it is."""
    return sum(outcomes(figures).values()) if figures else 0


def connections(pid: int) -> int:
    return sum(str(one.readlink()).startswith("socket:") for one in Path(f"/proc/{pid}/fd").iterdir())


def vars_of(memory: Memory) -> dict[str, int]:
    return {"resident": memory.resident, "proportional": memory.proportional}


def _mib(memory: Memory) -> str:
    return f"{memory.proportional / 2**20:,.0f}"
