"""Messages of QoS 1: what one costs the hub, which acknowledges it once stored, and mosquitto, which keeps none.

The same devices, the same messages, in turns, in one run; the servers' own CPU from the kernel's accounting, less what
connecting costs them. HOLDFAST_BENCH_ROUNDS asks for more rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.support import servers
from tests.support.fleets import fleet_of

from . import results
from .accounting import cpu_seconds

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.fleet.papers import Fleet

SERVERS = ("holdfast", "mosquitto")
ROUNDS = int(os.environ.get("HOLDFAST_BENCH_ROUNDS", "5"))
DEVICES = 200
SECONDS = 5
IN_FLIGHT = 16
PAYLOAD_BYTES = 128
TARGET_PER_CORE = 40_000

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One server, once."""

    acknowledged: int
    cpu_seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_cpu_second(self) -> float:
        return self.acknowledged / self.cpu_seconds

    @property
    def per_second(self) -> float:
        return self.acknowledged / SECONDS


def test_publish(tmp_path: Path) -> None:
    if servers.which("mosquitto") is None:
        pytest.skip("mosquitto is not installed; tests/services installs it")
    fleet = fleet_of(tmp_path, "widget", DEVICES)
    rounds: dict[str, list[Round]] = {}
    versions = {}
    with ExitStack() as stack:
        running = []
        for name in SERVERS:
            (tmp_path / name).mkdir()
            server = stack.enter_context(getattr(servers, name)(tmp_path / name, fleet))
            versions[name] = server.version
            publish(server, fleet, 1)  # first contact
            running.append(server)
        for _ in range(ROUNDS):
            for server in running:
                rounds.setdefault(server.name, []).append(publish(server, fleet, SECONDS))
    kept = {
        name: [(one.acknowledged, one.cpu_seconds, one.p50_ms, one.p99_ms) for one in rounds[name]] for name in rounds
    }
    print("\n", results.write("publish", {"versions": versions, "rounds": kept}, text=text(rounds, versions)))


def publish(server: servers.Server, fleet: Fleet, seconds: int) -> Round:
    """All devices publish as fast as they are answered; every message that was sent is acknowledged."""
    idle = cost(server, fleet, 0)[0]
    used, crowd = cost(server, fleet, seconds)
    assert crowd["acknowledged"] == crowd["published"] > 0
    took = crowd["acknowledgement"]
    return Round(
        acknowledged=crowd["acknowledged"], cpu_seconds=used - idle, p50_ms=took["p50_ms"], p99_ms=took["p99_ms"]
    )


def cost(server: servers.Server, fleet: Fleet, seconds: int) -> tuple[float, dict[str, object]]:
    before = cpu_seconds(server.pids())
    words = ["--seconds", str(seconds), "--in-flight", str(IN_FLIGHT), "--payload-bytes", str(PAYLOAD_BYTES)]
    words += ["--processes", "1", "--threads", "1", "--json"]
    command = [sys.executable, "-m", "holdfast", "fleet", "publish", server.target, str(fleet.directory), *words]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    assert said.returncode == 0, (server.name, said)
    (crowd,) = json.loads(said.stdout)["crowds"]
    assert (crowd["connected"], crowd["lost"]) == (DEVICES, {})
    return cpu_seconds(server.pids()) - before, crowd


def text(rounds: dict[str, list[Round]], versions: dict[str, str]) -> str:
    rows = [
        [
            name,
            *(statistics.median(getattr(one, field) for one in found) for field in ("per_cpu_second", "per_second")),
            min(one.per_cpu_second for one in found),
            max(one.per_cpu_second for one in found),
            f"{statistics.median(one.p50_ms for one in found):.1f}",
            f"{statistics.median(one.p99_ms for one in found):.1f}",
        ]
        for name, found in rounds.items()
    ]
    columns = ["", "a CPU second", "a second", "least", "most", "p50, ms", "p99, ms"]
    ours = statistics.median(one.per_cpu_second for one in rounds["holdfast"])
    verdict = "met" if ours >= TARGET_PER_CORE else "missed"
    return f"""
{chr(10).join(f"- {name}: {version}" for name, version in versions.items())}

## Messages of QoS 1, acknowledged

{DEVICES} devices over TLS 1.3, {IN_FLIGHT} messages of {PAYLOAD_BYTES} bytes of each under way, {SECONDS} s; medians
of {ROUNDS} rounds, servers in turns. *A CPU second* counts all processes and threads of a server, kernel time included,
less the same devices' connecting; *a second* is the clock's, with the client on the same machine; least and most are of
a CPU second. The hub acknowledges when the message is synced to disk; mosquitto keeps nothing and has nobody to send it
to.

{results.table(columns, rows)}

At least {TARGET_PER_CORE:,} stored messages a core and second: {verdict}.
"""
