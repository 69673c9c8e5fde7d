"""How a backup of the inbox comes back: what the inbox of now knows of a device is newer.

A message comes back unless the inbox has numbered it already: then it waits here, or is done with, and not done twice.
Sessions come back of devices that have none; wills do not: their connections are gone for longer than any of them says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from holdfast.inbox.schema import messages, numbers, sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.inbox.database import Database


def merge(database: Database, backup: Database, *, at: int) -> int:
    """Bring `backup` back into `database`, in one transaction; answers how many messages have come back.

    Raises:
        ConfigurationError, ConflictError: those of both databases.
    """
    count = 0
    with database.writing() as transaction:
        last = {(row["tenant"], row["device_id"]): row["last"] for row in transaction.rows(select(numbers))}
        for rows in backup.portions(messages):
            fresh = [
                {name: value for name, value in row.items() if name != "id"}
                for row in rows
                if row["number"] > last.get((row["tenant"], row["device_id"]), 0)
            ]
            if fresh:
                count += transaction.change(upsert(messages).on_conflict_do_nothing(), fresh)
        put = upsert(numbers)
        higher = {"last": func.max(numbers.c.last, put.excluded.last)}
        put = put.on_conflict_do_update(index_elements=["tenant", "device_id"], set_=higher)
        for rows in backup.portions(numbers):
            transaction.change(put, rows)
        for rows in backup.portions(sessions):
            transaction.change(upsert(sessions).on_conflict_do_nothing(), [_disconnected(row, at) for row in rows])
    return count


def _disconnected(row: Mapping[str, Any], at: int) -> dict[str, Any]:
    """A session whose time runs from now on, if it was connected."""
    connected = row["ends_at"] is None and row["expiry_seconds"] is not None
    return {**row, "worker": None, "ends_at": at + row["expiry_seconds"] if connected else row["ends_at"]}
