"""The door by itself: how often it takes a turn, and when it says what there is to say."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest

from holdfast._holdfast import Device, Request
from holdfast.hub import messages
from holdfast.hub.door import CROWD_COUNT, CROWD_SECONDS, Door

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


class Admitting:
    """In place of a gate: every turn admits somebody."""

    def __init__(self, half_open: int, *more: Request) -> None:
        self.half_open = half_open
        self.asked = [Request.Log(), *more]
        self.told: list[str] = []
        self.work: list[messages.InboxWork] = []

    def door(self) -> Door:
        def tell(what: str, said: object) -> None:
            self.told.append(what)
            if isinstance(said, messages.InboxWork):
                self.work.append(said)

        write, post, admitted = (partial(tell, what) for what in ("lines", "work", "admissions"))
        return Door(cast("Gate", self), write=write, post=post, claim=print, admitted=admitted)  # type: ignore[arg-type]

    def turn(self) -> list[Request]:
        return self.asked

    def take_lines(self) -> str:
        return "{}\n"

    def take_admissions(self) -> bytes:
        return b"somebody"


async def test_who_comes_alone_is_told_of_at_once_and_a_crowd_a_moment_later() -> None:
    few, many = Admitting(CROWD_COUNT - 1), Admitting(CROWD_COUNT)
    few.door().turn()
    many.door().turn()
    await asyncio.sleep(0)
    assert (few.told, many.told) == (["admissions", "lines"], [])
    await asyncio.sleep(3 * CROWD_SECONDS)
    assert (few.told, many.told) == (["admissions", "lines"], ["admissions", "lines"])


@pytest.mark.parametrize("half_open", [0, CROWD_COUNT])
async def test_what_the_inbox_keeps_is_told_with_the_admission_however_many_there_are(half_open: int) -> None:
    """In one message: else another worker's words of a later connection of the device could come in between."""
    gate = Admitting(half_open, Request.Keep(handle=1, device_id="widget-1", session=None))
    gate.door().turn()
    await asyncio.sleep(0)
    assert [what for what in gate.told if what != "lines"] == ["work"]
    assert gate.work[0].admissions == b"somebody"
    assert [device_id for _, device_id, _ in gate.work[0].sessions] == ["widget-1"]


class Panic(BaseException):
    """What comes of a panic is no `Exception`."""


class Failing(Admitting):
    """In place of a gate: nothing can be known of it."""

    @property
    def half_open(self) -> int:
        raise Panic

    @half_open.setter
    def half_open(self, _: int) -> None: ...


async def test_x03_an_action_that_fails_keeps_nothing_from_being_done_that_was_asked_for_behind_it() -> None:
    failed: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    failing = Failing(0, Request.Keep(handle=1, device_id="widget-1", session=None))
    failing.door().turn()
    await asyncio.sleep(0)
    assert (failing.told, failing.work[0].admissions) == (["work"], b"somebody")
    assert [type(context["exception"]) for context in failed] == [Panic]


class Claiming:
    """In place of a gate: every turn brings somebody nobody knows."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def turn(self) -> list[Request]:
        device = Device("widget-1", "01" * 32, "02" * 32)
        return [Request.Claim(handle=1, device=device, fingerprint=b"", path=b"", before=None)]

    def replace_trust(self, **_: object) -> list[Request]:
        self.told.append("trust")
        return []


async def test_t14_claims_are_told_as_judged_before_trust_that_comes_in_the_same_turn_of_the_loop() -> None:
    gate = Claiming()

    def claim(_: object, claims: list[messages.Claim]) -> None:
        gate.told += [one.device_id for one in claims]

    door = Door(cast("Gate", gate), write=print, post=print, claim=claim, admitted=print)  # type: ignore[arg-type]
    door.turn()
    door.replace_trust(
        messages.Trust(epoch=2, anchors=[], closed_keys=[], closed_certificates=[], successions=[], clock_floor=0)
    )
    await asyncio.sleep(0)
    assert gate.told == ["widget-1", "trust"], "and not a second time"
