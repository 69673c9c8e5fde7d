"""What the record says, for tests to hold against what was done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from holdfast.registry.schema import acts, metadata

if TYPE_CHECKING:
    from holdfast.registry import Registry


def recorded(registry: Registry) -> list[tuple[str, str]]:
    """Every act so far: what, to whom."""
    return [(row["action"], row["subject"]) for row in registry.database.rows(select(acts).order_by(acts.c.seq))]


def last_act(registry: Registry) -> dict[str, Any]:
    row = registry.database.rows(select(acts).order_by(acts.c.seq.desc()).limit(1))[0]
    return {**row, "details": json.loads(row["details"])}


def dump(registry: Registry) -> dict[str, list[Any]]:
    """Everything there is: a refusal must leave it as it was (U3)."""
    return {table.name: registry.database.rows(select(table)) for table in metadata.sorted_tables}
