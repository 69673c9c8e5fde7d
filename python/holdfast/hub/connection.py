"""One socket: moves bytes between it and the gate, and knows no protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from holdfast.hub.door import Door

WRITE_BUFFER_BYTES_MAX = 16 * 1024
"""What a peer that does not read may make us keep; nothing more is read from it until it has."""


class Connection(asyncio.BufferedProtocol):
    """A device's connection, as the loop sees it. There are tens of thousands: keep it small."""

    __slots__ = ("_closing", "_door", "_held_by_gate", "_held_by_peer", "_transport", "handle")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._held_by_gate = self._held_by_peer = False
        self.handle = 0

    # ── of the loop ────────────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection was accepted."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_BUFFER_BYTES_MAX)
        peer = transport.get_extra_info("peername")
        self._door.opened(self, peer[0] if peer else "")

    def get_buffer(self, sizehint: int) -> memoryview:
        """The door's one read buffer: the loop fills it and reports in one step, and nothing keeps a view of it."""
        return self._door.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        self._door.received(self, bytes(self._door.read_buffer[:nbytes]))

    def eof_received(self) -> bool:
        """The peer says nothing more. The gate decides when it is closed; until then both may still be written to."""
        self._door.ended(self)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        self._transport = None
        self._door.lost(self)

    def pause_writing(self) -> None:
        """The peer does not read: whoever wants no answers is asked nothing, and sent nothing but what answers."""
        self._held_by_peer = True
        self._hold()
        self._door.writable(self, writable=False)

    def resume_writing(self) -> None:
        """The peer has read."""
        self._held_by_peer = False
        self._hold()
        self._door.writable(self, writable=True)

    # ── of the door ────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, data: bytes) -> None:
        """Write `data`, of which nobody else keeps a reference that could change."""
        if self._transport is not None:
            self._transport.write(data)

    def hold_for_gate(self, *, held: bool) -> None:
        """Read nothing while too much of this peer is in hand, or the store is full."""
        self._held_by_gate = held
        self._hold()

    def finish(self) -> None:
        """Shut down writing once everything was sent; go on reading."""
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        """Close once everything was sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _hold(self) -> None:
        """Any reason not to read is enough; only the first and the last of them reach the transport."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._held_by_gate or self._held_by_peer:
            if transport.is_reading():
                transport.pause_reading()
        elif not transport.is_reading():
            transport.resume_reading()
