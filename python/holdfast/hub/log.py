"""One log of one line an event, on stderr: JSON, or coloured words where stderr is a terminal."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

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
        # One write a line: lines of several processes on one file or pipe never mix.
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def lines_to(log: structlog.typing.FilteringBoundLogger) -> Callable[[str], None]:
    """A writer of lines that are JSON already: as they are, or, on a terminal, as `log` would have written them."""
    if not sys.stderr.isatty():
        return _write

    def write(lines: str) -> None:
        for line in lines.splitlines():
            record = json.loads(line)
            record.pop("at")
            log.log(LEVELS[record.pop("level")], record.pop("event"), **record)

    return write


# As the standard library numbers them.
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}


def _write(lines: str) -> None:
    sys.stderr.write(lines)
    sys.stderr.flush()


def report_unhandled(log: structlog.typing.FilteringBoundLogger) -> None:
    """Have the running loop tell `log` of exceptions that nobody caught; the loop has ended what raised them."""

    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        log.error("unhandled_exception", where=context["message"], exc_info=context.get("exception"))

    asyncio.get_running_loop().set_exception_handler(report)
