"""What two looks at a hub's metrics say of the time between them: rates, for `holdfast top`."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from holdfast.errors import RemoteProtocolError
from holdfast.metrics import INFINITY, Sample, parse_exposition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RATES = {
    "opened": "connections_opened_total",
    "admitted": "admitted_total",
    "refused": "refused_total",
    "closed": "closed_total",
    "messages": "messages_received_total",
    "acknowledged": "messages_acknowledged_total",
    "delivered": "messages_delivered_total",
    "bytes_in": "bytes_received_total",
    "bytes_out": "bytes_sent_total",
}
"""What is shown per second, and the metric that it is the growth of."""
LEVELS = ("connections", "half_open", "sessions", "messages_queued")


@dataclass(frozen=True, slots=True)
class Look:
    """The metrics of a hub at one moment; `at` is of a clock that only goes forward, in seconds."""

    at: float
    samples: Mapping[str, tuple[Sample, ...]]

    @classmethod
    def of(cls, text: str, at: float) -> Look:
        """Raises `RemoteProtocolError`, `metrics_unreadable`, where `text` is no metrics of a hub."""
        found: defaultdict[str, list[Sample]] = defaultdict(list)
        try:
            for sample in parse_exposition(text):
                found[sample.name.removeprefix("holdfast_")].append(sample)
        except ValueError as error:
            raise RemoteProtocolError("metrics_unreadable", f"what answers there is no hub: {error}") from error
        if "build_info" not in found:
            raise RemoteProtocolError("metrics_unreadable", "what answers there is no hub: it says no version")
        return cls(at, {name: tuple(samples) for name, samples in found.items()})

    def total(self, name: str, **labels: str) -> float:
        """The sum over whatever labels are not given; 0 where there is nothing."""
        samples = self.samples.get(name, ())
        return sum(one.value for one in samples if labels.items() <= one.labels.items())

    def by(self, name: str, label: str) -> Counter[str]:
        """Sums by what one label says."""
        sums: Counter[str] = Counter()
        for one in self.samples.get(name, ()):
            sums[one.labels.get(label, "")] += int(one.value)
        return sums

    def version(self) -> str:
        """Of the hub."""
        return self.samples["build_info"][0].labels.get("version", "")


@dataclass(slots=True)
class Flow:
    """Two looks."""

    before: Look
    after: Look
    seconds: float = field(init=False)

    def __post_init__(self) -> None:
        self.seconds = max(self.after.at - self.before.at, 1e-3)

    def rate(self, metric: str, **labels: str) -> float:
        """How much there was more of it, per second; all of it where the hub was started anew in between."""
        before, after = self.before.total(metric, **labels), self.after.total(metric, **labels)
        return (after - before if after >= before else after) / self.seconds

    def grown(self, metric: str, label: str) -> dict[str, dict[str, float]]:
        """By what one label says: how many there were, and how many more per second; most first."""
        totals = self.after.by(metric, label)
        return {
            value: {"total": total, "per_second": round(self.rate(metric, **{label: value}), 1)}
            for value, total in totals.most_common()
        }

    def batches(self) -> dict[str, int]:
        """How many batches of each size were judged so far."""
        sizes: dict[str, int] = {}
        below, last = 0, 0
        for bound, count in self.after.by("batch_chains_bucket", "le").items():
            size = f"> {last}" if bound == INFINITY else bound if int(bound) - last <= 1 else f"{last + 1}-{bound}"
            sizes[size] = count - below
            below, last = count, last if bound == INFINITY else int(bound)
        return sizes

    def workers(self) -> Iterable[str]:
        """Their numbers."""
        return sorted(self.after.by("worker_up", "worker"), key=int)

    def of_worker(self, number: str) -> dict[str, Any]:
        """One worker's line."""
        return {
            "worker": int(number),
            "up": bool(self.after.total("worker_up", worker=number)),
            **{level: int(self.after.total(level, worker=number)) for level in LEVELS},
            **{name: round(self.rate(metric, worker=number), 1) for name, metric in RATES.items()},
            "cpu_percent": round(100 * self.rate("worker_cpu_seconds_total", worker=number), 1),
            "resident_bytes": int(self.after.total("resident_bytes", worker=number)),
            "restarts": int(self.after.total("worker_restarts_total", worker=number)),
        }

    def record(self) -> dict[str, Any]:
        """All of it; rates are per second."""
        after = self.after
        return {
            "version": after.version(),
            "ready": bool(after.total("ready")),
            "epoch": int(after.total("epoch")),
            "seconds": round(self.seconds, 3),
            "lease_age_seconds": after.total("lease_age_seconds"),
            "totals": {level: int(after.total(level)) for level in LEVELS},
            "rates": {name: round(self.rate(metric), 1) for name, metric in RATES.items()},
            "log_lines_suppressed": int(after.total("log_lines_suppressed_total")),
            "refused": self.grown("refused_total", "code"),
            "closed": self.grown("closed_total", "reason"),
            "batches": self.batches(),
            "workers": [self.of_worker(number) for number in self.workers()],
        }
