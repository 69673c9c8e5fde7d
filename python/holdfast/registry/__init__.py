"""Tenants, CAs and devices: rules, storage, and what workers are told."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.registry.cas import Cas
from holdfast.registry.closures import Closures
from holdfast.registry.database import Database
from holdfast.registry.devices import Devices
from holdfast.registry.record import Record
from holdfast.registry.successions import Successions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """The registry of one hub, as one tenant sees it."""

    database: Database
    cas: Cas
    closures: Closures
    devices: Devices
    successions: Successions
    record: Record


@contextmanager
def open_registry(path: Path, *, hub: str, tenant: str, at: datetime, create: bool) -> Iterator[Registry]:
    """Open the registry at `path` for the length of a block; see `Database.open` for what can be wrong with it."""
    database = Database.open(path, hub=hub, at=int(at.timestamp()), create=create)
    try:
        closures = Closures(database, tenant=tenant)
        yield Registry(
            database=database,
            cas=Cas(database, closures, hub=hub, tenant=tenant),
            closures=closures,
            devices=Devices(database, closures, tenant=tenant),
            successions=Successions(database, closures, tenant=tenant),
            record=Record(database, tenant=tenant),
        )
    finally:
        database.close()
