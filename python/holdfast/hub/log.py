"""One log of one line an event, on stderr: JSON, or coloured words where stderr is a terminal."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import socket
import stat
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def configure() -> structlog.typing.FilteringBoundLogger:
    """Set the log of this process up, and answer its logger."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _stderr)),
        cache_logger_on_first_use=True,
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def lines_to(log: structlog.typing.FilteringBoundLogger) -> Callable[[str], None]:
    """A writer of lines that are JSON already: as they are, or, on a terminal, as `log` would have written them."""
    if not sys.stderr.isatty():
        return _stderr.write

    def write(lines: str) -> None:
        for line in lines.splitlines():
            record = json.loads(line)
            record.pop("at")
            log.log(LEVELS[record.pop("level")], record.pop("event"), **record)

    return write


# As the standard library numbers them.
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}


class Lines:
    """What lines are written to; those that cannot be are lost, and counted.

    Supervisor and workers say what they do before they do it: a full disk, or a reader of the log that has died, or
    reads no more, would else cost devices their connections.

    One write for all that is given, or for as much of it as a pipe takes as one, and nothing kept: lines of several
    processes on one file or pipe never mix.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._put: Callable[[bytes], int] | None = None
        self._cut = False
        self._lost = 0

    def write(self, lines: str) -> None:
        """Write `lines`, or as much of them as goes; a line that was cut ends before the next begins."""
        data = lines.encode(errors="backslashreplace")
        if self._lost and not self._write(_lost_line(self._lost)):
            self._lost = 0
        for piece in _pieces(data):
            left = piece if self._lost else self._write(piece)
            self._lost += left.count(b"\n")

    def flush(self) -> None:
        """Nothing is kept."""

    def _write(self, piece: bytes) -> bytes:
        """Answers what is left of it."""
        data = b"\n" * self._cut + piece
        with suppress(OSError):
            if self._put is None:
                self._put = _putting(self._descriptor)
            while data:
                data = data[self._put(data) :]
                self._cut = bool(data)
        return data


def _putting(descriptor: int) -> Callable[[bytes], int]:
    """How to write to what is open there without waiting for whoever reads it; it raises `BlockingIOError` instead.

    The descriptor's own mode is not ours to change: other processes write by it, too. Only who writes to a terminal of
    another user may still wait.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return lambda data: os.write(descriptor, data)
    if stat.S_ISSOCK(mode):  # the journal of systemd
        return lambda data: _send(descriptor, data)
    with suppress(OSError):  # no /proc, or a pipe or terminal of another user
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        return lambda data: os.write(own, data)
    room = select.poll()
    room.register(descriptor, select.POLLOUT)

    def put(data: bytes) -> int:
        if not room.poll(0):
            raise BlockingIOError
        # So much has room, unless another process is quicker.
        return os.write(descriptor, data[: select.PIPE_BUF])

    return put


def _send(descriptor: int, data: bytes) -> int:
    end = socket.socket(fileno=descriptor)
    try:
        return end.send(data, socket.MSG_DONTWAIT)
    finally:
        end.detach()


def _pieces(data: bytes) -> Iterator[bytes]:
    """Whole lines, as many together as a pipe takes as one, or one that is longer."""
    begin = 0
    while len(data) - begin > select.PIPE_BUF:
        end = data.rfind(b"\n", begin, begin + select.PIPE_BUF) + 1 or data.find(b"\n", begin) + 1 or len(data)
        yield data[begin:end]
        begin = end
    if data[begin:]:
        yield data[begin:]


def _lost_line(lines: int) -> bytes:
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    record = {"lines": lines, "event": "log_lines_lost", "level": "warning", "at": at}
    return json.dumps(record).encode() + b"\n"


_stderr = Lines(2)
"""The descriptor itself: what a buffer keeps of a write that failed comes late, and is an exit status at the end."""


def report_unhandled(log: structlog.typing.FilteringBoundLogger) -> None:
    """Have the running loop tell `log` of exceptions that nobody caught; the loop has ended what raised them."""

    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        log.error("unhandled_exception", where=context["message"], exc_info=context.get("exception"))

    asyncio.get_running_loop().set_exception_handler(report)
