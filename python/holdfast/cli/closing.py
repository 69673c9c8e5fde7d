"""What closing a key would do, as `branch close` and `ca disable` show it before they ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from holdfast.cli.options import now
from holdfast.cli.output import emit_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.registry import Registry
    from holdfast.registry.closures import Named, Preview

NAMES_SHOWN_MAX = 10


def agreed(
    registry: Registry,
    named: Sequence[Named],
    question: str,
    *,
    descendants: bool = False,
    preview: bool,
    yes: bool,
    as_json: bool,
) -> tuple[Sequence[Named], dict[str, object]] | None:
    """What is to be closed, and what is said of it; `None`: no more than a preview was wanted, and it was given."""
    found = registry.closures.preview(*named, at=now(), descendants=descendants)
    ways = registry.successions.ways(found)
    record = _preview_record(named, found, ways, as_json=as_json)
    if preview:
        emit_record(record, as_json=as_json)
        return None
    if not yes:
        _ask(question, _preview_record(named, found, ways, as_json=False))
    return found.closing, record


def _preview_record(
    named: Sequence[Named], found: Preview, ways: Sequence[tuple[Named, int]], *, as_json: bool
) -> dict[str, object]:
    """What closing `named` would do; for people, with no more names than they read."""
    below = found.closing[len(named) :]
    surviving = list(found.surviving)
    if not as_json and len(surviving) > NAMES_SHOWN_MAX:
        surviving[NAMES_SHOWN_MAX:] = [f"and {len(found.surviving) - NAMES_SHOWN_MAX} more"]
    return {
        **named_record(named),
        "with_it": [one.subject or one.sha256.hex() for one in below],
        "devices": found.devices,
        "with_another_way_in": surviving,
        "pinned_to_unmet_keys": found.unmet,
        "may_come_by": [
            {"subject": one.subject or None, "spki_sha256": one.sha256.hex(), "devices": count}
            if as_json
            else f"{one}: {count} devices"
            for one, count in ways
        ],
        "registered_as": list(found.registered),
    }


def named_record(named: Sequence[Named]) -> dict[str, object]:
    """What is meant: a key, a certificate, or an unseen hash, which may be either."""
    kinds = dict.fromkeys(one.kind.value for one in named)
    return {"kind": ", ".join(kinds), "subject": named[0].subject or None, "sha256": named[0].sha256.hex()}


def _ask(question: str, record: Mapping[str, object]) -> None:
    """Show what would happen, and go on only if that is wanted."""
    for name, value in record.items():
        if value not in (None, [], 0):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(f"{name.replace('_', ' ')}: {shown}", err=True)
    click.confirm(question, abort=True, err=True)
