"""What the supervisor makes of what workers want of the inbox, also while another process holds it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import structlog

from holdfast.hub import messages
from holdfast.hub import post as post_module
from holdfast.hub.post import Post
from holdfast.inbox import Inbox, open_inbox
from holdfast.inbox.messages import NewMessage
from holdfast.inbox.sessions import Session
from holdfast.inbox.wills import Will

from ..support.pki import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from holdfast.database import Transaction

AT = int(NOW.timestamp())
FOREVER = Session(inbox_qos=1, expiry_seconds=None, ends_at=None)
FINITE = Session(inbox_qos=1, expiry_seconds=60, ends_at=None)
WILL = Will(
    delay_seconds=5,
    due_at=None,
    anchor=b"\x01" * 32,
    vouchers=b"\x02" * 64,
    not_after=AT,
    expires_in_seconds=None,
    system_properties="{}",
    properties="{}",
    payload=b"gone",
)


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with open_inbox(tmp_path / "inbox.db", hub="hub.test", tenant="default", create=True) as found:
        yield found


class Workers:
    """What each worker was told."""

    def __init__(self, inbox: Inbox, *numbers: int) -> None:
        self.told: dict[int, list[messages.Message]] = {number: [] for number in numbers}
        self.post = Post(
            inbox,
            structlog.get_logger(),
            tell=lambda number, message: self.told[number].append(message),
            workers=lambda: list(self.told),
            clock=lambda: AT,
        )

    def introduce(self, number: int) -> None:
        self.told[number] += self.post.introduction()
        self.post.bequeath(number)

    async def caught_up(self) -> None:
        """Wait until all that could not be had of the inbox was tried again, and came."""
        for _ in range(2_000):
            if not self.post._late:
                return
            await asyncio.sleep(0.01)
        pytest.fail("the inbox stays held")

    def heard(self, number: int) -> list[messages.Message]:
        told, self.told[number] = self.told[number], []
        return told


@pytest.fixture
def _retrying_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_module, "RETRY_SECONDS", 0.01)


@contextmanager
def held(inbox: Inbox, directory: Path) -> Iterator[None]:
    """Another program holds the inbox, and nobody waits for it."""
    inbox.database.wait_at_most(0)
    with closing(sqlite3.connect(directory / "inbox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def work(**values: object) -> messages.InboxWork:
    empty: dict[str, object] = {"sessions": [], "wills": [], "completed": [], "fetches": []}
    return messages.InboxWork(**{**empty, **values})  # type: ignore[arg-type]


def fetch(handle: int = 9) -> messages.Fetch:
    return messages.Fetch(handle=handle, device_id="widget-1", after=0, count_max=32, bytes_max=65_536)


def queue(inbox: Inbox, payload: str) -> None:
    inbox.messages.send("widget-1", NewMessage(message_id=payload, payload=payload.encode()), at=NOW)


def payloads(message: messages.Message) -> list[tuple[int, list[bytes]]]:
    assert isinstance(message, messages.InboxDone)
    return [(one.handle, [inner.payload for inner in one.messages]) for one in message.deliveries]


def test_a_session_is_answered_to_who_waits_and_told_to_the_others(inbox: Inbox) -> None:
    workers = Workers(inbox, 0, 1)
    workers.post.work(0, work(sessions=[(7, "widget-1", FOREVER), (0, "widget-2", None)]))
    (answer,) = workers.heard(0)
    assert answer == messages.InboxDone(kept=[(7, None)], deliveries=[])
    (told,) = workers.heard(1)
    assert told == messages.Sessions(rows=[("widget-1", 1, None, None), ("widget-2", None, 0, 0)])
    assert inbox.sessions.find("widget-1", at=AT) == FOREVER


def test_m06_a_will_of_whoever_was_put_out_is_nobody_s_any_more(inbox: Inbox) -> None:
    workers = Workers(inbox, 0)
    workers.post.work(0, work(wills=[("widget-1", WILL), ("widget-2", WILL), ("widget-3", WILL)]))
    workers.post.disown(["widget-1", "widget-2"])
    workers.post.disown([])
    workers.post.disconnect(0)
    workers.introduce(0)
    (*_, wills) = workers.heard(0)
    assert isinstance(wills, messages.Wills)
    assert [device_id for device_id, _ in wills.rows] == ["widget-3"]


def test_what_others_have_queued_is_told_to_all_once(inbox: Inbox, tmp_path: Path) -> None:
    workers = Workers(inbox, 0, 1)
    workers.post.look()
    with open_inbox(tmp_path / "inbox.db", hub="hub.test", tenant="default", create=False) as other:
        queue(other, "m")
    workers.post.look()
    workers.post.look()
    for number in (0, 1):
        assert workers.heard(number) == [messages.Waiting(devices=["widget-1"])]


def test_a_new_worker_is_told_all_and_gets_the_wills_that_nobody_has(inbox: Inbox) -> None:
    workers = Workers(inbox, 0)
    workers.post.work(0, work(sessions=[(0, "widget-1", FOREVER)], wills=[("widget-1", WILL)]))
    queue(inbox, "m")
    workers.introduce(0)
    assert workers.heard(0) == [
        messages.Sessions(rows=[("widget-1", 1, None, None)]),
        messages.Waiting(devices=["widget-1"]),
        messages.Wills(rows=[]),
    ]
    workers.post.disconnect(0)
    workers.introduce(0)
    (*_, wills) = workers.heard(0)
    assert isinstance(wills, messages.Wills)
    assert [(device_id, will.due_at) for device_id, will in wills.rows] == [("widget-1", AT + 5)]


def test_x04_when_a_worker_is_lost_the_others_are_told_when_its_sessions_end(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_module, "ROWS_AT_ONCE", 2)
    workers = Workers(inbox, 0, 1, 2)
    finite = [(0, f"widget-{number}", FINITE) for number in range(3)]
    workers.post.work(0, work(sessions=[*finite, (0, "for-ever", FOREVER)]))
    workers.post.work(1, work(sessions=[(0, "elsewhere", FINITE)]))
    del workers.told[0]
    for number in (1, 2):
        workers.heard(number)
    workers.post.disconnect(0)
    for number in (1, 2):
        portions = [one.rows for one in workers.heard(number) if isinstance(one, messages.Sessions)]
        assert [len(portion) for portion in portions] == [2, 1]
        told = sorted(row for portion in portions for row in portion)
        assert told == [(f"widget-{number}", 1, 60, AT + 60) for number in range(3)]


@pytest.mark.usefixtures("_retrying_soon")
def test_while_the_inbox_is_held_nothing_is_granted_and_nothing_is_lost(inbox: Inbox, tmp_path: Path) -> None:
    """Whoever waits is told at once; what nobody waits for, and what was asked for, comes when the inbox is free."""
    queue(inbox, "one")
    workers = Workers(inbox, 0)

    async def scenario() -> None:
        with held(inbox, tmp_path):
            sessions = [(7, "widget-1", FOREVER), (0, "widget-2", FOREVER)]
            workers.post.work(0, work(sessions=sessions, wills=[("widget-1", WILL)], fetches=[fetch()]))
            assert workers.heard(0) == [messages.InboxDone(kept=[(7, "inbox_busy")], deliveries=[])]
            workers.post.work(0, work(sessions=[(0, "widget-2", None)]))
            await asyncio.sleep(0.05)
            assert workers.heard(0) == []
        await workers.caught_up()

    asyncio.run(scenario())
    (done,) = workers.heard(0)
    assert payloads(done) == [(9, [b"one"])]
    assert inbox.sessions.find("widget-1", at=AT) == FOREVER
    assert inbox.sessions.find("widget-2", at=AT) is None
    workers.post.disconnect(0)
    with inbox.database.writing() as transaction:
        assert [name for name, _ in inbox.wills.adopt(transaction, worker=1)] == ["widget-1"]


def test_what_could_not_be_kept_is_kept_when_its_worker_is_gone(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_module, "RETRY_SECONDS", 60)
    workers = Workers(inbox, 0)

    async def scenario() -> None:
        with held(inbox, tmp_path):
            workers.post.work(0, work(sessions=[(0, "widget-1", FINITE)]))
        workers.post.disconnect(0)

    asyncio.run(scenario())
    found = inbox.sessions.find("widget-1", at=AT)
    assert found is not None
    assert found.ends_at == AT + 60


async def test_g05_however_much_is_said_the_inbox_is_tried_once_at_a_time(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt may hold up the hub; whoever waits is answered all the same."""
    monkeypatch.setattr(post_module, "RETRY_SECONDS", 0.1)
    attempts: list[float] = []
    writing = inbox.database.writing

    def counted() -> AbstractContextManager[Transaction]:
        attempts.append(asyncio.get_running_loop().time())
        return writing()

    monkeypatch.setattr(inbox.database, "writing", counted)
    workers = Workers(inbox, 0)
    with held(inbox, tmp_path):
        for number in range(20):
            workers.post.work(0, work(sessions=[(number + 1, f"widget-{number}", FOREVER)], completed=[7]))
        assert len(attempts) == 1
        assert workers.heard(0) == [
            messages.InboxDone(kept=[(number + 1, "inbox_busy")], deliveries=[]) for number in range(20)
        ]
        await asyncio.sleep(0.35)
    assert 1 < len(attempts) <= 4
    assert min(later - earlier for earlier, later in pairwise(attempts)) > 0.09
    await asyncio.sleep(0.2)
    assert len(next(inbox.sessions.all(at=AT))) == 20
    count = len(attempts)
    await asyncio.sleep(0.2)
    assert len(attempts) == count, "and no more when all is kept"


