"""Wills of devices that are connected, and of those that are gone and may still come back in time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, exists, func, select, true, update
from sqlalchemy.dialects.sqlite import insert as upsert

from holdfast.inbox.schema import sessions, wills

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement

    from holdfast.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """A will, with all that decides whether it may still be published.

    Properties are JSON objects of texts and nulls.
    """

    delay_seconds: int
    due_at: int | None
    """`None` while its device is connected."""
    anchor: bytes
    """SHA-256 of the anchor under which its device was let in."""
    vouchers: bytes
    """SHA-256 of each certificate and each key on that path, one after another."""
    not_after: int
    """When that path ends."""
    expires_in_seconds: int | None
    system_properties: str
    properties: str
    payload: bytes


class Wills:
    """The wills of the devices of `tenant`."""

    def __init__(self, *, tenant: str) -> None:
        self._tenant = tenant

    def keep(self, transaction: Transaction, rows: Sequence[tuple[str, Will | None]], *, worker: int) -> None:
        """Keep what `worker` says of wills, in its order; `None`: the will is published, or never will be.

        Of a device that is with another worker by now it says nothing: that one has put its own in the place.
        """
        latest = dict(rows)
        gone = [device_id for device_id, will in latest.items() if will is None]
        self._forget(transaction, gone, wills.c.worker == worker)
        kept = [
            {"tenant": self._tenant, "device_id": device_id, "worker": worker, **asdict(will)}
            for device_id, will in latest.items()
            if will is not None
        ]
        if kept:
            insert = upsert(wills)
            changed = {name: insert.excluded[name] for name in ("worker", *Will.__slots__)}
            put = insert.on_conflict_do_update(
                index_elements=["tenant", "device_id"],
                set_=changed,
                # A connection that is gone says nothing of one that is there.
                where=insert.excluded.due_at.is_(None) | wills.c.worker.is_(None) | (wills.c.worker == worker),
            )
            transaction.change(put, kept)

    def disown(self, transaction: Transaction, devices: Sequence[str]) -> None:
        """Whoever has left wills as these devices is the device no more."""
        self._forget(transaction, devices, true())

    def disconnect(self, transaction: Transaction, *, worker: int | None, at: int) -> None:
        """The connections of `worker` (`None`: of all) are gone: their wills wait for somebody to publish them."""
        theirs = (wills.c.tenant == self._tenant) & wills.c.worker.is_not(None)
        if worker is not None:
            theirs &= wills.c.worker == worker
        due_at = func.coalesce(wills.c.due_at, at + wills.c.delay_seconds)
        transaction.change(update(wills).where(theirs).values(due_at=due_at, worker=None))

    def adopt(self, transaction: Transaction, *, worker: int) -> list[tuple[str, Will]]:
        """Those that wait for somebody; `worker` is to publish them from here on.

        One with a delay is moot where its device is back already, with another worker.
        """
        waiting = (wills.c.tenant == self._tenant) & wills.c.worker.is_(None)
        of_it = (sessions.c.tenant == wills.c.tenant) & (sessions.c.device_id == wills.c.device_id)
        back = exists().where(of_it, sessions.c.worker.is_not(None))
        transaction.change(delete(wills).where(waiting, wills.c.delay_seconds > 0, back))
        rows = transaction.rows(select(wills).where(waiting).order_by(wills.c.device_id))
        transaction.change(update(wills).where(waiting).values(worker=worker))
        return [(row["device_id"], Will(**{name: row[name] for name in Will.__slots__})) for row in rows]

    def _forget(self, transaction: Transaction, devices: Sequence[str], where: ColumnElement[bool]) -> None:
        if devices:
            of_it = (wills.c.tenant == self._tenant) & (wills.c.device_id == bindparam("of"))
            transaction.change(delete(wills).where(of_it, where), [{"of": device_id} for device_id in devices])
