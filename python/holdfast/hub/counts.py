"""What workers count, in Rust, where it happens: taken twice a second, and summed over all the lives of each worker.

A worker that dies keeps what it was last heard of; what it counted in the half second before its death is lost.
"""

from __future__ import annotations

import resource
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast import metrics
from holdfast.hub import messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast._holdfast import Gate, TelemetryWriter

SECONDS = 0.5
"""How often a worker says what it has counted, and so that it lives: whoever does not is to be noticed in a second."""
# What the gate calls it, and what it is; a test compares it with what the gate counts.
COUNTERS = {
    "connections_opened": "Connections that were accepted and taken on.",
    "accepts_failed": "Times that nobody could be accepted, for want of a descriptor or of memory.",
    "accepts_gone": "Connections that were over before they were accepted.",
    "door_narrowed": "Times that a crowd made the system drop what is no TLS, for ten seconds.",
    "bytes_received": "Bytes that peers sent, TLS included.",
    "bytes_sent": "Bytes that peers were sent, TLS included.",
    "key_agreement_batches": "Key agreements of several handshakes that were worked out together, counted once.",
    "key_agreements_batched": "Handshakes whose key agreement was worked out together with others'.",
    "strangers_answered": "Connections that were answered for the first time: a handshake's first flight, or an alert.",
    "handshakes_left": "Connections that their peers gave up before they had proven a key.",
    "handshakes_completed": "TLS handshakes in which a peer proved the key of its certificate.",
    "possessions_by_kernel": "TLS handshakes in which the signature kernel checked a known device's proof.",
    "kernel_doubted": "1 once the signature kernel computed wrongly, and is off.",
    "handshakes_resumed": "TLS handshakes in which a peer came back by a live ticket; its chain is judged again.",
    "tickets_unknown": "Tickets that no key here opens: another hub's or listener's, or older than the keys.",
    "tickets_void": "Tickets that are ours and not live: ended, pushed out, given to nobody, or trust has moved.",
    "chains_judged": "Chains that were judged.",
    "admitted": "Devices that were let in.",
    "messages_received": "Messages that devices published.",
    "messages_stored": "Messages and wills that are durable.",
    "messages_acknowledged": "Messages that were acknowledged to their devices, durable before.",
    "messages_delivered": "Messages that devices were sent and have taken.",
    "wills_published": "Wills of devices whose connection was lost.",
    "wills_postponed": "Wills that stay in the inbox, for whoever comes after the worker: too many wait to be stored.",
    "log_lines_suppressed": "Lines about refusals that were counted instead of written.",
}
CODED = {
    "refused": ("code", "Connections that were turned away, by code (docs/codes.md)."),
    "closed": ("reason", "Sessions that have ended, by reason (docs/operator.md)."),
}
GAUGES = {
    "connections": "Connections that there are.",
    "half_open": "Connections that are not admitted yet.",
    "sessions": "Devices that are connected.",
    "tickets": "Tickets by which devices may come back, of all workers.",
    "half_packets_bytes": "Memory of packets that devices have begun and not ended.",
    "messages_queued": "Messages that wait for the disk.",
    "resident_bytes": "Memory of the worker's process.",
}
BATCH_BOUNDS = [float(1 << place) for place in range(9)]
"""The gate counts batches of 1, 2, 3 to 4, 5 to 8 chains and so on, and last all that were larger."""
Totals = Counter[tuple[str, str]]
"""What only grows: its kind, and its name, code, reason or place."""


def counted(gate: Gate, store: TelemetryWriter) -> messages.Counted:
    """What the worker of this process has counted so far."""
    return messages.Counted(
        counters=gate.counters,
        refused=gate.refused,
        closed=gate.closed,
        batches=gate.batches,
        cpu_microseconds=time.process_time_ns() // 1_000,
        gauges={
            "connections": gate.connections,
            "half_open": gate.half_open,
            "sessions": gate.sessions,
            "tickets": gate.tickets,
            "half_packets_bytes": gate.half_packets_bytes,
            "messages_queued": store.queued,
            "resident_bytes": _resident_bytes(),
        },
    )


class Counts:
    """The counts of all workers, by number."""

    def __init__(self) -> None:
        self._past: dict[int, Totals] = {}
        self._present: dict[int, messages.Counted] = {}
        self._heard_at: dict[int, float] = {}

    def hear(self, number: int, said: messages.Counted) -> None:
        """A worker says what it has counted in this life."""
        self._present[number] = said
        self._heard_at[number] = time.monotonic()

    def bury(self, number: int) -> None:
        """The worker has ended: what it counted stays."""
        self._past[number] = self._total(number)
        self._present.pop(number, None)
        self._heard_at.pop(number, None)

    def silent_seconds(self, number: int) -> float | None:
        """How long ago the worker was heard; `None`: never in this life."""
        heard_at = self._heard_at.get(number)
        return None if heard_at is None else time.monotonic() - heard_at

    def families(self) -> Iterator[metrics.Family]:
        """All of them, each with the worker's number as a label."""
        totals = {number: self._total(number) for number in sorted(self._past.keys() | self._present.keys())}
        counted = {name for total in totals.values() for kind, name in total if kind == "counted"}
        for name in [*COUNTERS, *sorted(counted - COUNTERS.keys())]:
            values = [(_worker(number), total["counted", name]) for number, total in totals.items()]
            yield metrics.counter(f"holdfast_{name}_total", COUNTERS.get(name, name.replace("_", " ")), values)
        for kind, (label, help_) in CODED.items():
            coded = [
                ({**_worker(number), label: value}, total[kind, value])
                for number, total in totals.items()
                for found, value in sorted(total)
                if found == kind
            ]
            yield metrics.counter(f"holdfast_{kind}_total", help_, coded)
        batches = [
            (_worker(number), BATCH_BOUNDS, _batches(total), total["counted", "chains_judged"])
            for number, total in totals.items()
        ]
        yield metrics.histogram("holdfast_batch_chains", "Chains that were judged together.", batches)
        cpu = [(_worker(number), total["cpu", ""] / 1e6) for number, total in totals.items()]
        yield metrics.counter("holdfast_worker_cpu_seconds_total", "CPU time of the worker, user and system.", cpu)
        for name, help_ in GAUGES.items():
            gauges = [(_worker(number), said.gauges[name]) for number, said in sorted(self._present.items())]
            yield metrics.gauge(f"holdfast_{name}", help_, gauges)

    def _total(self, number: int) -> Totals:
        total = Counter(self._past.get(number, {}))
        if said := self._present.get(number):
            total.update({("counted", name): count for name, count in said.counters.items()})
            total.update({("refused", code): count for code, count in said.refused.items()})
            total.update({("closed", reason): count for reason, count in said.closed.items()})
            total.update({("batches", str(place)): count for place, count in enumerate(said.batches)})
            total["cpu", ""] += said.cpu_microseconds
        return total


def _batches(total: Totals) -> Sequence[int]:
    return [total["batches", str(place)] for place in range(len(BATCH_BOUNDS) + 1)]


def _worker(number: int) -> dict[str, str]:
    return {"worker": str(number)}


def _resident_bytes() -> int:
    """Memory of this process; 0 where the system does not say it as Linux does."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0
