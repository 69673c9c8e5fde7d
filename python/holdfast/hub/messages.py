"""What supervisor and workers tell each other, and the channel that carries it.

A channel is one end of a pair of Unix sockets. A frame is a length of four octets, big-endian, and that many octets of
MessagePack. Both ends are ours, of one version: what does not decode is a fault of ours and ends the process.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import msgspec

# msgspec reads the annotations of the fields below when a decoder is made.
from holdfast.inbox.messages import Message as InboxMessage  # noqa: TC001
from holdfast.inbox.sessions import Session  # noqa: TC001
from holdfast.inbox.wills import Will  # noqa: TC001

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

LENGTH = struct.Struct("!I")


class Message(msgspec.Struct, kw_only=True, tag=True, array_like=True):
    """Anything that is sent."""


# ── from the supervisor ────────────────────────────────────────────────────────────────────────────────────────────


class Start(Message):
    """The first message: what the worker is."""

    number: int
    workers: int
    """How many there are; with others beside it, a worker says whom it admits."""
    certificate_chain: list[bytes]
    private_key: bytes
    limits: dict[str, int]
    telemetry_file: str
    drain_seconds: int
    tenant: str
    listener: str
    """Of whom tickets are taken back: of this listener of this tenant alone."""
    ticket_keys: list[bytes]
    listeners: list[int]
    """Descriptors of sockets that listen; serve them when `Serve` comes."""


class Trust(Message):
    """Whom to trust from here on."""

    epoch: int
    anchors: list[bytes]
    closed_keys: list[bytes]
    closed_certificates: list[bytes]
    successions: list[tuple[bytes, bytes]]
    clock_floor: int


class Lease(Message):
    """What the registry says is known, as of now: people may be admitted for another while (trust.md §5.2)."""


class Pins(Message):
    """Devices that came or changed: id, issuer's key hash, own key hash."""

    rows: list[tuple[str, bytes, bytes]]


class Sessions(Message):
    """What is kept of devices' sessions: id, QoS of the subscription to the inbox, expiry in seconds, end."""

    rows: list[tuple[str, int | None, int | None, int | None]]


class Waiting(Message):
    """Messages are kept for these devices that nobody has asked for."""

    devices: list[str]


class Wills(Message):
    """Wills of devices whose connections ended with the worker that had them: publish them when they are due."""

    rows: list[tuple[str, Will]]


class Delivery(msgspec.Struct, kw_only=True, array_like=True):
    """The answer to a `Fetch`."""

    handle: int
    messages: list[InboxMessage]
    more: bool


class InboxDone(Message):
    """What became of an `InboxWork`, all of it durable."""

    kept: list[tuple[int, str | None]]
    """Connections that waited for their session to be kept: `None`, or why it is not."""
    deliveries: list[Delivery]


class Serve(Message):
    """Everything is told: accept connections."""


class Claimed(Message):
    """Answers to claims: the connection, and `None` or the code of the refusal."""

    answers: list[tuple[int, str | None]]


class Drain(Message):
    """Admit nobody any more; end when all are gone or the time is up."""


class Reload(Message):
    """Show and apply these to new connections."""

    certificate_chain: list[bytes]
    private_key: bytes
    limits: dict[str, int]
    drain_seconds: int


class TicketKeys(Message):
    """Seal tickets with the first of these, take back those of all; none: no resumption."""

    keys: list[bytes]


class KernelOff(Message):
    """A worker's signature kernel computed wrongly: nobody's decides anything from here on (trust.md §6.2)."""


class Placed(Message):
    """Admissions of all workers, in the order that counts: of which worker, and what it said."""

    rows: list[tuple[int, bytes]]


class IsLive(Message):
    """Whether a device is live with another key than `leaf_spki_sha256`: somebody wants to replace its key."""

    question: int
    device_id: str
    leaf_spki_sha256: bytes


# ── from a worker ──────────────────────────────────────────────────────────────────────────────────────────────────


class Ready(Message):
    """The worker serves."""


