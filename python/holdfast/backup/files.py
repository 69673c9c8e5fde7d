"""A backup is a directory: `backup.json`, which says what belongs to it, and the databases that it names.

Each database is a copy of one moment, checked, without side files. `backup.json` holds SHA-256 of each, so that a
backup that was cut short or changed on its way is known before anything is restored from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from holdfast.database import reading
from holdfast.errors import ConfigurationError, LimitExceededError
from holdfast.files import open_regular, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FORMAT = 1
MANIFEST = "backup.json"
MANIFEST_BYTES_MAX = 1024 * 1024
REGISTRY, INBOX, TELEMETRY = "registry.db", "inbox.db", "telemetry"
NAME = re.compile(rf"registry\.db|inbox\.db|{TELEMETRY}/worker-[0-9a-f-]{{1,64}}\.db", re.ASCII)
"""What a backup may hold; nothing else is ever written to a state directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a directory says that it holds."""

    directory: Path
    hub: str
    made_at: datetime
    files: Mapping[str, str]
    """Names, and SHA-256 in hexadecimal."""


def read(directory: Path) -> Backup:
    """What stands in the `backup.json` of `directory`.

    Raises:
        ConfigurationError: `not_a_backup`, `backup_newer`.
    """
    try:
        table = json.loads(read_file(directory / MANIFEST, bytes_max=MANIFEST_BYTES_MAX))
        version = int(table["format"])
        files = {name: str(sha256) for name, sha256 in table["files"].items()}
        backup = Backup(
            directory=directory, hub=table["hub"], made_at=datetime.fromisoformat(table["made_at"]), files=files
        )
        complete = REGISTRY in files and all(map(NAME.fullmatch, files)) and backup.made_at.tzinfo is not None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise _not_a_backup(directory, f"{MANIFEST} is none of ours") from error
    except LimitExceededError as error:
        raise _not_a_backup(directory, error.message) from error
    except ConfigurationError as error:
        raise _not_a_backup(directory, error.message) from error
    if version > FORMAT:
        message = f"the backup has format {version}, this version knows {FORMAT}"
        raise ConfigurationError("backup_newer", message)
    if not complete:
        raise _not_a_backup(directory, f"{MANIFEST} lacks {REGISTRY}, or names what no backup holds")
    return backup


def fetch(backup: Backup, name: str, place: Path) -> None:
    """Copy the file `name` of `backup` to `place`, and refuse it if it is not the file that was backed up.

    What is checked is the copy, and the copy is what is used.

    Raises:
        ConfigurationError: `backup_damaged`, `state_dir_unusable`.
    """
    source = backup.directory / name
    try:
        file = open_regular(source)
    except OSError as error:
        message = f"cannot read {source}: {error.strerror}"
        raise ConfigurationError("backup_damaged", message) from error
    try:
        with file:
            write_new(place, b"")
            with place.open("wb") as to:
                shutil.copyfileobj(file, to, 1024 * 1024)
                to.flush()
                os.fsync(to.fileno())
        found = sha256_of(place)
    except OSError as error:
        message = f"cannot copy {source} to {place}: {error.strerror or error}"
        raise ConfigurationError("state_dir_unusable", message) from error
    if found != backup.files[name]:
        message = f"{source} has SHA-256 {found}, {backup.files[name]} is wanted"
        raise ConfigurationError("backup_damaged", message)
    if said := damage(place):
        message = f"{source}: {said}"
        raise ConfigurationError("backup_damaged", message)


def copy_database(source: Path, place: Path) -> None:
    """Copy one moment of a database that may be written meanwhile, and check the copy.

    Raises:
        ConfigurationError: `database_damaged`; and what `writing` makes of errors.
    """
    write_new(place, b"")
    with reading(source) as original, closing(sqlite3.connect(place)) as copy:
        original.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, complete in itself
    if said := damage(place):
        message = f"{source}: {said}"
        raise ConfigurationError("database_damaged", message, hint="Restore it from the last backup that is whole")


def damage(path: Path) -> str | None:
    """What SQLite finds wrong with a database, or `None`."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            loose = connection.execute("PRAGMA foreign_key_check").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    if said != "ok":
        return str(said)
    return None if loose is None else f"a row of '{loose[0]}' refers to one of '{loose[2]}' that is not there"


def sha256_of(path: Path) -> str:
    """In hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_new(path: Path, contents: bytes) -> None:
    """Write a file that only its owner may read, durably, where there is none."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def writing(code: str, path: Path) -> Iterator[None]:
    """Turn what the system says while something is written to `path` into our words."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        message = f"{path}: {said}"
        raise ConfigurationError(code, message) from error


def _not_a_backup(directory: Path, reason: str) -> ConfigurationError:
    return ConfigurationError("not_a_backup", f"{directory} is no backup: {reason}")
