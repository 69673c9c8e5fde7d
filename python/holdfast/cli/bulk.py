"""`holdfast cert bulk`: judge the chains of files of any size, as many at a time as keep the kernel busy."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import click

from holdfast._holdfast import Columns, Verifier, codes
from holdfast.bulk.read import BAD_CHAIN_LINE, Piece, read_chains
from holdfast.cli.bundles import read_anchors
from holdfast.cli.options import at_option
from holdfast.cli.output import Output, emit_record, json_option
from holdfast.cli.text import text
from holdfast.errors import ConfigurationError, ConflictError
from holdfast.files import appear
from holdfast.verify import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANCHORS_BYTES_MAX = 512 * 1024 * 1024
SHOWN_MAX = 20


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…|-", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--anchors",
    "anchor_files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Trust these CAs: PEM, DER or PKCS #7, as many as you like; repeatable.",
)
@at_option
@click.option("--certificates", type=click.IntRange(min=1), help="In PEM and DER each chain has N. Else names tell.")
@click.option("--output", type=click.Path(path_type=Path), help="One row a chain: .jsonl, .arrow or .parquet.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="0 takes every core.")
@json_option
def bulk(
    files: tuple[Path, ...],
    anchor_files: tuple[Path, ...],
    at: datetime | None,
    certificates: int | None,
    output: Path | None,
    threads: int,
    *,
    as_json: bool,
) -> None:
    """Judge the chains in FILEs, or on standard input with `-`: PEM, DER or JSON Lines, in a memory that does not grow.

    End entities first. A JSON line is a list of base64 DER, or an object with it as `chain` and an `id`. With `--json`
    each chain is a line on stdout, and the count goes to stderr; without, the first refusals and the count are shown.
    A line that holds no chain is told like a chain that was refused, as `bad_chain_line`. Exit status 1 if a chain was
    refused, 3 if there was such a line.
    """
    verifier = Verifier(read_anchors(anchor_files, bytes_max=ANCHORS_BYTES_MAX), Policy(), threads=threads)
    at = at or datetime.now(UTC)
    with contextlib.ExitStack() as stack:
        sinks: list[_Sink] = [tally := _Tally()]
        if as_json:
            sinks.append(_Lines(sys.stdout.buffer))
        if output is not None:
            sinks.append(stack.enter_context(_sink(output)))
        progress = stack.enter_context(_progress(files))
        for file in files:
            with _opened(file) as source:
                for piece in read_chains(_Counted(source, progress), certificates=certificates):
                    columns = verifier.verify_packed(piece.buffer, piece.offsets, at)
                    for sink in sinks:
                        sink.write(str(file), piece, columns)
    tally.show(as_json=as_json)
    if tally.refused:
        sys.exit(3 if BAD_CHAIN_LINE in tally.by_code else 1)


class _Sink(Protocol):
    """Where outcomes go, a piece at a time."""

    def write(self, file: str, piece: Piece, columns: Columns) -> None: ...


def _rows(file: str, piece: Piece, columns: Columns) -> Iterator[dict[str, Any]]:
    """One record a chain; what does not apply is left out."""
    names = codes()
    numbers, positions = memoryview(columns.codes).cast("H"), memoryview(columns.positions).cast("h")
    not_after = memoryview(columns.not_after).cast("q")
    messages, message_at = columns.messages, memoryview(columns.message_offsets).cast("q")
    texts, text_at = columns.common_names, memoryview(columns.common_name_offsets).cast("q")
    fingerprints, anchors = columns.fingerprints, columns.anchor_fingerprints
    for index, ok in enumerate(columns.ok):
        row: dict[str, Any] = {"file": file}
        if piece.lines:
            row["line"] = piece.lines[index]
            if (its_id := piece.ids[index]) is not None:
                row["id"] = its_id
        if ok:
            row["ok"] = True
            if text_at[index] < text_at[index + 1]:
                row["common_name"] = texts[text_at[index] : text_at[index + 1]].decode()
            row["fingerprint"] = fingerprints[32 * index : 32 * index + 32].hex()
            row["anchor_fingerprint"] = anchors[32 * index : 32 * index + 32].hex()
            row["not_after"] = datetime.fromtimestamp(not_after[index], UTC).isoformat()
        else:
            row["ok"] = False
            if index in piece.unreadable:
                yield {**row, "code": BAD_CHAIN_LINE, "message": piece.unreadable[index]}
                continue
            row["code"] = names[numbers[index]]
            if positions[index] >= 0:
                row["position"] = positions[index]
            row["message"] = messages[message_at[index] : message_at[index + 1]].decode()
        yield row


@dataclass(slots=True)
class _Tally:
    """How many of each code, and the first refusals."""

    total: int = 0
    accepted: int = 0
    by_code: Counter[str] = field(default_factory=Counter)
    first: list[dict[str, Any]] = field(default_factory=list)

    @property
    def refused(self) -> int:
        return self.total - self.accepted

    def write(self, file: str, piece: Piece, columns: Columns) -> None:
        accepted = sum(columns.ok)
        if accepted < len(columns):
            names, numbers = codes(), memoryview(columns.codes).cast("H")
            self.by_code.update(
                BAD_CHAIN_LINE if index in piece.unreadable else names[numbers[index]]
                for index, ok in enumerate(columns.ok)
                if not ok
            )
            if len(self.first) < SHOWN_MAX:
                refused = ({"chain": self.total + at, **row} for at, row in enumerate(_rows(file, piece, columns), 1))
                self.first += [row for row in refused if not row["ok"]][: SHOWN_MAX - len(self.first)]
        self.total += len(columns)
        self.accepted += accepted

    def show(self, *, as_json: bool) -> None:
        counts = {"chains": self.total, "accepted": self.accepted, "refused": self.refused}
        if as_json:
            click.echo(json.dumps({**counts, "codes": dict(self.by_code.most_common())}), err=True)
            return
        from holdfast.cli.output import emit_table

        if self.first:
            emit_table(
                self.first, ("file", "chain", "line", "id", "code", "position", "message"), as_json=False, empty=""
            )
        emit_record({**counts, **dict(self.by_code.most_common())}, as_json=False)


class _Lines:
    """A JSON object a line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, file: str, piece: Piece, columns: Columns) -> None:
        lines = [json.dumps(row) for row in _rows(file, piece, columns)]
        self._stream.write("".join(f"{line}\n" for line in lines).encode())


