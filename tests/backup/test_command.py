"""`holdfast backup` and `holdfast restore` as an operator uses them, beside a hub and after it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.backup import make as making
from holdfast.backup.make import make
from holdfast.errors import ConfigurationError
from holdfast.settings import Settings

from ..durability.crowd import Crowd
from ..durability.journal import Journal, faults
from ..support.hub import HUB, RunningHub, running, wait_for
from ..support.mqtt import CONNACK_NOT_AUTHORIZED, CONNACK_YES, connect, dialled, read_exactly
from ..support.pki import NOW, Ca

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROOT = Ca.root("Company-X Root")
FACTORY, SIBLING = ROOT.intermediate("Factory-Y"), ROOT.intermediate("Factory-S")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    for hub in running(tmp_path, workers=2):
        hub.trust(company=ROOT)
        yield hub


def refusal(hub: RunningHub, *arguments: str) -> tuple[int, str]:
    done = hub.command(*arguments, "--json", check=False)
    return done.returncode, json.loads(done.stderr)["error"] if done.stderr else done.stdout


def state_of(hub: RunningHub) -> dict[str, str]:
    """Every file of the state but the lock and SQLite's side files."""
    return {
        str(path.relative_to(hub.directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((hub.directory / "state").rglob("*"))
        if path.is_file() and path.suffix == ".db"
    }


def answer(hub: RunningHub, device: tuple[Path, Path], device_id: str) -> bytes:
    with dialled(hub, device) as secured:
        secured.sendall(connect(device_id))
        return read_exactly(secured, 4)


def test_g01_what_was_acknowledged_before_a_backup_under_load_is_in_it(hub: RunningHub) -> None:
    journal = Journal()
    hub.start()
    crowd = Crowd(hub, journal, FACTORY)
    with crowd.running():
        wait_for(lambda: all(journal.counts().values()), "acknowledgement of each kind")
        promised = journal.copy()
        hub.command("backup", "backup")
        count = journal.counts()["telemetry messages acknowledged"]
        wait_for(lambda: journal.counts()["telemetry messages acknowledged"] > count, "hub that goes on")
        promised.received = journal.copy().received
    assert hub.stop() == 0
    made = hub.directory / "backup"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in made.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert {path.name for path in made.iterdir()} == {"backup.json", "registry.db", "inbox.db", "telemetry"}
    (hub.directory / "state").rename(hub.directory / "lost")
    restored = json.loads(hub.command("restore", "backup", "--json").stdout)
    assert restored["telemetry"] == ["worker-0.db", "worker-1.db"]
    promised.sent -= promised.received  # what was taken before the backup is not in it
    assert faults(promised, hub.directory / "state") == []
    hub.start()
    name, (issuer, _) = next(iter(promised.pinned.items()))
    assert issuer
    files = hub.directory / f"{name}.pem", hub.directory / f"{name}.key"
    assert answer(hub, files, name) == CONNACK_YES


def test_r01_a_branch_that_was_revoked_after_the_backup_is_shut_out_after_the_restore(hub: RunningHub) -> None:
    below = FACTORY.device("below").write(hub.directory, "below")
    beside = SIBLING.device("beside").write(hub.directory, "beside")
    hub.start()
    assert answer(hub, below, "below") == answer(hub, beside, "beside") == CONNACK_YES
    hub.command("backup", "backup")
    hub.command("branch", "close", hashlib.sha256(FACTORY.der).hexdigest(), "--revoke", "--yes")
    assert refusal(hub, "restore", "backup") == (6, "already_running")
    assert hub.stop() == 0
    assert "epochs" in hub.command("restore", "backup").stdout
    hub.start()
    assert answer(hub, below, "below") == CONNACK_NOT_AUTHORIZED
    assert answer(hub, beside, "beside") == CONNACK_YES
    assert hub.refusals() == ["key_closed"]


def test_a_restore_adds_telemetry_and_never_takes_any_away(hub: RunningHub) -> None:
    def log(number: int, *devices: str) -> None:
        path = hub.directory / "state" / "telemetry" / "worker-0.db"
        path.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS messages (seq INTEGER PRIMARY KEY, received_at_ms INTEGER, device_id TEXT,"
                " system_properties TEXT, properties TEXT, payload BLOB)"
            )
            rows = [(number, device, "{}", "{}", b"{}") for device in devices]
            connection.executemany("INSERT INTO messages VALUES (NULL, ?, ?, ?, ?, ?)", rows)

    def devices() -> list[str]:
        return [message["device_id"] for message in hub.messages()]

    log(1, "a", "b")
    hub.command("backup", "backup")
    log(2, "c")
    assert json.loads(hub.command("restore", "backup", "--json").stdout)["telemetry"] == []
    assert devices() == ["a", "b", "c"]
    (hub.directory / "state" / "telemetry" / "worker-0.db").unlink()
    log(3, "d")
    for _ in range(2):  # the second finds all there
        hub.command("restore", "backup")
        assert devices() == ["a", "b", "d"]


# ── what is no backup, and where none can be made ──────────────────────────────────────────────────────────────────


def manifest(made: Path, change: Callable[[dict[str, Any]], object]) -> None:
    table = json.loads((made / "backup.json").read_text())
    change(table)
    (made / "backup.json").write_text(json.dumps(table))


def flip(path: Path) -> None:
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)


def outside(table: dict[str, Any]) -> None:
    table["files"]["telemetry/../../tls.pem"] = "00"


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no_manifest": ("not_a_backup", lambda made: (made / "backup.json").unlink()),
    "no_json": ("not_a_backup", lambda made: (made / "backup.json").write_text("none")),
    "no_table": ("not_a_backup", lambda made: (made / "backup.json").write_text("[]")),
    "too_large": ("not_a_backup", lambda made: (made / "backup.json").write_text(" " * (1 << 21))),
    "too_deep": ("not_a_backup", lambda made: (made / "backup.json").write_text("[" * 100_000)),
    "infinite": ("not_a_backup", lambda made: (made / "backup.json").write_text('{"format": 1e400, "files": {}}')),
    "no_time": ("not_a_backup", lambda made: manifest(made, lambda table: table.update(made_at="noon"))),
    "without_zone": ("not_a_backup", lambda made: manifest(made, lambda t: t.update(made_at="2026-01-01T00:00:00"))),
    "without_registry": ("not_a_backup", lambda made: manifest(made, lambda table: table["files"].pop("registry.db"))),
    "outside": ("not_a_backup", lambda made: manifest(made, outside)),
    "newer": ("backup_newer", lambda made: manifest(made, lambda table: table.update(format=2))),
    "missing": ("backup_damaged", lambda made: (made / "inbox.db").unlink()),
    "pipe": ("backup_damaged", lambda made: ((made / "inbox.db").unlink(), os.mkfifo(made / "inbox.db"))),
    "changed": ("backup_damaged", lambda made: flip(made / "registry.db")),
    "cut_short": ("backup_damaged", lambda made: os.truncate(made / "inbox.db", 4096)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_whole_backup_changes_nothing(hub: RunningHub, damage: str) -> None:
    code, spoil = DAMAGES[damage]
    hub.command("device", "list")  # makes the inbox
    hub.command("backup", "backup")
    before = state_of(hub)
    spoil(hub.directory / "backup")
    assert refusal(hub, "restore", "backup") == (3, code)
    assert state_of(hub) == before
    assert not list((hub.directory / "state").glob(".restore-*"))


def test_a_database_that_is_damaged_under_its_own_hash_is_refused(hub: RunningHub) -> None:
    hub.command("backup", "backup")
    made = hub.directory / "backup"
    registry = made / "registry.db"
    contents = bytearray(registry.read_bytes())
    contents[4096:4196] = b"\xff" * 100
    registry.write_bytes(contents)
    manifest(made, lambda table: table["files"].update({"registry.db": hashlib.sha256(contents).hexdigest()}))
    assert refusal(hub, "restore", "backup") == (3, "backup_damaged")


def test_a_damaged_state_is_not_backed_up(hub: RunningHub) -> None:
    path = hub.directory / "state" / "telemetry" / "worker-0.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE messages (seq INTEGER PRIMARY KEY, payload BLOB)")
        connection.executemany("INSERT INTO messages VALUES (NULL, ?)", [(os.urandom(2000),)] * 20)
        connection.commit()
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * 200)
    assert refusal(hub, "backup", "backup") == (3, "database_damaged")
    assert sorted(one.name for one in hub.directory.iterdir() if "backup" in one.name or one.name[0] == ".") == []


