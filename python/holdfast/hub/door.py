"""The MQTT door of one worker: does what the gate asks for, with its sockets, its store and the supervisor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from holdfast._holdfast import Request
from holdfast.hub import messages
from holdfast.hub.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from holdfast._holdfast import Device, Gate

READ_BUFFER_BYTES = 64 * 1024
CLAIMS_WAITING_MAX = 4_096
"""Newcomers that wait for the registry; beyond it they are told to come back later (trust.md §3.3)."""


class Door:
    """All connections of one worker."""

    def __init__(
        self,
        gate: Gate,
        *,
        write: Callable[[str], None],
        claim: Callable[[list[messages.Claim]], None],
    ) -> None:
        self.read_buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self._gate = gate
        self._write = write
        self._claim = claim
        self._connections: dict[int, Connection] = {}
        self._claims: list[messages.Claim] = []
        self._claims_waiting = 0
        self._actions: Mapping[type[Request], Callable[[Any], None]] = {
            Request.Send: self._on_send,
            Request.Pause: lambda request: self._hold(request.handle, held=True),
            Request.Resume: lambda request: self._hold(request.handle, held=False),
            Request.Finish: self._on_finish,
            Request.Close: self._on_close,
            Request.Tick: self._on_tick,
            Request.Claim: self._on_claim,
            Request.Log: self._on_log,
        }

    # ── what happens ───────────────────────────────────────────────────────────────────────────────────────────────

    def accept(self) -> Connection:
        """A protocol for a connection that is being accepted."""
        return Connection(self)

    def opened(self, connection: Connection, source: str) -> None:
        """A connection was accepted from `source`."""
        handle, requests = self._gate.open(source)
        if handle:
            connection.handle = handle
            self._connections[handle] = connection
        self._perform(requests)
        if not handle:
            connection.abort()

    def received(self, connection: Connection, data: bytes) -> None:
        """Bytes came."""
        self._perform(self._gate.receive(connection.handle, data))

    def ended(self, connection: Connection) -> None:
        """The peer says nothing more."""
        self._perform(self._gate.end_of_stream(connection.handle))

    def lost(self, connection: Connection) -> None:
        """The socket is gone."""
        if self._connections.pop(connection.handle, None):
            self._perform(self._gate.lost(connection.handle))

    def claimed(self, answers: Iterable[tuple[int, str | None]]) -> None:
        """The registry has answered claims."""
        for handle, code in answers:
            self._claims_waiting -= 1
            self._perform(self._gate.claimed(handle, code))

    def stored(self) -> None:
        """The store has something to say."""
        self._perform(self._gate.stored())

    def judged(self) -> None:
        """Chains were judged on the gate's own thread."""
        self._perform(self._gate.judged())

    def tick(self) -> None:
        """Time has passed."""
        self._perform(self._gate.tick())

    # ── what is told ───────────────────────────────────────────────────────────────────────────────────────────────

    def replace_trust(self, epoch: int, anchors: Sequence[bytes], clock_floor: datetime) -> None:
        """Trust these and nobody else."""
        self._perform(self._gate.replace_trust(epoch, anchors, clock_floor))

    def load_devices(self, devices: Sequence[Device]) -> None:
        """These devices are pinned so."""
        self._gate.load_devices(devices)

    def drain(self) -> int:
        """End what is idle; answers how many connections are left."""
        self._perform(self._gate.drain())
        return self._gate.connections

    def abort(self) -> None:
        """Let go of every connection that is left, and say what there still is to say."""
        for connection in list(self._connections.values()):
            connection.abort()
        self._write_lines()

    # ── what the gate asks for ─────────────────────────────────────────────────────────────────────────────────────

    def _perform(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._actions[type(request)](request)

    def _on_send(self, request: Request.Send) -> None:
        if connection := self._connections.get(request.handle):
            connection.send(request.data)

    def _hold(self, handle: int, *, held: bool) -> None:
        if connection := self._connections.get(handle):
            connection.hold_for_gate(held=held)

    def _on_finish(self, request: Request.Finish) -> None:
        if connection := self._connections.get(request.handle):
            connection.finish()

    def _on_close(self, request: Request.Close) -> None:
        if connection := self._connections.pop(request.handle, None):
            connection.close()

    def _on_claim(self, request: Request.Claim) -> None:
        if self._claims_waiting >= CLAIMS_WAITING_MAX:
            self._perform(self._gate.claimed(request.handle, "registry_unavailable"))
            return
        self._claims_waiting += 1
        if not self._claims:
            # All that this turn of the loop brings goes to the registry together, and is committed together.
            asyncio.get_running_loop().call_soon(self._send_claims)
        self._claims.append(
            messages.Claim(
                handle=request.handle,
                device_id=request.device.device_id,
                issuer_spki_sha256=bytes.fromhex(request.device.issuer_spki_sha256),
                leaf_spki_sha256=bytes.fromhex(request.device.leaf_spki_sha256),
                path=bytes.fromhex("".join(request.path_fingerprints)),
                anchor=bytes.fromhex(request.anchor_fingerprint),
                rekeyed=request.rekeyed,
            )
        )

    def _send_claims(self) -> None:
        claims, self._claims = self._claims, []
        self._claim(claims)

    def _on_tick(self, request: Request.Tick) -> None:
        asyncio.get_running_loop().call_later(request.after_ms / 1000, self.tick)

    def _on_log(self, request: Request.Log) -> None:
        # All lines of this turn of the loop are written together.
        asyncio.get_running_loop().call_soon(self._write_lines)

    def _write_lines(self) -> None:
        self._write(self._gate.take_lines())
