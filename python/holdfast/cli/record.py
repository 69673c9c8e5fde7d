"""`holdfast record`: who has changed what, when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.options import Moment, open_registry, read_settings, settings_options
from holdfast.cli.output import emit_table, json_option
from holdfast.cli.text import text

if TYPE_CHECKING:
    from datetime import datetime

    from holdfast.registry.record import Act

COLUMNS = ("at", "actor", "action", "subject", "reason")


@click.group()
def record() -> None:
    """Read the record: each change of the registry, by the CLI and by the hub."""


@record.command(name="list")
@click.option("--since", type=Moment(), help="Only what was done from then on.")
@click.option("--subject", type=text, help="Only what has this in its subject or details: a name, an id, a hash.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Of these no more than the last N.")
@settings_options
@json_option
def list_(
    since: datetime | None,
    subject: str | None,
    last: int | None,
    *,
    as_json: bool,
    **given: Any,  # noqa: ANN401
) -> None:
    """List who did what, when and why, the newest last. With `--json` all that was recorded of it."""
    with open_registry(read_settings(**given)) as registry:
        records = [_record(one) for one in registry.record.list(since=since, subject=subject, last=last)]
    emit_table(records, COLUMNS, as_json=as_json, empty="nothing of that was ever done")


def _record(act: Act) -> dict[str, object]:
    return {
        "number": act.number,
        "at": act.at.isoformat(),
        "actor": act.actor,
        "action": act.action,
        "subject": act.subject,
        "reason": act.reason,
        "details": dict(act.details),
    }