def test_a_backup_never_overwrites_and_leaves_nothing_half_done(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = hub.directory / "backup"
    target.write_text("mine")
    assert refusal(hub, "backup", "backup") == (6, "file_exists")
    assert target.read_text() == "mine"
    assert refusal(hub, "backup", "nowhere/backup") == (3, "backup_failed")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(making, "sync_directory", full)
    with pytest.raises(ConfigurationError) as refused:
        make(Settings(hub=HUB, state_dir=hub.directory / "state"), hub.directory / "other", at=NOW)
    assert refused.value.code == "backup_failed"
    assert not (hub.directory / "other").exists()
    assert not list(hub.directory.glob(".holdfast-*"))


SLOW = """
import time
from holdfast.backup import files
from holdfast.cli import main
files.copy_database = lambda source, place: (place.write_bytes(b"half"), time.sleep(60))
main()
"""


def copying(hub: RunningHub, name: str) -> subprocess.Popen[bytes]:
    """A backup that does not come to its end."""
    before = set(hub.directory.glob(".holdfast-*/*.db"))
    process = subprocess.Popen([sys.executable, "-c", SLOW, "backup", name], cwd=hub.directory)
    wait_for(lambda: set(hub.directory.glob(".holdfast-*/*.db")) - before, "half a backup")
    return process


def test_a_backup_that_is_stopped_leaves_nothing(hub: RunningHub) -> None:
    process = copying(hub, "backup")
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not list(hub.directory.glob(".holdfast-*"))


def test_what_a_killed_backup_left_goes_with_the_next_and_nothing_else_does(hub: RunningHub) -> None:
    """Left by one that was killed; of one that is at work; a whole backup by such a name; files of another command."""
    killed = copying(hub, "first")
    (left,) = hub.directory.glob(".holdfast-*")
    killed.kill()
    killed.wait()
    assert left.exists()
    working = copying(hub, "second")
    (at_work,) = hub.directory.glob(".holdfast-*")
    try:
        hub.command("backup", ".holdfast-backup-mine")
        (other := hub.directory / ".holdfast-abcdefgh").mkdir()
        hub.command("backup", "third")
        assert set(hub.directory.glob(".holdfast-*")) == {at_work, other, hub.directory / ".holdfast-backup-mine"}
    finally:
        working.kill()
        working.wait()
    hub.command("restore", ".holdfast-backup-mine")


def test_whoever_holds_the_directory_s_lock_may_wait_for_the_backup(hub: RunningHub) -> None:
    """As `flock /backups holdfast backup /backups/one` does."""
    (left := hub.directory / ".holdfast-backup-abcdefgh").mkdir()
    held = os.open(hub.directory, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        hub.command("backup", "one")
    finally:
        os.close(held)
    assert left.exists()
    hub.command("backup", "two")
    assert not left.exists()


def test_a_directory_of_backups_is_nothing_that_was_left(hub: RunningHub) -> None:
    (daily := hub.directory / ".holdfast-backup-daily").mkdir()
    hub.command("backup", f"{daily.name}/one")
    hub.command("backup", "two")
    hub.command("restore", f"{daily.name}/one")


def test_a_directory_that_cannot_be_locked_takes_a_backup(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network share: what is left there by one that was killed stays."""

    def flock(*_: object) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr("fcntl.flock", flock)
    (left := hub.directory / ".holdfast-backup-left").mkdir()
    make(Settings(hub=HUB, state_dir=hub.directory / "state"), hub.directory / "backup", at=NOW)
    assert left.exists()
    assert (hub.directory / "backup" / "registry.db").exists()


def test_a_backup_of_another_hub_leaves_no_state_behind(hub: RunningHub) -> None:
    hub.command("backup", "backup")
    assert refusal(hub, "restore", "nowhere", "--state-dir", "st2") == (3, "not_a_backup")
    assert refusal(hub, "restore", "backup", "--state-dir", "st2", "--hub", "foo") == (3, "other_deployment")
    assert not (hub.directory / "st2").exists()
    for command in ("backup", "restore"):  # all tenants go with it
        assert hub.command(command, "other", "--tenant", "nosuch", check=False).returncode == 2


def test_a_backup_needs_a_registry(tmp_path: Path) -> None:
    hub = RunningHub.prepare(tmp_path)
    assert refusal(hub, "backup", "backup") == (3, "no_registry")
    assert refusal(hub, "restore", "backup") == (3, "not_a_backup")
