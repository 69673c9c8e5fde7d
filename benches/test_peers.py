"""The hub beside mosquitto, nginx and CPython's ssl on uvloop: CPU of a connect, memory of an idle connection.

The same devices with the same chains of three against all of them, in turns, in one run; the servers' own CPU and
memory from the kernel's accounting, which do not depend on how quick the client is. HOLDFAST_BENCH_IDLE and
HOLDFAST_BENCH_ROUNDS ask for more idle connections and more rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.support import servers
from tests.support.fleets import fleet_of
from tests.support.hub import wait_for

from holdfast.fleet import chart
from holdfast.fleet.plan import Crowd, Plan
from holdfast.fleet.processes import Processes

from . import results
from .accounting import Memory, cpu_seconds, kernel_bytes

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from holdfast.fleet.papers import Fleet

VERSIONS = ("1.3", "1.2")
SERVERS = ("holdfast", "mosquitto", "nginx", "uvloop_ssl")
ROUNDS = int(os.environ.get("HOLDFAST_BENCH_ROUNDS", "5"))
DEVICES_A_ROUND = 1000
IDLE = int(os.environ.get("HOLDFAST_BENCH_IDLE", "5000"))
IDLE_OF_A_WORKER = 15_000
"""The hub's own: among fewer, what a worker has free before anybody has come would hide what they take."""
WARM_UP = 200
CONCURRENCY = 64
BURST = 1_500
SETTLE_SECONDS = 2.0
IDLE_SECONDS = 5.0
MEMORY_KINDS = ("resident", "resident_after_a_burst", "proportional", "kernel_both_ends")
CPU_TARGET_US = 200.0
CPU_TARGET_RATIO = 8.0
MEMORY_TARGET_BYTES = 4096

pytestmark = pytest.mark.timeout(1800)
Samples = dict[tuple[str, str, str], list[float]]


