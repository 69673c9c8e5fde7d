"""The registry's file: ours or refused, migrated as the schema says, durable, and never changed without an act."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select

from holdfast.errors import ConfigurationError, ConflictError, HoldfastError
from holdfast.registry import open_registry
from holdfast.registry.database import KIND, Database
from holdfast.registry.schema import metadata, tenants

from ..support.pki import NOW

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from holdfast.registry import Registry

AT = int(NOW.timestamp())


def opened(path: Path, hub: str = "hub.test", *, create: bool = False) -> Database:
    return Database.open(path, hub=hub, at=AT, create=create)


def code_of(call: Callable[[], object], kind: type[HoldfastError] = ConfigurationError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


def test_migrations_lead_to_the_schema(tmp_path: Path) -> None:
    database = opened(tmp_path / "r.db", create=True)
    with database._begin("DEFERRED"):
        assert compare_metadata(MigrationContext.configure(database._connection), metadata) == []
        ddl = database._connection.exec_driver_sql("SELECT sql FROM sqlite_schema WHERE type = 'table'").scalars().all()
    assert all("STRICT" in one for one in ddl if one and "alembic" not in one and "sqlite_" not in one)
    database.close()
    assert ScriptDirectory(os.fspath(KIND.migrations)).get_heads() == [KIND.revision]


def test_a_registry_of_the_first_revision_is_taken_over_with_its_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as past:
        past.setattr("holdfast.registry.database.KIND", replace(KIND, revision="0001"))
        opened(tmp_path / "r.db", create=True).close()
    with closing(sqlite3.connect(tmp_path / "r.db")) as raw:
        raw.execute("INSERT INTO tenants VALUES ('default', 1)")
        raw.execute("INSERT INTO acts VALUES (1, 'default', 0, 'hub', 'device.pinned', 'w', '{}')")
        raw.execute("INSERT INTO paths VALUES (1, 'default', x'')")
        raw.execute(
            "INSERT INTO devices VALUES ('default', 'w', 'w', ?, ?, ?, 1, 1)", [bytes([n]) * 32 for n in (1, 2, 3)]
        )
        raw.commit()
    with open_registry(tmp_path / "r.db", hub="hub.test", tenant="default", at=NOW, create=False) as registry:
        (found,) = registry.devices.all()
        assert (found.pin.leaf_spki_sha256, found.path) == (b"\x02" * 32, (("03" * 32),))
        assert registry.successions.list() == []


def test_the_pragmas_that_durability_rests_on(tmp_path: Path) -> None:
    database = opened(tmp_path / "r.db", create=True)
    with database._begin("DEFERRED"):
        found = {
            name: database._connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "application_id")
        }
    database.close()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "application_id": 0x48467267}


def test_the_files_are_their_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)
    try:
        database = opened(tmp_path / "state" / "r.db", create=True)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
        database.close()
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_only_what_is_ours_is_opened_and_nothing_else_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    assert code_of(lambda: opened(path)) == "no_registry"
    assert not path.exists()
    opened(path, create=True).close()
    opened(path).close()

    def untouched(code: str, hub: str = "hub.test") -> None:
        before = path.read_bytes()
        assert code_of(lambda: opened(path, hub, create=True)) == code
        assert path.read_bytes() == before

    untouched("other_deployment", "other.test")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    untouched("registry_newer")
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    untouched("not_a_registry")
    path.write_bytes(b"this is text, and long enough that nobody takes it for a database" * 20)
    untouched("not_a_registry")
    path.unlink()
    path.mkdir()
    assert code_of(lambda: opened(path, create=True)) == "registry_failed"


def test_i10_a_change_without_its_act_is_undone(registry: Registry) -> None:
    with pytest.raises(RuntimeError, match="without its act"), registry.database.writing(at=AT) as transaction:
        transaction.change(insert(tenants).values(tenant="x", epoch=1))
    assert registry.database.rows(select(tenants)) == []
    with registry.database.writing(at=AT) as transaction:
        transaction.change(insert(tenants).values(tenant="x", epoch=1))
        transaction.act("x", "alice", "tenant.created", "x")
    assert len(registry.database.rows(select(tenants))) == 1


def test_what_a_block_raises_undoes_the_block(registry: Registry) -> None:
    with pytest.raises(ConflictError), registry.database.writing(at=AT + 100) as transaction:
        transaction.change(insert(tenants).values(tenant="x", epoch=1))
        transaction.act("x", "alice", "tenant.created", "x")
        raise ConflictError("some_code", "in the middle")
    assert registry.database.rows(select(tenants)) == []
    assert registry.database.clock_floor() == AT


def test_another_process_is_noticed_and_waited_for(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "registry.db"
    seen = registry.database.data_version()
    with registry.database.writing(at=AT + 1):
        pass
    assert registry.database.data_version() == seen, "one's own commits are no news"
    monkeypatch.setattr("holdfast.database.LOCK_SECONDS_MAX", 0.1)
    other = opened(path)
    with other.writing(at=AT + 2):
        with pytest.raises(ConflictError) as busy, registry_of(path).writing(at=AT + 3):
            pass
        assert busy.value.code == "registry_busy"
    other.close()
    assert registry.database.data_version() != seen
    assert registry.database.clock_floor() == AT + 2


def registry_of(path: Path) -> Database:
    return opened(path)


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import insert
from holdfast.registry.database import Database
from holdfast.registry.schema import tenants
database = Database.open(Path(sys.argv[1]), hub="hub.test", at=1, create=True)
for number in range(1_000_000):
    with database.writing(at=1) as transaction:
        transaction.change(insert(tenants).values(tenant=f"t{number}", epoch=1))
        transaction.act(f"t{number}", "x", "tenant.created", f"t{number}")
    print(number, flush=True)
"""


def test_g01_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    for round_ in range(5):
        path = tmp_path / f"{round_}.db"
        process = subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(20 + 7 * round_)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().splitlines()]
        process.stdout.close()
        process.wait()
        database = opened(path)
        kept = {row["tenant"] for row in database.rows(select(tenants))}
        with database._begin("DEFERRED"):
            assert database._connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        database.close()
        assert {f"t{number}" for number in acknowledged} <= kept


def test_a_first_start_of_several_processes_at_once_makes_one_registry(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from holdfast.registry.database import Database\n"
        "Database.open(Path(sys.argv[1]), hub='hub.test', at=1, create=True).close()"
    )
    path = tmp_path / "r.db"
    started = [subprocess.Popen([sys.executable, "-c", code, path], stderr=subprocess.PIPE) for _ in range(4)]
    complaints = [process.communicate(timeout=60)[1].decode() for process in started]
    assert complaints == [""] * 4
    with open_registry(path, hub="hub.test", tenant="default", at=NOW, create=False) as registry:
        assert len(registry.database.rows(select(metadata.tables["deployment"]))) == 1
