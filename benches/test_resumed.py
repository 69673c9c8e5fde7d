"""What a device costs the hub that comes back by its ticket, beside one that proves its key again.

Two hubs in turns, one with resumption and one without: what tickets add to a full handshake is the difference
between the two. A resumed connect is what five more contacts by ticket add to one full handshake, divided by five. The
hubs' own CPU, from the kernel's accounting. HOLDFAST_BENCH_ROUNDS asks for more rounds, HOLDFAST_BENCH_DEVICES for more
devices.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from tests.support import servers
from tests.support.fleets import fleet_of

from . import results
from .accounting import cpu_seconds

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.fleet.papers import Fleet

ROUNDS = int(os.environ.get("HOLDFAST_BENCH_ROUNDS", "5"))
DEVICES = int(os.environ.get("HOLDFAST_BENCH_DEVICES", "1000"))
RESUMED_CONTACTS = 5
CONCURRENCY = 64
TARGET_US = 130.0

pytestmark = pytest.mark.timeout(1800)
Samples = dict[str, list[float]]


def test_resumed(tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path, "widget", DEVICES)
    found = {workers: measured(tmp_path / str(workers), fleet, workers) for workers in (1, 2)}
    print("\n", results.write("resumed", record(found), text="\n".join(map(text, found, found.values()))))


def measured(directory: Path, fleet: Fleet, workers: int) -> Samples:
    found: Samples = {"without tickets": [], "with tickets": [], "resumed": []}
    with ExitStack() as stack:
        hubs = {}
        for name, resumption in (("without tickets", False), ("with tickets", True)):
            place = directory / name.replace(" ", "-")
            place.mkdir(parents=True)
            hubs[name] = stack.enter_context(servers.holdfast(place, fleet, workers=workers, resumption=resumption))
            connect(hubs[name], fleet, 1)
        for _ in range(ROUNDS):
            for name, hub in hubs.items():
                found[name].append(connect(hub, fleet, 1))
            all_contacts = connect(hubs["with tickets"], fleet, 1 + RESUMED_CONTACTS, resume=True)
            found["resumed"].append((all_contacts - found["with tickets"][-1]) / RESUMED_CONTACTS)
    return found


def connect(server: servers.Server, fleet: Fleet, contacts: int, *, resume: bool = False) -> float:
    """Microseconds of the hub's CPU for each device, all its contacts together."""
    before = cpu_seconds(server.pids())
    words = ["--contacts", str(contacts), "--concurrency", str(CONCURRENCY), "--clean-session", "--json"]
    command = [sys.executable, "-m", "holdfast", "fleet", "connect", server.target, str(fleet.directory), *words]
    said = subprocess.run([*command, *(["--resume"] if resume else [])], check=False, capture_output=True, text=True)
    (crowd,) = json.loads(said.stdout)["crowds"]
    outcomes = [one["outcomes"] for one in crowd["rounds"]]
    assert (outcomes, crowd["lost"]) == ([{"connected": DEVICES}] * contacts, {}), said.stderr
    resumed = [one["resumed"] for one in crowd["rounds"]]
    assert resumed == ([0] + [DEVICES] * (contacts - 1) if resume else [0]), "the rest of it is measured by these"
    return (cpu_seconds(server.pids()) - before) / DEVICES * 1e6


def record(found: dict[int, Samples]) -> dict[str, Any]:
    return {
        "rounds": ROUNDS,
        "devices": DEVICES,
        "resumed_contacts": RESUMED_CONTACTS,
        "concurrency": CONCURRENCY,
        "cpu_us_per_connect": [
            {"workers": workers, "contact": name, "median": statistics.median(costs), "samples": costs}
            for workers, samples in found.items()
            for name, costs in samples.items()
        ],
    }


def text(workers: int, found: Samples) -> str:
    median = {name: statistics.median(costs) for name, costs in found.items()}
    ratios = [full / resumed for full, resumed in zip(found["with tickets"], found["resumed"], strict=True)]
    minted = [one - other for one, other in zip(found["with tickets"], found["without tickets"], strict=True)]
    rows = [
        ("full handshake, no tickets", median["without tickets"], min(found["without tickets"])),
        ("full handshake, a ticket minted", median["with tickets"], min(found["with tickets"])),
        ("resumed, a ticket minted", median["resumed"], min(found["resumed"])),
    ]
    met = "met" if median["resumed"] <= TARGET_US else "missed"
    return f"""
## Workers: {workers}

CPU of the hub (all its processes) for one connect of a device that it knows, TLS 1.3, chain of three, CONNECT and
CONNACK, good-bye. {ROUNDS} rounds of {DEVICES:,} devices, {CONCURRENCY} under way at once, in turns.

{results.table(("µs of CPU", "median", "least"), rows)}

- A full handshake costs {statistics.median(ratios):.2f} times a resumed one (median of the rounds' ratios).
- Minting the ticket costs {statistics.median(minted):.0f} µs of a full handshake (median of the rounds' differences).
- Resumed connect, wanted at most {TARGET_US:.0f} µs: {met}.
"""
