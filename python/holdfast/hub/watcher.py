"""How a command beside the hub reads its pages."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from holdfast.errors import ConfigurationError, UnreachableError

if TYPE_CHECKING:
    from holdfast.settings import Settings

SECONDS_MAX = 5.0
BYTES_MAX = 16 * 1024 * 1024
"""256 workers with every code there is are a third of it."""


def fetch(settings: Settings, path: str) -> tuple[int, str]:
    """Status and text of one page of the hub that these settings are of.

    Raises:
        ConfigurationError: `metrics_off`.
        UnreachableError: `metrics_unreachable`.
    """
    if not settings.metrics_port:
        hint = "metrics_port = 9464 in its settings, and another start, make it answer"
        raise ConfigurationError("metrics_off", "this hub has no metrics_port", hint=hint)
    where = f"{settings.metrics_host}:{settings.metrics_port}"
    connection = http.client.HTTPConnection(settings.metrics_host, settings.metrics_port, timeout=SECONDS_MAX)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(BYTES_MAX).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        message = f"no hub answers on {where}: {getattr(error, 'strerror', None) or error}"
        hint = "Start it, or name the settings that it runs with (--config)"
        raise UnreachableError("metrics_unreachable", message, hint=hint) from error
    finally:
        connection.close()
