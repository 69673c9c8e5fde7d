"""The inbox's file: ours or refused, migrated as the schema says, durable."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from holdfast.errors import ConfigurationError, ConflictError, HoldfastError
from holdfast.inbox import open_inbox
from holdfast.inbox.database import KIND, Database
from holdfast.inbox.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from holdfast.inbox import Inbox


def opened(path: Path, hub: str = "hub.test", *, create: bool = False) -> Database:
    return Database.open(path, hub=hub, create=create)


def code_of(call: Callable[[], object], kind: type[HoldfastError] = ConfigurationError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


def test_migrations_lead_to_the_schema(inbox: Inbox) -> None:
    with inbox.database._begin("DEFERRED"):
        connection = inbox.database._connection
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        ddl = connection.exec_driver_sql("SELECT sql FROM sqlite_schema WHERE type = 'table'").scalars().all()
    assert all("STRICT" in one for one in ddl if one and "alembic" not in one and "sqlite_" not in one)
    assert ScriptDirectory(os.fspath(KIND.migrations)).get_heads() == [KIND.revision]


def test_durability_and_modes(inbox: Inbox, tmp_path: Path) -> None:
    with inbox.database._begin("DEFERRED"):
        pragmas = ("journal_mode", "synchronous", "application_id")
        found = [inbox.database._connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas]
    assert found == ["wal", 2, 0x48466962]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_only_what_is_ours_is_opened_and_nothing_else_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "inbox.db"
    assert code_of(lambda: opened(path)) == "no_inbox"
    assert not path.exists()
    opened(path, create=True).close()

    def untouched(code: str, hub: str = "hub.test") -> None:
        before = path.read_bytes()
        assert code_of(lambda: opened(path, hub, create=True)) == code
        assert path.read_bytes() == before

    untouched("other_deployment", "other.test")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    untouched("inbox_newer")
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA application_id = 0x48467267")  # a registry's
    connection.close()
    untouched("not_an_inbox")
    path.unlink()
    path.mkdir()
    assert code_of(lambda: opened(path, create=True)) == "inbox_failed"


def test_another_writer_is_waited_for_so_long(inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.database.LOCK_SECONDS_MAX", 0.1)
    other = opened(tmp_path / "inbox.db")
    with other.writing():

        def write() -> None:
            with opened(tmp_path / "inbox.db").writing():
                pass

        assert code_of(write, ConflictError) == "inbox_busy"
    other.close()


KILLED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from holdfast.inbox import open_inbox
from holdfast.inbox.messages import NewMessage
with open_inbox(Path(sys.argv[1]), hub="hub.test", tenant="default", create=True) as inbox:
    for number in range(1_000):
        message = NewMessage(message_id=str(number), payload=b"x")
        inbox.messages.send("widget-1", message, at=datetime.now(UTC))
        print(number, flush=True)
"""


def test_i09_a_message_that_was_acknowledged_to_its_sender_survives_kill_9(tmp_path: Path) -> None:
    for round_ in range(3):
        path = tmp_path / f"{round_}.db"
        process = subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(20 + 7 * round_)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().splitlines()]
        process.stdout.close()
        process.wait()
        with open_inbox(path, hub="hub.test", tenant="default", create=False) as inbox:
            assert inbox.messages.queue("widget-1", at=0).count >= len(acknowledged)
            with inbox.database.writing() as transaction:
                found = inbox.messages.hand_out(
                    transaction, "widget-1", after=0, count_max=2_000, bytes_max=10**9, at=0
                )
        ids = [one.packet_id for one in found.messages]
        assert ids == list(range(1, len(ids) + 1))
