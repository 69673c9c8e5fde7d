"""The registry's file: opened only if it is ours, migrated, written in short transactions that never lack their act.

A writer takes the database's one write lock at BEGIN (never read-then-write), waits for another writer at most
`LOCK_SECONDS_MAX`, and is durable on return: WAL with synchronous=FULL survives kill and power loss (I9).
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, insert, select, update
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import StaticPool

from holdfast.errors import ConfigurationError, ConflictError
from holdfast.registry.schema import acts, deployment, tenants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, CursorResult, Delete, Engine, Insert, RootTransaction, Select, Table, Update

APPLICATION_ID = 0x48467267
"""`PRAGMA application_id`: the letters `HFrg`."""
REVISION = "0001"
"""The schema that this version writes; the newest file of `migrations/versions`."""
LOCK_SECONDS_MAX = 5


class Database:
    """One connection to the registry. Not for several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection = engine.connect()

    @classmethod
    def open(cls, path: Path, *, hub: str, at: int, create: bool) -> Database:
        """Open the registry of `hub` at `path`, migrating it; make it where there is none and `create` is set.

        Raises:
            ConfigurationError: `no_registry`, `not_a_registry`, `registry_newer`, `other_deployment`,
                `registry_failed`.
            ConflictError: `registry_busy`.
        """
        fresh = not path.exists() or path.stat().st_size == 0
        if fresh and not create:
            message = f"there is no registry at {path}"
            raise ConfigurationError("no_registry", message, hint="`holdfast ca add` and `holdfast serve` make one")
        with _explained(path):
            if fresh:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its side files the same mode
            else:
                _check_ours(path)
            database = cls(_engine(path))
            try:
                database._migrate(hub, at)
                database._check_hub(path, hub)
            except BaseException:
                database.close()
                raise
            return database

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()
        self._engine.dispose()

    def rows(self, statement: Select[Any]) -> list[Mapping[str, Any]]:
        """What is committed now."""
        with _explained(), self._begin("DEFERRED"):
            return [dict(row) for row in self._connection.execute(statement).mappings()]

    @contextmanager
    def writing(self, *, at: int) -> Iterator[Transaction]:
        """One transaction: committed and durable at the end of the block, or undone by whatever the block raises."""
        with _explained(), self._begin("IMMEDIATE"):
            transaction = Transaction(self._connection, at)
            yield transaction
            transaction.finish()

    def data_version(self) -> int:
        """A number that is another one after another process has committed. Costs microseconds."""
        with _explained(), self._begin("DEFERRED"):
            version: int = self._connection.exec_driver_sql("PRAGMA data_version").scalar_one()
            return version

    def clock_floor(self) -> int:
        """The highest time that the registry has seen."""
        return int(self.rows(select(deployment.c.clock_floor))[0]["clock_floor"])

    def _begin(self, kind: str) -> RootTransaction:
        return self._connection.execution_options(holdfast_begin=kind).begin()

    def _migrate(self, hub: str, at: int) -> None:
        with self._begin("DEFERRED"):
            if self._revision() == REVISION:
                return
        # Loaded only here: alembic takes longer to import than most commands take to run.
        from alembic import command
        from alembic.config import Config
        from alembic.util.exc import CommandError

        with self._begin("IMMEDIATE"):
            fresh = self._revision() is None
            config = Config(attributes={"connection": self._connection})
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
            try:
                command.upgrade(config, REVISION)
            except CommandError as error:  # a revision that no file here knows
                message = f"the registry has schema {self._revision()}, this version knows {REVISION}"
                raise ConfigurationError("registry_newer", message) from error
            if fresh:
                self._connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
                row = {"id": secrets.token_hex(16), "hub": hub, "created_at": at, "clock_floor": at}
                self._connection.execute(insert(deployment).values(row))

    def _revision(self) -> str | None:
        found = "SELECT count(*) FROM sqlite_schema WHERE name = 'alembic_version'"
        if not self._connection.exec_driver_sql(found).scalar_one():
            return None
        revision: str | None = self._connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return revision

    def _check_hub(self, path: Path, hub: str) -> None:
        (row,) = self.rows(select(deployment.c.hub))
        if row["hub"] != hub:
            message = f"{path} is the registry of the hub '{row['hub']}', not of '{hub}'"
            raise ConfigurationError("other_deployment", message)


class Transaction:
    """What may be done between BEGIN and COMMIT. A change without its act cannot be committed (I10)."""

    def __init__(self, connection: Connection, at: int) -> None:
        self._connection = connection
        self.at = at
        self._changed = False
        self._recorded = False

    def rows(self, statement: Select[Any]) -> list[Mapping[str, Any]]:
        """What is there, this transaction's own changes included."""
        return [dict(row) for row in self._connection.execute(statement).mappings()]

    def change(self, statement: Insert | Update | Delete) -> int:
        """Run a change; answers how many rows it touched."""
        result: CursorResult[Any] = self._connection.execute(statement)
        self._changed |= result.rowcount > 0
        return result.rowcount

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

    def raise_epoch(self, tenant: str) -> None:
        """Somebody who was admitted might no longer be."""
        self.change(update(tenants).where(tenants.c.tenant == tenant).values(epoch=tenants.c.epoch + 1))

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


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        # Transactions are begun below, in words of our own: the driver's guesses would take the write lock too late.
        connect_args={"timeout": LOCK_SECONDS_MAX, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options()['holdfast_begin']}")

    return engine


def _check_ours(path: Path) -> None:
    """Look into a file that is there without changing a byte of it."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS_MAX)
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    finally:
        connection.close()
    # A database without anything in it is one that another process of ours is making at this moment.
    if application_id != APPLICATION_ID and (application_id, tables) != (0, 0):
        message = f"{path} is a database of another program"
        raise ConfigurationError("not_a_registry", message)


@contextmanager
def _explained(path: Path | None = None) -> Iterator[None]:
    """Turn what the driver says into our words. `path` is named where the file itself may be at fault."""
    where = f"{path}: " if path else ""
    try:
        yield
    except (sqlite3.DatabaseError, DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        name = getattr(cause, "sqlite_errorname", "")
        if name.startswith("SQLITE_BUSY") and isinstance(error, OperationalError | sqlite3.OperationalError):
            message = f"{where}another process has held the registry for {LOCK_SECONDS_MAX} s"
            raise ConflictError("registry_busy", message) from error
        if name == "SQLITE_NOTADB":
            message = f"{where}not a database"
            raise ConfigurationError("not_a_registry", message) from error
        message = f"{where}the registry failed: {cause}"
        raise ConfigurationError("registry_failed", message) from error
    except OSError as error:
        message = f"{where}{error.strerror or error}"
        raise ConfigurationError("registry_failed", message) from error
