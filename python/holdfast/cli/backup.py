"""`holdfast backup` and `holdfast restore`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from holdfast.cli.options import actor, hub_options, now, read_settings
from holdfast.cli.output import emit_record, json_option
from holdfast.errors import ConfigurationError

DIRECTORY = click.argument("directory", type=click.Path(path_type=Path), metavar="DIRECTORY")


@click.command()
@DIRECTORY
@hub_options
@json_option
def backup(directory: Path, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401 (click's options)
    """Copy registry, inbox and telemetry into the new DIRECTORY, while the hub runs or not, and check the copy.

    It holds none of the hub's own secrets, and is readable by its owner alone.
    """
    settings = read_settings(**given)
    if sys.platform == "win32":
        raise ConfigurationError("unsupported_platform", "the hub runs on Linux and macOS")
    from holdfast.backup.make import make

    made = make(settings, directory, at=now())
    record = {"directory": str(made.directory), "hub": made.hub, "made_at": made.made_at.isoformat()}
    emit_record(record | {"files": sorted(made.files)}, as_json=as_json)


@click.command()
@DIRECTORY
@hub_options
@json_option
def restore(directory: Path, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Bring the backup in DIRECTORY back; the hub must not run.

    What was closed, disabled or revoked since stays so. CAs that were deleted since come back unproven, those that were
    registered since are gone. Devices that came since keep their pins.
    """
    settings = read_settings(**given)
    if sys.platform == "win32":
        raise ConfigurationError("unsupported_platform", "the hub runs on Linux and macOS")
    from holdfast.backup.restore import check
    from holdfast.backup.restore import restore as run
    from holdfast.hub.status import locked

    check(settings, directory)
    with locked(settings.state_dir):
        done = run(settings, directory, actor=actor(), at=now())
    record = {
        "made_at": done.made_at.isoformat(),
        "devices": done.merged.devices,
        "cas": done.merged.cas,
        "came_back_disabled": list(done.merged.disabled),
        "came_back_unproven": list(done.merged.unproven),
        "removed": list(done.merged.removed),
        "epochs": dict(done.merged.epochs) if as_json else sorted(done.merged.epochs.values()),
        "messages": done.messages,
        "telemetry": list(done.logs),
    }
    emit_record(record, as_json=as_json)
