"""One log of one line an event, on stderr: JSON, or coloured words where stderr is a terminal."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import structlog


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


def report_unhandled(log: structlog.typing.FilteringBoundLogger) -> None:
    """Have the running loop tell `log` of exceptions that nobody caught; the loop has ended what raised them."""

    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        log.error("unhandled_exception", where=context["message"], exc_info=context.get("exception"))

    asyncio.get_running_loop().set_exception_handler(report)
