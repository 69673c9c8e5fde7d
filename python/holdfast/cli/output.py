"""How every command answers: a table or a few lines for a person, JSON when asked."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def emit_record(record: Mapping[str, Any], *, as_json: bool) -> None:
    """Answer with one record: `name  value` lines, or one JSON object. Empty values are left out of the lines."""
    if as_json:
        click.echo(json.dumps(record, default=str))
        return
    width = max(map(len, record))
    for name, value in record.items():
        if value not in (None, "", [], ()):
            click.echo(f"{name.replace('_', ' '):<{width}}  {_plain(value)}")


def emit_table(records: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Answer with many records: a table of `columns`, or JSON with every field; `empty` is said of none."""
    if as_json:
        click.echo(json.dumps(list(records), default=str))
        return
    if not records:
        click.echo(empty, err=True)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for record in records:
        table.add_row(*(_plain(record.get(column)) for column in columns))
    Console(width=None, highlight=False, markup=False).print(table)


@contextmanager
def progress(text: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr that each call of what it yields moves on by one; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total)
        yield lambda: bar.advance(task)


def _plain(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value)