class _ArrowFile:
    """An Arrow or Parquet file: which file, and of JSON Lines the line and its id as text; then the outcome."""

    def __init__(self, stream: BinaryIO, kind: str) -> None:
        import pyarrow as pa

        from holdfast.bulk.arrow import SCHEMA

        self._pa = pa
        own = [pa.field("file", pa.string()), pa.field("line", pa.int64()), pa.field("id", pa.string())]
        self._schema = pa.schema([*own, *SCHEMA])
        if kind == ".parquet":
            from pyarrow import parquet

            self._writer = parquet.ParquetWriter(stream, self._schema)
        else:
            self._writer = pa.ipc.new_file(stream, self._schema)

    def write(self, file: str, piece: Piece, columns: Columns) -> None:
        from holdfast.bulk.arrow import outcomes

        pa, count = self._pa, len(columns)
        lines = pa.array(piece.lines, pa.int64()) if piece.lines else pa.nulls(count, pa.int64())
        ids = pa.array(_ids(piece.ids), pa.string()) if piece.lines else pa.nulls(count, pa.string())
        files = pa.repeat(pa.scalar(file), count)
        self._writer.write_batch(
            pa.record_batch([files, lines, ids, *outcomes(columns, piece.unreadable).columns], schema=self._schema)
        )

    def close(self) -> None:
        self._writer.close()


def _ids(ids: list[str | int | None]) -> Iterator[str | None]:
    """As text; of half a pair of surrogates, which JSON can say, an escape."""
    for one in ids:
        yield None if one is None else text(str(one))


@contextlib.contextmanager
def _sink(path: Path) -> Iterator[_Sink]:
    """A file beside its final name until all is written; what fails leaves nothing behind."""
    kind = path.suffix
    if kind not in {".jsonl", ".arrow", ".parquet"}:
        message = f"{path}: the extension '{kind}' says no format; .jsonl, .arrow and .parquet do"
        raise ConfigurationError("unknown_output_format", message)
    if path.exists():
        message = f"{path} exists"
        raise ConflictError("file_exists", message)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        raw = partial.open("xb", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with raw, io.BufferedWriter(Output(raw, path)) as stream:
            if kind == ".jsonl":
                yield _Lines(stream)
            else:
                _require_arrow()
                writer = _ArrowFile(stream, kind)
                yield writer
                writer.close()
        try:
            appear(partial, path)
        except OSError as error:
            raise _unwritable(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    message = f"{path}: {error.strerror}"
    return ConfigurationError("unwritable_output", message)


def _require_arrow() -> None:
    # Read when pyarrow is loaded. Its own allocators keep 8 MiB more of what was freed than the system's does.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    import holdfast.bulk.arrow  # noqa: F401 (it says what to install)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        message = f"{file}: {error.strerror}"
        raise ConfigurationError("unreadable_file", message) from None
    with stream:
        yield stream


class _Counted:
    def __init__(self, source: BinaryIO, progress: Callable[[int], None]) -> None:
        self._source, self._progress = source, progress

    def read(self, size: int, /) -> bytes:
        octets = self._source.read(size)
        self._progress(len(octets))
        return octets


@contextlib.contextmanager
def _progress(files: tuple[Path, ...]) -> Iterator[Callable[[int], None]]:
    """A bar of octets on stderr, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    sizes = [file.stat().st_size if file.is_file() else None for file in files]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    columns = (TextColumn("judging"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda octets: bar.advance(task, octets)