@dataclass
class Findings:
    """Microseconds of server CPU by (server, TLS, contact), and bytes by (server, TLS)."""

    cpu_us: Samples = field(default_factory=dict)
    memory: dict[tuple[str, str], dict[str, float | None]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    idle_cpu: dict[str, float] = field(default_factory=dict)

    def cpu(self, server: str, tls: str, contact: str) -> float:
        return statistics.median(self.cpu_us[server, tls, contact])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return fleet_of(
        tmp_path_factory.mktemp("fleet"),
        "widget",
        WARM_UP + max(len(VERSIONS) * ROUNDS * DEVICES_A_ROUND, IDLE, IDLE_OF_A_WORKER),
    )


def test_peers(tmp_path: Path, fleet: Fleet) -> None:
    missing = [name for name in ("mosquitto", "nginx") if servers.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} are not installed; tests/services installs them")
    found = Findings()
    measure_cpu(tmp_path / "cpu", fleet, found)
    measure_memory(tmp_path / "memory", fleet, found)
    print("\n", results.write("peers", record(found), text=text(found), drawing=drawing(found)))


# ── CPU ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def measure_cpu(directory: Path, fleet: Fleet, found: Findings) -> None:
    with ExitStack() as stack:
        running = []
        for name in SERVERS:
            place = directory / name
            place.mkdir(parents=True)
            server = stack.enter_context(started(name, place, fleet))
            found.versions[server.name] = server.version
            connect(server, fleet, 0, WARM_UP, "1.3")
            running.append(server)
        before = [cpu_seconds(server.pids()) for server in running]
        time.sleep(IDLE_SECONDS)
        for server, used in zip(running, before, strict=True):
            found.idle_cpu[server.name] = (cpu_seconds(server.pids()) - used) / IDLE_SECONDS
        first = WARM_UP
        for _ in range(ROUNDS):
            for tls in VERSIONS:
                for server in running:
                    for contact in ("first", "second"):
                        cost = connect(server, fleet, first, DEVICES_A_ROUND, tls)
                        found.cpu_us.setdefault((server.name, tls, contact), []).append(cost)
                first += DEVICES_A_ROUND


def started(name: str, place: Path, fleet: Fleet) -> AbstractContextManager[servers.Server]:
    """The hub without tickets: nginx and `ssl` are told to mint none, too, and mosquitto cannot be told."""
    settings = {"resumption": False} if name == "holdfast" else {}
    server: AbstractContextManager[servers.Server] = getattr(servers, name)(place, fleet, **settings)
    return server


def connect(server: servers.Server, fleet: Fleet, first: int, count: int, tls: str) -> float:
    """Microseconds of the server's CPU for each of `count` devices that connect and say good-bye."""
    before = cpu_seconds(server.pids())
    words = ["--devices", f"{first}:{count}", "--tls", tls, "--app", server.application]
    words += ["--concurrency", str(CONCURRENCY), "--clean-session", "--json"]
    command = [sys.executable, "-m", "holdfast", "fleet", "connect", server.target, str(fleet.directory), *words]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    assert said.returncode == 0, (server.name, said)
    (crowd,) = json.loads(said.stdout)["crowds"]
    assert (crowd["connected"], crowd["lost"]) == (count, {})
    return (cpu_seconds(server.pids()) - before) / count * 1e6


# ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def measure_memory(directory: Path, fleet: Fleet, found: Findings) -> None:
    for tls in VERSIONS:
        for name in SERVERS:
            place = directory / f"{name}-{tls}"
            place.mkdir(parents=True)
            with started(name, place, fleet) as server:
                connect(server, fleet, 0, WARM_UP, tls)
                time.sleep(SETTLE_SECONDS)
                before = (Memory.of(server.pids()), kernel_bytes())
                slowly = idle(server, fleet, tls, CONCURRENCY, before)
                # Once more, all at once: what a crowd of handshakes leaves between long-lived pieces stays resident.
                burst = idle(server, fleet, tls, BURST, before)
                found.memory[server.name, tls] = slowly | {"resident_after_a_burst": burst["resident"]}


def idle(
    server: servers.Server, fleet: Fleet, tls: Any, concurrency: int, before: tuple[Memory, int | None]
) -> dict[str, float | None]:
    """Bytes that idle connections add to `before`, for each of them."""
    count = IDLE_OF_A_WORKER if server.hub else IDLE
    crowd = Crowd(
        name="idle", first=WARM_UP, count=count, tls=tls, application=server.application,  # type: ignore[arg-type]
        stay="all", stay_seconds=None, concurrency=concurrency, keep_alive_seconds=1_000, clean_session=True,
    )  # fmt: skip
    host = server.address
    plan = Plan(address=host, port=servers.PORT, server_name=host, crowds=(crowd,), patience_seconds=60)
    with Processes(plan, fleet.devices_file, issuer_key=None, processes=1) as processes:
        watching = processes.watch(0.5)
        wait_for(lambda: next(watching)["crowds"][0]["open"] == count, f"{count} idle connections", 300)
        time.sleep(SETTLE_SECONDS)
        after, kernel_after = Memory.of(server.pids()), kernel_bytes()
        assert next(watching)["crowds"][0]["open"] == count
        processes.stop()
    memory, kernel = before
    return {
        "resident": (after.resident - memory.resident) / count,
        "proportional": (after.proportional - memory.proportional) / count,
        "kernel_both_ends": None if kernel is None or kernel_after is None else (kernel_after - kernel) / count,
    }


# ── what is kept ───────────────────────────────────────────────────────────────────────────────────────────────────


def record(found: Findings) -> dict[str, Any]:
    return {
        "versions": found.versions,
        "idle_cpu_share": found.idle_cpu,
        "rounds": ROUNDS,
        "devices_a_round": DEVICES_A_ROUND,
        "concurrency": CONCURRENCY,
        "idle_connections": IDLE,
        "idle_connections_of_the_hub": IDLE_OF_A_WORKER,
        "cpu_us_per_connect": [
            {"server": server, "tls": tls, "contact": contact, "median": statistics.median(costs), "samples": costs}
            for (server, tls, contact), costs in found.cpu_us.items()
        ],
        "bytes_per_idle_connection": [
            {"server": server, "tls": tls, **sizes} for (server, tls), sizes in found.memory.items()
        ],
    }


def text(found: Findings) -> str:
    names = list(found.versions)
    ours = names[0]
    cpu_rows = [
        [
            f"TLS {tls}, {contact} contact",
            *(found.cpu(name, tls, contact) for name in names),
            *(f"{found.cpu(name, tls, contact) / found.cpu(ours, tls, contact):.2f}" for name in names[1:]),
        ]
        for tls in VERSIONS
        for contact in ("second", "first")
    ]
    memory_rows = [
        [f"TLS {tls}, {kind.replace('_', ' ')}", *(found.memory[name, tls][kind] for name in names)]
        for tls in VERSIONS
        for kind in MEMORY_KINDS
    ]
    spread = [
        [f"{server}, TLS {tls}, {contact}", min(costs), statistics.median(costs), max(costs)]
        for (server, tls, contact), costs in found.cpu_us.items()
    ]
    idling = ", ".join(f"{name} {share:.1%}" for name, share in found.idle_cpu.items())
    return f"""
{chr(10).join(f"- {name}: {version}" for name, version in found.versions.items())}

## CPU of the server for one connect, µs

A full handshake with client certificates (chain of three), CONNECT and CONNACK (nginx: a GET), good-bye. Median of
{ROUNDS} rounds of {DEVICES_A_ROUND} distinct devices, {CONCURRENCY} under way at once, servers in turns. All processes
of a server together, nothing subtracted for what they spend when idle (of a core: {idling}). The hub claims each
device durably at its first contact. Nobody mints tickets but mosquitto, which cannot be told not to.

{results.table(["", *names, *(f"{name} / {ours}" for name in names[1:])], cpu_rows)}

{_verdicts(found, ours)}

## Memory of the server for one idle connection, bytes

Growth over {IDLE:,} connections (the hub: {IDLE_OF_A_WORKER:,}, with one worker) divided by them,
{SETTLE_SECONDS:.0f} s after the last, {WARM_UP} connects before; {CONCURRENCY} handshakes under way at once, after a
burst: the same devices once more, {BURST} at once. The kernel's share counts both ends, because both are here.

{results.table(["", *names], memory_rows)}

## Spread of CPU, µs

{results.table(["", "least", "median", "most"], spread)}
"""


def _verdicts(found: Findings, ours: str) -> str:
    cpu = found.cpu(ours, "1.3", "second")
    ratio = min(found.cpu(name, "1.3", "second") for name in ("mosquitto", "nginx")) / cpu
    resident = found.memory[ours, "1.3"]["resident"] or 0.0
    least = f"≥ {CPU_TARGET_RATIO:.0f}"
    judged = [
        ("CPU per connect, TLS 1.3, second contact, µs", f"≤ {CPU_TARGET_US:.0f}", cpu, cpu <= CPU_TARGET_US),
        ("the same of mosquitto or nginx, in ours", least, f"{ratio:.2f}", ratio >= CPU_TARGET_RATIO),
        ("resident bytes per idle connection", f"≤ {MEMORY_TARGET_BYTES}", resident, resident <= MEMORY_TARGET_BYTES),
    ]
    rows = [[what, wanted, seen, "met" if met else "missed"] for what, wanted, seen, met in judged]
    return results.table(["target", "wanted", "found", ""], rows)


def drawing(found: Findings) -> str:
    names = list(found.versions)
    labels = [f"TLS {tls}, {contact} contact" for tls in VERSIONS for contact in ("second", "first")]
    cpu = [
        (name, [found.cpu(name, tls, contact) for tls in VERSIONS for contact in ("second", "first")]) for name in names
    ]
    memory = [(name, [found.memory[name, tls]["resident"] for tls in VERSIONS]) for name in names]
    panels = [
        chart.bar_panel("CPU of the server for one connect", cpu, labels, "µs"),
        chart.bar_panel("Resident memory of one idle connection", memory, [f"TLS {tls}" for tls in VERSIONS], "bytes"),
    ]
    return chart.document(panels, title="holdfast and its peers", subtitle="chain of three, mutual TLS; less is better")
