"""Making a backup: all of it or nothing, beside a hub that goes on."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast import database
from holdfast.backup import files
from holdfast.errors import ConflictError
from holdfast.files import sync_directory
from holdfast.inbox.database import KIND as INBOX
from holdfast.registry.database import KIND as REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from holdfast.settings import Settings


STAGING = ".holdfast-backup-"
LOCK_TRIES, LOCK_PAUSE_SECONDS = 20, 0.05


def make(settings: Settings, target: Path, *, at: datetime) -> files.Backup:
    """Copy the state of the hub into the new directory `target`, mode 0700, its files 0600.

    The registry is copied last: whoever the other files name is in it. Files of an older schema are copied as they are.

    Raises:
        ConflictError: `file_exists`; `registry_busy`, `inbox_busy`.
        ConfigurationError: `backup_failed`, `database_damaged`; `no_registry` and the others of registry and inbox.
    """
    if os.path.lexists(target):
        raise ConflictError("file_exists", f"{target} exists already and is never overwritten")
    # Not opened, which would bring them to this version's schema: a backup may be what an upgrade begins with.
    database.check(REGISTRY, settings.registry_file, hub=settings.hub)
    sources = {files.REGISTRY: settings.registry_file}
    if settings.inbox_file.exists():
        database.check(INBOX, settings.inbox_file, hub=settings.hub)
        sources[files.INBOX] = settings.inbox_file
    for path in sorted(settings.telemetry_dir.glob("worker-*.db")):
        sources[f"{files.TELEMETRY}/{path.name}"] = path
    parent = target.absolute().parent
    with files.writing("backup_failed", target), _staging(parent) as staging:
        made = _fill(staging, sources, settings.hub, at)
        # A rename replaces no directory that has anything in it.
        staging.rename(target)
        sync_directory(parent)
    return files.Backup(directory=target, hub=settings.hub, made_at=at, files=made)


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """A directory in `parent`, locked while its maker lives; what is there of makers who were killed is removed."""
    with _opened(parent) as above:
        # Until it is locked, a new one looks like one that was left. Whoever has locked `parent` may wait for us.
        if _lock_soon(above):
            for left in parent.glob(f"{STAGING}*"):
                with suppress(OSError), _opened(left) as its:
                    if _lock(its, fcntl.LOCK_NB) and _is_staging(left):
                        shutil.rmtree(left, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=parent))
        held = os.open(staging, os.O_RDONLY)
        _lock(held)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        os.close(held)


def _is_staging(directory: Path) -> bool:
    """Whether it is one that `_fill` has not finished: whatever else there is may have been given such a name."""
    names = [entry.name for entry in directory.iterdir()]
    ours = (files.REGISTRY, files.INBOX)
    return all(name == files.TELEMETRY or name.startswith(ours) for name in names)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield opened
    finally:
        os.close(opened)


def _lock_soon(opened: int) -> bool:
    for _ in range(LOCK_TRIES):
        if _lock(opened, fcntl.LOCK_NB):
            return True
        time.sleep(LOCK_PAUSE_SECONDS)
    return False


def _lock(opened: int, flags: int = 0) -> bool:
    """Whether there is a lock now. Network shares have none for directories: nobody ever has one there."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | flags)
    except OSError:
        return False
    return True


def _fill(staging: Path, sources: dict[str, Path], hub: str, at: datetime) -> dict[str, str]:
    (staging / files.TELEMETRY).mkdir(mode=0o700)
    made = {}
    for name, source in reversed(sources.items()):
        files.copy_database(source, staging / name)
        made[name] = files.sha256_of(staging / name)
    table = {"format": files.FORMAT, "hub": hub, "made_at": at.isoformat(), "files": made}
    files.write_new(staging / files.MANIFEST, json.dumps(table, indent=1).encode() + b"\n")
    sync_directory(staging / files.TELEMETRY)
    sync_directory(staging)
    return made
