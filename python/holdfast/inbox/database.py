"""The inbox's file."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert

from holdfast import database
from holdfast.database import Codes, Kind, Transaction
from holdfast.inbox.schema import deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

KIND = Kind(
    name="inbox",
    application_id=0x48466962,  # the letters `HFib`
    revision="0002",
    migrations=Path(__file__).parent / "migrations",
    codes=Codes(
        missing="no_inbox",
        foreign="not_an_inbox",
        newer="inbox_newer",
        failed="inbox_failed",
        busy="inbox_busy",
    ),
    made_by="`holdfast device send` and `holdfast serve`",
)


class Database(database.Database):
    """One connection to the inbox. Not for several threads."""

    @classmethod
    def open(cls, path: Path, *, hub: str, create: bool) -> Database:
        """Open the inbox of `hub` at `path`, migrating it; make it where there is none and `create` is set.

        Raises:
            ConfigurationError: `no_inbox`, `not_an_inbox`, `inbox_newer`, `other_deployment`, `inbox_failed`.
            ConflictError: `inbox_busy`.
        """

        def fill(connection: Connection) -> None:
            connection.execute(insert(deployment).values(hub=hub))

        return cls.opened(KIND, path, hub=hub, create=create, fill=fill)

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """One transaction: committed and durable at the end of the block, or undone by whatever the block raises."""
        with self._writing():
            yield Transaction(self._connection)
