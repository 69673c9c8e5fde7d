"""Making a backup: all of it or nothing, beside a hub that goes on."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast import database
from holdfast.backup import files
from holdfast.errors import ConflictError
from holdfast.files import sync_directory
from holdfast.inbox.database import KIND as INBOX
from holdfast.registry.database import KIND as REGISTRY

if TYPE_CHECKING:
    from datetime import datetime

    from holdfast.settings import Settings


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
    with files.writing("backup_failed", target):
        staging = Path(tempfile.mkdtemp(prefix=".holdfast-", dir=target.absolute().parent))
    try:
        with files.writing("backup_failed", target):
            made = _fill(staging, sources, settings.hub, at)
            # A rename replaces no directory that has anything in it.
            staging.rename(target)
            sync_directory(target.absolute().parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return files.Backup(directory=target, hub=settings.hub, made_at=at, files=made)


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
