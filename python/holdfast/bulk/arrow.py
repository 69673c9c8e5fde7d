"""Chains from Arrow, outcomes to Arrow, by the PyCapsule protocol. Needs `holdfast[arrow]`.

https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdfast._holdfast import Columns, codes
from holdfast.bulk.read import BAD_CHAIN_LINE
from holdfast.errors import ConfigurationError

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ModuleNotFoundError as error:  # pragma: no cover (every environment of ours has it)
    _hint = "pip install 'holdfast[arrow]'"
    raise ConfigurationError("arrow_missing", "pyarrow is not installed", hint=_hint) from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from holdfast._holdfast import Verifier

SCHEMA: Final = pa.schema(
    [
        pa.field("ok", pa.bool_(), nullable=False),
        pa.field("code", pa.dictionary(pa.int16(), pa.string())),
        pa.field("position", pa.int16()),
        pa.field("message", pa.large_string()),
        pa.field("common_name", pa.large_string()),
        pa.field("fingerprint", pa.binary(32)),
        pa.field("anchor_fingerprint", pa.binary(32)),
        pa.field("not_after", pa.timestamp("s", tz="UTC")),
    ]
)
"""One row a chain: what came of it, and of a path that holds, what it is; null where that does not apply."""


def outcomes(columns: Columns, unreadable: Mapping[int, str] | None = None) -> Any:  # noqa: ANN401 (pyarrow is untyped)
    """The columns of `verify_packed` as a `pyarrow.RecordBatch` of `SCHEMA`.

    `unreadable` is that of the piece that was judged: such a row is `bad_chain_line`, with what it says as message.
    """
    count, unreadable = len(columns), unreadable or {}

    def fixed(kind: Any, octets: bytes) -> Any:  # noqa: ANN401
        return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(octets)])

    def text(offsets: bytes, octets: bytes) -> Any:  # noqa: ANN401
        found = pa.Array.from_buffers(pa.large_string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(octets)])
        return pc.if_else(pc.equal(found, ""), pa.scalar(None, pa.large_string()), found)

    ok = fixed(pa.uint8(), columns.ok).cast(pa.bool_())

    def where(condition: Any, found: Any) -> Any:  # noqa: ANN401
        return pc.if_else(condition, found, pa.scalar(None, found.type))

    numbers = fixed(pa.uint16(), columns.codes)
    numbers = where(pc.invert(ok), numbers).cast(pa.int16())
    positions = fixed(pa.int16(), columns.positions)
    messages = text(columns.message_offsets, columns.messages)
    names = [*codes(), BAD_CHAIN_LINE]
    if unreadable:
        lines = pa.array([index in unreadable for index in range(count)])
        numbers = pc.replace_with_mask(numbers, lines, pa.scalar(len(names) - 1, pa.int16()))
        messages = pc.replace_with_mask(messages, lines, pa.array(unreadable.values(), pa.large_string()))
    return pa.record_batch(
        [
            ok,
            pa.DictionaryArray.from_arrays(numbers, pa.array(names, pa.string())),
            where(pc.greater_equal(positions, 0), positions),
            messages,
            text(columns.common_name_offsets, columns.common_names),
            where(ok, fixed(pa.binary(32), columns.fingerprints)),
            where(ok, fixed(pa.binary(32), columns.anchor_fingerprints)),
            where(ok, fixed(pa.timestamp("s", tz="UTC"), columns.not_after)),
        ],
        schema=SCHEMA,
    )


def verify_arrow(verifier: Verifier, chains: Any, *, column: str = "chain", at: datetime | None = None) -> Any:  # noqa: ANN401
    """Verify the chains of a table, a batch at a time; a `pyarrow.RecordBatchReader`, which speaks the protocol itself.

    `chains` has `__arrow_c_stream__` or `__arrow_c_array__`. Its `column` holds chains, end entity first: lists of
    binary, or binary with the certificates one after another, DER. The other columns come through, and those of
    `SCHEMA` follow. A chain that is null is refused as `empty_chain`. Each batch is judged at `at`, or at the present
    time when its turn comes.

    Raises:
        ConfigurationError: `not_arrow`, `no_chain_column`, `column_exists`.
    """
    reader = _reader(chains)
    index = reader.schema.get_field_index(column)
    if index < 0 or not _holds_chains(reader.schema.field(index).type):
        message = f"no column '{column}' of lists of binary or of binary among {reader.schema.names}"
        raise ConfigurationError("no_chain_column", message)
    kept = [field for field in reader.schema if field.name != column]
    if taken := {field.name for field in kept} & set(SCHEMA.names):
        message = f"the columns {sorted(taken)} have the names of columns that would be added"
        raise ConfigurationError("column_exists", message)
    schema = pa.schema([*kept, *SCHEMA])

    def judged(batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            buffer, offsets = _packed(batch.column(index))
            found = outcomes(verifier.verify_packed(buffer, offsets, at))
            others = [batch.column(place) for place in range(batch.num_columns) if place != index]
            yield pa.record_batch([*others, *found.columns], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, judged(reader))


def _reader(chains: Any) -> Any:  # noqa: ANN401
    if hasattr(chains, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(chains)
    if hasattr(chains, "__arrow_c_array__"):
        batch = pa.record_batch(chains)
        return pa.RecordBatchReader.from_batches(batch.schema, [batch])
    message = f"{type(chains).__name__} speaks neither __arrow_c_stream__ nor __arrow_c_array__"
    raise ConfigurationError("not_arrow", message)


def _is_binary(kind: Any) -> bool:  # noqa: ANN401
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _holds_chains(kind: Any) -> bool:  # noqa: ANN401
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(_is_binary(kind) or (lists and _is_binary(kind.value_type)))


def _packed(chains: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """What `verify_packed` takes: the octets, and where each chain begins. Nothing is copied but what has nulls."""
    if _is_binary(chains.type):
        if chains.null_count:
            chains = pc.fill_null(chains.cast(pa.large_binary()), b"")
        buffer, starts = _octets(chains.cast(pa.large_binary()))
        return buffer, _numbers(starts)
    if chains.null_count or chains.flatten().null_count:
        whole = [[one or b"" for one in chain or ()] for chain in chains.to_pylist()]
        chains = pa.array(whole, pa.large_list(pa.large_binary()))
    chains = chains.cast(pa.large_list(pa.large_binary()))
    buffer, starts = _octets(chains.values)
    starts = starts.take(chains.offsets)
    return buffer, _numbers(starts)


def _octets(binaries: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """The octets of all, and where each begins and the last one ends, as an Arrow array."""
    _, offsets, octets = binaries.buffers()
    if offsets is None or not len(binaries):
        return b"", pa.array([0], pa.int64())
    starts = pa.Array.from_buffers(pa.int64(), len(binaries) + 1, [None, offsets], offset=binaries.offset)
    return memoryview(octets).cast("B") if octets else b"", starts


def _numbers(starts: Any) -> memoryview:  # noqa: ANN401
    _, octets = starts.buffers()
    return memoryview(octets).cast("q")[starts.offset : starts.offset + len(starts)]
