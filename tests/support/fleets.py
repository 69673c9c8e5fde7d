"""Fleets of pretend devices under a supply chain of their own."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from holdfast.fleet import papers

from .hub import now

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from holdfast.fleet.papers import Fleet

COMPANY = ("Company-X Root", "Factory-Y", "Technician-Z")


def fleet_of(directory: Path, prefix: str, count: int, *, names: Sequence[str] = COMPANY) -> Fleet:
    """`count` devices `{prefix}-{number}`, in date since yesterday, in a new directory `prefix` of `directory`."""
    return papers.make(
        directory / prefix,
        names=names,
        prefix=prefix,
        count=count,
        begins=(now() - timedelta(days=1)).replace(microsecond=0),
        days=30,
        seed=None,
        threads=os.cpu_count() or 1,
    )
