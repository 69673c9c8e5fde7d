"""Wills of devices that are connected, and of those that are gone and may still come back in time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, exists, func, select, true, update
from sqlalchemy.dialects.sqlite import insert as upsert

from holdfast.inbox.schema import sessions, wills

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement

    from holdfast.database import Transaction

ADOPTED_BYTES_MAX = 4 * 1024 * 1024
"""Of payloads that one worker is given at once."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a worker has said of a device's will lately."""

    will: Will | None
    """`None`: it is published, or never will be."""
    claims: bool
    """Whether that is of a connection that was not spoken of before: it takes the place of whatever is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What a worker gets of what nobody has."""

    wills: list[tuple[str, Will]]
    more: bool
    """Whether there may be others."""


class Wills:
    """The wills of the devices of `tenant`."""

    def __init__(self, *, tenant: str) -> None:
        self._tenant = tenant

    def keep(
        self, transaction: Transaction, rows: Sequence[tuple[str, Word]], *, worker: int
    ) -> list[tuple[str, Will]]:
        """Keep what `worker` says of wills, one word of each device.

        Of a device that is with another worker by now it says nothing: that one has put its own in the place. Answers
        what was due at once, and had nobody to publish it, before its device was back: it is the speaker's now.
        """
        claimed = [device_id for device_id, word in rows if word.claims]
        left = self._left(transaction, claimed)
        gone = [device_id for device_id, word in rows if word.will is None]
        self._forget(transaction, gone, wills.c.worker == worker)
        self._forget(transaction, [device_id for device_id in gone if device_id in claimed], true())
        for claims in (True, False):
            kept = [
                {"tenant": self._tenant, "device_id": device_id, "worker": worker, **asdict(word.will)}
                for device_id, word in rows
                if word.will is not None and word.claims == claims
            ]
            if kept:
                insert = upsert(wills)
                put = insert.on_conflict_do_update(
                    index_elements=["tenant", "device_id"],
                    set_={name: insert.excluded[name] for name in ("worker", *Will.__slots__)},
                    # A connection that is gone says nothing of one that is there.
                    where=None if claims else wills.c.worker.is_(None) | (wills.c.worker == worker),
                )
                transaction.change(put, kept)
        return left

    def disown(self, transaction: Transaction, devices: Sequence[str]) -> None:
        """Whoever has left wills as these devices is the device no more."""
        self._forget(transaction, devices, true())

    def disconnect(self, transaction: Transaction, *, worker: int | None, at: int, count_max: int) -> bool:
        """The connections of `worker` (`None`: of all) are gone: their wills wait for somebody to publish them.

        So many at the most; answers whether those were all.
        """
        theirs = (wills.c.tenant == self._tenant) & wills.c.worker.is_not(None)
        if worker is not None:
            theirs &= wills.c.worker == worker
        some = wills.c.device_id.in_(select(wills.c.device_id).where(theirs).limit(count_max))
        due_at = func.coalesce(wills.c.due_at, at + wills.c.delay_seconds)
        ending = update(wills).where(wills.c.tenant == self._tenant, some)
        return transaction.change(ending.values(due_at=due_at, worker=None)) < count_max

    def adopt(self, transaction: Transaction, *, worker: int, count_max: int) -> Adopted:
        """Those that wait for somebody, so many at the most; `worker` is to publish them from here on.

        One with a delay is moot where its device is back already, with another worker.
        """
        of_it = (sessions.c.tenant == wills.c.tenant) & (sessions.c.device_id == wills.c.device_id)
        back = exists().where(of_it, sessions.c.worker.is_not(None)).label("back")
        waiting = (wills.c.tenant == self._tenant) & wills.c.worker.is_(None)
        found = transaction.rows(select(wills, back).where(waiting).limit(count_max))
        moot = [row["device_id"] for row in found if row["back"] and row["delay_seconds"] > 0]
        self._forget(transaction, moot, true())
        rows = [row for row in found if not row["back"] or row["delay_seconds"] == 0]
        taken: list[Mapping[str, Any]] = []
        size = 0
        for row in rows:
            size += len(row["payload"])
            if taken and size > ADOPTED_BYTES_MAX:
                break
            taken.append(row)
        if taken:
            one = (wills.c.tenant == self._tenant) & (wills.c.device_id == bindparam("of"))
            adopted = update(wills).where(one).values(worker=worker)
            transaction.change(adopted, [{"of": row["device_id"]} for row in taken])
        return Adopted(
            wills=[(row["device_id"], _will(row)) for row in taken],
            more=len(found) == count_max or len(taken) < len(rows),
        )

    def _left(self, transaction: Transaction, devices: Sequence[str]) -> list[tuple[str, Will]]:
        if not devices:
            return []
        theirs = (wills.c.tenant == self._tenant) & wills.c.device_id.in_(devices)
        due = wills.c.worker.is_(None) & (wills.c.delay_seconds == 0)
        return [(row["device_id"], _will(row)) for row in transaction.rows(select(wills).where(theirs, due))]

    def _forget(self, transaction: Transaction, devices: Sequence[str], where: ColumnElement[bool]) -> None:
        if devices:
            of_it = (wills.c.tenant == self._tenant) & (wills.c.device_id == bindparam("of"))
            transaction.change(delete(wills).where(of_it, where), [{"of": device_id} for device_id in devices])


def _will(row: Mapping[str, Any]) -> Will:
    return Will(**{name: row[name] for name in Will.__slots__})
