"""Sessions and wills as they are kept between connections, and when connections are lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from holdfast.inbox.sessions import Session
from holdfast.inbox.wills import Will, Word

if TYPE_CHECKING:
    import pytest

    from holdfast.inbox import Inbox

FOREVER = Session(inbox_qos=1, expiry_seconds=None, ends_at=None)
FINITE = Session(inbox_qos=0, expiry_seconds=60, ends_at=None)
WILL = Will(
    delay_seconds=5,
    due_at=None,
    anchor=b"\x01" * 32,
    vouchers=b"\x02" * 64,
    not_after=1_000_000,
    expires_in_seconds=None,
    system_properties="{}",
    properties='{"iothub-MessageType":"Will"}',
    payload=b"gone",
)


def keep(inbox: Inbox, *rows: tuple[str, Session | None], worker: int = 0) -> None:
    with inbox.database.writing() as transaction:
        inbox.sessions.keep(transaction, rows, worker=worker)


def lose(inbox: Inbox, worker: int | None, at: int) -> dict[str, Session]:
    with inbox.database.writing() as transaction:
        ending = inbox.sessions.disconnect(transaction, worker=worker, at=at, after="", count_max=100)
        assert inbox.wills.disconnect(transaction, worker=worker, at=at, count_max=100)
    return dict(ending)


def keep_wills(inbox: Inbox, *rows: tuple[str, Will | None], worker: int = 0) -> list[tuple[str, Will]]:
    left = []
    with inbox.database.writing() as transaction:
        for name, will in rows:
            word = Word(will=will, claims=will is not None and will.due_at is None)
            left += inbox.wills.keep(transaction, [(name, word)], worker=worker)
    return left


def adopt(inbox: Inbox, worker: int = 0) -> list[tuple[str, Will]]:
    with inbox.database.writing() as transaction:
        adopted = inbox.wills.adopt(transaction, worker=worker, count_max=100)
    assert not adopted.more
    return sorted(adopted.wills, key=lambda one: one[0])


def test_the_last_word_on_a_session_counts(inbox: Inbox, neighbour: Inbox) -> None:
    keep(inbox, ("a", FINITE), ("b", FOREVER), ("a", FOREVER), ("c", FOREVER), ("c", None))
    assert list(inbox.sessions.all(at=0)) == [[("a", FOREVER), ("b", FOREVER)]]
    keep(inbox, ("a", None), ("d", None))
    assert list(inbox.sessions.all(at=0)) == [[("b", FOREVER)]]
    keep(inbox)
    assert inbox.sessions.find("b", at=0) == FOREVER
    assert (neighbour.sessions.find("b", at=0), list(neighbour.sessions.all(at=0))) == (None, [])
    keep(neighbour, ("b", FINITE))
    assert inbox.sessions.find("b", at=0) == FOREVER


def test_a_session_ends_so_long_after_its_connection_and_not_before(inbox: Inbox) -> None:
    keep(inbox, ("a", replace(FINITE, ends_at=100)), ("b", FINITE), ("c", FOREVER))
    assert [device for device, _ in next(inbox.sessions.all(at=99))] == ["a", "b", "c"]
    assert [device for device, _ in next(inbox.sessions.all(at=100))] == ["b", "c"]
    assert inbox.sessions.find("a", at=100) is None
    with inbox.database.writing() as transaction:
        assert inbox.sessions.purge(transaction, at=99, count_max=10) == 0
        assert inbox.sessions.purge(transaction, at=100, count_max=10) == 1


def test_x04_when_a_worker_is_lost_the_time_of_its_sessions_begins_to_run(inbox: Inbox) -> None:
    gone = replace(FINITE, ends_at=7)
    keep(inbox, ("a", FINITE), ("b", FOREVER), ("c", gone), worker=0)
    keep(inbox, ("d", FINITE), ("e", replace(FINITE, expiry_seconds=0)), worker=1)
    assert lose(inbox, 0, at=1_000) == {"a": replace(FINITE, ends_at=1_060)}, "and says whose"
    found = dict(next(inbox.sessions.all(at=0)))
    assert found["a"] == replace(FINITE, ends_at=1_060)
    assert (found["b"], found["c"], found["d"]) == (FOREVER, gone, FINITE)
    assert lose(inbox, None, at=2_000).keys() == {"d", "e"}
    found = dict(next(inbox.sessions.all(at=0)))
    assert found["a"] == replace(FINITE, ends_at=1_060)
    assert found["d"] == replace(FINITE, ends_at=2_060)
    assert found["e"].ends_at == 2_000
    assert inbox.sessions.find("e", at=2_000) is None


def test_sessions_are_read_in_portions(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.inbox.sessions.ROWS_AT_ONCE", 2)
    keep(inbox, *((f"d{number}", FOREVER) for number in range(5)))
    assert [len(portion) for portion in inbox.sessions.all(at=0)] == [2, 2, 1]


def test_m06_a_will_waits_for_somebody_when_its_worker_is_lost(inbox: Inbox, neighbour: Inbox) -> None:
    delayed = replace(WILL, due_at=50)
    keep_wills(inbox, ("a", WILL), ("b", delayed), ("c", WILL), ("c", None), worker=0)
    keep_wills(inbox, ("d", WILL), worker=1)
    keep_wills(neighbour, ("a", WILL), worker=0)
    assert adopt(inbox) == []
    lose(inbox, 0, at=1_000)
    assert adopt(inbox, worker=2) == [("a", replace(WILL, due_at=1_005)), ("b", delayed)]
    assert adopt(inbox, worker=3) == [], "one publishes it"
    # Whoever has it may die, too; the time does not begin again.
    lose(inbox, 2, at=2_000)
    assert adopt(inbox) == [("a", replace(WILL, due_at=1_005)), ("b", delayed)]
    keep_wills(inbox, ("a", None), ("b", None))
    lose(inbox, None, at=3_000)
    assert adopt(inbox) == [("d", replace(WILL, due_at=3_005))]


def test_m06_a_worker_says_nothing_of_wills_of_devices_that_are_with_another(inbox: Inbox, neighbour: Inbox) -> None:
    newer = replace(WILL, payload=b"newer")
    keep_wills(inbox, ("a", WILL), ("b", WILL), worker=0)
    keep_wills(inbox, ("a", newer), worker=1)
    # Late words about connections that were: published, and lost.
    keep_wills(inbox, ("a", None), worker=0)
    keep_wills(inbox, ("a", replace(WILL, due_at=50)), ("b", replace(WILL, due_at=50)), worker=0)
    lose(inbox, 1, at=10)
    assert adopt(inbox) == [("a", replace(newer, due_at=15))]
    keep_wills(neighbour, ("a", WILL), worker=1)
    with inbox.database.writing() as transaction:
        inbox.wills.disown(transaction, ["a", "b", "c"])
    lose(inbox, None, at=10)
    assert adopt(inbox) == []
    lose(neighbour, 1, at=10)
    assert len(adopt(neighbour)) == 1


def test_m06_a_delayed_will_of_a_dead_worker_is_moot_where_its_device_is_back(inbox: Inbox) -> None:
    keep(inbox, *((name, FINITE) for name in ("back", "gone", "now")), worker=0)
    keep_wills(inbox, ("back", WILL), ("gone", WILL), ("now", replace(WILL, delay_seconds=0)), worker=0)
    lose(inbox, 0, at=10)
    keep(inbox, ("back", FINITE), ("now", FINITE), worker=1)
    assert [name for name, _ in adopt(inbox)] == ["gone", "now"]
    lose(inbox, None, at=10)
    assert [name for name, _ in adopt(inbox)] == ["gone", "now"]


def test_m06_a_new_will_takes_the_place_of_the_older_one(inbox: Inbox) -> None:
    keep_wills(inbox, ("a", replace(WILL, due_at=50)))
    keep_wills(inbox, ("a", replace(WILL, payload=b"newer")), worker=1)
    lose(inbox, 0, at=10)
    assert adopt(inbox) == []
    lose(inbox, 1, at=10)
    assert adopt(inbox) == [("a", replace(WILL, payload=b"newer", due_at=15))]


def test_m06_a_will_that_was_due_and_had_nobody_goes_to_who_speaks_of_its_device_first(inbox: Inbox) -> None:
    """Its connection was lost with its worker; whether the device is back by now says nothing about that."""
    now, late = replace(WILL, delay_seconds=0), replace(WILL, delay_seconds=5)
    keep_wills(inbox, ("a", now), ("b", late), ("c", now), worker=0)
    lose(inbox, 0, at=10)
    newer = replace(WILL, payload=b"newer")
    assert keep_wills(inbox, ("a", newer), ("b", newer), ("c", None), worker=1) == [("a", replace(now, due_at=10))]
    assert keep_wills(inbox, ("a", newer), worker=2) == [], "once"
    assert adopt(inbox) == [("c", replace(now, due_at=10))]


def test_m06_a_word_that_stands_for_several_keeps_what_the_first_of_them_did(inbox: Inbox) -> None:
    keep_wills(inbox, *((name, WILL) for name in "abcd"), worker=0)
    ended = replace(WILL, payload=b"newer", due_at=50)
    with inbox.database.writing() as transaction:
        rows = [
            ("a", Word(will=ended, claims=True)),
            ("b", Word(will=ended, claims=False)),
            ("c", Word(will=None, claims=True)),
            ("d", Word(will=None, claims=False)),
        ]
        inbox.wills.keep(transaction, rows, worker=1)
    lose(inbox, None, at=10)
    other = replace(WILL, due_at=15)
    assert adopt(inbox) == [("a", ended), ("b", other), ("d", other)]


def test_what_ends_is_dealt_with_in_portions(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(inbox, *((name, FINITE) for name in "abc"))
    keep_wills(inbox, *((name, WILL) for name in "abcde"))
    with inbox.database.writing() as transaction:
        first = inbox.sessions.disconnect(transaction, worker=0, at=1, after="", count_max=2)
        rest = inbox.sessions.disconnect(transaction, worker=0, at=1, after="b", count_max=2)
        assert [[name for name, _ in portion] for portion in (first, rest)] == [["a", "b"], ["c"]]
        all_ = [inbox.wills.disconnect(transaction, worker=0, at=1, count_max=2) for _ in range(3)]
        assert all_ == [False, False, True]
        portions = [inbox.wills.adopt(transaction, worker=1, count_max=2) for _ in range(3)]
        assert [(len(one.wills), one.more) for one in portions] == [(2, True), (2, True), (1, False)]
        assert inbox.wills.disconnect(transaction, worker=1, at=1, count_max=100)
        # However few, they are not many octets.
        monkeypatch.setattr("holdfast.inbox.wills.ADOPTED_BYTES_MAX", 2 * len(WILL.payload))
        portions = [inbox.wills.adopt(transaction, worker=1, count_max=100) for _ in range(3)]
        assert [(len(one.wills), one.more) for one in portions] == [(2, True), (2, True), (1, False)]
        assert [inbox.sessions.purge(transaction, at=100, count_max=2) for _ in range(2)] == [2, 1]
