"""The registry's file, whose transactions never lack their act."""

from __future__ import annotations

import json
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from holdfast import database
from holdfast.database import Codes, Kind
from holdfast.errors import ConflictError, RegistrationError
from holdfast.registry.schema import acts, cas, deployment, tenants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Delete, Insert, Table, Update

KIND = Kind(
    name="registry",
    application_id=0x48467267,  # the letters `HFrg`
    revision="0002",
    migrations=Path(__file__).parent / "migrations",
    codes=Codes(
        missing="no_registry",
        foreign="not_a_registry",
        newer="registry_newer",
        failed="registry_failed",
        busy="registry_busy",
    ),
    made_by="`holdfast ca add` and `holdfast serve`",
)


class Database(database.Database):
    """One connection to the registry. Not for several threads."""

    @classmethod
    def open(cls, path: Path, *, hub: str, at: int, create: bool) -> Database:
        """Open the registry of `hub` at `path`, migrating it; make it where there is none and `create` is set.

        Raises:
            ConfigurationError: `no_registry`, `not_a_registry`, `registry_newer`, `other_deployment`,
                `registry_failed`.
            ConflictError: `registry_busy`.
        """

        def fill(connection: Connection) -> None:
            row = {"id": secrets.token_hex(16), "hub": hub, "created_at": at, "clock_floor": at}
            connection.execute(insert(deployment).values(row))

        return cls.opened(KIND, path, hub=hub, create=create, fill=fill)

    @contextmanager
    def writing(self, *, at: int) -> Iterator[Transaction]:
        """One transaction: committed and durable at the end of the block, or undone by whatever the block raises."""
        with self._writing():
            transaction = Transaction(self._connection, at)
            yield transaction
            transaction.finish()

    def check_tenant(self, tenant: str) -> None:
        """Refuse a tenant that is not there, where others have CAs; where there are none, none has anything to show.

        Raises:
            RegistrationError: `unknown_tenant`.
        """
        if tenant not in _tenants(self) and (known := self.tenants_with_cas()):
            _check_tenant(tenant, known)

    def tenants_with_cas(self) -> Sequence[str]:
        """Those that somebody could be let in by; a name that was mistyped once stays a tenant, and has none."""
        return [row["tenant"] for row in self.rows(select(cas.c.tenant).distinct().order_by(cas.c.tenant))]

    def clock_floor(self) -> int:
        """The highest time that the registry has seen."""
        return int(self.rows(select(deployment.c.clock_floor))[0]["clock_floor"])


class Transaction(database.Transaction):
    """What may be done between BEGIN and COMMIT. A change without its act cannot be committed (I10)."""

    def __init__(self, connection: Connection, at: int) -> None:
        super().__init__(connection)
        self.at = at
        self._changed = False
        self._recorded = False

    def change(self, statement: Insert | Update | Delete, values: Sequence[Mapping[str, Any]] | None = None) -> int:
        """Run a change; answers how many rows it touched."""
        touched = super().change(statement, values)
        self._changed |= touched > 0
        return touched

    def insert_all(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert many rows with one statement."""
        if rows:
            self._connection.execute(insert(table), rows)
            self._changed = True

    def act(self, tenant: str, actor: str, action: str, subject: str, **details: object) -> int:
        """Record what was changed; answers the act's number."""
        (number,) = self.acts(tenant, actor, action, [(subject, details)])
        return number

    def acts(
        self, tenant: str, actor: str, action: str, subjects: Sequence[tuple[str, Mapping[str, object]]]
    ) -> Sequence[int]:
        """Record the same of many (subject, details); answers the numbers of the acts, in order."""
        if not subjects:
            return []
        rows = [
            {
                "tenant": tenant,
                "at": self.at,
                "actor": actor,
                "action": action,
                "subject": subject,
                "details": json.dumps(details, sort_keys=True, separators=(",", ":")),
            }
            for subject, details in subjects
        ]
        numbered = insert(acts).returning(acts.c.seq, sort_by_parameter_order=True)
        self._recorded = True
        return self._connection.execute(numbered, rows).scalars().all()

    def make_tenant(self, tenant: str, actor: str) -> None:
        """Make the tenant where there is none of that name."""
        made = upsert(tenants).values(tenant=tenant, epoch=1).on_conflict_do_nothing()
        if self.change(made):
            self.act(tenant, actor, "tenant.created", tenant)

    def check_tenant(self, tenant: str) -> None:
        """Refuse a tenant that is not there: whoever adds a CA makes one, and a word that was mistyped makes none.

        Raises:
            RegistrationError: `unknown_tenant`.
        """
        _check_tenant(tenant, _tenants(self))

    def raise_epoch(self, tenant: str) -> None:
        """Somebody who was admitted might no longer be."""
        self.change(update(tenants).where(tenants.c.tenant == tenant).values(epoch=tenants.c.epoch + 1))

    def epoch(self, tenant: str) -> int:
        """The tenant's epoch, as this transaction leaves it."""
        (row,) = self.rows(select(tenants.c.epoch).where(tenants.c.tenant == tenant))
        return int(row["epoch"])

    def become(self, **row: object) -> None:
        """Take over whose registry this is, from a backup. It says nothing about anybody: there is no act for it."""
        self._connection.execute(update(deployment).values(row))

    def raise_clock_floor(self) -> None:
        """Remember that this time was seen. It says nothing about anybody: there is no act for it."""
        later = deployment.c.clock_floor < self.at
        self._connection.execute(update(deployment).where(later).values(clock_floor=self.at))

    def seconds_behind(self) -> int:
        """How far this time lies before the latest that the registry has seen: above 0, expired things could revive."""
        (row,) = self.rows(select(deployment.c.clock_floor))
        return int(row["clock_floor"]) - self.at

    def check_clock(self) -> None:
        """Refuse what a clock that was turned back could revive (trust.md §5.3).

        Raises:
            ConflictError: `clock_behind`.
        """
        if (behind := self.seconds_behind()) > 0:
            message = f"the clock is {behind} s behind the latest time that the registry has seen"
            raise ConflictError("clock_behind", message, hint="Set the system's clock")

    def finish(self) -> None:
        """Check that what was changed was recorded."""
        if self._changed and not self._recorded:
            message = "a change without its act"
            raise RuntimeError(message)
        self.raise_clock_floor()


def _tenants(source: Database | Transaction) -> Sequence[str]:
    return [row["tenant"] for row in source.rows(select(tenants.c.tenant).order_by(tenants.c.tenant))]


def _check_tenant(tenant: str, known: Sequence[str]) -> None:
    if tenant not in known:
        hint = f"There is {', '.join(known)}" if known else "`holdfast ca add` makes it"
        raise RegistrationError("unknown_tenant", f"there is no tenant '{tenant}'", hint=hint)
