"""A database file of ours: opened only if it is ours, migrated, written in short transactions.

A writer takes the database's one write lock at BEGIN (never read-then-write), waits for another writer at most
`LOCK_SECONDS_MAX` (`wait_at_most` for less), and is durable on return: WAL with synchronous=FULL survives kill and
power loss (I9).
"""

from __future__ import annotations

import os
import sqlite3
import struct
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import create_engine, event, literal, select, tuple_
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import StaticPool

from holdfast.errors import ConfigurationError, ConflictError
from holdfast.files import make_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from sqlalchemy import Connection, CursorResult, Delete, Engine, Executable, Insert, RootTransaction, Table, Update

LOCK_SECONDS_MAX = 5
ROWS_AT_ONCE = 10_000
"""What one answer of a database, or one message of rows to a worker, holds at the most."""
JOURNAL_HEAD = struct.Struct(">8s8xI")
"""Of a rollback journal: the magic, and how many pages the database had before (SQLite's file format, §3)."""
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """What the errors of one kind of file are called."""

    missing: str
    foreign: str
    newer: str
    failed: str
    busy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of file."""

    name: str
    """What people call it: `registry`."""
    application_id: int
    """`PRAGMA application_id`, by which a file is known as ours."""
    revision: str
    """The schema that this version writes: the newest file of `migrations/versions`."""
    migrations: Path
    codes: Codes
    made_by: str
    """Commands that make one where there is none, for whoever looks for it in vain."""

    def missing(self, path: Path) -> ConfigurationError:
        """There is none at `path`."""
        message = f"there is no {self.name} at {path}"
        return ConfigurationError(self.codes.missing, message, hint=f"{self.made_by} make one")

    def newer(self, revision: str | None) -> ConfigurationError:
        """One has a schema that no migration here leads on from."""
        message = f"the {self.name} has schema {revision}, this version knows {self.revision}"
        return ConfigurationError(self.codes.newer, message)

    def check_known(self, revision: str) -> None:
        """Raise `newer` where there is no migration to this schema."""
        if revision not in {path.stem.partition("_")[0] for path in (self.migrations / "versions").glob("*.py")}:
            raise self.newer(revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a file is found to be."""

    revision: str | None
    """Its schema; `None`: nothing is in it yet."""
    faults: Sequence[str]
    """What is damaged in it, in SQLite's words."""


