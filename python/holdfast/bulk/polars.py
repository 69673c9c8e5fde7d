"""Chains in a Polars frame. Needs `polars` and `holdfast[arrow]`.

frame = pl.read_parquet("chains.parquet")          # a column of lists of binary, or of binary
verify_frame(verifier, frame).filter(~pl.col("ok"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import polars as pl

from holdfast.bulk.arrow import verify_arrow

if TYPE_CHECKING:
    from datetime import datetime

    from holdfast._holdfast import Verifier


def verify_frame(
    verifier: Verifier, frame: pl.DataFrame, *, column: str = "chain", at: datetime | None = None
) -> pl.DataFrame:
    """Verify the chains of `frame`; the columns and errors are those of `holdfast.bulk.arrow.verify_arrow`."""
    return cast("pl.DataFrame", pl.from_arrow(verify_arrow(verifier, frame, column=column, at=at)))
