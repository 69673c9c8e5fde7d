"""Messages for devices: bounded, in order, handed out until they are acknowledged, expired or given up."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.errors import HoldfastError
from holdfast.inbox import messages as messages_module
from holdfast.inbox.messages import DELIVERIES_MAX, PACKET_IDS, HandedOut, NewMessage

from ..support.pki import NOW

if TYPE_CHECKING:
    from holdfast.inbox import Inbox

AT = int(NOW.timestamp())


def new(message_id: str = "m-1", **values: Any) -> NewMessage:
    return NewMessage(**{"message_id": message_id, "payload": b"hello"} | values)


def send(inbox: Inbox, count: int, *, device: str = "widget-1", first: int = 1, **values: Any) -> None:
    for number in range(first, first + count):
        inbox.messages.send(device, new(f"m-{number}", **values), at=NOW)


def hand_out(inbox: Inbox, *, after: int = 0, count: int = 32, size: int = 65_536, at: int = AT) -> HandedOut:
    with inbox.database.writing() as transaction:
        return inbox.messages.hand_out(transaction, "widget-1", after=after, count_max=count, bytes_max=size, at=at)


def complete(inbox: Inbox, *ids: int) -> None:
    with inbox.database.writing() as transaction:
        inbox.messages.complete(transaction, ids)


def named(found: HandedOut) -> list[str]:
    return [json.loads(one.system_properties)["message-id"] for one in found.messages]


def code_of(inbox: Inbox, message: NewMessage) -> str:
    before = inbox.messages.queue("widget-1", at=AT)
    with pytest.raises(HoldfastError) as caught:
        inbox.messages.send("widget-1", message, at=NOW)
    assert inbox.messages.queue("widget-1", at=AT) == before
    return caught.value.code


def test_g05_more_are_completed_together_than_a_statement_can_name(inbox: Inbox) -> None:
    """All that devices have acknowledged while the inbox could not be written."""
    send(inbox, 20)
    plain = inbox.database._connection.connection.driver_connection
    assert isinstance(plain, sqlite3.Connection)
    plain.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 10)
    complete(inbox, *range(1, 20))
    plain.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1_000)
    assert named(hand_out(inbox)) == ["m-20"]


def test_a_message_is_handed_out_as_it_was_sent_until_it_is_acknowledged(inbox: Inbox) -> None:
    ends = NOW + timedelta(seconds=60)
    properties = {"b": "2 é", "a": ""}
    message = new(content_type="application/json", correlation_id="c", expires_at=ends, properties=properties)
    inbox.messages.send("widget-1", message, at=NOW)
    (first,) = hand_out(inbox).messages
    assert (first.packet_id, first.redelivered, first.payload) == (1, False, b"hello")
    assert first.expires_at == AT + 60
    assert json.loads(first.system_properties) == {
        "message-id": "m-1",
        "content-type": "application/json",
        "correlation-id": "c",
        "absolute-expiry-time": ends.strftime("%Y-%m-%dT%H:%M:%S.0000000Z"),
    }
    assert json.loads(first.properties) == properties
    (again,) = hand_out(inbox).messages
    assert again == replace(first, redelivered=True)
    complete(inbox, first.id)
    assert hand_out(inbox) == HandedOut(messages=[], more=False, given_up=[])


def test_order_and_bounds_of_what_is_handed_out(inbox: Inbox) -> None:
    send(inbox, 10)
    send(inbox, 3, device="widget-2")
    first = hand_out(inbox, count=4)
    assert (named(first), first.more) == (["m-1", "m-2", "m-3", "m-4"], True)
    rest = hand_out(inbox, after=first.messages[-1].id)
    assert (named(rest), rest.more) == ([f"m-{number}" for number in range(5, 11)], False)
    assert [one.packet_id for one in rest.messages] == list(range(5, 11))
    # By bytes: at least one, then as many as fit.
    assert len(hand_out(inbox, size=1).messages) == 1
    cut = hand_out(inbox, size=14)
    assert (len(cut.messages), cut.more) == (2, True)
    assert inbox.messages.counts(at=AT) == {"widget-1": 10, "widget-2": 3}


def test_m10_an_inbox_that_is_full_says_so_and_takes_more_when_there_is_room(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert messages_module.MESSAGES_MAX == 1_000
    monkeypatch.setattr(messages_module, "MESSAGES_MAX", 5)
    send(inbox, 5)
    assert code_of(inbox, new("m-6")) == "inbox_full"
    send(inbox, 1, device="widget-2")
    complete(inbox, hand_out(inbox).messages[0].id)
    send(inbox, 1, first=6)
    assert code_of(inbox, new("m-7")) == "inbox_full"


def test_what_has_expired_takes_no_room_and_is_handed_out_to_nobody(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages_module, "MESSAGES_MAX", 2)
    send(inbox, 2, expires_at=NOW + timedelta(seconds=60))
    assert inbox.messages.queue("widget-1", at=AT).count == 2
    assert hand_out(inbox, at=AT + 60).messages == []
    assert inbox.messages.queue("widget-1", at=AT + 60).count == 0
    inbox.messages.send("widget-1", new("late"), at=NOW + timedelta(seconds=60))
    assert named(hand_out(inbox, at=AT + 60)) == ["late"]
    send(inbox, 1, device="widget-2", expires_at=NOW + timedelta(seconds=9))
    with inbox.database.writing() as transaction:
        assert inbox.messages.purge(transaction, at=AT + 8, count_max=10) == 0
        assert inbox.messages.purge(transaction, at=AT + 9, count_max=10) == 1


def test_a_message_that_is_never_acknowledged_is_given_up_in_the_end(inbox: Inbox) -> None:
    send(inbox, 3)
    for _ in range(DELIVERIES_MAX):
        assert named(hand_out(inbox, count=1)) == ["m-1"]
    found = hand_out(inbox, count=1)
    assert (named(found), found.more, found.given_up) == ([], True, ["m-1"]) or named(found) == ["m-2"]
    assert named(hand_out(inbox)) == ["m-2", "m-3"]


def test_a_packet_identifier_never_stands_for_two_messages(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first message is never acknowledged, all others are: before their identifiers meet, the inbox is full."""
    monkeypatch.setattr(messages_module, "PACKET_IDS", 10)
    monkeypatch.setattr(messages_module, "NUMBERS_APART_MAX", 7)
    send(inbox, 1)
    for number in range(2, 8):
        send(inbox, 1, first=number)
        *_, last = hand_out(inbox).messages
        assert last.packet_id == number
        complete(inbox, last.id)
    # The sender is told; nothing is lost.
    send(inbox, 1, first=8)
    assert code_of(inbox, new("m-9")) == "inbox_full"
    assert PACKET_IDS == 65_535


