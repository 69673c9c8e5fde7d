"""Crowds at work beside a bench: devices that come, stay and leave in processes of their own, watched meanwhile."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support import fleets, servers

from holdfast.fleet.plan import Crowd, Plan
from holdfast.fleet.processes import Processes
from holdfast.fleet.report import outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.fleet.papers import Fleet


def fleet_of(directory: Path, prefix: str, count: int) -> Fleet:
    return fleets.fleet_of(
        directory,
        prefix,
        count,
        names=[f"Root of {prefix}", f"Factory of {prefix}", f"Technician of {prefix}"],
    )


class Run:
    """Crowds at work in the background: what they have done so far, and in the end."""

    def __init__(
        self, server: servers.Server, fleet: Fleet, *crowds: Crowd, patience: float = 20.0, every: float = 0.1
    ) -> None:
        plan = Plan(
            address=server.address,
            port=servers.PORT,
            server_name=server.address,
            crowds=crowds,
            patience_seconds=patience,
            source_addresses=256,
        )
        self._processes = Processes(plan, fleet.devices_file, issuer_key=fleet.issuer_key(), processes=1)
        self.merged: dict[str, Any] = {}
        self._every = every
        self._called_off = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        for merged in self._processes.watch(self._every):
            self.merged = merged
            if self._called_off.is_set():
                self._processes.stop()

    def crowd(self, number: int = 0) -> dict[str, Any]:
        crowds = self.merged.get("crowds")
        return crowds[number] if crowds else {}

    def join(self) -> dict[str, Any]:
        self._thread.join()
        return self.crowd()

    def stop(self) -> dict[str, Any]:
        self._called_off.set()
        self._thread.join()
        self.merged = self._processes.last()
        return self.crowd()

    def end(self) -> None:
        self._processes.__exit__()


@contextmanager
def running(server: servers.Server, fleet: Fleet, *crowds: Crowd, **odd: float) -> Iterator[Run]:
    run = Run(server, fleet, *crowds, **odd)
    try:
        yield run
    finally:
        run.end()


def held(name: str, count: int, *, concurrency: int = 64, **odd: Any) -> Crowd:
    """Devices that connect and stay."""
    return Crowd(name=name, first=0, count=count, stay="all", stay_seconds=None, concurrency=concurrency, **odd)


def is_open(run: Run, count: int) -> bool:
    return bool(run.crowd()) and run.crowd()["open_max"] >= count


def everybody(server: servers.Server, fleet: Fleet, crowd: Crowd) -> float:
    """All of the crowd connects, once; how many a second that were."""
    with running(server, fleet, crowd) as run:
        figures = run.join()
    assert outcomes(figures) == {"connected": crowd.count}
    return crowd.count / (figures["rounds"][0]["elapsed_us"] / 1e6)
