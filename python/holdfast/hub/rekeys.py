"""Claims of new keys, held until every other worker has said that the old key is not live there. `trust.md` §3.2.

A worker looks at its own sessions before it asks for a claim; what others have, only they know.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.hub import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ANSWER_SECONDS_MAX = 1.0


@dataclass(slots=True)
class _Held:
    waiting: set[int]
    decide: Callable[[str | None], None]
    timer: asyncio.TimerHandle


class Rekeys:
    """Questions on their way. `ask` is given a worker's number and what to ask it."""

    def __init__(self, ask: Callable[[int, messages.IsLive], None]) -> None:
        self._ask = ask
        self._held: dict[int, _Held] = {}
        self._last = 0

    def hold(self, claim: messages.Claim, others: Iterable[int], decide: Callable[[str | None], None]) -> None:
        """Ask all `others`; `decide` hears `None`, or why the claim is refused: once, and later than this returns."""
        self._last += 1
        number = self._last
        loop = asyncio.get_running_loop()
        # Whoever does not answer may have the device.
        timer = loop.call_later(ANSWER_SECONDS_MAX, self._decide, number, "rekeyed_while_live")
        self._held[number] = _Held(set(others), decide, timer)
        for worker in tuple(self._held[number].waiting):
            self._ask(
                worker,
                messages.IsLive(question=number, device_id=claim.device_id, leaf_spki_sha256=claim.leaf_spki_sha256),
            )
        self._settle(number)

    def answered(self, worker: int, answer: messages.Live) -> None:
        """A worker has answered."""
        if answer.live:
            self._decide(answer.question, "rekeyed_while_live")
        elif held := self._held.get(answer.question):
            held.waiting.discard(worker)
            self._settle(answer.question)

    def gone(self, worker: int) -> None:
        """A worker has ended, and its sessions with it."""
        for number, held in list(self._held.items()):
            held.waiting.discard(worker)
            self._settle(number)

    def _settle(self, number: int) -> None:
        if (held := self._held.get(number)) and not held.waiting:
            self._decide(number, None)

    def _decide(self, number: int, code: str | None) -> None:
        if held := self._held.pop(number, None):
            held.timer.cancel()
            asyncio.get_running_loop().call_soon(held.decide, code)
