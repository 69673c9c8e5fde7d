"""What supervisor and workers tell each other, and the channel that carries it.

A channel is one end of a pair of Unix sockets. A frame is a length of four octets, big-endian, and that many octets of
MessagePack. Both ends are ours, of one version: what does not decode is a fault of ours and ends the process.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import msgspec

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
    certificate_chain: list[bytes]
    private_key: bytes
    limits: dict[str, int]
    telemetry_file: str
    drain_seconds: int
    listeners: list[int]
    """Descriptors of sockets that listen; serve them when `Serve` comes."""


class Trust(Message):
    """Whom to trust from here on."""

    epoch: int
    anchors: list[bytes]
    clock_floor: int


class Pins(Message):
    """Devices that came or changed: id, issuer's key hash, own key hash."""

    rows: list[tuple[str, bytes, bytes]]


class Serve(Message):
    """Everything is told: accept connections."""


class Claimed(Message):
    """Answers to claims: the connection, and `None` or the code of the refusal."""

    answers: list[tuple[int, str | None]]


class Drain(Message):
    """Admit nobody any more; end when all are gone or the time is up."""


# ── from a worker ──────────────────────────────────────────────────────────────────────────────────────────────────


class Ready(Message):
    """The worker serves."""


class Claim(msgspec.Struct, kw_only=True, array_like=True):
    """An identity to be pinned before its device is let in."""

    handle: int
    device_id: str
    issuer_spki_sha256: bytes
    leaf_spki_sha256: bytes
    path: bytes
    anchor: bytes
    rekeyed: bool


class Claims(Message):
    """What the connections of one turn of the loop want claimed, judged under `epoch`."""

    epoch: int
    claims: list[Claim]


class TrustApplied(Message):
    """From here on nobody is admitted, and nobody is live, under an older epoch."""

    epoch: int


FromSupervisor = Start | Trust | Pins | Serve | Claimed | Drain
FromWorker = Ready | Claims | TrustApplied

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

    async def open(self, end: socket.socket) -> None:
        """Carry messages over `end`, the channel's own from here on. `receive` may be called before this returns."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=end)

    def send(self, message: Message) -> None:
        """Send one message; nothing happens when the other end is gone."""
        data = _encode(message)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(LENGTH.pack(len(data)) + data)

    def close(self) -> None:
        """Send what is queued, then hang up."""
        if self._transport is not None:
            self._transport.close()

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
        self._lost()
