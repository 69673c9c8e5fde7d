"""How every command answers: a table or a few lines for a person, JSON when asked."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from holdfast.cli.text import printable
from holdfast.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from _typeshed import ReadableBuffer

SIGPIPE_STATUS: Final = 128 + 13
"""What a shell says of whom SIGPIPE has ended, as it ends everybody else in `… | head`."""
UNFOLDED_WIDTH = 4096
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
    # Elsewhere than on a terminal nobody sees where a line would fold, and a hash in two halves is of no use.
    Console(width=None if sys.stdout.isatty() else UNFOLDED_WIDTH, highlight=False, markup=False).print(table)


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


class Output(io.RawIOBase):
    """Writes to `raw`; what cannot be written is `file_not_written`, and a reader that has gone ends the command.

    Otherwise click and rich would make exit status 1 of it, which is "the answer is no".
    """

    def __init__(self, raw: io.RawIOBase, name: object, owner: object = None) -> None:
        self._raw, self._name, self._lost = raw, name, False
        self._owner = owner  # with its end it would close `raw`

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The same as below."""
        return self._raw.fileno()

    def isatty(self) -> bool:
        """The same as below."""
        return self._raw.isatty()

    def write(self, octets: ReadableBuffer, /) -> int | None:
        """Write, or raise once: whatever is still in a buffer then is lost, too, without another word."""
        if self._lost:
            return memoryview(octets).nbytes
        try:
            return self._raw.write(octets)
        except OSError as error:
            self._lost = True
            if isinstance(error, BrokenPipeError):
                sys.exit(SIGPIPE_STATUS)
            message = f"cannot write {self._name}: {error.strerror}"
            raise ConfigurationError("file_not_written", message) from error


def guard_streams() -> None:
    """Have stdout say what it cannot write, be it for a full disk or for a letter; open what is closed as empty."""
    # The number of a closed stream would go to the next file that is opened. What is open to be read takes no answer.
    sys.stdin = sys.stdin or os.fdopen(os.open(os.devnull, os.O_RDONLY))
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    own = sys.stdout
    if isinstance(own, io.TextIOWrapper):
        raw: Any = own.buffer
        output = Output(getattr(raw, "raw", raw), "standard output", own)
        errors = "backslashreplace" if own.errors == "strict" else own.errors
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(output),
            own.encoding,
            errors,
            line_buffering=own.line_buffering,
            write_through=own.write_through,
        )


def is_fancy(encoding: str) -> bool:
    """Whether ticks and lines can be written in `encoding`."""
    return encoding.lower().startswith("utf")


def _plain(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable((", ".join(map(str, value)) or "-") if isinstance(value, list | tuple) else str(value))
