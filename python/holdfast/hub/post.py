"""The inbox as workers see it: what they want kept is kept, what they ask for is handed out.

What is heard of all workers is remembered until it is committed: the last word about each device, so that it does not
grow with what is said. All that has come by the time of a turn is one transaction, of a bounded number of rows, and
then the loop has as much time for everything else as that took: leases, claims and trust do not wait for the inbox.
When a turn fails, whoever waits is told, and it is tried again once a second.

Words count in the order in which they are heard, which is that of admissions: a worker says both in one message.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from holdfast.errors import ConfigurationError, HoldfastError
from holdfast.hub import messages
from holdfast.inbox.sessions import Session
from holdfast.inbox.wills import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from structlog.typing import FilteringBoundLogger

    from holdfast.database import Transaction
    from holdfast.inbox import Inbox
    from holdfast.inbox.wills import Will

RETRY_SECONDS = 1.0
"""How long devices wait for their messages while the inbox cannot be written."""
ROWS_A_TURN = 500
"""Of each kind. With its sync a turn is some tens of milliseconds, of the second in which trust is to be applied."""
FETCHES_A_TURN = 32
"""Each may hand out as many messages as a device takes."""
NO_SESSION = Session(inbox_qos=None, expiry_seconds=0, ends_at=0)

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class _Words:
    """The last word about each device, in the order of who was spoken of first."""

    sessions: dict[str, tuple[int, Session | None]] = field(default_factory=dict)
    """With the worker that said so."""
    waiting: dict[str, dict[int, int]] = field(default_factory=dict)
    """The connection of each worker that waits for what is kept of a device's session."""
    wills: dict[str, dict[int, Word]] = field(default_factory=dict)
    """By worker: which of them has the device, only the inbox knows, unless one has said so since."""
    completed: dict[int, int] = field(default_factory=dict)
    """With the worker that said so."""
    fetches: dict[tuple[int, str], messages.Fetch] = field(default_factory=dict)
    """Of whoever has come again meanwhile the older connection takes nothing, and all that is handed out is counted."""

    def __bool__(self) -> bool:
        return bool(self.sessions or self.wills or self.completed or self.fetches)

    def add(self, number: int, work: messages.InboxWork) -> None:
        """Take what worker `number` has said last."""
        for handle, device_id, session in work.sessions:
            self.sessions[device_id] = number, session
            if handle:
                self.waiting.setdefault(device_id, {})[number] = handle
        for device_id, will in work.wills:
            self._add_will(number, device_id, Word(will=will, claims=will is not None and will.due_at is None))
        self.completed |= dict.fromkeys(work.completed, number)
        self.fetches |= {(number, fetch.device_id): fetch for fetch in work.fetches}

    def add_all(self, later: _Words) -> None:
        """Take what was said later; nobody waits for it."""
        self.sessions |= later.sessions
        for device_id, words in later.wills.items():
            for number, word in words.items():
                self._add_will(number, device_id, word)
        self.completed |= later.completed

    def take(self, number: int) -> _Words:
        """What worker `number` has said and is to be kept; nothing of it is left."""
        taken = _Words(
            sessions={name: said for name, said in self.sessions.items() if said[0] == number},
            wills={name: {number: words[number]} for name, words in self.wills.items() if number in words},
            completed={one: by for one, by in self.completed.items() if by == number},
        )
        for name in taken.sessions:
            del self.sessions[name]
        for one in taken.completed:
            del self.completed[one]
        for words in (self.wills, self.waiting):
            for name in [name for name, said in words.items() if number in said]:
                del words[name][number]
                if not words[name]:
                    del words[name]
        self.fetches = {key: fetch for key, fetch in self.fetches.items() if key[0] != number}
        return taken

    def portion(self, only: int | None) -> _Words:
        """As much as one turn keeps, of worker `only` if there is one; it stays here until it is `done`."""
        portion = _Words(
            sessions=_first(self.sessions, ROWS_A_TURN, lambda _, said: only in {None, said[0]}),
            completed=_first(self.completed, ROWS_A_TURN, lambda _, number: only in {None, number}),
        )
        some = _first(self.wills, ROWS_A_TURN, lambda _, words: only is None or only in words)
        portion.wills = {
            name: {number: word for number, word in words.items() if only in {None, number}}
            for name, words in some.items()
        }
        if len(portion.completed) < ROWS_A_TURN:  # nobody gets what it has acknowledged
            portion.fetches = _first(self.fetches, FETCHES_A_TURN, lambda key, _: only in {None, key[0]})
        return portion

    def done(self, portion: _Words) -> None:
        """A portion is kept."""
        for name in portion.sessions:
            del self.sessions[name]
        for name, words in portion.wills.items():
            for number in words:
                del self.wills[name][number]
            if not self.wills[name]:
                del self.wills[name]
        for one in portion.completed:
            del self.completed[one]
        for key in portion.fetches:
            del self.fetches[key]

    def workers(self) -> set[int]:
        """Whoever has said any of it."""
        said = {number for number, _ in self.sessions.values()} | set(self.completed.values())
        return said | {number for words in self.wills.values() for number in words} | {key[0] for key in self.fetches}

    def _add_will(self, number: int, device_id: str, word: Word) -> None:
        said = self.wills.setdefault(device_id, {})
        if word.claims:
            said.clear()
            said[number] = word
        elif known := said.get(number):
            said[number] = Word(will=word.will, claims=known.claims)
        elif not any(other.claims for other in said.values()):
            said[number] = word


