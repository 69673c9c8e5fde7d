"""Chains on more than one machine: a function that engines ship to their workers. Needs `holdfast[arrow]` there.

Ray:    dataset.map_batches(VerifyChains(anchors), batch_format="pyarrow")
Spark:  frame.mapInArrow(VerifyChains(anchors).batches, schema=VerifyChains.SPARK_SCHEMA)   # the chain column alone

Each worker process makes its own verifier, and so its own kernel, tables and facts. Give `at`, so that all judge at one
time.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from holdfast._holdfast import TrustStore, Verifier
from holdfast.bulk.arrow import verify_arrow
from holdfast.verify import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime


class VerifyChains:
    """Verifies the chains of each batch it is given, in the process it is called in; pickled as its arguments.

    `anchors` are DER. One thread a worker: the engine has one worker for each core.
    """

    SPARK_SCHEMA: Final = (
        "ok boolean, code string, position smallint, message string, common_name string, fingerprint binary, "
        "anchor_fingerprint binary, not_after timestamp"
    )

    def __init__(
        self,
        anchors: Sequence[bytes],
        policy: Policy | None = None,
        *,
        column: str = "chain",
        at: datetime | None = None,
    ) -> None:
        if isinstance(anchors, bytes | bytearray | memoryview | str):
            message = "anchors: a sequence of DER is wanted; PEM is read by TrustStore.from_pem(pem).anchors"
            raise TypeError(message)
        self._arguments = tuple(map(bytes, anchors)), policy or Policy(), column, at

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, self._arguments

    @cached_property
    def _verifier(self) -> Verifier:
        anchors, policy, _, _ = self._arguments
        return Verifier(TrustStore(anchors), policy, threads=1)

    def __call__(self, table: Any) -> Any:  # noqa: ANN401 (pyarrow's table, in and out)
        """The outcomes of one table, as `holdfast.bulk.arrow.verify_arrow` gives them."""
        _, _, column, at = self._arguments
        return verify_arrow(self._verifier, table, column=column, at=at).read_all()

    def batches(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same for an iterator of record batches; codes are plain text, since Spark knows no dictionaries."""
        _, _, column, at = self._arguments
        for batch in batches:
            for found in verify_arrow(self._verifier, batch, column=column, at=at):
                index = found.schema.get_field_index("code")
                yield found.set_column(index, "code", found.column(index).dictionary_decode())


def _again(anchors: Sequence[bytes], policy: Policy, column: str, at: datetime | None) -> VerifyChains:
    return VerifyChains(anchors, policy, column=column, at=at)
