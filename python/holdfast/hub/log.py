"""One log of one line an event, on stderr: JSON, or coloured words where stderr is a terminal."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable


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
    """What lines are written to; those that cannot be are lost.

    Supervisor and workers say what they do before they do it: a full disk, or the death of whoever reads the log, would
    else cost devices their connections.

    One write for all that is given, and nothing kept: lines of several processes on one file or pipe never mix.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._cut = False

    def write(self, lines: str) -> None:
        """Write `lines`, or as much of them as goes; a line that was cut ends before the next begins."""
        data = b"\n" * self._cut + lines.encode(errors="backslashreplace")
        with suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]
                self._cut = bool(data)

    def flush(self) -> None:
        """Nothing is kept."""


_stderr = Lines(2)
"""The descriptor itself: what a buffer keeps of a write that failed comes late, and is an exit status at the end."""


def report_unhandled(log: structlog.typing.FilteringBoundLogger) -> None:
    """Have the running loop tell `log` of exceptions that nobody caught; the loop has ended what raised them."""

    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        log.error("unhandled_exception", where=context["message"], exc_info=context.get("exception"))

    asyncio.get_running_loop().set_exception_handler(report)
