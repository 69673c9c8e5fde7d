"""Chains from Arrow and outcomes to Arrow, through whatever speaks the PyCapsule protocol."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from holdfast import ConfigurationError, Policy, TrustStore, Verifier
from holdfast.bulk.arrow import SCHEMA, verify_arrow
from holdfast.bulk.distributed import VerifyChains
from holdfast.bulk.polars import verify_frame

from ..support.pki import NOW
from .test_packed import ROOT, VERIFIER, mixed, outcomes_as_rows

CHAINS = mixed(120)
WANTED = outcomes_as_rows(CHAINS)
NUMBERS = pa.array(range(len(CHAINS)))


def rows(table: Any) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for row in table.select(SCHEMA.names).to_pylist():
        if row["ok"]:
            assert row["code"] is row["position"] is row["message"] is None
            end = int(row["not_after"].timestamp())
            found.append((True, row["common_name"], row["fingerprint"].hex(), row["anchor_fingerprint"].hex(), end))
        else:
            assert row["fingerprint"] is row["common_name"] is row["not_after"] is None
            found.append((False, row["code"], row["position"], row["message"]))
    return found


def without_cut(found: list[Any]) -> list[Any]:
    """Packed, a certificate that is cut short runs into the next one: it is refused in other words."""
    return [row for at, row in enumerate(found) if at % 23 != 17]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.binary()),
        pa.large_list(pa.large_binary()),
        pa.list_(pa.large_binary()),
        pa.list_(pa.binary_view()),
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
    ],
    ids=str,
)
def test_a_table_of_chains_is_judged_whatever_its_layout(kind: Any) -> None:
    values = CHAINS if pa.types.is_list(kind) or pa.types.is_large_list(kind) else [b"".join(one) for one in CHAINS]
    table = pa.table({"number": NUMBERS, "chain": pa.array(values, kind)})
    for given in (table, table.slice(7, 90), pa.concat_tables([table.slice(60), table.slice(0, 60)])):
        reader = verify_arrow(VERIFIER, given, at=NOW)
        assert hasattr(reader, "__arrow_c_stream__")
        found = reader.read_all()
        assert found.schema.names == ["number", *SCHEMA.names]
        numbers = found["number"].to_pylist()
        assert without_cut_at(numbers, rows(found)) == without_cut_at(numbers, [WANTED[number] for number in numbers])
    (batch,) = table.to_batches()
    assert without_cut(rows(verify_arrow(VERIFIER, batch, at=NOW).read_all())) == without_cut(WANTED)


def without_cut_at(numbers: list[int], found: list[Any]) -> list[Any]:
    return [row for number, row in zip(numbers, found, strict=True) if number % 23 != 17]


def test_nulls_are_empty_chains_and_nothing_is_judged_as_its_neighbour() -> None:
    good = CHAINS[0]
    chains = pa.array([good, None, [], good, [good[0], None, *good[1:]]], pa.list_(pa.binary()))
    found = verify_arrow(VERIFIER, pa.table({"chain": chains}), at=NOW).read_all()
    assert found["ok"].to_pylist() == [True, False, False, True, True]
    assert found["code"].to_pylist()[1:3] == ["empty_chain"] * 2
    packed = pa.array([b"".join(good), None], pa.binary())
    assert verify_arrow(VERIFIER, pa.table({"chain": packed}), at=NOW).read_all()["ok"].to_pylist() == [True, False]
    assert len(verify_arrow(VERIFIER, pa.table({"chain": pa.array([], pa.binary())}), at=NOW).read_all()) == 0


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([b""], "not_arrow"),
        (pa.table({"other": [b""]}), "no_chain_column"),
        (pa.table({"chain": ["text"]}), "no_chain_column"),
        (pa.table({"chain": [b""], "code": ["mine"]}), "column_exists"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_is(given: Any, code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        verify_arrow(VERIFIER, given)
    assert caught.value.code == code


def test_a_polars_frame_keeps_its_columns() -> None:
    frame = pl.DataFrame({"number": list(range(len(CHAINS))), "chain": CHAINS})
    found = verify_frame(VERIFIER, frame, at=NOW)
    assert isinstance(found, pl.DataFrame)
    assert found.columns == ["number", *SCHEMA.names]
    assert without_cut(found["ok"].to_list()) == without_cut([row[0] for row in WANTED])
    refused = found.filter(~pl.col("ok") & (pl.col("number") % 23 != 17))
    assert refused["code"].cast(pl.String).to_list() == [row[1] for row in without_cut(WANTED) if not row[0]]


def test_a_function_for_other_machines_travels_as_its_arguments() -> None:
    verify = VerifyChains([ROOT.der], Policy(max_intermediates=2), at=NOW)
    table = pa.table({"chain": pa.array(CHAINS, pa.list_(pa.binary()))})
    found = verify(table)
    for one in (verify, pickle.loads(pickle.dumps(verify))):  # noqa: S301 (our own)
        assert without_cut(rows(one(table))) == without_cut(WANTED)
        (batch,) = one.batches(table.to_batches())
        assert batch.schema.names == [column.split()[0] for column in VerifyChains.SPARK_SCHEMA.split(", ")]
        assert batch["code"].to_pylist() == found["code"].to_pylist()


def test_threads_do_not_change_outcomes() -> None:
    both = Verifier(TrustStore([ROOT.der]), Policy())
    table = pa.table({"chain": pa.array(CHAINS * 20, pa.list_(pa.binary()))})
    assert rows(verify_arrow(both, table, at=NOW).read_all()) == rows(verify_arrow(VERIFIER, table, at=NOW).read_all())


def test_without_pyarrow_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from holdfast.errors import ConfigurationError\n"
        "try:\n    import holdfast.bulk.arrow\n"
        "except ConfigurationError as error:\n    print(error.code, error.hint)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.split()[0] == "arrow_missing"
    assert "holdfast[arrow]" in shown
    assert "arrow_missing"
