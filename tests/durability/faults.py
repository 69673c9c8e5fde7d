"""Faults of a disk for a hub and for commands: `faults.c`, compiled here, preloaded there.

SQLite makes its calls through the C library, Python's as the one inside of the extension module, so both are reached;
what goes around it is the mapped index beside a log, which holds nothing that is not in the log.
"""

from __future__ import annotations

import enum
import errno
import mmap
import os
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..support.hub import RunningHub

PLAN = struct.Struct("5i236s")
SHORT = 0
ALWAYS = -1


class Calls(enum.IntFlag):
    """As faults.c numbers them."""

    OPEN = 1
    WRITE = 2
    SYNC = 4
    TRUNCATE = 8


def compile_shim(directory: Path, name: str = "faults") -> Path:
    library = directory / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    options = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([os.environ.get("CC", "cc"), *options, "-o", library, source, "-ldl"], check=True)
    return library


class Faults:
    """What fails in a hub, and in the commands beside it, from one moment to another."""

    def __init__(self, hub: RunningHub, library: Path) -> None:
        file = hub.directory / "faults"
        file.write_bytes(bytes(PLAN.size))
        with file.open("r+b") as opened:
            self._plan = mmap.mmap(opened.fileno(), PLAN.size)
        hub.environment |= {"LD_PRELOAD": str(library), "FAULTS_PLAN": str(file)}

    def begin(self, calls: Calls, path: str, error: int, *, after: int = 0, times: int = ALWAYS) -> None:
        """From now on these calls on files whose path ends so fail, `times` of them after so many that go well."""
        self._plan[:] = PLAN.pack(0, error, after, times, 0, path.encode())
        self._plan[:4] = struct.pack("i", calls)

    def end(self) -> None:
        self._plan[:4] = bytes(4)

    @property
    def failed(self) -> int:
        """How many calls have failed since `begin`."""
        count: int = PLAN.unpack(self._plan[:])[4]
        return count


FULL, BROKEN, TOO_MANY = errno.ENOSPC, errno.EIO, errno.EMFILE
