"""A run as a whole: its processes, begun together, watched, and stopped together."""

from __future__ import annotations

import base64
import json
import os
import resource
import selectors
import subprocess
import sys
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Self, cast

from holdfast.errors import ConfigurationError
from holdfast.fleet.report import merge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.fleet.plan import Plan
    from holdfast.fleet.report import Record

STOP_SECONDS = 10.0
"""Processes leave within a few seconds of being told; what has not by then is killed."""
READ_BYTES = 1 << 20


class _Part:
    """One process, and the last it said."""

    def __init__(self, job: Record) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "holdfast.fleet.process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.input = cast("IO[bytes]", self.process.stdin)
        self.output = cast("IO[bytes]", self.process.stdout)
        self.last: Record | None = None
        self._rest = b""
        self.input.write(json.dumps(job).encode() + b"\n")
        self.input.flush()

    def read(self) -> bool:
        """Take what it has said; false at the end."""
        data = os.read(self.output.fileno(), READ_BYTES)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self.last = json.loads(lines[-1])
        return bool(data)

    def stop(self) -> None:
        with suppress(BrokenPipeError):
            self.input.write(b"stop\n")
            self.input.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()
        with suppress(BrokenPipeError):
            self.input.close()


class Processes:
    """The processes of one run. Leaving the context ends those that are left."""

    def __init__(self, plan: Plan, devices: Path, *, issuer_key: bytes | None, processes: int) -> None:
        """Begin `plan` with the devices of the file; more processes than asked for where descriptors ask for them."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.count = max(processes, plan.processes_needed(hard))
        key = issuer_key and base64.b64encode(issuer_key).decode()
        self._selector = selectors.DefaultSelector()
        self._parts: list[_Part] = []
        for share in plan.shares(self.count):
            part = _Part({"devices": str(devices), "plan": share.record(), "issuer_key": key})
            self._parts.append(part)
            self._selector.register(part.output, selectors.EVENT_READ, part)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for part in self._parts:
            part.end()
        self._selector.close()

    def watch(self, every: float) -> Iterator[Record]:
        """Yield what all have done so far, every so many seconds, and once more when all have ended.

        Raises:
            ConfigurationError: a process could not play its part.
        """
        while self._selector.get_map():
            self._read(every)
            if all(part.last for part in self._parts):
                yield self._merged()

    def stop(self) -> None:
        """Tell all to leave; those that do not in time are killed. `watch` goes on to the end."""
        for part in self._parts:
            part.stop()
        deadline = time.monotonic() + STOP_SECONDS
        while self._selector.get_map() and time.monotonic() < deadline:
            self._read(0.2)
        for part in self._parts:
            part.process.kill()

    def _read(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                part: _Part = key.data
                if not part.read():
                    self._selector.unregister(part.output)

    def _merged(self) -> Record:
        snapshots: list[Record] = [part.last for part in self._parts if part.last is not None]
        for one in snapshots:
            if "error" in one:
                raise ConfigurationError(one["error"], one["message"])
        return merge(snapshots)

    def last(self) -> Record:
        """What all have done, as of the last they said.

        Raises:
            ConfigurationError: a process could not play its part, or ended without a word.
        """
        if any(part.last is None for part in self._parts):
            raise ConfigurationError("fleet_process_failed", "a process ended before it said anything")
        return self._merged()
