"""Results that are kept: `benches/results/DATE-NAME.{json,md,svg}`, each with what it was measured on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .machine import describe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DIRECTORY = Path(__file__).with_name("results")


def write(name: str, record: Mapping[str, Any], *, text: str, drawing: str | None = None) -> Path:
    """Keep `record` as JSON, `text` as Markdown under a head that says what it was measured on, and the drawing."""
    at = datetime.now(UTC)
    machine = describe()
    DIRECTORY.mkdir(exist_ok=True)
    stem = DIRECTORY / f"{at:%Y-%m-%d}-{name}"
    stem.with_suffix(".json").write_text(
        json.dumps({"at": at.isoformat(timespec="seconds"), "machine": machine, **record}, indent=1) + "\n"
    )
    head = [f"# {name}, {at:%Y-%m-%d %H:%M} UTC", "", *(f"- {key}: {value}" for key, value in machine.items()), ""]
    picture = [f"![{name}]({stem.name}.svg)", ""] if drawing else []
    stem.with_suffix(".md").write_text("\n".join([*head, *picture, text.rstrip(), ""]))
    if drawing:
        stem.with_suffix(".svg").write_text(drawing)
    return stem.with_suffix(".md")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers to the right."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:,.0f}" if isinstance(value, float) else str(value)