class Claim(msgspec.Struct, kw_only=True, array_like=True):
    """An identity to be pinned before its device is let in."""

    handle: int
    device_id: str
    issuer_spki_sha256: bytes
    leaf_spki_sha256: bytes
    fingerprint: bytes
    path: bytes
    before: tuple[bytes, bytes] | None
    """Issuer's key hash and own that the identity is pinned to, as the worker knows."""


class Claims(Message):
    """What the connections of one turn of the loop want claimed, judged under `epoch`."""

    epoch: int
    chains: list[list[bytes]]
    """Paths that this worker has come by for the first time: CA certificates, the device's issuer first."""
    claims: list[Claim]


class Fetch(msgspec.Struct, kw_only=True, array_like=True):
    """A device takes messages: so many at the most, of so many bytes, behind this one."""

    handle: int
    device_id: str
    after: int
    count_max: int
    bytes_max: int


class InboxWork(Message):
    """What the connections of one turn of the loop want of the inbox, in this order.

    Of two workers that speak of one device, the one that has let it in later is heard later: whom a worker has let in
    comes with what is to be kept for it, or earlier.
    """

    sessions: list[tuple[int, str, Session | None]]
    """The connection that waits (0: none does), the device, what is to be kept of its session."""
    wills: list[tuple[str, Will | None]]
    completed: list[int]
    """Messages that are done with."""
    fetches: list[Fetch]
    admissions: bytes = b""
    """As of `Admitted`."""


class Admitted(Message):
    """Whom this worker has let in lately, as its gate tells the others'."""

    admissions: bytes


class Live(Message):
    """The answer to `IsLive`."""

    question: int
    live: bool


class Counted(Message):
    """What the worker has counted since it was started, and how much there is of what comes and goes."""

    counters: dict[str, int]
    refused: dict[str, int]
    closed: dict[str, int]
    batches: list[int]
    cpu_microseconds: int
    gauges: dict[str, int]


class TrustApplied(Message):
    """From here on nobody is admitted, and nobody is live, under an older epoch."""

    epoch: int


FromSupervisor = (
    Start
    | Trust
    | Lease
    | Pins
    | Sessions
    | Waiting
    | Wills
    | Serve
    | Claimed
    | TicketKeys
    | KernelOff
    | Placed
    | IsLive
    | InboxDone
    | Reload
    | Drain
)
FromWorker = Ready | Claims | Admitted | Live | InboxWork | TrustApplied | Counted

from_supervisor = msgspec.msgpack.Decoder(FromSupervisor)
from_worker = msgspec.msgpack.Decoder(FromWorker)
_encode = msgspec.msgpack.Encoder().encode


M = TypeVar("M")


class Channel(asyncio.Protocol, Generic[M]):
    """One end: `receive` is called with every message in order, `lost` once when the other end is gone."""

    def __init__(
        self, decoder: msgspec.msgpack.Decoder[M], receive: Callable[[M], None], lost: Callable[[], None]
    ) -> None:
        self._decoder = decoder
        self._receive = receive
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._ended = asyncio.Event()

    async def open(self, end: socket.socket) -> None:
        """Carry messages over `end`, the channel's own from here on. `receive` may be called before this returns."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=end)

    def send(self, message: Message) -> None:
        """Send one message; nothing happens when the other end is gone."""
        data = _encode(message)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(LENGTH.pack(len(data)) + data)

    @property
    def unsent(self) -> int:
        """Octets that the other end has yet to take."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Send what is queued, then hang up."""
        if self._transport is not None:
            self._transport.close()

    async def wait_closed(self) -> None:
        """Wait until nothing more comes, and nothing is left to be sent."""
        await self._ended.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of the loop."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Of the loop."""
        self._buffer += data
        position = 0
        while len(self._buffer) - position >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer, position)
            end = position + LENGTH.size + length
            if len(self._buffer) < end:
                break
            frame = self._decoder.decode(memoryview(self._buffer)[position + LENGTH.size : end])
            position = end
            self._receive(frame)
        del self._buffer[:position]

    def connection_lost(self, error: Exception | None) -> None:
        """Of the loop."""
        self._transport = None
        self._ended.set()
        self._lost()
