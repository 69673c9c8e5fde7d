"""What the supervisor makes of what workers want of the inbox, also while another process holds it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

import pytest
import structlog
from sqlalchemy import select

from holdfast.errors import ConfigurationError, ConflictError, HoldfastError
from holdfast.hub import messages
from holdfast.hub import post as post_module
from holdfast.hub.post import Post
from holdfast.inbox import Inbox, open_inbox, schema
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
        self.ended: list[int] = []
        self.post = Post(
            inbox,
            structlog.get_logger(),
            tell=lambda number, message: self.told[number].append(message),
            workers=lambda: list(self.told),
            end=self.ended.append,
            clock=lambda: AT,
        )

    def introduce(self, number: int) -> None:
        self.told[number] += self.post.introduction()
        self.post.bequeath(number)

    def heard(self, number: int) -> list[messages.Message]:
        told, self.told[number] = self.told[number], []
        return told

    def done(self, number: int) -> list[messages.Message]:
        """What it was told until all was done that can be."""
        self.post.finish()
        return self.heard(number)

    def inherited(self, number: int) -> list[str]:
        wills = [message for message in self.done(number) if isinstance(message, messages.Wills)]
        return sorted(device_id for one in wills for device_id, _ in one.rows)


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


def orphans(inbox: Inbox, number: int | None = None) -> list[str]:
    """Whose wills nobody has, once worker `number` is gone."""
    with inbox.database.writing() as transaction:
        if number is not None:
            inbox.wills.disconnect(transaction, worker=number, at=AT, count_max=100)
        return [name for name, _ in inbox.wills.adopt(transaction, worker=9, count_max=100).wills]


async def test_a_session_is_answered_to_who_waits_and_told_to_the_others(inbox: Inbox) -> None:
    workers = Workers(inbox, 0, 1)
    workers.post.work(0, work(sessions=[(7, "widget-1", FOREVER), (0, "widget-2", None)]))
    (answer,) = workers.done(0)
    assert answer == messages.InboxDone(kept=[(7, None)], deliveries=[])
    (told,) = workers.heard(1)
    assert told == messages.Sessions(rows=[("widget-1", 1, None, None), ("widget-2", None, 0, 0)])
    assert inbox.sessions.find("widget-1", at=AT) == FOREVER


async def test_m06_a_will_of_whoever_was_put_out_is_nobody_s_any_more(inbox: Inbox) -> None:
    workers = Workers(inbox, 0)
    workers.post.work(0, work(wills=[("widget-1", WILL), ("widget-2", WILL), ("widget-3", WILL)]))
    workers.post.disown(["widget-1", "widget-2"])
    workers.post.disown([])
    workers.post.disconnect(0)
    workers.introduce(0)
    assert workers.inherited(0) == ["widget-3"]


def test_what_others_have_queued_is_told_to_all_once(inbox: Inbox, tmp_path: Path) -> None:
    workers = Workers(inbox, 0, 1)
    workers.post.look()
    with open_inbox(tmp_path / "inbox.db", hub="hub.test", tenant="default", create=False) as other:
        queue(other, "m")
    workers.post.look()
    workers.post.look()
    for number in (0, 1):
        assert workers.heard(number) == [messages.Waiting(devices=["widget-1"])]


async def test_a_new_worker_is_told_all_and_gets_the_wills_that_nobody_has(inbox: Inbox) -> None:
    workers = Workers(inbox, 0)
    workers.post.work(0, work(sessions=[(0, "widget-1", FOREVER)], wills=[("widget-1", WILL)]))
    workers.post.finish()
    queue(inbox, "m")
    workers.introduce(0)
    assert workers.done(0) == [
        messages.Sessions(rows=[("widget-1", 1, None, None)]),
        messages.Waiting(devices=["widget-1"]),
    ]
    workers.post.disconnect(0)
    workers.introduce(0)
    (*_, wills) = workers.done(0)
    assert isinstance(wills, messages.Wills)
    assert [(device_id, will.due_at) for device_id, will in wills.rows] == [("widget-1", AT + 5)]


async def test_x04_when_a_worker_is_lost_the_others_are_told_when_its_sessions_end(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_module, "ROWS_A_TURN", 2)
    workers = Workers(inbox, 0, 1, 2)
    finite = [(0, f"widget-{number}", FINITE) for number in range(3)]
    workers.post.work(0, work(sessions=[*finite, (0, "for-ever", FOREVER)]))
    workers.post.work(1, work(sessions=[(0, "elsewhere", FINITE)]))
    workers.post.finish()
    del workers.told[0]
    for number in (1, 2):
        workers.heard(number)
    workers.post.disconnect(0)
    workers.post.finish()
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
            await asyncio.sleep(0.005)
            assert workers.heard(0) == [messages.InboxDone(kept=[(7, "inbox_busy")], deliveries=[])]
            workers.post.work(0, work(sessions=[(0, "widget-2", None)]))
            await asyncio.sleep(0.05)
            assert workers.heard(0) == []
        await asyncio.sleep(0.05)

    asyncio.run(scenario())
    (done,) = workers.heard(0)
    assert payloads(done) == [(9, [b"one"])]
    assert inbox.sessions.find("widget-1", at=AT) == FOREVER
    assert inbox.sessions.find("widget-2", at=AT) is None
    assert orphans(inbox, 0) == ["widget-1"]


async def test_what_could_not_be_kept_is_kept_when_its_worker_is_gone(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_module, "RETRY_SECONDS", 60)
    workers = Workers(inbox, 0)

    with held(inbox, tmp_path):
        workers.post.work(0, work(sessions=[(0, "widget-1", FINITE)]))
        workers.post.finish()
    workers.post.disconnect(0)
    workers.post.finish()
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
    workers = Workers(inbox, 0, 1)
    with held(inbox, tmp_path):
        for number in range(20):
            # Nor by another worker, however many there are.
            workers.post.work(number % 2, work(sessions=[(number + 1, f"widget-{number}", FOREVER)], completed=[7]))
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(attempts) == 1
        answers = [message.kept for one in (0, 1) for message in workers.heard(one) if hasattr(message, "kept")]
        assert sorted(answers) == [[(number + 1, "inbox_busy")] for number in range(20)]
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
        workers.post.finish()
    workers.post.finish()
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
    workers.post.finish()
    with held(inbox, tmp_path):
        workers.post.work(0, work(sessions=[(0, "widget-3", FINITE)], wills=[("widget-3", WILL)], fetches=[fetch()]))
        workers.post.finish()
        workers.post.disconnect(0)
        workers.post.work(0, work(sessions=[(0, "widget-2", FINITE)]))
        workers.post.disconnect(0)
        workers.post.work(0, work(sessions=[(0, "widget-1", FINITE)], wills=[("widget-1", WILL)]))
    workers.post.finish()
    ends = {device_id: session.ends_at for device_id, session in next(inbox.sessions.all(at=AT))}
    assert ends == {"widget-1": None, "widget-2": AT + 60, "widget-3": AT + 60}
    assert orphans(inbox) == ["widget-3"]
    # Of what it has not said itself the successor is told.
    told = [row for message in workers.heard(0) if isinstance(message, messages.Sessions) for row in message.rows]
    assert dict.fromkeys(row[0] for row in told) == {"widget-3": None, "widget-2": None}
    assert {row[0]: row[3] for row in told} == {"widget-2": AT + 60, "widget-3": AT + 60}
    told = [row for message in workers.heard(1) if isinstance(message, messages.Sessions) for row in message.rows]
    assert {row[0]: row[3] for row in told} == ends


@pytest.mark.parametrize("put_out", [False, True])
@pytest.mark.usefixtures("_retrying_soon")
async def test_m06_wills_of_a_worker_that_ends_while_the_inbox_is_held_go_to_its_successor(
    inbox: Inbox, tmp_path: Path, *, put_out: bool
) -> None:
    workers = Workers(inbox, 0)
    workers.post.work(0, work(wills=[("widget-1", WILL)]))
    workers.post.finish()
    with held(inbox, tmp_path):
        workers.post.work(0, work(wills=[("widget-2", WILL)]))
        workers.post.finish()
        workers.post.disconnect(0)
        workers.introduce(0)
        if put_out:
            workers.post.disown(["widget-2"])
    workers.post.finish()
    inherited = ["widget-1"] if put_out else ["widget-1", "widget-2"]
    assert workers.inherited(0) == inherited
    workers.post.work(0, work(wills=[(device_id, None) for device_id in inherited]))
    workers.post.disconnect(0)
    workers.introduce(0)
    assert workers.inherited(0) == [], "each once"


@pytest.mark.usefixtures("_retrying_soon")
async def test_m06_a_will_that_was_taken_back_while_the_inbox_is_held_stays_so_whoever_was_put_out(
    inbox: Inbox, tmp_path: Path
) -> None:
    workers = Workers(inbox, 0)
    workers.post.work(0, work(wills=[("widget-1", WILL)]))
    workers.post.finish()
    with held(inbox, tmp_path):
        workers.post.work(0, work(wills=[("widget-1", None)]))
        workers.post.finish()
        workers.post.disown(["widget-1"])
    workers.post.finish()
    workers.post.disconnect(0)
    workers.introduce(0)
    assert workers.inherited(0) == []


@pytest.mark.usefixtures("_retrying_soon")
async def test_m06_wills_wait_for_an_heir_that_comes_while_the_inbox_is_held(inbox: Inbox, tmp_path: Path) -> None:
    workers = Workers(inbox, 0)
    workers.post.work(0, work(wills=[("widget-1", WILL)]))
    workers.post.disconnect(0)
    workers.post.finish()
    with held(inbox, tmp_path):
        workers.introduce(0)
        workers.post.finish()
        assert workers.heard(0) == []
    workers.post.finish()
    assert workers.inherited(0) == ["widget-1"]


def transactions(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each was begun."""
    began: list[float] = []
    writing = inbox.database.writing

    def counted() -> AbstractContextManager[Transaction]:
        began.append(asyncio.get_running_loop().time())
        return writing()

    monkeypatch.setattr(inbox.database, "writing", counted)
    return began