def test_a_number_that_was_used_is_not_used_again_though_nothing_waits(inbox: Inbox) -> None:
    """The first expires while the device has it: the second must not look like it."""
    inbox.messages.send("widget-1", new(expires_at=NOW + timedelta(seconds=1)), at=NOW)
    (first,) = hand_out(inbox).messages
    later = NOW + timedelta(seconds=2)
    inbox.messages.send("widget-1", new("m-2"), at=later)
    (second,) = hand_out(inbox, at=int(later.timestamp())).messages
    assert (first.packet_id, second.packet_id) == (1, 2)
    complete(inbox, second.id)
    send(inbox, 1, first=3)
    assert [one.packet_id for one in hand_out(inbox).messages] == [3]


def test_a_message_id_is_good_once_at_a_time(inbox: Inbox) -> None:
    send(inbox, 1)
    assert code_of(inbox, new()) == "message_id_taken"
    send(inbox, 1, device="widget-2")
    complete(inbox, hand_out(inbox).messages[0].id)
    send(inbox, 1)


@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("bad_message_id", {"message_id": ""}),
        ("bad_message_id", {"message_id": "x" * 129}),
        ("bad_message_id", {"message_id": "a\nb"}),
        ("bad_expiry", {"expires_at": NOW}),
        ("message_too_large", {"payload": b"x" * 65_537}),
        ("bad_property", {"properties": {"": "x"}}),
        ("bad_property", {"properties": {"$.to": "x"}}),
        ("bad_property", {"properties": {"iothub-ack": "full"}}),
        ("bad_property", {"properties": {"a": "\x00"}}),
        ("bad_property", {"properties": {"a\u007f": ""}}),
        ("bad_property", {"properties": {"a": "\ud800"}}),
        ("bad_property", {"properties": {"a": "\ufeff"}}),
        ("bad_property", {"properties": {"a": "\ufffe"}}),
        ("bad_property", {"content_type": "\n"}),
        ("bad_property", {"correlation_id": "\U0001ffff"}),
        ("properties_too_large", {"properties": {"a": "x" * 8_192}}),
        ("properties_too_large", {"properties": {str(number): "" for number in range(65)}}),
    ],
)
def test_what_could_not_be_delivered_is_refused(inbox: Inbox, code: str, values: dict[str, Any]) -> None:
    assert code_of(inbox, new(**values)) == code


def test_the_largest_that_is_allowed_is_taken(inbox: Inbox) -> None:
    properties = {str(number): "" for number in range(63)}
    room = 8_192 - sum(map(len, properties)) - 1
    largest = new("x" * 128, payload=b"x" * 65_536, properties={**properties, "a": "é" * (room // 2)})
    inbox.messages.send("widget-1", largest, at=NOW)
    assert len(hand_out(inbox).messages[0].payload) == 65_536


def test_who_was_sent_something_since(inbox: Inbox, neighbour: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_module, "ROWS_AT_ONCE", 2)
    send(inbox, 2)
    send(neighbour, 1)
    send(inbox, 1, device="widget-2")
    portions = list(inbox.messages.sent_since(0))
    assert [devices for _, devices in portions] == [["widget-1"], ["widget-2"]]
    assert list(inbox.messages.sent_since(portions[-1][0])) == []


def test_tenants_have_their_own_messages(inbox: Inbox, neighbour: Inbox) -> None:
    send(inbox, 1)
    assert hand_out(neighbour).messages == []
    (one,) = hand_out(inbox).messages
    complete(neighbour, one.id)
    assert neighbour.messages.counts(at=AT) == {}
    assert inbox.messages.counts(at=AT) == {"widget-1": 1}
    send(neighbour, 1)
    assert inbox.messages.queue("widget-1", at=AT).oldest == NOW
