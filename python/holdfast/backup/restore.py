"""Bringing a backup back into a state directory where no hub runs.

The registry comes first, then the inbox, then telemetry. Each step is one transaction or one link, and doing it again
changes nothing more than the epochs, with an act that says so: what is cut short is done anew by the same command.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast import database, inbox, registry
from holdfast.backup import files
from holdfast.errors import ConfigurationError
from holdfast.files import make_directory, sync_directory
from holdfast.inbox import merge as inbox_merge
from holdfast.inbox.database import KIND as INBOX
from holdfast.registry import merge as registry_merge
from holdfast.registry.database import KIND as REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from holdfast.registry.merge import Merged
    from holdfast.settings import Settings

STAGING = ".restore-"
LAST_ROW = "SELECT * FROM messages ORDER BY seq DESC LIMIT 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What came back."""

    made_at: datetime
    merged: Merged
    messages: int
    """Messages for devices."""
    logs: Sequence[str]
    """Telemetry logs that the state directory did not have."""


def check(settings: Settings, directory: Path) -> None:
    """Refuse what can be seen to be no backup of this hub before a state directory is made for it.

    Raises:
        ConfigurationError: `not_a_backup`, `backup_newer`, `other_deployment`.
    """
    backup = files.read(directory)
    if backup.hub != settings.hub:
        message = f"{directory} is a backup of the hub '{backup.hub}', not of '{settings.hub}'"
        raise ConfigurationError("other_deployment", message)


def restore(settings: Settings, directory: Path, *, actor: str, at: datetime) -> Restored:
    """Merge the backup in `directory` into the state of the hub; the caller holds the state directory.

    Nothing is changed before all of the backup has been checked.

    Raises:
        ConfigurationError: `not_a_backup`, `backup_newer`, `backup_damaged`, `other_deployment`, `state_dir_unusable`,
            and those of registry and inbox.
        ConflictError: `registry_busy`, `inbox_busy`.
    """
    backup = files.read(directory)
    for left in settings.state_dir.glob(f"{STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)  # by one that was killed
    with (
        files.writing("state_dir_unusable", settings.state_dir),
        tempfile.TemporaryDirectory(prefix=STAGING, dir=settings.state_dir) as place,
    ):
        staging = Path(place)
        (staging / files.TELEMETRY).mkdir(mode=0o700)
        for name in backup.files:
            files.fetch(backup, name, staging / name)
        with _naming(directory, staging):
            database.check(REGISTRY, staging / files.REGISTRY, hub=settings.hub)
            if files.INBOX in backup.files:
                database.check(INBOX, staging / files.INBOX, hub=settings.hub)
            merged = _restore_registry(settings, staging, actor=actor, at=at, made_at=backup.made_at)
        messages = _restore_inbox(settings, staging, at=at) if files.INBOX in backup.files else 0
        logs = _restore_telemetry(settings, staging)
    return Restored(made_at=backup.made_at, merged=merged, messages=messages, logs=logs)


def _restore_registry(settings: Settings, staging: Path, *, actor: str, at: datetime, made_at: datetime) -> Merged:
    own = {"hub": settings.hub, "tenant": settings.tenant}
    with registry.open_registry(staging / files.REGISTRY, at=at, create=False, **own) as theirs:
        registry_merge.check_mergeable(theirs.database)
        with registry.open_registry(settings.registry_file, at=at, create=True, **own) as ours:
            return registry_merge.merge(ours.database, theirs.database, actor=actor, at=at, made_at=made_at)


@contextmanager
def _naming(directory: Path, staging: Path) -> Iterator[None]:
    """Name the file of the backup in `directory` where an error names its copy, which is gone by then."""
    try:
        yield
    except ConfigurationError as error:
        message = error.message.replace(str(staging), str(directory))
        raise ConfigurationError(error.code, message, hint=error.hint) from error


def _restore_inbox(settings: Settings, staging: Path, *, at: datetime) -> int:
    own = {"hub": settings.hub, "tenant": settings.tenant}
    with (
        inbox.open_inbox(staging / files.INBOX, create=False, **own) as theirs,
        inbox.open_inbox(settings.inbox_file, create=True, **own) as ours,
    ):
        return inbox_merge.merge(ours.database, theirs.database, at=int(at.timestamp()))


def _restore_telemetry(settings: Settings, staging: Path) -> list[str]:
    """Logs only grow: one that holds the last message of the backup's holds all of it."""
    make_directory(settings.telemetry_dir)
    restored = []
    for path in sorted((staging / files.TELEMETRY).glob("worker-*.db")):
        place = settings.telemetry_dir / path.name
        if place.exists():
            if _holds_all(place, path):
                continue
            # Another log goes by this name by now: both are read.
            place = place.with_stem(f"{path.stem}-{files.sha256_of(path)[:16]}")
        if not place.exists():
            os.link(path, place)
            restored.append(place.name)
    sync_directory(settings.telemetry_dir)
    return restored


def _holds_all(log: Path, other: Path) -> bool:
    last = _rows(other, LAST_ROW)
    return not last or _rows(log, "SELECT * FROM messages WHERE seq = ?", last[0][0]) == last


def _rows(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    with database.reading(path) as connection:
        return connection.execute(statement, values).fetchall()
