"""What several commands share: where the settings are, who is acting, files that are read whole."""

from __future__ import annotations

import getpass
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.errors import ConfigurationError
from holdfast.settings import Settings, load

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS_FILE = Path("holdfast.toml")
INPUT_BYTES_MAX = 1024 * 1024
"""More than any door takes: what is larger is refused there, by its own bound."""


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config`, `--hub`, `--tenant`, `--state-dir`; `read_settings` makes settings of them."""
    for option in (
        click.option("--state-dir", type=click.Path(path_type=Path), help="Where the hub keeps its state."),
        click.option("--tenant", help="Whose CAs these are."),
        click.option("--hub", help="The hub's name."),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            help="TOML file with settings; holdfast.toml here, if it is there.",
        ),
    ):
        command = option(command)
    return command


def read_settings(config: Path | None, **overrides: object) -> Settings:
    """The settings of the file named, or of `holdfast.toml` in this directory, with `overrides` on top."""
    if config is None and SETTINGS_FILE.exists():
        config = SETTINGS_FILE
    return load(config, overrides)


def now() -> datetime:
    """The present, UTC."""
    return datetime.now(UTC)


def actor() -> str:
    """Who is at the keyboard, for the record: the login name, or the number of a user without one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def read_input(path: Path) -> bytes:
    """The contents of a file, `-` being standard input; a little more than any door takes, so that it can say so.

    Raises:
        ConfigurationError: `unreadable_file`.
    """
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(INPUT_BYTES_MAX)
        with path.open("rb") as file:
            return file.read(INPUT_BYTES_MAX)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise ConfigurationError("unreadable_file", message) from error