class Database:
    """One connection to a file. Not for several threads."""

    def __init__(self, kind: Kind, path: Path) -> None:
        self._kind = kind
        self._path = path
        self._broken = False
        self._engine = _engine(path)
        self._connection = self._engine.connect()

    @classmethod
    def opened(cls, kind: Kind, path: Path, *, hub: str, create: bool, fill: Callable[[Connection], None]) -> Self:
        """Open the file of `hub` at `path`, migrating it; make it where there is none and `create` is set.

        `fill` writes the rows that every file of its kind has; one of them stands in `deployment`, and names the hub.

        Raises:
            ConfigurationError: all codes of the kind but `busy`.
            ConflictError: its `busy`.
        """
        with explained(kind, path):
            fresh = not path.exists() or path.stat().st_size == 0
            if fresh and not create:
                raise kind.missing(path)
            if fresh:
                make_directory(path.parent)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its side files the same mode
            else:
                _check_ours(kind, path)
            database = cls(kind, path)
            try:
                database._migrate(fill)
                database._check_hub(hub)
            except BaseException:
                database.close()
                raise
            return database

    @property
    def broken(self) -> bool:
        """Whether a write has met an input or output error: nothing more is read or written through this."""
        return self._broken

    def wait_at_most(self, seconds: float) -> None:
        """Wait no longer than this for another writer: whoever asks has others to serve meanwhile."""
        with explained(self._kind), self._begin("DEFERRED"):
            self._connection.exec_driver_sql(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()
        self._engine.dispose()

    def rows(self, statement: Executable) -> list[Mapping[str, Any]]:
        """What is committed now."""
        with explained(self._kind), self._begin("DEFERRED"):
            return [dict(row) for row in self._connection.execute(statement).mappings()]

    def tuples(self, statement: Executable) -> Sequence[Any]:
        """The same at a third of the cost, where a million rows are read."""
        with explained(self._kind), self._begin("DEFERRED"):
            return self._connection.execute(statement).all()

    def portions(self, table: Table) -> Iterator[list[Mapping[str, Any]]]:
        """All rows of `table` in the order of its primary key, some thousands at a time."""
        keys = list(table.primary_key)
        statement = select(table).order_by(*keys).limit(ROWS_AT_ONCE)
        rows = self.rows(statement)
        while rows:
            yield rows
            after = tuple_(*(literal(rows[-1][key.name], key.type) for key in keys))
            rows = self.rows(statement.where(tuple_(*keys) > after))

    def data_version(self) -> int:
        """A number that is another one after another process has committed. Costs microseconds."""
        self._check_sound()
        # Not through SQLAlchemy, which takes most of a millisecond: an idle hub does little else.
        driver = cast("sqlite3.Connection", self._connection.connection.driver_connection)
        with explained(self._kind):
            (version,) = driver.execute("PRAGMA data_version").fetchone()
            return int(version)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction of changes; after an input or output error it was the last.

        A sync that failed once may have lost what it was asked to keep, and one that succeeds later says nothing about
        that (G03).
        """
        with explained(self._kind):
            try:
                with self._begin("IMMEDIATE"):
                    yield
            except DatabaseError as error:
                self._broken |= getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_IOERR")
                raise

    def _check_sound(self) -> None:
        if self._broken:
            message = f"the {self._kind.name} met an input or output error: it is used no more by this process"
            raise ConfigurationError(self._kind.codes.failed, message)

    def _begin(self, kind: str) -> RootTransaction:
        self._check_sound()
        return self._connection.execution_options(holdfast_begin=kind).begin()

    def _migrate(self, fill: Callable[[Connection], None]) -> None:
        kind = self._kind
        with self._begin("DEFERRED"):
            if self._revision() == kind.revision:
                return
        # Loaded only here: alembic takes longer to import than most commands take to run.
        from alembic import command
        from alembic.config import Config
        from alembic.util.exc import CommandError

        with self._begin("IMMEDIATE"):
            fresh = self._revision() is None
            config = Config(attributes={"connection": self._connection})
            config.set_main_option("script_location", str(kind.migrations).replace("%", "%%"))
            try:
                command.upgrade(config, kind.revision)
            except CommandError as error:  # a revision that no file here knows
                raise kind.newer(self._revision()) from error
            if fresh:
                self._connection.exec_driver_sql(f"PRAGMA application_id = {kind.application_id}")
                fill(self._connection)

    def _revision(self) -> str | None:
        found = "SELECT count(*) FROM sqlite_schema WHERE name = 'alembic_version'"
        if not self._connection.exec_driver_sql(found).scalar_one():
            return None
        revision: str | None = self._connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return revision

    def _check_hub(self, hub: str) -> None:
        with self._begin("DEFERRED"):
            found = self._connection.exec_driver_sql("SELECT hub FROM deployment").scalar_one()
        _check_hub(self._kind, self._path, found, hub)


class Transaction:
    """What may be done between BEGIN and COMMIT."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, statement: Executable) -> list[Mapping[str, Any]]:
        """What is there, this transaction's own changes included."""
        return [dict(row) for row in self._connection.execute(statement).mappings()]

    def change(self, statement: Insert | Update | Delete, values: Sequence[Mapping[str, Any]] | None = None) -> int:
        """Run a change, once for each of `values` where there are some; answers how many rows it touched."""
        result: CursorResult[Any] = self._connection.execute(statement, values)
        return result.rowcount


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


def _check_hub(kind: Kind, path: Path, found: str, hub: str) -> None:
    if found != hub:
        message = f"{path} is the {kind.name} of the hub '{found}', not of '{hub}'"
        raise ConfigurationError("other_deployment", message)


def _check_ours(kind: Kind, path: Path) -> None:
    """Look into a file that is there without changing a byte of it."""
    with reading(path) as connection:
        try:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as error:
            # Somebody was killed while they made it; who may write undoes what they began.
            if error.sqlite_errorname != "SQLITE_READONLY_ROLLBACK" or not _was_empty(path):
                raise
            return
    # A database without anything in it is one that another process of ours is making at this moment.
    if application_id != kind.application_id and (application_id, tables) != (0, 0):
        message = f"{path} is a database of another program"
        raise ConfigurationError(kind.codes.foreign, message)


def _was_empty(path: Path) -> bool:
    """Whether the rollback journal beside a database goes back to nothing: what it undoes was the first change."""
    with path.with_name(f"{path.name}-journal").open("rb") as journal:
        head = journal.read(JOURNAL_HEAD.size)
    if len(head) < JOURNAL_HEAD.size:
        return False
    magic, pages = JOURNAL_HEAD.unpack(head)
    return (magic, pages) == (JOURNAL_MAGIC, 0)


def reading(path: Path) -> closing[sqlite3.Connection]:
    """A connection that changes not a byte of a file that is there."""
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS_MAX))


