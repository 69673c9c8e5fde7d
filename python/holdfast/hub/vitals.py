"""What a running hub says of itself: its metrics, whether it lives, whether it is ready for devices."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from holdfast import __version__, metrics
from holdfast.hub.counts import Counts
from holdfast.hub.pages import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

READ_SECONDS_MAX = 2.0
"""How long the registry may have gone unread: it is looked at five times a second."""
SILENT_SECONDS_MAX = 5.0
"""How long a worker may be silent that is to be heard twice a second."""
CLAIM_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The hub at this moment."""

    workers: int
    """How many there are to be."""
    serving: Collection[int]
    """Those that accept connections."""
    epoch: int
    applied: Mapping[int, int]
    """The epoch that each worker has applied."""
    anchors: int
    registry_read_seconds: float
    """How long ago the registry was read, and the workers' lease renewed."""
    lease_seconds: float
    lease_seconds_max: float
    not_after: datetime
    """When the hub's own certificate ends."""
    now: datetime
    stopping: bool


class Vitals:
    """Counts what the supervisor does, keeps what the workers count, and makes the pages."""

    def __init__(self, present: Callable[[], Present]) -> None:
        self._present = present
        self._began = time.time()
        self.counts = Counts()
        self._restarts: Counter[int] = Counter()
        self._claims: Counter[str] = Counter()
        self._commits = [0] * (len(CLAIM_SECONDS) + 1)
        self._commit_seconds = 0.0

    def ended(self, number: int) -> None:
        """Worker `number` has ended, and another takes its place."""
        self.counts.bury(number)
        self._restarts[number] += 1

    def committed(self, codes: Sequence[str | None], seconds: float) -> None:
        """Claims were answered, one code each (`None`: pinned), and that took so long."""
        if codes:
            self._claims.update("pinned" if code is None else code for code in codes)
            place = next((place for place, bound in enumerate(CLAIM_SECONDS) if seconds <= bound), len(CLAIM_SECONDS))
            self._commits[place] += 1
            self._commit_seconds += seconds

    def pages(self) -> Mapping[str, Callable[[], Page]]:
        """By path."""
        return {
            "/metrics": lambda: Page(body=metrics.exposition(self.families()), content_type=metrics.CONTENT_TYPE),
            "/livez": lambda: Page(body="ok\n"),  # whoever reads this has been answered by the supervisor's loop
            "/readyz": self._ready,
        }

    def why_not_ready(self) -> str | None:
        """The first reason why devices should go elsewhere; `None`: there is none."""
        present = self._present()
        if present.stopping:
            return "the hub is stopping"
        for number in range(present.workers):
            if number not in present.serving:
                return f"worker {number} does not serve"
            silent = self.counts.silent_seconds(number)
            if silent is None or silent > SILENT_SECONDS_MAX:
                return f"worker {number} has been silent for more than {SILENT_SECONDS_MAX:.0f} s"
        if present.registry_read_seconds > READ_SECONDS_MAX:
            return f"the registry was last read {present.registry_read_seconds:.0f} s ago"
        if present.lease_seconds > present.lease_seconds_max:
            return f"the workers' lease was last renewed {present.lease_seconds:.0f} s ago"
        if present.now > present.not_after:
            return f"the hub's own certificate ended at {present.not_after.isoformat()}"
        return None

    def families(self) -> Iterator[metrics.Family]:
        """All metrics of the hub."""
        yield from self._of_the_hub(self._present())
        yield from self.counts.families()

    def _ready(self) -> Page:
        why = self.why_not_ready()
        return Page(body="ok\n") if why is None else Page(body=f"{why}\n", status=HTTPStatus.SERVICE_UNAVAILABLE)

    def _of_the_hub(self, present: Present) -> Iterator[metrics.Family]:
        def one(value: float) -> list[tuple[Mapping[str, str], float]]:
            return [({}, value)]

        def each(values: Mapping[int, float]) -> list[tuple[Mapping[str, str], float]]:
            return [({"worker": str(number)}, values.get(number, 0)) for number in range(present.workers)]

        gauge, counter = metrics.gauge, metrics.counter
        yield gauge("holdfast_build_info", "The version that runs.", [({"version": __version__}, 1)])
        yield gauge("holdfast_start_time_seconds", "When the hub was started, Unix time.", one(self._began))
        yield gauge("holdfast_ready", "Whether /readyz says yes.", one(self.why_not_ready() is None))
        yield gauge("holdfast_epoch", "The epoch of trust.", one(present.epoch))
        yield gauge("holdfast_anchors", "CAs that are proven and enabled.", one(present.anchors))
        applied = "The epoch of trust that the worker has applied; 0: none."
        yield gauge("holdfast_worker_epoch", applied, each(present.applied))
        serving = dict.fromkeys(present.serving, 1)
        yield gauge("holdfast_worker_up", "Whether the worker accepts connections.", each(serving))
        yield counter("holdfast_worker_restarts_total", "Workers that ended and were replaced.", each(self._restarts))
        read, lease = present.registry_read_seconds, present.lease_seconds
        yield gauge("holdfast_registry_read_age_seconds", "Since the registry was last read.", one(read))
        yield gauge("holdfast_lease_age_seconds", "Since the workers' lease was last renewed.", one(lease))
        ends = present.not_after.timestamp()
        yield gauge("holdfast_certificate_not_after_seconds", "When the hub's certificate ends, Unix time.", one(ends))
        claims = [({"answer": answer}, count) for answer, count in sorted(self._claims.items())]
        yield counter("holdfast_claims_total", "Identities of newcomers, by what the registry answered.", claims)
        commits: list[tuple[Mapping[str, str], list[float], list[int], float]]
        commits = [({}, CLAIM_SECONDS, self._commits, self._commit_seconds)]
        yield metrics.histogram("holdfast_claims_commit_seconds", "Time to make claims durable, together.", commits)
