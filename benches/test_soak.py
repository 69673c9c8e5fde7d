"""An hour of ordinary life, and what it leaves behind in memory and descriptors.

Devices stay and publish, come and go, some are not devices at all, and a branch is closed and opened again. The rates
are low: what is asked is not how fast it goes but what accumulates. HOLDFAST_BENCH_SOAK_SECONDS asks for the hour.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support import servers
from tests.support.hub import wait_for

from holdfast.fleet.plan import Crowd, Publish
from holdfast.fleet.report import outcomes

from . import results
from .crowds import fleet_of, held, is_open, running

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = float(os.environ.get("HOLDFAST_BENCH_SOAK_SECONDS", "180"))
WARM_UP = 1 / 6
"""The share of the time in which caches fill, which is not counted."""
SAMPLES_COUNT = 360
SETTLE_SECONDS = 5.0
CLOSURES_COUNT = 5
STAYING, COMING, BRANCH, STRANGERS = 300, 2_000, 100, 1_000
MESSAGES_PER_SECOND = 50.0
COMING_PER_SECOND, BRANCH_PER_SECOND, STRANGERS_PER_SECOND = 20.0, 2.0, 2.0
STRANGE = ("garbage", "stall-client-hello", "unregistered-ca", "wrong-signature", "reset-connected")
GROWTH_BYTES_MAX = 2 * 2**20

pytestmark = pytest.mark.timeout(0)


@dataclass(frozen=True)
class Sample:
    """One process at one moment."""

    seconds: float
    resident: int
    """Bytes of its own: what of files is mapped is the system's to take back."""
    mapped: int
    descriptors: int

    @classmethod
    def take(cls, pid: int, began: float) -> Sample:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        own, mapped = (int(status[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return cls(time.monotonic() - began, own, mapped, descriptors)


def growth(samples: Sequence[Sample]) -> float:
    """Bytes from the first to the last, along the line that lies best (least squares)."""
    times, sizes = [one.seconds for one in samples], [float(one.resident + one.mapped) for one in samples]
    middle, size = sum(times) / len(times), sum(sizes) / len(sizes)
    slope = sum((at - middle) * (one - size) for at, one in zip(times, sizes, strict=True)) / sum(
        (at - middle) ** 2 for at in times
    )
    return slope * (times[-1] - times[0])


def rounds(count: int, rate: float) -> int:
    return max(1, round(SECONDS * rate / count))


def test_a_long_time_leaves_nothing_behind(tmp_path: Path) -> None:
    fleet, below = fleet_of(tmp_path, "widget", STAYING + COMING), fleet_of(tmp_path, "below", BRANCH)
    factory = x509.load_pem_x509_certificates((below.directory / "intermediates.pem").read_bytes())[-1]
    fingerprint = hashlib.sha256(factory.public_bytes(Encoding.DER)).hexdigest()
    (tmp_path / "hub").mkdir()
    publish = Publish(rate=MESSAGES_PER_SECOND, messages=0, in_flight=16, qos=1, payload_bytes=128)
    coming = Crowd(
        name="coming", first=STAYING, count=COMING, rate=COMING_PER_SECOND, rounds=rounds(COMING, COMING_PER_SECOND)
    )
    branch = Crowd(
        name="branch", first=0, count=BRANCH, rate=BRANCH_PER_SECOND, rounds=rounds(BRANCH, BRANCH_PER_SECOND),
        stay_seconds=5.0,
    )  # fmt: skip
    strangers = [
        Crowd(
            name=kind, first=STAYING, count=STRANGERS, misbehaviour=kind, rate=STRANGERS_PER_SECOND,
            rounds=rounds(STRANGERS, STRANGERS_PER_SECOND),
        )
        for kind in STRANGE
    ]  # fmt: skip
    closures: list[float] = []
    with ExitStack() as stack:
        server = stack.enter_context(servers.holdfast(tmp_path / "hub", fleet, workers=2))
        hub = server.hub
        assert hub is not None
        hub.trust(below=servers.root_ca(below))
        hub.wait_for_events("serving", 2)
        # What a worker opens for its first message stays open.
        first = Publish(rate=0, messages=4, in_flight=4, qos=1, payload_bytes=128)
        with running(server, fleet, Crowd(name="first", first=0, count=200, publish=first)) as prelude:
            prelude.join()
        time.sleep(SETTLE_SECONDS)
        pids = server.pids()
        empty = {pid: Sample.take(pid, 0.0).descriptors for pid in pids}
        staying = stack.enter_context(running(server, fleet, held("staying", STAYING, publish=publish), every=1.0))
        wait_for(lambda: is_open(staying, STAYING), "everybody connected", 60)
        others = stack.enter_context(running(server, fleet, coming, *strangers, every=1.0))
        inside = stack.enter_context(running(server, below, branch, every=1.0))
        samples: dict[int, list[Sample]] = {pid: [] for pid in pids}
        began = time.monotonic()
        for number in range(SAMPLES_COUNT):
            time.sleep(max(0.0, began + (number + 1) * SECONDS / SAMPLES_COUNT - time.monotonic()))
            for pid in pids:
                samples[pid].append(Sample.take(pid, began))
            # Closed for a quarter of the time between one closing and the next.
            part = number % (SAMPLES_COUNT // CLOSURES_COUNT)
            if part == SAMPLES_COUNT // CLOSURES_COUNT // 2:
                before = time.monotonic()
                hub.command("branch", "close", fingerprint, "--yes")
                closures.append(time.monotonic() - before)
            elif part == SAMPLES_COUNT // CLOSURES_COUNT * 3 // 4:
                hub.command("branch", "open", fingerprint)
        assert server.pids() == pids, "a worker had to be started again"
        crowds = {"staying": staying.stop(), "branch": inside.stop()}
        others.stop()
        crowds |= {crowd.name: others.crowd(number) for number, crowd in enumerate((coming, *strangers))}
        supervisor = server.process.pid
        time.sleep(SETTLE_SECONDS)
        left = {pid: Sample.take(pid, 0.0).descriptors for pid in pids}
        refused = Counter(event["code"] for event in hub.events("refused"))
    kept = {pid: [one for one in taken if one.seconds >= WARM_UP * SECONDS] for pid, taken in samples.items()}
    grown = {pid: growth(taken) for pid, taken in kept.items()}
    met = {name: outcomes(figures) for name, figures in crowds.items()}
    record: dict[str, Any] = {
        "seconds": SECONDS,
        "warm_up_seconds": WARM_UP * SECONDS,
        "growth_bytes": grown,
        "samples": {
            pid: [(round(one.seconds), one.resident, one.mapped, one.descriptors) for one in taken]
            for pid, taken in samples.items()
        },
        "descriptors_before_anybody_came": empty,
        "descriptors_after_everybody_left": left,
        "refusal_lines": refused,
        "met": met,
        "lost": {name: figures["lost"] for name, figures in crowds.items()},
        "published": crowds["staying"]["published"],
        "acknowledged": crowds["staying"]["acknowledged"],
        "closures_seconds": closures,
    }
    rows = [
        (
            "supervisor" if pid == supervisor else f"worker {number}",
            f"{_mib(taken[0])} → {_mib(taken[-1])}",
            f"{grown[pid] / 2**20:+.2f}",
            f"{min(one.descriptors for one in taken)} to {max(one.descriptors for one in taken)}",
            f"{empty[pid]} → {left[pid]}",
        )
        for number, (pid, taken) in enumerate(kept.items())
    ]
    table = results.table(
        [
            "process",
            "resident, MiB",
            "growth along the fitted line, MiB",
            "descriptors meanwhile",
            "before anybody came → after all had left",
        ],
        rows,
    )
    text = f"""
## {SECONDS / 60:.0f} minutes of ordinary life

Two workers. {STAYING} devices stay and publish {MESSAGES_PER_SECOND:.0f} messages a second (QoS 1);
{COMING_PER_SECOND:.0f} a second of {COMING:,} come and leave; {BRANCH_PER_SECOND:.0f} a second of a branch that is
closed and opened {CLOSURES_COUNT} times; {len(STRANGE) * STRANGERS_PER_SECOND:.0f} a second are {", ".join(STRANGE)}.
Counted after the first {WARM_UP * SECONDS / 60:.0f} minutes.

{table}

| figure | wanted | seen |
|---|---:|---:|
| growth of resident memory, all processes, along the fitted lines | ≤ 2 MiB | {sum(grown.values()) / 2**20:.2f} MiB |
| messages published, acknowledged | equal | {record["published"]:,}, {record["acknowledged"]:,} |
| devices that stay, lost | 0 | {sum(crowds["staying"]["lost"].values())} |
| closing the branch, slowest | | {max(closures):.2f} s |

What they met: {met}. The log's lines about refusals: {dict(refused)}.
"""
    print("\n", results.write("soak", record, text=text))
    assert crowds["staying"]["lost"] == {}
    assert left == empty
    assert sum(grown.values()) <= GROWTH_BYTES_MAX


def _mib(sample: Sample) -> str:
    return f"{(sample.resident + sample.mapped) / 2**20:.1f}"
