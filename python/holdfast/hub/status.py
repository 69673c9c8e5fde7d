"""What a running hub says of itself beside its state: whose it is, and which epoch all of its workers have applied.

A kill-switch returns when everybody has it (trust.md §5.2): whoever has changed trust waits here for the hub's word. A
hub that does not run has nobody to tell, and one that is silent admits nobody once the lease of its workers has lapsed.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.errors import ConfigurationError, ConflictError, UnreachableError
from holdfast.files import make_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LOCK = "lock"
FILE = "hub.json"
POLL_SECONDS = 0.02
ASKING_TRIES = 10
NOBODY_RUNS = "no hub runs here"
ACKNOWLEDGE_SECONDS_MAX = 8.0
"""Noticed within 0.2 s, applied or killed within 1 s, and a lease is 5 s: after that somebody must look."""


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Hold the state directory, making it where it is missing: a hub runs here from now on.

    Raises:
        ConflictError: `already_running`.
        ConfigurationError: `state_dir_unusable`.
    """
    try:
        make_directory(state_dir)
        descriptor = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"cannot use {state_dir}: {error.strerror or error}"
        raise ConfigurationError("state_dir_unusable", message) from error
    with os.fdopen(descriptor):
        # Somebody who only asks whether a hub runs holds it for an instant.
        for _ in range(ASKING_TRIES):
            if taken := _take(descriptor):
                break
            time.sleep(POLL_SECONDS)
        if not taken:
            raise ConflictError("already_running", f"another hub runs in {state_dir}")
        yield


def runs(state_dir: Path) -> bool:
    """Whether a hub holds the state directory now."""
    try:
        descriptor = os.open(state_dir / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(descriptor):
        return not _take(descriptor)


def write(state_dir: Path, *, tenant: str, epoch: int, workers: Mapping[int, int]) -> None:
    """Say that every worker (number, process id) has applied `epoch` of `tenant`."""
    fresh = state_dir / f"{FILE}.new"
    fresh.write_text(json.dumps({"pid": os.getpid(), "tenant": tenant, "epoch": epoch, "workers": workers}))
    fresh.replace(state_dir / FILE)


def read(state_dir: Path) -> Mapping[str, object]:
    """What the hub last said; empty if it never did."""
    try:
        said: Mapping[str, object] = json.loads((state_dir / FILE).read_text())
    except FileNotFoundError:
        return {}
    return said


def noticed(state_dir: Path, *, tenant: str) -> str:
    """By whom a change is noticed that shuts nobody out, for which nobody waits."""
    if not runs(state_dir):
        return NOBODY_RUNS
    return _served_elsewhere(state_dir, tenant) or "within a second, by the hub that runs here"


def wait_applied(state_dir: Path, *, tenant: str, epoch: int) -> str:
    """Wait until the hub has applied `epoch` of `tenant`; answers by whom it was: one that starts will know by itself.

    Raises:
        UnreachableError: `not_acknowledged`.
    """
    deadline = time.monotonic() + ACKNOWLEDGE_SECONDS_MAX
    while runs(state_dir):
        if elsewhere := _served_elsewhere(state_dir, tenant):
            return elsewhere
        applied = read(state_dir).get("epoch", -1)
        if isinstance(applied, int) and applied >= epoch:
            return "by every worker"
        if time.monotonic() > deadline:
            message = f"the hub has not said that it knows, for {ACKNOWLEDGE_SECONDS_MAX:.0f} s"
            raise UnreachableError(
                "not_acknowledged",
                message,
                hint="It is recorded, and a worker without news admits nobody; sessions may be live: restart the hub",
            )
        time.sleep(POLL_SECONDS)
    return NOBODY_RUNS


def served(state_dir: Path) -> str | None:
    """The tenant that the hub that runs here serves, once it has said so."""
    tenant = read(state_dir).get("tenant") if runs(state_dir) else None
    return tenant if isinstance(tenant, str) else None


def _served_elsewhere(state_dir: Path, tenant: str) -> str | None:
    if (served := read(state_dir).get("tenant", tenant)) != tenant:
        return f"by nobody: the hub that runs here serves the tenant '{served}'"
    return None


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
