"""`holdfast stream`: read what devices have sent."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from holdfast.cli.options import place_options, read_settings
from holdfast.cli.output import json_option
from holdfast.cli.text import printable
from holdfast.stream.reader import Event, Reader

POLL_SECONDS = 0.2
COLUMN_WIDTH = 24


@click.group()
def stream() -> None:
    """Read what devices have sent."""


@stream.command()
@click.option("--device", help="Only what this device sent.")
@click.option("--last", type=click.IntRange(min=0), help="Only the last N messages of each worker's log.")
@click.option("--follow", is_flag=True, help="Wait for more.")
@place_options
@json_option
def tail(device: str | None, last: int | None, *, follow: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Print messages in the order in which they came; a JSON object a line with `--json`."""
    reader = Reader(read_settings(**given).telemetry_dir, device_id=device)
    if last is not None:
        reader.skip_to_last(last)
    shown = False
    try:
        while True:
            for event in reader.read():
                shown = True
                click.echo(json.dumps(event.record()) if as_json else _line(event))
            if not follow:
                if not shown and not as_json:
                    click.echo(
                        f"no message is kept of {printable(device)}" if device else "no message is kept", err=True
                    )
                return
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return


def _line(event: Event) -> str:
    """Time, device, payload, then the properties, everything that could move a cursor escaped."""
    payload = event.payload.decode(errors="backslashreplace")
    named = " ".join(f"{name}={value}" for name, value in {**event.system_properties, **event.properties}.items())
    shown = f"{payload}  {named}".rstrip()
    at = event.received_at.isoformat(sep=" ", timespec="milliseconds")
    return f"{at}  {event.device_id:<{COLUMN_WIDTH}}  {printable(shown)}"