@pytest.mark.usefixtures("_retrying_soon")
async def test_g05_what_was_asked_for_by_who_has_come_again_meanwhile_is_handed_out_once(
    inbox: Inbox, tmp_path: Path
) -> None:
    """Each time counts: after ten a message is given up."""
    queue(inbox, "one")
    workers = Workers(inbox, 0)
    with held(inbox, tmp_path):
        for handle in range(1, 12):
            workers.post.work(0, work(fetches=[fetch(handle)]))
    await workers.caught_up()
    (done,) = workers.heard(0)
    assert payloads(done) == [(11, [b"one"])]


@pytest.mark.usefixtures("_retrying_soon")
async def test_g05_a_worker_that_ends_while_the_inbox_is_held_has_ended_before_its_successor_says_anything(
    inbox: Inbox, tmp_path: Path
) -> None:
    """The successor has the same number, and its connections the same handles."""
    queue(inbox, "one")
    workers = Workers(inbox, 0, 1)
    workers.post.work(0, work(sessions=[(0, "widget-1", FINITE), (0, "widget-2", FINITE)]))
    with held(inbox, tmp_path):
        workers.post.work(0, work(sessions=[(0, "widget-3", FINITE)], wills=[("widget-3", WILL)], fetches=[fetch()]))
        workers.post.disconnect(0)
        workers.post.work(0, work(sessions=[(0, "widget-2", FINITE)]))
        workers.post.disconnect(0)
        workers.post.work(0, work(sessions=[(0, "widget-1", FINITE)], wills=[("widget-1", WILL)]))
    await workers.caught_up()
    ends = {device_id: session.ends_at for device_id, session in next(inbox.sessions.all(at=AT))}
    assert ends == {"widget-1": None, "widget-2": AT + 60, "widget-3": AT + 60}
    with inbox.database.writing() as transaction:
        assert [device_id for device_id, _ in inbox.wills.adopt(transaction, worker=1)] == ["widget-3"]
    # Of what it has not said itself the successor is told, and that is all.
    assert workers.heard(0) == [messages.Sessions(rows=[("widget-3", 1, 60, AT + 60), ("widget-2", 1, 60, AT + 60)])]
    assert [one.rows for one in workers.heard(1) if isinstance(one, messages.Sessions)][-2:] == [
        [("widget-3", 1, 60, AT + 60), ("widget-2", 1, 60, AT + 60)],
        [("widget-1", 1, 60, None)],
    ]


