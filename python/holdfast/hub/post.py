"""The inbox as workers see it: what they want kept is kept, what they ask for is handed out.

What one message of a worker asks for is one transaction. When that fails, whoever waits for it is told, and the rest is
tried again with the next, the last word about each device first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from holdfast.errors import HoldfastError
from holdfast.hub import messages
from holdfast.inbox.sessions import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from structlog.typing import FilteringBoundLogger

    from holdfast.database import Transaction
    from holdfast.inbox import Inbox

RETRY_SECONDS = 1.0
"""How long devices wait for their messages while the inbox cannot be written."""
NO_SESSION = Session(inbox_qos=None, expiry_seconds=0, ends_at=0)


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
        self._told = 0
        self._unkept: dict[int, messages.InboxWork] = {}

    def introduce(self, number: int) -> None:
        """Tell a new worker all that it must know before it serves, and leave it the wills that nobody has."""
        for sessions in self._inbox.sessions.all(at=self._clock()):
            rows = [(device_id, one.inbox_qos, one.expiry_seconds, one.ends_at) for device_id, one in sessions]
            self._tell(number, messages.Sessions(rows=rows))
        alone = list(self._workers()) == [number]
        for last, devices in self._inbox.messages.sent_since(0):
            self._tell(number, messages.Waiting(devices=devices))
            # What others have not been told yet, they will be; a worker that is alone knows all.
            self._told = last if alone else self._told
        try:
            with self._inbox.database.writing() as transaction:
                wills = self._inbox.wills.adopt(transaction, worker=number)
        except HoldfastError as error:
            self._complain(error)  # they wait for the next worker
        else:
            self._tell(number, messages.Wills(rows=wills))

    def work(self, number: int, work: messages.InboxWork) -> None:
        """Do what a worker wants, and answer it."""
        work = self._with_late(number, work)
        kept: str | None = None
        deliveries: list[messages.Delivery] = []
        try:
            with self._inbox.database.writing() as transaction:
                self._keep(transaction, number, work)
                deliveries = [self._hand_out(transaction, fetch) for fetch in work.fetches]
        except HoldfastError as error:
            self._complain(error)
            kept, deliveries = error.code, []
            self._postpone(number, work)
        answers = [(handle, kept) for handle, _, _ in work.sessions if handle]
        if answers or deliveries:
            self._tell(number, messages.InboxDone(kept=answers, deliveries=deliveries))
        if work.sessions and kept is None:
            self._spread_sessions(number, work)

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

    def disconnect(self, number: int | None) -> None:
        """The connections of worker `number` are gone (`None`: those that this hub has had before it was started)."""
        at = self._clock()
        late = None if number is None else self._unkept.pop(number, None)
        try:
            with self._inbox.database.writing() as transaction:
                if number is not None and late is not None:
                    self._keep(transaction, number, late)
                self._inbox.sessions.disconnect(transaction, worker=number, at=at)
                self._inbox.wills.disconnect(transaction, worker=number, at=at)
        except HoldfastError as error:
            # Wills wait for the next start of the hub, and sessions last longer than they should.
            self._complain(error)

    def disown(self, devices: Sequence[str]) -> None:
        """Whoever has left wills as these devices is the device no more."""
        if not devices:
            return
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
            self._log.warning("message_given_up", device=fetch.device_id, message_id=message_id)
        return messages.Delivery(handle=fetch.handle, messages=found.messages, more=found.more)

    def _with_late(self, number: int, work: messages.InboxWork) -> messages.InboxWork:
        late = self._unkept.pop(number, None)
        if late is None:
            return work
        return messages.InboxWork(
            sessions=late.sessions + work.sessions,
            wills=late.wills + work.wills,
            completed=late.completed + work.completed,
            fetches=late.fetches + work.fetches,
        )

    def _postpone(self, number: int, work: messages.InboxWork) -> None:
        # One entry a device, one fetch a connection: it does not grow however long this lasts. Nobody waits any more.
        sessions = {device_id: session for _, device_id, session in work.sessions}
        self._unkept[number] = messages.InboxWork(
            sessions=[(0, device_id, session) for device_id, session in sessions.items()],
            wills=list(dict(work.wills).items()),
            completed=work.completed,
            fetches=list({fetch.handle: fetch for fetch in work.fetches}.values()),
        )
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry, number)

    def _retry(self, number: int) -> None:
        if number in self._unkept:
            self.work(number, messages.InboxWork(sessions=[], wills=[], completed=[], fetches=[]))

    def _spread_sessions(self, number: int, work: messages.InboxWork) -> None:
        """Tell the other workers what this one has made of sessions: a device may come to any of them."""
        rows = [
            (device_id, kept.inbox_qos, kept.expiry_seconds, kept.ends_at)
            for device_id, kept in ((device_id, session or NO_SESSION) for _, device_id, session in work.sessions)
        ]
        for other in self._workers():
            if other != number:
                self._tell(other, messages.Sessions(rows=rows))

    def _complain(self, error: HoldfastError) -> None:
        self._log.error("inbox_failed", code=error.code, reason=error.message)
