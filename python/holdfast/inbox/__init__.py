"""What is kept for devices while they are away: their MQTT sessions, messages for them, and their wills."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.inbox.database import Database
from holdfast.inbox.messages import Messages
from holdfast.inbox.sessions import Sessions
from holdfast.inbox.wills import Wills

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """The inbox of one hub, as one tenant sees it."""

    database: Database
    sessions: Sessions
    messages: Messages
    wills: Wills


@contextmanager
def open_inbox(path: Path, *, hub: str, tenant: str, create: bool) -> Iterator[Inbox]:
    """Open the inbox at `path` for the length of a block; see `Database.open` for what can be wrong with it."""
    database = Database.open(path, hub=hub, create=create)
    try:
        yield Inbox(
            database=database,
            sessions=Sessions(database, tenant=tenant),
            messages=Messages(database, tenant=tenant),
            wills=Wills(tenant=tenant),
        )
    finally:
        database.close()
