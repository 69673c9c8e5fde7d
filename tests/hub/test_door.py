"""The door by itself: how often it takes a turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from holdfast._holdfast import Request
from holdfast.hub.door import Door

if TYPE_CHECKING:
    from holdfast._holdfast import Gate


class Busy:
    """In place of a gate: somebody always waits for another turn."""

    def __init__(self) -> None:
        self.turns = 0

    def turn(self) -> list[Request]:
        self.turns += 1
        return [Request.Turn()]


async def test_turns_that_are_asked_for_do_not_multiply_with_those_that_sockets_bring() -> None:
    busy = Busy()
    door = Door(cast("Gate", busy), write=print, post=print, claim=print, admitted=print)  # type: ignore[arg-type]
    for round_ in range(1, 51):
        door.turn()  # as the loop does when a socket is ready
        await asyncio.sleep(0)
        assert busy.turns <= 2 * round_
