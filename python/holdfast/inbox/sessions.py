"""MQTT sessions that outlive their connections: what a device has subscribed to, and until when that holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from holdfast.database import ROWS_AT_ONCE
from holdfast.inbox.schema import sessions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from holdfast.database import Transaction
    from holdfast.inbox.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What is kept of one device's session."""

    inbox_qos: int | None
    """Of its subscription to its inbox; `None`: it has none."""
    expiry_seconds: int | None
    """How long it outlives a connection; `None`: for ever."""
    ends_at: int | None
    """`None` while its device is connected, or when nothing ends it."""


class Sessions:
    """The sessions of `tenant`."""

    def __init__(self, database: Database, *, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    def keep(self, transaction: Transaction, rows: Sequence[tuple[str, Session | None]], *, worker: int) -> None:
        """Keep what `worker` says of sessions, in its order; `None`: nothing is kept any more."""
        latest = dict(rows)
        gone = [{"of": device_id} for device_id, session in latest.items() if session is None]
        if gone:
            mine = (sessions.c.tenant == self._tenant) & (sessions.c.device_id == bindparam("of"))
            transaction.change(delete(sessions).where(mine), gone)
        kept = [
            {
                "tenant": self._tenant,
                "device_id": device_id,
                "inbox_qos": session.inbox_qos,
                "expiry_seconds": session.expiry_seconds,
                "ends_at": session.ends_at,
                # Of a session that nothing ends it does not matter who has the connection: its row need not change.
                "worker": None if session.expiry_seconds is None or session.ends_at is not None else worker,
            }
            for device_id, session in latest.items()
            if session is not None
        ]
        if kept:
            insert = upsert(sessions)
            changed = {name: insert.excluded[name] for name in ("inbox_qos", "expiry_seconds", "ends_at", "worker")}
            transaction.change(insert.on_conflict_do_update(index_elements=["tenant", "device_id"], set_=changed), kept)

    def disconnect(
        self, transaction: Transaction, *, worker: int | None, at: int, after: str, count_max: int
    ) -> list[tuple[str, Session]]:
        """The connections of `worker` (`None`: of all) are gone: the time of their sessions runs from now on.

        Those of devices behind `after`, so many at the most. Answers them in order: other workers believe them to go
        on.
        """
        connected = (sessions.c.tenant == self._tenant) & sessions.c.worker.is_not(None)
        if worker is not None:
            connected &= sessions.c.worker == worker
        rows = transaction.rows(
            select(sessions)
            .where(connected, sessions.c.device_id > after)
            .order_by(sessions.c.device_id)
            .limit(count_max)
        )
        if rows:
            mine = (sessions.c.tenant == self._tenant) & (sessions.c.device_id == bindparam("of"))
            ending = update(sessions).where(mine).values(ends_at=at + sessions.c.expiry_seconds, worker=None)
            transaction.change(ending, [{"of": row["device_id"]} for row in rows])
        return [(row["device_id"], _session({**row, "ends_at": at + row["expiry_seconds"]})) for row in rows]

    def purge(self, transaction: Transaction, *, at: int, count_max: int) -> int:
        """Forget sessions that have ended, so many at the most; answers how many."""
        ended = (sessions.c.tenant == self._tenant) & (sessions.c.ends_at <= at)
        some = sessions.c.device_id.in_(select(sessions.c.device_id).where(ended).limit(count_max))
        return transaction.change(delete(sessions).where(sessions.c.tenant == self._tenant, some))

    def find(self, device_id: str, *, at: int) -> Session | None:
        """The session of `device_id`, unless it has ended."""
        found = self._database.rows(self._living(at).where(sessions.c.device_id == device_id))
        return _session(found[0]) if found else None

    def all(self, *, at: int) -> Iterator[list[tuple[str, Session]]]:
        """Those that have not ended, in portions."""
        after = ""
        while True:
            statement = self._living(at).where(sessions.c.device_id > after).order_by(sessions.c.device_id)
            rows = self._database.tuples(statement.limit(ROWS_AT_ONCE))
            if not rows:
                return
            after = rows[-1].device_id
            yield [
                (name, Session(inbox_qos=qos, expiry_seconds=expiry, ends_at=ends)) for name, qos, expiry, ends in rows
            ]

    def _living(self, at: int) -> Any:  # noqa: ANN401 (SQLAlchemy's Select is generic in a way that mypy cannot follow here)
        columns = (sessions.c[name] for name in ("device_id", *Session.__slots__))
        return select(*columns).where(
            sessions.c.tenant == self._tenant, or_(sessions.c.ends_at.is_(None), sessions.c.ends_at > at)
        )


def _session(row: Mapping[str, Any]) -> Session:
    return Session(**{name: row[name] for name in Session.__slots__})