def examine(kind: Kind, path: Path) -> Examined:
    """Look through a whole file of ours that is there, without changing a byte of it.

    Raises:
        ConfigurationError: the kind's `foreign`, `failed`.
        ConflictError: its `busy`.
    """
    with explained(kind, path):
        _check_ours(kind, path)
        with reading(path) as connection:
            revision = _revision_in(connection)
            faults = [str(fault) for (fault,) in connection.execute("PRAGMA integrity_check") if fault != "ok"]
            lost = connection.execute("PRAGMA foreign_key_check").fetchall()
    faults += [f"row {number} of {table} refers to nothing in {parent}" for table, number, parent, _ in lost]
    return Examined(revision=revision, faults=faults)


def find_revision(kind: Kind, path: Path) -> str | None:
    """The schema of a file of ours that is there, as `examine` finds it, and raises."""
    with explained(kind, path):
        _check_ours(kind, path)
        with reading(path) as connection:
            return _revision_in(connection)


def check(kind: Kind, path: Path, *, hub: str) -> None:
    """Refuse a file that is not `hub`'s, or of a schema that is not known here; an older one stays as it is.

    Raises:
        ConfigurationError: all codes of the kind but `busy`.
        ConflictError: its `busy`.
    """
    with explained(kind, path):
        revision = find_revision(kind, path) if path.exists() else None
        if revision is None:
            raise kind.missing(path)
        kind.check_known(revision)
        with reading(path) as connection:
            (found,) = connection.execute("SELECT hub FROM deployment").fetchone()
    _check_hub(kind, path, found, hub)


def _revision_in(connection: sqlite3.Connection) -> str | None:
    (known,) = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'alembic_version'").fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
    return row[0] if row else None


@contextmanager
def explained(kind: Kind, path: Path | None = None) -> Iterator[None]:
    """Turn what the driver says into our words. `path` is named where the file itself may be at fault."""
    where = f"{path}: " if path else ""
    try:
        yield
    except (sqlite3.DatabaseError, DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        name = getattr(cause, "sqlite_errorname", "")
        if name.startswith("SQLITE_BUSY") and isinstance(error, OperationalError | sqlite3.OperationalError):
            message = f"{where}another process holds the {kind.name}, and has not let go of it in time"
            raise ConflictError(kind.codes.busy, message) from error
        if name == "SQLITE_NOTADB":
            message = f"{where}not a database"
            raise ConfigurationError(kind.codes.foreign, message) from error
        message = f"{where}the {kind.name} failed: {cause}"
        raise ConfigurationError(kind.codes.failed, message) from error
    except OSError as error:
        message = f"{where}{error.strerror or error}"
        raise ConfigurationError(kind.codes.failed, message) from error
