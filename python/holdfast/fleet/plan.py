"""What a run is to do, and how it is shared out over processes. The fields are those that `FleetRun` reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

DESCRIPTORS_KEPT = 500
"""What a process needs beside its connections."""
LEAVING_SHARE = 1.5
"""Connections that have said good-bye and wait for the hub to close, for each one that is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """What a device that was let in sends."""

    rate: float
    """Messages a second, of the whole crowd; 0: as many as `in_flight` lets."""
    messages: int
    """Messages of each connection; 0: no end."""
    in_flight: int
    qos: int
    payload_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Devices that do the same: `count` of them from number `first` on."""

    name: str
    first: int
    count: int
    misbehaviour: str | None = None
    tls: Literal["1.2", "1.3"] = "1.3"
    application: Literal["mqtt", "http"] = "mqtt"
    rounds: int = 1
    rate: float = 0.0
    """Connections begun a second; 0: as many as `concurrency` lets."""
    concurrency: int = 64
    stay: Literal["each", "all"] = "each"
    """Whether the time to stay begins with each device's own answer, or with the last one's."""
    stay_seconds: float | None = 0.0
    """`None` with "all": until the run is stopped."""
    publish: Publish | None = None
    keep_alive_seconds: int = 60
    clean_session: bool = False
    resume: bool = False
    """Whether they come back by the TLS 1.3 ticket that they were given."""

    @property
    def open_max(self) -> int:
        """Connections that it may have open at once."""
        if self.stay == "all":
            return self.count
        staying = self.stay_seconds or 0
        lively = self.rate * staying if self.rate else (self.concurrency if staying else 0)
        return min(self.count, int(self.concurrency * (1 + LEAVING_SHARE) + lively))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run: whom to dial, and the crowds that do."""

    address: str
    port: int
    server_name: str
    crowds: tuple[Crowd, ...]
    source_addresses: int = 64
    """How many addresses of 127.0.0.0/8 to dial from; 0 leaves the choice to the system."""
    patience_seconds: float = 20.0
    threads: int = 1

    def shares(self, processes: int) -> list[Plan]:
        """The same run in `processes` parts that do it together."""
        return [
            replace(self, crowds=tuple(_share(crowd, number, processes) for crowd in self.crowds))
            for number in range(processes)
        ]

    def processes_needed(self, descriptors: int) -> int:
        """How many processes of so many descriptors hold all connections."""
        room = max(descriptors - DESCRIPTORS_KEPT, 1)
        return max(1, -(-sum(crowd.open_max for crowd in self.crowds) // room))

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"crowds": [asdict(crowd) for crowd in self.crowds]}


def _share(crowd: Crowd, number: int, processes: int) -> Crowd:
    begins, ends = (crowd.count * edge // processes for edge in (number, number + 1))
    publish = crowd.publish and replace(crowd.publish, rate=crowd.publish.rate / processes)
    return replace(
        crowd,
        first=crowd.first + begins,
        count=ends - begins,
        rate=crowd.rate / processes,
        concurrency=max(1, -(-crowd.concurrency // processes)),
        publish=publish,
    )
