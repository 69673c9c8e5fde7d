"""`holdfast doctor`: what is wrong with a hub, and what mends it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.options import read_settings, settings_options
from holdfast.cli.output import is_fancy, json_option
from holdfast.cli.text import printable
from holdfast.errors import ConfigurationError, HoldfastError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.hub.checkup import Finding

COLOURS = {"good": "green", "warning": "yellow", "bad": "red"}
SIGNS = {"good": "✓", "warning": "!", "bad": "✗", "mend": "→"}
PLAIN_SIGNS = {"good": "ok", "warning": "!", "bad": "NO", "mend": "->"}


@click.command()
@settings_options
@json_option
def doctor(*, as_json: bool, **given: Any) -> None:  # noqa: ANN401 (click's options)
    """Look for everything that can be wrong with a hub, running or not, and change nothing.

    Settings, certificate, state directory, databases, clock, CAs, port, limits of the system, metrics. Exit status 1
    where something is bad: the hub does not start, or lets nobody in.
    """
    if sys.platform == "win32":
        raise ConfigurationError("unsupported_platform", "the hub runs on Linux and macOS")
    from holdfast.hub import checkup

    try:
        settings = read_settings(**given)
    except HoldfastError as error:
        findings = [checkup.of_error("settings", error)]
    else:
        findings = [
            checkup.Finding(check="settings", state=checkup.State.GOOD, found=f"hub {settings.hub}, {settings.tenant}"),
            *checkup.examine(settings),
        ]
    if as_json:
        click.echo(json.dumps([_record(finding) for finding in findings]))
    else:
        _show(findings)
    sys.exit(any(finding.state is checkup.State.BAD for finding in findings))


def _record(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "state": finding.state.value,
        "found": finding.found,
        "mend": finding.mend or None,
        "code": finding.code,
    }


def _show(findings: Sequence[Finding]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    signs = SIGNS if is_fancy(console.encoding) else PLAIN_SIGNS
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("", "check", "found"):
        table.add_column(column, overflow="fold")
    before = ""
    for finding in findings:
        colour = COLOURS[finding.state.value]
        check, before = ("" if finding.check == before else finding.check), finding.check
        found = Text(printable(finding.found), style="" if finding.state.value == "good" else colour)
        if finding.mend:
            found.append(f"\n{signs['mend']} {printable(finding.mend)}", style="default")
        table.add_row(Text(signs[finding.state.value], style=colour), check, found)
    console.print(table)
    counts = {state: sum(finding.state.value == state for finding in findings) for state in COLOURS}
    console.print(f"{counts['bad']} bad, {counts['warning']} to look at, {counts['good']} good")