@pytest.mark.parametrize("put_out", [False, True])
@pytest.mark.usefixtures("_retrying_soon")
async def test_m06_wills_of_a_worker_that_ends_while_the_inbox_is_held_go_to_its_successor(
    inbox: Inbox, tmp_path: Path, *, put_out: bool
) -> None:
    workers = Workers(inbox, 0)
    workers.post.work(0, work(wills=[("widget-1", WILL)]))
    with held(inbox, tmp_path):
        workers.post.work(0, work(wills=[("widget-2", WILL)]))
        workers.post.disconnect(0)
        workers.introduce(0)
        if put_out:
            workers.post.disown(["widget-2"])
    assert workers.heard(0) == []
    await workers.caught_up()
    (wills,) = workers.heard(0)
    assert isinstance(wills, messages.Wills)
    assert [device_id for device_id, _ in wills.rows] == (["widget-1"] if put_out else ["widget-1", "widget-2"])
    workers.post.work(0, work(wills=[(device_id, None) for device_id, _ in wills.rows]))
    workers.post.disconnect(0)
    workers.introduce(0)
    assert workers.heard(0)[-1] == messages.Wills(rows=[]), "each once"


@pytest.mark.usefixtures("_retrying_soon")
async def test_m06_a_will_that_was_taken_back_while_the_inbox_is_held_stays_so_whoever_was_put_out(
    inbox: Inbox, tmp_path: Path
) -> None:
    workers = Workers(inbox, 0)
    workers.post.work(0, work(wills=[("widget-1", WILL)]))
    with held(inbox, tmp_path):
        workers.post.work(0, work(wills=[("widget-1", None)]))
        workers.post.disown(["widget-1"])
    await workers.caught_up()
    workers.post.disconnect(0)
    workers.introduce(0)
    assert workers.heard(0)[-1] == messages.Wills(rows=[])


@pytest.mark.usefixtures("_retrying_soon")
async def test_m06_wills_wait_for_an_heir_that_comes_while_the_inbox_is_held(inbox: Inbox, tmp_path: Path) -> None:
    workers = Workers(inbox, 0)
    workers.post.work(0, work(wills=[("widget-1", WILL)]))
    workers.post.disconnect(0)
    with held(inbox, tmp_path):
        workers.introduce(0)
        assert workers.heard(0) == []
    await workers.caught_up()
    (wills,) = workers.heard(0)
    assert isinstance(wills, messages.Wills)
    assert [device_id for device_id, _ in wills.rows] == ["widget-1"]
