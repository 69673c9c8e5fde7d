"""`holdfast serve`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from holdfast.cli.options import find_settings, settings_options
from holdfast.errors import ConfigurationError
from holdfast.settings import load


@click.command()
@settings_options
@click.option("--mqtt-host", help="Address to listen on.")
@click.option("--mqtt-port", type=int, help="Port to listen on; stock SDKs know no other than 8883.")
@click.option("--certificate", type=click.Path(path_type=Path), help="The hub's own TLS certificate, PEM.")
@click.option("--private-key", type=click.Path(path_type=Path), help="Its key, PEM, mode 0600.")
@click.option("--workers", type=int, help="Processes that serve devices; as many as there are cores.")
@click.option("--drain-seconds", type=int, help="How long a stopping hub lets devices finish.")
def serve(config: Path | None, **given: Any) -> None:  # noqa: ANN401 (click's options)
    """Run the hub in the foreground, until SIGTERM or Ctrl-C.

    The log goes to stderr, a JSON object a line where that is not a terminal. CAs may be added, proven and disabled
    while the hub runs. SIGHUP makes it read certificate, key and limits again, for new connections, and
    whether there is resumption, and how long it drains.
    """
    file = find_settings(config)  # once: without it, defaults are no answer to SIGHUP
    settings = load(file, given)
    if sys.platform == "win32":
        raise ConfigurationError("unsupported_platform", "the hub runs on Linux and macOS")
    from holdfast.hub.log import configure
    from holdfast.hub.supervisor import serve as run

    sys.exit(run(settings, configure(), again=lambda: load(file, given)))