@dataclass(slots=True)
class _Ended:
    """A worker that has ended: what it had said comes first, then its connections are gone."""

    words: _Words
    at: int
    after: str | None = ""
    """The last device whose session was told so; `None`: all were."""


class Post:
    """The inbox of one hub.

    `tell` sends a worker a message, `workers` are the numbers of those that there are, `end` ends one that has said
    what cannot be kept.
    """

    def __init__(
        self,
        inbox: Inbox,
        log: FilteringBoundLogger,
        *,
        tell: Callable[[int, messages.Message], None],
        workers: Callable[[], Iterable[int]],
        end: Callable[[int], None],
        clock: Callable[[], int],
    ) -> None:
        self._inbox = inbox
        self._log = log
        self._tell = tell
        self._workers = workers
        self._end = end
        self._clock = clock
        self._seen = 0
        # Whoever comes is told all that there is; these are told to all.
        self._told = inbox.messages.latest()
        self._words = _Words()
        self._ended: dict[int | None, _Ended] = {}
        """By number; `None`: all that the hub had before it was started. They come before whatever successors want."""
        self._disowned: dict[str, None] = {}
        self._heirs: deque[int] = deque()
        """Workers that know pins and trust, and take wills that nobody has; whose turn it is stands first."""
        self._orphans = True
        """Whether there may be such wills."""
        self._purging = False
        self._purged = [0, 0]
        self._suspects: deque[int] = deque()
        """Workers one of which has said what cannot be kept: until it is found, each has turns of its own."""
        self._code: str | None = None
        """Why the inbox could not be written the last time."""
        self._failed = False
        self._next: asyncio.Handle | None = None
        """The next turn, and when it may be."""
        self._free_at = 0.0

    def begin(self) -> None:
        """The connections are gone that this hub has had before it was started."""
        self._ended[None] = _Ended(_Words(), self._clock())
        self._soon()

    def introduction(self) -> Iterator[messages.Message]:
        """What a new worker must know before it serves, in portions.

        Without what is kept in a file that is damaged it serves all the same.

        Raises:
            ConflictError: somebody holds the inbox. A worker that knew of no subscriptions would take them for none.
        """
        try:
            for sessions in self._inbox.sessions.all(at=self._clock()):
                rows = [(device_id, one.inbox_qos, one.expiry_seconds, one.ends_at) for device_id, one in sessions]
                yield messages.Sessions(rows=rows)
            for _, devices in self._inbox.messages.sent_since(0):
                yield messages.Waiting(devices=devices)
        except ConfigurationError as error:
            self._complain(error)

    def bequeath(self, number: int) -> None:
        """Leave wills that nobody has to a worker that knows pins and trust."""
        self._heirs.append(number)
        self._soon()

    def work(self, number: int, work: messages.InboxWork) -> None:
        """Do what a worker wants, and answer it."""
        self._words.add(number, work)
        if self._code is None:
            self._soon()
        else:
            # Once a second is enough, however much is said meanwhile: each attempt may hold up the whole hub.
            self._refuse(self._code)

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
        if number in self._heirs:
            self._heirs.remove(number)
        left = self._words.take(number)
        if ended := self._ended.get(number):
            ended.words.add_all(left)
            ended.at, ended.after = self._clock(), ""
        else:
            self._ended[number] = _Ended(left, self._clock())
        self._soon()

    def disown(self, devices: Sequence[str]) -> None:
        """Whoever has left wills as these devices is the device no more."""
        for words in (self._words, *(ended.words for ended in self._ended.values())):
            for device_id in devices:
                words.wills.pop(device_id, None)
        self._disowned |= dict.fromkeys(devices)
        self._soon()

    def purge(self) -> None:
        """Forget what has ended."""
        self._purging = True
        self._soon()

    def finish(self, lock_seconds: float | None = None) -> None:
        """Do all that there is to be done, as far as the inbox can be written: the hub ends."""
        if lock_seconds is not None:
            with suppress(HoldfastError):
                self._inbox.database.wait_at_most(lock_seconds)
        while self._next is not None:
            self._next.cancel()
            self._turn()
            if self._failed:
                return

    # ── turns ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _soon(self, seconds: float = 0) -> None:
        """Have a turn, unless there is one to come already, or nothing to be done."""
        orphans = self._orphans and self._heirs
        if self._next is None and (self._ended or self._disowned or self._words or orphans or self._purging):
            loop = asyncio.get_running_loop()
            # Whatever has come since, the last turn is followed by as much time for everything else.
            seconds = max(seconds, self._free_at - loop.time())
            self._next = loop.call_later(seconds, self._turn) if seconds > 0 else loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._next, self._failed = None, True
        began = asyncio.get_running_loop().time()
        then: list[Callable[[], None]] = []
        """What is so once all of it is durable."""
        try:
            with self._inbox.database.writing() as transaction:
                self._do(transaction, then.append)
        except HoldfastError as error:
            self._complain(error)
            self._code = error.code
            self._refuse(error.code)
            self._soon(RETRY_SECONDS)
            return
        except Exception:  # noqa: BLE001 (a fault of ours, which must not cost what others have said)
            self._log.exception("unhandled_exception", where="inbox")
            self._give_up()
            self._soon(RETRY_SECONDS)
        else:
            self._code, self._failed = None, False
            for one in then:
                one()
            ended = asyncio.get_running_loop().time()
            self._free_at = ended + (ended - began)
            self._soon()

    def _do(self, transaction: Transaction, then: Callable[[Callable[[], None]], None]) -> None:
        # First: what is said of a device after it was disowned is the new one's, also if its worker has ended since.
        if self._disowned:
            devices = list(islice(self._disowned, ROWS_A_TURN))
            self._inbox.wills.disown(transaction, devices)
            then(lambda: self._forget_disowned(devices))
            if len(devices) < len(self._disowned):
                return
        if self._ended:
            number, ended = next(iter(self._ended.items()))
            self._do_end(transaction, number, ended, then)
            return
        portion = self._words.portion(self._suspects[0] if self._suspects else None)
        self._keep(transaction, self._words, portion, then)
        if self._suspects:  # nobody is to blame for what is not theirs
            return
        # A device of which words wait may be back: its will is not for others to publish.
        words = self._words
        whole = (len(portion.wills), len(portion.sessions)) == (len(words.wills), len(words.sessions))
        if self._orphans and self._heirs and whole:
            self._bequeath(transaction, then)
        if self._purging:
            self._purge(transaction, then)

    def _forget_disowned(self, devices: Iterable[str]) -> None:
        for device_id in devices:
            del self._disowned[device_id]

    def _do_end(
        self,
        transaction: Transaction,
        number: int | None,
        ended: _Ended,
        then: Callable[[Callable[[], None]], None],
    ) -> None:
        """A worker with this number ended, and had said so much."""
        if ended.words:
            self._keep(transaction, ended.words, ended.words.portion(None), then)
            return
        inbox = self._inbox
        rows: list[tuple[str, Session]] = []
        if ended.after is not None:
            rows = inbox.sessions.disconnect(
                transaction, worker=number, at=ended.at, after=ended.after, count_max=ROWS_A_TURN
            )
        after = rows[-1][0] if len(rows) == ROWS_A_TURN else None
        wills = inbox.wills.disconnect(transaction, worker=number, at=ended.at, count_max=ROWS_A_TURN)

        def finish() -> None:
            self._spread([(None, name, session) for name, session in rows if name not in self._words.sessions])
            ended.after = after
            if after is None and wills:
                del self._ended[number]
                self._orphans = True

        then(finish)

    def _keep(
        self,
        transaction: Transaction,
        words: _Words,
        portion: _Words,
        then: Callable[[Callable[[], None]], None],
    ) -> None:
        """Keep a portion of `words`, and hand out what it asks for."""
        sessions: defaultdict[int, list[tuple[str, Session | None]]] = defaultdict(list)
        for name, (number, session) in portion.sessions.items():
            sessions[number].append((name, session))
        for number, rows in sessions.items():
            self._inbox.sessions.keep(transaction, rows, worker=number)
        wills: defaultdict[int, list[tuple[str, Word]]] = defaultdict(list)
        for name, said in portion.wills.items():
            for number, word in said.items():
                wills[number].append((name, word))
        left = [(number, self._inbox.wills.keep(transaction, rows, worker=number)) for number, rows in wills.items()]
        self._inbox.messages.complete(transaction, list(portion.completed))
        deliveries = [(number, self._hand_out(transaction, fetch)) for (number, _), fetch in portion.fetches.items()]

        then(lambda: self._kept(words, portion, deliveries, left))

    def _kept(
        self,
        words: _Words,
        portion: _Words,
        deliveries: Iterable[tuple[int, messages.Delivery]],
        left: Iterable[tuple[int, list[tuple[str, Will]]]],
    ) -> None:
        """A portion of `words` is durable: answer who waits, and tell the others."""
        words.done(portion)
        answers: defaultdict[int, messages.InboxDone]
        answers = defaultdict(lambda: messages.InboxDone(kept=[], deliveries=[]))
        for name in portion.sessions:
            for number, handle in words.waiting.pop(name, {}).items():
                answers[number].kept.append((handle, None))
        for number, delivery in deliveries:
            answers[number].deliveries.append(delivery)
        for number, answer in answers.items():
            self._tell(number, answer)
        for number, due in left:
            if due:
                # Of a worker that has ended meanwhile somebody else publishes it.
                heir = number if number in self._heirs or not self._heirs else self._heirs[0]
                self._tell(heir, messages.Wills(rows=due))
        ended = words is not self._words
        said = [
            # Of what one has said that has ended nobody has heard, its successor included, unless one knows better.
            (None if ended else number, name, session)
            for name, (number, session) in portion.sessions.items()
            if not ended or name not in self._words.sessions
        ]
        self._spread(said)
        if self._suspects and not words.portion(self._suspects[0]):
            self._suspects.popleft()

    def _bequeath(self, transaction: Transaction, then: Callable[[Callable[[], None]], None]) -> None:
        adopted = self._inbox.wills.adopt(transaction, worker=self._heirs[0], count_max=ROWS_A_TURN)

        def finish() -> None:
            if adopted.wills:
                self._tell(self._heirs[0], messages.Wills(rows=adopted.wills))
            self._heirs.rotate(-1)
            self._orphans = adopted.more

        then(finish)

    def _purge(self, transaction: Transaction, then: Callable[[Callable[[], None]], None]) -> None:
        at = self._clock()
        sessions = self._inbox.sessions.purge(transaction, at=at, count_max=ROWS_A_TURN)
        expired = self._inbox.messages.purge(transaction, at=at, count_max=ROWS_A_TURN)

        def finish() -> None:
            self._purged = [self._purged[0] + sessions, self._purged[1] + expired]
            self._purging = ROWS_A_TURN in {sessions, expired}
            if any(self._purged) and not self._purging:
                self._log.info("inbox_purged", sessions=self._purged[0], messages=self._purged[1])
                self._purged = [0, 0]

        then(finish)

    def _give_up(self) -> None:
        """Find out who has said what cannot be kept, and forget that."""
        if self._ended:
            number, ended = next(iter(self._ended.items()))
            if ended.words:
                ended.words = _Words()
            else:
                del self._ended[number]
        elif self._suspects:
            suspect = self._suspects.popleft()
            self._words.take(suspect)
            self._end(suspect)
        elif self._words:
            self._suspects.extend(sorted(self._words.workers()))
        else:
            self._orphans = self._purging = False

    # ── what is told ───────────────────────────────────────────────────────────────────────────────────────────────

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

    def _refuse(self, code: str) -> None:
        """Whoever waits for a session to be kept is told that it is not."""
        refused: defaultdict[int, list[tuple[int, str | None]]] = defaultdict(list)
        for handles in self._words.waiting.values():
            for number, handle in handles.items():
                refused[number].append((handle, code))
        self._words.waiting.clear()
        for number, kept in refused.items():
            self._tell(number, messages.InboxDone(kept=kept, deliveries=[]))

    def _spread(self, sessions: Sequence[tuple[int | None, str, Session | None]]) -> None:
        """Tell all but who said so what has become of sessions: a device may come to any worker."""
        told = [(by, device_id, session or NO_SESSION) for by, device_id, session in sessions]
        rows = [(by, (device_id, one.inbox_qos, one.expiry_seconds, one.ends_at)) for by, device_id, one in told]
        for number in list(self._workers()):
            if news := [row for by, row in rows if by != number]:
                self._tell(number, messages.Sessions(rows=news))

    def _complain(self, error: HoldfastError) -> None:
        self._log.error("inbox_failed", code=error.code, reason=error.message)


def _first(of: dict[K, V], count_max: int, wanted: Callable[[K, V], bool]) -> dict[K, V]:
    return dict(islice(((key, value) for key, value in of.items() if wanted(key, value)), count_max))
