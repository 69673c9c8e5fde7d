"""`holdfast cert`: look at certificates and judge chains."""

from __future__ import annotations

import click

from holdfast.cli.bulk import bulk


@click.group()
def cert() -> None:
    """Look at certificates and judge chains."""


cert.add_command(bulk)
