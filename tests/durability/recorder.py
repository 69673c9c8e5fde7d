"""What a disk was told, in order, and a death at one of these calls: `recorder.c`, compiled here, preloaded there."""

from __future__ import annotations

import enum
import mmap
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .faults import compile_shim

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..support.hub import RunningHub

HEAD = struct.Struct("=IIQQII")
PLAN = struct.Struct("=5i")


class Call(enum.IntEnum):
    """As recorder.c numbers them."""

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    SYNC = 4
    SYNC_DIRECTORY = 5
    UNLINK = 6
    RENAME = 7
    LINK = 8
    MAKE_DIRECTORY = 9
    REMOVE_DIRECTORY = 10


class Moment(enum.IntEnum):
    """When in a call a process dies. Of a call that writes nothing, the middle is its end."""

    BEFORE = 0
    HALF = 1
    AFTER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One call that has succeeded."""

    call: Call
    pid: int
    inode: int
    offset: int
    """Of a write; the length that a file is cut to; of a sync: how long the trace was when it began."""
    path: str
    data: bytes
    """What was written; of a call that has two names, the other."""
    begins: int
    ends: int
    """Where it stands in the trace: whoever was told anything when the trace was as long as this was told after it."""

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f"{self.call.name.lower()} {self.path.rpartition('/')[2]}"


class Recorder:
    """Of all programs that are started with the environment of `hub`, below its directory."""

    def __init__(self, hub: RunningHub, library: Path) -> None:
        self.directory = hub.directory
        self._trace, plan = hub.directory / "trace", hub.directory / "plan"
        self._trace.write_bytes(b"")
        plan.write_bytes(bytes(PLAN.size))
        with plan.open("r+b") as opened:
            self._plan = mmap.mmap(opened.fileno(), PLAN.size)
        hub.environment |= {
            "LD_PRELOAD": str(library),
            "RECORDER_DIRECTORY": str(hub.directory),
            "RECORDER_TRACE": str(self._trace),
            "RECORDER_PLAN": str(plan),
        }

    def position(self) -> int:
        """How long the trace is."""
        return self._trace.stat().st_size

    def told(self, begins: int = 0) -> Iterator[Told]:
        """Every call from this position on."""
        with self._trace.open("rb") as trace:
            trace.seek(begins)
            while head := trace.read(HEAD.size):
                call, pid, inode, offset, path_length, data_length = HEAD.unpack(head)
                path, data = trace.read(path_length).decode(), trace.read(data_length)
                ends = begins + HEAD.size + path_length + data_length
                yield Told(
                    call=Call(call),
                    pid=pid,
                    inode=inode,
                    offset=offset,
                    path=path,
                    data=data,
                    begins=begins,
                    ends=ends,
                )
                begins = ends

    def kill_at(self, number: int, moment: Moment) -> None:
        """Kill whoever makes the call of this number from now on."""
        self._plan[:] = PLAN.pack(0, number, moment, 0, 0)
        self._plan[:4] = struct.pack("i", 1)

    def disarm(self) -> int:
        """Kill nobody; answers the process that was killed, or 0."""
        self._plan[:4] = bytes(4)
        died: int = PLAN.unpack(self._plan[:])[4]
        return died


def compile_recorder(directory: Path) -> Path:
    return compile_shim(directory, "recorder")
