"""Messages for devices: queued by whoever sends, handed out in order, kept until acknowledged. Wire contract §2.2.

```text
 send ─▶ queued ──hand_out──▶ handed out ──complete──▶ gone
            ▲  └── its time is up ──▶ gone     │
            └───── the connection is lost ◀────┘     after DELIVERIES_MAX of them ──▶ gone
```
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from holdfast.database import ROWS_AT_ONCE
from holdfast.errors import ConflictError, LimitExceededError, RegistrationError
from holdfast.inbox.schema import messages, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from holdfast.database import Transaction
    from holdfast.inbox.database import Database

MESSAGES_MAX = 1_000
"""Kept for one device at once (M10; EMQX's default)."""
DELIVERIES_MAX = 10
"""How often a message is handed out before it is given up: one that its device cannot bear would be sent for ever (the
wire contract's number)."""
PAYLOAD_BYTES_MAX = 64 * 1024
"""The wire contract's bound on a message to a device."""
PROPERTIES_BYTES_MAX = 8 * 1024
"""Names and values together: escaped in the bag of a topic, which has 65,535 octets, each may take three."""
PROPERTIES_COUNT_MAX = 64
MESSAGE_ID_CHARACTERS_MAX = 128
PACKET_IDS = 65_535
NUMBERS_APART_MAX = PACKET_IDS - MESSAGES_MAX
"""How far the oldest and the newest message of a device may be apart before their packet identifiers could meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message as its sender gives it."""

    message_id: str
    """Of the sender's choosing; no two that wait for one device may have the same."""
    payload: bytes
    content_type: str | None = None
    correlation_id: str | None = None
    expires_at: datetime | None = None
    """From when on it is not to be delivered; `None`: it waits as long as it takes."""
    properties: Mapping[str, str] = field(default_factory=dict)

    def check(self, at: datetime) -> None:
        """Refuse what could not be delivered.

        Raises:
            RegistrationError: `bad_message_id`, `bad_property`, `bad_expiry`.
            LimitExceededError: `message_too_large`, `properties_too_large`.
        """
        if not 0 < len(self.message_id) <= MESSAGE_ID_CHARACTERS_MAX or not _is_clean(self.message_id):
            message = f"a message id has 1 to {MESSAGE_ID_CHARACTERS_MAX} printable characters"
            raise RegistrationError("bad_message_id", message)
        if len(self.payload) > PAYLOAD_BYTES_MAX:
            message = f"the message has {len(self.payload)} bytes, {PAYLOAD_BYTES_MAX} are allowed"
            raise LimitExceededError("message_too_large", message)
        if self.expires_at is not None and self.expires_at <= at:
            message = f"the message would expire at {self.expires_at.isoformat()}, which has passed"
            raise RegistrationError("bad_expiry", message)
        for name in self.properties:
            if not name or name.startswith(("$", "iothub-")):
                message = f"'{name[:80]}' is not a name for a property: it is empty, or begins as the hub's own do"
                raise RegistrationError("bad_property", message)
        texts = [*self.properties, *self.properties.values(), self.content_type or "", self.correlation_id or ""]
        if not all(map(_is_clean, texts)):
            message = "a property holds a control character, or one that no text may hold"
            raise RegistrationError("bad_property", message)
        size = sum(len(text.encode()) for text in texts)
        if size > PROPERTIES_BYTES_MAX or len(self.properties) > PROPERTIES_COUNT_MAX:
            message = (
                f"{len(self.properties)} properties of {size} bytes; {PROPERTIES_COUNT_MAX} of"
                f" {PROPERTIES_BYTES_MAX} are allowed"
            )
            raise LimitExceededError("properties_too_large", message)

    def system_properties(self) -> dict[str, str]:
        """Those with a meaning of their own, by their names in the stream."""
        named = {
            "message-id": self.message_id,
            "correlation-id": self.correlation_id,
            "content-type": self.content_type,
            "absolute-expiry-time": None if self.expires_at is None else _round_trip(self.expires_at),
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that is handed out. Properties are JSON objects of texts and nulls."""

    id: int
    packet_id: int
    """The same in every delivery."""
    redelivered: bool
    expires_at: int | None
    system_properties: str
    properties: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOut:
    """What a worker gets for a device."""

    messages: list[Message]
    more: bool
    """Whether others are kept behind these."""
    given_up: list[str]
    """Ids of messages that were handed out too often, and are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What waits for one device."""

    count: int
    oldest: datetime | None


class Messages:
    """The messages for devices of `tenant`."""

    def __init__(self, database: Database, *, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    def send(self, device_id: str, message: NewMessage, *, at: datetime) -> None:
        """Queue `message` for `device_id`, durably. Whether there is such a device is the caller's question.

        Raises:
            RegistrationError, LimitExceededError: as `NewMessage.check`.
            ConflictError: `inbox_full`, `message_id_taken`.
        """
        message.check(at)
        now = int(at.timestamp())
        with self._database.writing() as transaction:
            transaction.change(delete(messages).where(self._of(device_id), messages.c.expires_at <= now))
            (found,) = transaction.rows(
                select(
                    func.count().label("count"),
                    func.min(messages.c.number).label("first"),
                ).where(self._of(device_id))
            )
            number = self._next_number(transaction, device_id)
            if found["count"] >= MESSAGES_MAX or number - (found["first"] or number) > NUMBERS_APART_MAX:
                text = f"{found['count']} messages wait for '{device_id}', {MESSAGES_MAX} are allowed"
                raise ConflictError("inbox_full", text, hint="It takes no more until it has taken those")
            same = select(messages.c.id).where(self._of(device_id), messages.c.message_id == message.message_id)
            if transaction.rows(same):
                text = f"a message '{message.message_id}' waits for '{device_id}' already"
                raise ConflictError("message_id_taken", text)
            row = {
                "tenant": self._tenant,
                "device_id": device_id,
                "number": number,
                "message_id": message.message_id,
                "enqueued_at": now,
                "expires_at": None if message.expires_at is None else int(message.expires_at.timestamp()),
                "deliveries": 0,
                "system_properties": _json(message.system_properties()),
                "properties": _json(message.properties),
                "payload": message.payload,
            }
            transaction.change(insert(messages).values(row))

    def hand_out(
        self, transaction: Transaction, device_id: str, *, after: int, count_max: int, bytes_max: int, at: int
    ) -> HandedOut:
        """The next messages for `device_id` behind the one with the id `after`, in order.

        So many at the most, with so many bytes of payload at the most, but at least one. Each is counted as delivered
        before anybody has it.
        """
        rows = transaction.rows(
            select(messages)
            .where(self._of(device_id), messages.c.id > after, self._living(at))
            .order_by(messages.c.number)
            .limit(count_max + 1)
        )
        hopeless = [row for row in rows if row["deliveries"] >= DELIVERIES_MAX]
        self.complete(transaction, [row["id"] for row in hopeless])
        hopeful = [row for row in rows if row["deliveries"] < DELIVERIES_MAX]
        taken: list[Mapping[str, Any]] = []
        size = 0
        for row in hopeful[:count_max]:
            size += len(row["payload"])
            if taken and size > bytes_max:
                break
            taken.append(row)
        if taken:
            counted = update(messages).where(messages.c.id.in_([row["id"] for row in taken]))
            transaction.change(counted.values(deliveries=messages.c.deliveries + 1))
        return HandedOut(
            messages=[_message(row) for row in taken],
            # Where some were given up there may be others behind the last row that was looked at.
            more=len(taken) < len(hopeful) or len(rows) > count_max,
            given_up=[row["message_id"] for row in hopeless],
        )

    def complete(self, transaction: Transaction, ids: Sequence[int]) -> None:
        """These are acknowledged, or of no use any more."""
        if ids:
            # One by one: a statement cannot name as many as devices acknowledge while the inbox cannot be written.
            done = delete(messages).where(messages.c.tenant == self._tenant, messages.c.id == bindparam("of"))
            transaction.change(done, [{"of": one} for one in ids])

    def purge(self, transaction: Transaction, *, at: int, count_max: int) -> int:
        """Forget messages whose time is up, so many at the most; answers how many."""
        expired = select(messages.c.id).where(messages.c.tenant == self._tenant, messages.c.expires_at <= at)
        return transaction.change(delete(messages).where(messages.c.id.in_(expired.limit(count_max))))

    def sent_since(self, id_: int) -> Iterator[tuple[int, list[str]]]:
        """Devices that were sent messages after the one with this id, in portions with the id to ask from next time."""
        while True:
            rows = self._database.tuples(
                select(messages.c.id, messages.c.device_id)
                .where(messages.c.tenant == self._tenant, messages.c.id > id_)
                .order_by(messages.c.id)
                .limit(ROWS_AT_ONCE)
            )
            if not rows:
                return
            id_ = rows[-1].id
            yield id_, sorted({row.device_id for row in rows})

    def latest(self) -> int:
        """The id of the last message that is kept; 0: none is."""
        (row,) = self._database.rows(
            select(func.coalesce(func.max(messages.c.id), 0).label("id")).where(messages.c.tenant == self._tenant)
        )
        return int(row["id"])

    def queue(self, device_id: str, *, at: int) -> Queue:
        """What waits for `device_id`."""
        (row,) = self._database.rows(
            select(func.count().label("count"), func.min(messages.c.enqueued_at).label("oldest")).where(
                self._of(device_id), self._living(at)
            )
        )
        oldest = None if row["oldest"] is None else datetime.fromtimestamp(row["oldest"], UTC)
        return Queue(count=row["count"], oldest=oldest)

    def counts(self, *, at: int) -> dict[str, int]:
        """How many messages wait for each device that has some."""
        rows = self._database.rows(
            select(messages.c.device_id, func.count().label("count"))
            .where(messages.c.tenant == self._tenant, self._living(at))
            .group_by(messages.c.device_id)
        )
        return {row["device_id"]: row["count"] for row in rows}

    def _next_number(self, transaction: Transaction, device_id: str) -> int:
        # Never the number of a message that is gone: the device may not have acknowledged it yet.
        insert = upsert(numbers).values(tenant=self._tenant, device_id=device_id, last=1)
        counted = insert.on_conflict_do_update(
            index_elements=["tenant", "device_id"], set_={"last": numbers.c.last + 1}
        )
        (row,) = transaction.rows(counted.returning(numbers.c.last))
        number: int = row["last"]
        return number

    def _of(self, device_id: str) -> Any:  # noqa: ANN401 (SQLAlchemy's own condition)
        return (messages.c.tenant == self._tenant) & (messages.c.device_id == device_id)

    def _living(self, at: int) -> Any:  # noqa: ANN401
        return or_(messages.c.expires_at.is_(None), messages.c.expires_at > at)


def _message(row: Mapping[str, Any]) -> Message:
    return Message(
        id=row["id"],
        packet_id=(row["number"] - 1) % PACKET_IDS + 1,
        redelivered=row["deliveries"] > 0,
        expires_at=row["expires_at"],
        system_properties=row["system_properties"],
        properties=row["properties"],
        payload=row["payload"],
    )


def _is_clean(text: str) -> bool:
    """Whether it may stand in a string of MQTT: no control characters, surrogates, noncharacters (5.0 §1.5.4)."""
    return not any(
        unicodedata.category(one) in {"Cc", "Cs"}
        or ord(one) & 0xFFFE == 0xFFFE
        or "\ufdd0" <= one <= "\ufdef"
        or one == "\ufeff"
        for one in text
    )


def _json(values: Mapping[str, str]) -> str:
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _round_trip(at: datetime) -> str:
    """As stock SDKs read times: UTC, seven digits of fraction."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