async def test_x01_what_is_heard_in_one_turn_of_the_loop_is_one_transaction(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many workers say it, and in how many messages: a sync for each was slower than devices can connect."""
    workers = Workers(inbox, 0, 1)
    began = transactions(inbox, monkeypatch)
    for number in range(100):
        sessions = [(number + 1, f"widget-{number}", FINITE), (0, "again", FINITE)]
        workers.post.work(number % 2, work(sessions=sessions, wills=[("again", WILL)]))
    await asyncio.sleep(0)
    assert len(began) == 1
    answers = [message.kept for one in (0, 1) for message in workers.heard(one) if hasattr(message, "kept")]
    assert sorted(answer for kept in answers for answer in kept) == [(number + 1, None) for number in range(100)]
    assert len(answers) == 2


async def test_x01_there_is_time_for_everything_else_however_much_waits(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn is bounded, and the next one waits for as long as that took."""
    monkeypatch.setattr(post_module, "ROWS_A_TURN", 10)
    workers = Workers(inbox, 0)
    began = transactions(inbox, monkeypatch)
    for number in range(100):
        workers.post.work(0, work(sessions=[(0, f"widget-{number}", FINITE)], wills=[(f"widget-{number}", WILL)]))
    others = 0
    while len(next(inbox.sessions.all(at=AT), [])) < 100:
        await asyncio.sleep(0)
        others += 1
    assert len(began) == 10
    assert others > 20
    assert len(inbox.database.rows(select(schema.wills))) == 100


async def test_x01_what_waits_does_not_grow_with_what_is_said(inbox: Inbox, tmp_path: Path) -> None:
    workers = Workers(inbox, 0, 1)
    with held(inbox, tmp_path):
        for number in range(1_000):
            sessions = [(number + 1, "widget-1", FINITE if number % 2 else None)]
            workers.post.work(number % 2, work(sessions=sessions, wills=[("widget-1", WILL), ("widget-1", None)]))
        words = workers.post._words
        assert [len(kind) for kind in (words.sessions, words.waiting, words.wills)] == [1, 1, 1]
        assert [len(said) for said in (words.waiting["widget-1"], words.wills["widget-1"])] == [2, 1]


async def test_late_words_of_one_worker_do_not_take_the_place_of_newer_ones_of_another(
    inbox: Inbox, tmp_path: Path
) -> None:
    """An acknowledged SUBSCRIBE was lost so, and a will."""
    workers = Workers(inbox, 0, 1)
    newer = replace(WILL, payload=b"newer")
    with held(inbox, tmp_path):
        workers.post.work(0, work(sessions=[(0, "widget-1", None)], wills=[("widget-1", WILL)]))
        workers.post.finish()
    workers.post.work(1, work(sessions=[(7, "widget-1", FOREVER)], wills=[("widget-1", newer)]))
    workers.post.finish()
    assert messages.InboxDone(kept=[(7, "inbox_busy")], deliveries=[]) in workers.heard(1)
    workers.post.work(1, work(sessions=[(8, "widget-1", FOREVER)]))
    # The older connection is ended, and its worker says so.
    workers.post.work(0, work(wills=[("widget-1", None)]))
    workers.post.disconnect(0)
    workers.post.finish()
    assert messages.InboxDone(kept=[(8, None)], deliveries=[]) in workers.heard(1)
    assert inbox.sessions.find("widget-1", at=AT) == FOREVER
    with inbox.database.writing() as transaction:
        inbox.wills.disconnect(transaction, worker=1, at=AT, count_max=9)
        adopted = inbox.wills.adopt(transaction, worker=2, count_max=9)
    assert adopted.wills == [("widget-1", replace(newer, due_at=AT + 5))]


async def test_m06_a_word_about_a_connection_that_was_changes_nothing_of_the_one_that_is(inbox: Inbox) -> None:
    """In whichever turns they are kept."""
    newer, ended = replace(WILL, payload=b"newer"), replace(WILL, due_at=AT)
    for together in (True, False):
        workers = Workers(inbox, 0, 1)
        for number, will in ((0, WILL), (1, newer), (0, ended), (0, None)):
            workers.post.work(number, work(wills=[("widget-1", will)]))
            if not together:
                workers.post.finish()
        workers.post.finish()
        assert orphans(inbox, 0) == []
        assert orphans(inbox, 1) == ["widget-1"]
        workers.post.disown(["widget-1"])
        workers.post.finish()


async def test_m06_what_was_due_when_a_worker_was_lost_is_published_although_its_device_is_back_first(
    inbox: Inbox,
) -> None:
    workers = Workers(inbox, 0, 1)
    now = replace(WILL, delay_seconds=0)
    workers.post.work(0, work(wills=[("widget-1", now)]))
    workers.post.disconnect(0)
    workers.post.work(1, work(wills=[("widget-1", replace(WILL, payload=b"newer"))]))
    assert workers.done(1) == [messages.Wills(rows=[("widget-1", replace(now, due_at=AT))])]


async def test_m06_wills_that_nobody_has_are_shared_out_in_portions(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_module, "ROWS_A_TURN", 2)
    workers = Workers(inbox, 0, 1, 2)
    names = [f"widget-{number}" for number in range(7)]
    workers.post.work(0, work(wills=[(name, WILL) for name in names]))
    workers.introduce(1)
    workers.introduce(2)
    workers.post.disconnect(0)
    first, second = workers.inherited(1), workers.inherited(2)
    assert sorted(first + second) == names
    assert min(len(first), len(second)) > 2


async def test_what_the_hub_had_before_it_was_started_has_ended_whenever_the_inbox_is_free(
    inbox: Inbox, tmp_path: Path
) -> None:
    """Workers of now have the same numbers."""
    workers = Workers(inbox, 0)
    workers.post.work(0, work(sessions=[(0, "before", FINITE)], wills=[("before", WILL)]))
    workers.post.finish()
    workers = Workers(inbox, 0)
    with held(inbox, tmp_path):
        workers.post.begin()
        workers.post.finish()
        workers.introduce(0)
        workers.post.work(0, work(sessions=[(0, "now", FINITE)]))
        workers.post.finish()
        workers.heard(0)
    assert workers.done(0) == [
        messages.Sessions(rows=[("before", 1, 60, AT + 60)]),
        messages.Wills(rows=[("before", replace(WILL, due_at=AT + 5))]),
    ]
    ends = {device_id: session.ends_at for device_id, session in next(inbox.sessions.all(at=AT))}
    assert ends == {"before": AT + 60, "now": None}


@pytest.mark.usefixtures("_retrying_soon")
async def test_a_worker_that_says_what_cannot_be_kept_is_ended_and_what_others_say_is_kept(inbox: Inbox) -> None:
    """More than 64 bits: the driver refuses it, and SQLite is not at fault."""
    workers = Workers(inbox, 0, 1)
    workers.post.work(0, work(sessions=[(7, "widget-1", FOREVER)]))
    workers.post.work(1, work(sessions=[(8, "widget-2", replace(FINITE, expiry_seconds=2**64))]))
    while not workers.ended:  # noqa: ASYNC110 (a test)
        await asyncio.sleep(0.01)
    assert workers.ended == [1]
    workers.post.disconnect(1)
    workers.post.finish()
    assert [device_id for device_id, _ in next(inbox.sessions.all(at=AT))] == ["widget-1"]
    assert workers.heard(0) == [messages.InboxDone(kept=[(7, None)], deliveries=[])]
    workers.post.work(0, work(sessions=[(9, "widget-1", None)]))
    assert workers.done(0) == [messages.InboxDone(kept=[(9, None)], deliveries=[])]


async def test_what_has_ended_is_forgotten_in_portions(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_module, "ROWS_A_TURN", 2)
    workers = Workers(inbox, 0)
    gone = replace(FINITE, ends_at=AT)
    workers.post.work(0, work(sessions=[(0, f"widget-{number}", gone) for number in range(5)]))
    workers.post.finish()
    began = transactions(inbox, monkeypatch)
    workers.post.purge()
    workers.post.finish()
    assert len(began) == 3
    assert inbox.database.rows(select(schema.sessions)) == []


async def test_g04_without_what_is_kept_in_a_damaged_file_a_worker_serves_and_a_held_one_is_waited_for(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = Workers(inbox, 0)

    def fail(error: HoldfastError) -> None:
        def tuples(_: object) -> NoReturn:
            raise error

        monkeypatch.setattr(inbox.database, "tuples", tuples)

    fail(ConfigurationError("inbox_failed", "database disk image is malformed"))
    assert list(workers.post.introduction()) == []
    fail(ConflictError("inbox_busy", "another process holds the inbox"))
    with pytest.raises(ConflictError):
        list(workers.post.introduction())
