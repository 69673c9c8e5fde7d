"""The MQTT door of one worker: does what the gate asks for beyond sockets, with inbox, log and supervisor."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from holdfast._holdfast import InboxMessage, KeptSession, KeptWill, Request
from holdfast.hub import messages
from holdfast.inbox.sessions import Session
from holdfast.inbox.wills import Will

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from holdfast._holdfast import Device, Gate

CLAIMS_WAITING_MAX = 4_096
"""Newcomers that wait for the registry; beyond it they are told to come back later (trust.md §3.3)."""
CROWD_COUNT = 4
"""With so many at the door, what is to be said of them waits for `CROWD_SECONDS`, and is said together. A message about
admissions wakes every process of the hub: one for each turn of the loop was a tenth of what a resumed connect cost.
Until the others hear of it an older session lives on there, and a ticket means a full handshake."""
CROWD_SECONDS = 0.02


class Door:
    """All connections of one worker."""

    def __init__(
        self,
        gate: Gate,
        *,
        write: Callable[[str], None],
        post: Callable[[messages.InboxWork], None],
        claim: Callable[[list[list[bytes]], list[messages.Claim]], None],
        admitted: Callable[[bytes], None],
    ) -> None:
        self._gate = gate
        self._write = write
        self._claim = claim
        self._post = post
        self._admitted = admitted
        self._chains: list[list[bytes]] = []
        self._claims: list[messages.Claim] = []
        self._claims_waiting = 0
        self._turn_pending = False
        self._work: messages.InboxWork | None = None
        self._actions: Mapping[type[Request], Callable[[Any], None]] = {
            Request.Tick: self._on_tick,
            Request.Turn: self._on_turn,
            Request.Path: self._on_path,
            Request.Claim: self._on_claim,
            Request.Keep: self._on_keep,
            Request.KeepWill: self._on_keep_will,
            Request.Fetch: self._on_fetch,
            Request.Complete: lambda request: self._inbox_work().completed.append(request.message),
            Request.Log: self._on_log,
        }

    # ── what happens ───────────────────────────────────────────────────────────────────────────────────────────────

    def turn(self) -> None:
        """Somebody connects, says something, or reads what was sent."""
        self._perform(self._gate.turn())

    def claimed(self, answers: Iterable[tuple[int, str | None]]) -> None:
        """The registry has answered claims."""
        for handle, code in answers:
            self._claims_waiting -= 1
            self._perform(self._gate.claimed(handle, code))

    def inbox_done(self, done: messages.InboxDone) -> None:
        """The inbox has answered."""
        for handle, code in done.kept:
            self._perform(self._gate.kept(handle, code))
        for delivery in done.deliveries:
            found = [
                InboxMessage(
                    key=one.id,
                    packet_id=one.packet_id,
                    redelivered=one.redelivered,
                    expires_at=one.expires_at,
                    system_properties=one.system_properties,
                    properties=one.properties,
                    payload=one.payload,
                )
                for one in delivery.messages
            ]
            self._perform(self._gate.deliver_messages(delivery.handle, found, delivery.more))

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

    def replace_trust(self, trust: messages.Trust) -> None:
        """Trust these anchors and nobody else, and nobody who comes by what is closed."""
        # Claims that wait to be sent were judged by what was trusted until now, and say so.
        self._send_claims()
        requests = self._gate.replace_trust(
            epoch=trust.epoch,
            anchors=trust.anchors,
            clock_floor=datetime.fromtimestamp(trust.clock_floor, UTC),
            closed_keys=trust.closed_keys,
            closed_certificates=trust.closed_certificates,
            successions=trust.successions,
        )
        self._perform(requests)

    def place(self, rows: Sequence[tuple[bool, bytes]]) -> None:
        """Admissions of all workers (ours or not) in the order that counts."""
        self._perform(self._gate.fence(rows))

    def load_devices(self, devices: Sequence[Device]) -> None:
        """These devices are pinned so."""
        self._perform(self._gate.load_devices(devices))

    def load_sessions(self, rows: Iterable[tuple[str, int | None, int | None, int | None]]) -> None:
        """Know what is kept of devices' sessions."""
        sessions = [
            # One that has ended at the beginning of time is none.
            (device_id, None if ends_at == 0 else KeptSession(inbox_qos=qos, expiry_seconds=expiry, ends_at=ends_at))
            for device_id, qos, expiry, ends_at in rows
        ]
        self._perform(self._gate.load_sessions(sessions))

    def waiting(self, devices: Sequence[str]) -> None:
        """Messages are kept for these devices."""
        self._perform(self._gate.waiting(devices))

    def inherit_wills(self, wills: Iterable[tuple[str, Will]]) -> None:
        """Publish these when they are due."""
        inherited = [
            (
                device_id,
                KeptWill(
                    delay_seconds=will.delay_seconds,
                    due_at=will.due_at,
                    anchor=will.anchor.hex(),
                    vouchers=will.vouchers,
                    not_after=will.not_after,
                    expires_in_seconds=will.expires_in_seconds,
                    system_properties=will.system_properties,
                    properties=will.properties,
                    payload=will.payload,
                ),
            )
            for device_id, will in wills
        ]
        self._perform(self._gate.inherit_wills(inherited))

    def drain(self, count_max: int) -> int:
        """End what is idle, so many at the most; answers how many connections are left."""
        self._perform(self._gate.drain(count_max))
        return self._gate.connections

    def abort(self) -> None:
        """Let go of every connection that is left, and say what there still is to say."""
        self._perform(self._gate.abort())
        self.tell()

    def tell(self) -> None:
        """Tell the other workers whom the gate has let in, and write what it has to say: each of them has a line."""
        try:
            if self._work is None:
                if admitted := self._gate.take_admissions():
                    self._admitted(admitted)
            else:
                self.flush()
        finally:
            # Until they are taken nobody is asked to take them again.
            self._write(self._gate.take_lines())

    def flush(self) -> None:
        """Send what waits to be sent to the inbox."""
        work, self._work = self._work, None
        if work is not None:
            # Others end an older connection of a device before they hear what is kept for it from here on.
            work.admissions = self._gate.take_admissions()
            self._post(work)

    # ── what the gate asks for ─────────────────────────────────────────────────────────────────────────────────────

    def _perform(self, requests: Iterable[Request]) -> None:
        for request in requests:
            try:
                self._actions[type(request)](request)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 (a panic is one, too: whatever it is, others wait behind it)
                context = {"message": "an action that the gate has asked for", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    def _on_turn(self, _: Request.Turn) -> None:
        # Whatever else the loop has to do comes first. One is enough, however many turns are taken meanwhile.
        if not self._turn_pending:
            self._turn_pending = True
            asyncio.get_running_loop().call_soon(self._pending_turn)

    def _pending_turn(self) -> None:
        self._turn_pending = False
        self.turn()

    def _on_path(self, request: Request.Path) -> None:
        self._claim_soon()
        self._chains.append(request.chain)

    def _on_claim(self, request: Request.Claim) -> None:
        if self._claims_waiting >= CLAIMS_WAITING_MAX:
            self._perform(self._gate.claimed(request.handle, "registry_unavailable"))
            return
        self._claims_waiting += 1
        self._claim_soon()
        issuer, leaf = _keys(request.device)
        self._claims.append(
            messages.Claim(
                handle=request.handle,
                device_id=request.device.device_id,
                issuer_spki_sha256=issuer,
                leaf_spki_sha256=leaf,
                fingerprint=request.fingerprint,
                path=request.path,
                before=_keys(before) if (before := request.before) else None,
            )
        )

    def _claim_soon(self) -> None:
        if not self._claims and not self._chains:
            # All that this turn of the loop brings goes to the registry together, and is committed together.
            asyncio.get_running_loop().call_soon(self._send_claims)

    def _send_claims(self) -> None:
        if self._chains or self._claims:
            chains, self._chains = self._chains, []
            claims, self._claims = self._claims, []
            self._claim(chains, claims)

    def _inbox_work(self) -> messages.InboxWork:
        """All that this turn of the loop wants of the inbox goes there together, and is committed together."""
        if self._work is None:
            self._work = messages.InboxWork(sessions=[], wills=[], completed=[], fetches=[])
            asyncio.get_running_loop().call_soon(self.flush)
        return self._work

    def _on_keep(self, request: Request.Keep) -> None:
        kept = request.session
        session = kept and Session(inbox_qos=kept.inbox_qos, expiry_seconds=kept.expiry_seconds, ends_at=kept.ends_at)
        self._inbox_work().sessions.append((request.handle, request.device_id, session))

    def _on_keep_will(self, request: Request.KeepWill) -> None:
        kept = request.will
        will = kept and Will(
            delay_seconds=kept.delay_seconds,
            due_at=kept.due_at,
            anchor=bytes.fromhex(kept.anchor),
            vouchers=kept.vouchers,
            not_after=kept.not_after,
            expires_in_seconds=kept.expires_in_seconds,
            system_properties=kept.system_properties,
            properties=kept.properties,
            payload=kept.payload,
        )
        self._inbox_work().wills.append((request.device_id, will))

    def _on_fetch(self, request: Request.Fetch) -> None:
        self._inbox_work().fetches.append(
            messages.Fetch(
                handle=request.handle,
                device_id=request.device_id,
                after=request.after,
                count_max=request.count_max,
                bytes_max=request.bytes_max,
            )
        )

    def _on_tick(self, request: Request.Tick) -> None:
        asyncio.get_running_loop().call_later(request.after_ms / 1000, self.tick)

    def _on_log(self, _: Request.Log) -> None:
        # Asked for once until it is done: all lines that come meanwhile are written together.
        loop = asyncio.get_running_loop()
        if self._gate.half_open < CROWD_COUNT:
            loop.call_soon(self.tell)
        else:
            loop.call_later(CROWD_SECONDS, self.tell)


def _keys(device: Device) -> tuple[bytes, bytes]:
    """SHA-256 of the issuer's key and of its own."""
    return bytes.fromhex(device.issuer_spki_sha256), bytes.fromhex(device.leaf_spki_sha256)
