"""The inbox as workers see it: what they want kept is kept, what they ask for is handed out.

What one message of a worker asks for is one transaction. When that fails, whoever waits for it is told, and the rest is
tried again once a second, together with what the worker has said meanwhile: the last word about each device.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.database import ROWS_AT_ONCE
from holdfast.errors import HoldfastError
from holdfast.hub import messages
from holdfast.inbox.sessions import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from structlog.typing import FilteringBoundLogger

    from holdfast.database import Transaction
    from holdfast.inbox import Inbox
    from holdfast.inbox.wills import Will

RETRY_SECONDS = 1.0
"""How long devices wait for their messages while the inbox cannot be written."""
NO_SESSION = Session(inbox_qos=None, expiry_seconds=0, ends_at=0)


@dataclass(slots=True)
class _Words:
    """The last word about each device: it does not grow however long the inbox cannot be written."""

    sessions: dict[str, Session | None] = field(default_factory=dict)
    wills: dict[str, Will | None] = field(default_factory=dict)
    completed: set[int] = field(default_factory=set)
    fetches: dict[str, messages.Fetch] = field(default_factory=dict)

    def add(self, work: messages.InboxWork) -> None:
        """Take what came later."""
        self.sessions |= {device_id: session for _, device_id, session in work.sessions}
        self.wills |= work.wills
        self.completed.update(work.completed)
        # Of whoever has come again meanwhile the older connection takes nothing, and all that is handed out is counted.
        self.fetches |= {fetch.device_id: fetch for fetch in work.fetches}

    def work(self) -> messages.InboxWork:
        """All of it; nobody waits for it any more."""
        return messages.InboxWork(
            sessions=[(0, device_id, session) for device_id, session in self.sessions.items()],
            wills=list(self.wills.items()),
            completed=list(self.completed),
            fetches=list(self.fetches.values()),
        )


@dataclass(slots=True)
class _Late:
    """What could not be had of the inbox, and why; `timer` tries again."""

    words: _Words
    code: str
    timer: asyncio.TimerHandle


class Post:
    """The inbox of one hub. `tell` sends a worker a message, `workers` are the numbers of those that there are."""

    def __init__(
        self,
        inbox: Inbox,
        log: FilteringBoundLogger,
        *,
        tell: Callable[[int, messages.Message], None],
        workers: Callable[[], Iterable[int]],
        clock: Callable[[], int],
    ) -> None:
        self._inbox = inbox
        self._log = log
        self._tell = tell
        self._workers = workers
        self._clock = clock
        self._seen = 0
        # Whoever comes is told all that there is; these are told to all.
        self._told = inbox.messages.latest()
        self._heirs: set[int] = set()
        """Workers that have yet to get the wills that nobody has."""
        self._late: dict[int, _Late] = {}
        self._ended: dict[int, tuple[_Words, int]] = {}
        """What workers have left that ended while the inbox could not be written, and when the last of that number did.
        It comes before whatever their successors want."""

    def begin(self) -> None:
        """The connections are gone that this hub has had before it was started."""
        at = self._clock()
        try:
            with self._inbox.database.writing() as transaction:
                self._inbox.sessions.disconnect(transaction, worker=None, at=at)
                self._inbox.wills.disconnect(transaction, worker=None, at=at)
        except HoldfastError as error:
            # Wills wait for the next start of the hub, and sessions last longer than they should.
            self._complain(error)

    def introduction(self) -> Iterator[messages.Message]:
        """What a new worker must know before it serves, in portions."""
        for sessions in self._inbox.sessions.all(at=self._clock()):
            rows = [(device_id, one.inbox_qos, one.expiry_seconds, one.ends_at) for device_id, one in sessions]
            yield messages.Sessions(rows=rows)
        for _, devices in self._inbox.messages.sent_since(0):
            yield messages.Waiting(devices=devices)

    def bequeath(self, number: int) -> None:
        """Leave the wills that nobody has to a worker that knows pins and trust."""
        self._heirs.add(number)
        self.work(number, _Words().work())

    def work(self, number: int, work: messages.InboxWork) -> None:
        """Do what a worker wants, and answer it."""
        if late := self._late.get(number):
            # Once a second is enough, however much is said meanwhile: each attempt may hold up the whole hub.
            late.words.add(work)
            self._answer(number, work, late.code, [])
        else:
            self._do(number, work)

    def look(self) -> None:
        """Notice what other processes have queued, and tell the workers.

        Raises:
            HoldfastError: the inbox met an input or output error, and is of no use to this process any more.
        """
        try:
            version = self._inbox.database.data_version()
            if version == self._seen:
                return
            for last, devices in self._inbox.messages.sent_since(self._told):
                for number in self._workers():
                    self._tell(number, messages.Waiting(devices=devices))
                self._told = last
            self._seen = version
        except HoldfastError as error:
            self._complain(error)
            if self._inbox.database.broken:
                raise

    def disconnect(self, number: int) -> None:
        """The connections of worker `number` are gone."""
        self._heirs.discard(number)
        words, _ = self._ended.pop(number, (_Words(), 0))
        if late := self._late.pop(number, None):
            late.timer.cancel()
            words.add(late.words.work())
        words.fetches.clear()  # a connection of the next worker may have the same handle
        self._ended[number] = words, self._clock()
        self._do(number, _Words().work())

    def disown(self, devices: Sequence[str]) -> None:
        """Whoever has left wills as these devices is the device no more."""
        if not devices:
            return
        for words in (*(late.words for late in self._late.values()), *(words for words, _ in self._ended.values())):
            for device_id in devices:
                words.wills[device_id] = None
        try:
            with self._inbox.database.writing() as transaction:
                self._inbox.wills.disown(transaction, devices)
        except HoldfastError as error:
            # Of a worker that has died meanwhile one may be published.
            self._complain(error)

    def purge(self) -> None:
        """Forget what has ended."""
        at = self._clock()
        try:
            with self._inbox.database.writing() as transaction:
                ended = self._inbox.sessions.purge(transaction, at=at)
                expired = self._inbox.messages.purge(transaction, at=at)
        except HoldfastError as error:
            self._complain(error)
        else:
            if ended or expired:
                self._log.info("inbox_purged", sessions=ended, messages=expired)

    def _do(self, number: int, work: messages.InboxWork) -> None:
        """Do what worker `number` wants, after what is left of those that had its number, or postpone it."""
        left: dict[str, Session | None] = {}
        wills: list[tuple[str, Will]] = []
        try:
            with self._inbox.database.writing() as transaction:
                if ended := self._ended.get(number):
                    left = self._end(transaction, number, *ended)
                if number in self._heirs:
                    wills = self._inbox.wills.adopt(transaction, worker=number)
                self._keep(transaction, number, work)
                deliveries = [self._hand_out(transaction, fetch) for fetch in work.fetches]
        except HoldfastError as error:
            self._complain(error)
            self._postpone(number, work, error.code)
            self._answer(number, work, error.code, [])
            return
        self._ended.pop(number, None)
        self._answer(number, work, None, deliveries)
        if number in self._heirs:
            self._heirs.remove(number)
            self._tell(number, messages.Wills(rows=wills))
        own = {device_id: session for _, device_id, session in work.sessions}
        workers = list(self._workers())
        # A successor has not heard of it, either, unless it knows better already.
        self._spread_sessions([(name, session) for name, session in left.items() if name not in own], workers)
        self._spread_sessions(list(own.items()), [other for other in workers if other != number])

    def _end(self, transaction: Transaction, number: int, words: _Words, at: int) -> dict[str, Session | None]:
        """A worker with this number ended, and had said so much; answers what that makes of sessions."""
        self._keep(transaction, number, words.work())
        ending = self._inbox.sessions.disconnect(transaction, worker=number, at=at)
        self._inbox.wills.disconnect(transaction, worker=number, at=at)
        return words.sessions | dict(ending)

    def _keep(self, transaction: Transaction, number: int, work: messages.InboxWork) -> None:
        sessions = [(device_id, session) for _, device_id, session in work.sessions]
        self._inbox.sessions.keep(transaction, sessions, worker=number)
        self._inbox.wills.keep(transaction, work.wills, worker=number)
        self._inbox.messages.complete(transaction, work.completed)

    def _hand_out(self, transaction: Transaction, fetch: messages.Fetch) -> messages.Delivery:
        found = self._inbox.messages.hand_out(
            transaction,
            fetch.device_id,
            after=fetch.after,
            count_max=fetch.count_max,
            bytes_max=fetch.bytes_max,
            at=self._clock(),
        )
        for message_id in found.given_up:
            self._log.warning("message_given_up", device=fetch.device_id, message=message_id)
        return messages.Delivery(handle=fetch.handle, messages=found.messages, more=found.more)

    def _postpone(self, number: int, work: messages.InboxWork, code: str) -> None:
        timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry, number)
        self._late[number] = _Late(_Words(), code, timer)
        self._late[number].words.add(work)

    def _retry(self, number: int) -> None:
        self._do(number, self._late.pop(number).words.work())

    def _answer(
        self, number: int, work: messages.InboxWork, code: str | None, deliveries: list[messages.Delivery]
    ) -> None:
        answers = [(handle, code) for handle, _, _ in work.sessions if handle]
        if answers or deliveries:
            self._tell(number, messages.InboxDone(kept=answers, deliveries=deliveries))

    def _spread_sessions(self, sessions: Sequence[tuple[str, Session | None]], workers: Sequence[int]) -> None:
        """Tell `workers` what has become of sessions: a device may come to any of them."""
        told = [(device_id, session or NO_SESSION) for device_id, session in sessions]
        rows = [(device_id, one.inbox_qos, one.expiry_seconds, one.ends_at) for device_id, one in told]
        for begin in range(0, len(rows), ROWS_AT_ONCE):
            for number in workers:
                self._tell(number, messages.Sessions(rows=rows[begin : begin + ROWS_AT_ONCE]))

    def _complain(self, error: HoldfastError) -> None:
        self._log.error("inbox_failed", code=error.code, reason=error.message)
