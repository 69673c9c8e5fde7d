"""A worker: one process, one loop, one gate. `python -P -m holdfast.hub.worker FD` is how the supervisor starts one.

FD is its end of the channel. It has no secret and no socket but those that the channel brings, and it ends when the
channel does: without a supervisor nobody can be claimed, and nobody would say when trust ends.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from holdfast._holdfast import Device, Gate, TelemetryWriter
from holdfast.errors import HoldfastError
from holdfast.hub import counts, messages
from holdfast.hub.door import Door
from holdfast.hub.log import configure, lines_to, report_unhandled
from holdfast.hub.slices import with_short_slices

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

TICK_SECONDS = 0.1
DRAIN_POLL_SECONDS = 0.05
DRAIN_SHARE = 0.8
"""Of the time there is to drain, what sessions are ended in, evenly: whoever comes back elsewhere comes one by one."""
DRAINED_PER_SECOND_MIN = 500
"""So few at a time are no storm."""

BEGUN = {"space": "disk_full", "lock": "telemetry_locked"}
"""What the log says when messages wait for something."""
OVER = {"space": "disk_has_room", "lock": "telemetry_unlocked"}


class Worker:
    """What the supervisor's messages make of this process."""

    def __init__(
        self,
        start: messages.Start,
        log: FilteringBoundLogger,
        *,
        send: Callable[[messages.Message], None],
        end: Callable[[int], None],
    ) -> None:
        """Raises `HoldfastError` when the certificate, a limit or the telemetry log cannot be used."""
        self._log = log
        self._send = send
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._drain_seconds = start.drain_seconds
        self._listeners = start.listeners
        self._task: asyncio.Task[None] | None = None
        self._epoch = 0
        self._store = with_short_slices(lambda: TelemetryWriter(start.telemetry_file))
        self._waits_for: str | None = None
        gate = Gate(
            certificate_chain=start.certificate_chain,
            private_key=start.private_key,
            limits=start.limits,
            telemetry=self._store,
            tenant=start.tenant,
            listener=start.listener,
        )
        gate.set_ticket_keys(start.ticket_keys)
        self._number = start.number
        self._gate = gate
        if start.workers > 1:
            gate.share_identities()
        self._door = Door(gate, write=lines_to(log), claim=self._claim, admitted=self._on_admitted, post=send)
        self._loop.add_reader(self._store.fileno(), self._on_stored)
        self._loop.add_reader(gate.judged_fileno(), self._door.judged)
        self._tick()
        self._count()

    def receive(self, message: messages.FromSupervisor) -> None:
        """Do what the supervisor says."""
        match message:
            case messages.Serve():
                self._serve()
            case messages.Reload():
                self._reload(message)
            case messages.Drain():
                self._task = self._loop.create_task(self._drain())
            case messages.Start():
                self._fail("started_twice", "a second Start")
            case messages.Sessions() | messages.Waiting() | messages.Wills() | messages.InboxDone():
                self._receive_inbox(message)
            case _:
                self._learn(message)

    def _receive_inbox(
        self, message: messages.Sessions | messages.Waiting | messages.Wills | messages.InboxDone
    ) -> None:
        match message:
            case messages.Sessions():
                self._door.load_sessions(message.rows)
            case messages.Waiting():
                self._door.waiting(message.devices)
            case messages.Wills():
                self._door.inherit_wills(message.rows)
            case messages.InboxDone():
                self._door.inbox_done(message)

    def _learn(
        self,
        message: messages.Trust
        | messages.Lease
        | messages.Pins
        | messages.Claimed
        | messages.TicketKeys
        | messages.KernelOff
        | messages.Placed
        | messages.IsLive,
    ) -> None:
        """Know what the registry and the other workers say."""
        match message:
            case messages.Trust():
                self._door.replace_trust(message)
                self._epoch = message.epoch
                self._send(messages.TrustApplied(epoch=message.epoch))
            case messages.Lease():
                self._gate.renew_lease()
            case messages.Pins():
                self._door.load_devices([Device(name, issuer.hex(), leaf.hex()) for name, issuer, leaf in message.rows])
            case messages.Claimed():
                self._door.claimed(message.answers)
            case messages.Placed():
                self._door.place([(number == self._number, admissions) for number, admissions in message.rows])
            case messages.TicketKeys():
                self._gate.set_ticket_keys(message.keys)
            case messages.KernelOff():
                self._gate.switch_kernel_off()
            case messages.IsLive():
                device = Device(message.device_id, "00" * 32, message.leaf_spki_sha256.hex())
                self._send(messages.Live(question=message.question, live=self._gate.is_live_with_other_key(device)))

    def close(self) -> None:
        """Store what is queued, and say of which wills that was the last; nothing is acknowledged any more."""
        self._loop.remove_reader(self._store.fileno())
        self._store.close()
        self._door.stored()
        self._door.flush()
        self._door.tell()
        self._send(counts.counted(self._gate, self._store))

    def _serve(self) -> None:
        for descriptor in self._listeners:
            os.dup2(descriptor, sys.stdin.fileno())
            os.close(descriptor)
            self._gate.listen()
        with Path(os.devnull).open() as nothing:
            os.dup2(nothing.fileno(), sys.stdin.fileno())
        self._loop.add_reader(self._gate.fileno(), self._door.turn)
        self._send(messages.Ready())

    async def _drain(self) -> None:
        """Accept nobody, let what is in hand be finished, then let go."""
        self._gate.stop_listening()
        began = self._loop.time()
        rate = max(self._gate.sessions / max(DRAIN_SHARE * self._drain_seconds, 1), DRAINED_PER_SECOND_MIN)
        at_once = math.ceil(rate * DRAIN_POLL_SECONDS)
        while self._door.drain(at_once) and self._loop.time() - began < self._drain_seconds:  # noqa: ASYNC110 (in turns)
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        self._door.abort()
        self._end(0)

    def _reload(self, message: messages.Reload) -> None:
        self._drain_seconds = message.drain_seconds
        # The supervisor has checked them.
        self._gate.reconfigure(
            certificate_chain=message.certificate_chain, private_key=message.private_key, limits=message.limits
        )

    def _claim(self, chains: list[list[bytes]], claims: list[messages.Claim]) -> None:
        self._send(messages.Claims(epoch=self._epoch, chains=chains, claims=claims))

    def _on_admitted(self, admissions: bytes) -> None:
        self._send(messages.Admitted(admissions=admissions))

    def _on_stored(self) -> None:
        self._door.stored()
        if self._store.failure is not None:
            # What was not acknowledged will be sent again, to a worker whose disk works.
            self._fail("telemetry_log_failed", self._store.failure)

    def _tick(self) -> None:
        self._loop.call_later(TICK_SECONDS, self._tick)  # first: without deadlines nobody would ever be let go
        self._door.tick()

    def _count(self) -> None:
        self._loop.call_later(counts.SECONDS, self._count)
        self._send(counts.counted(self._gate, self._store))
        if (waits_for := self._store.waits_for) != self._waits_for:
            for wait, event in ((self._waits_for, OVER), (waits_for, BEGUN)):
                if wait is not None:
                    self._log.warning(event[wait], messages=self._store.queued)
            self._waits_for = waits_for

    def _fail(self, code: str, reason: str) -> None:
        self._log.error("worker_failed", code=code, reason=reason)
        self._end(1)


async def work(end: socket.socket, log: FilteringBoundLogger) -> int:
    """Be a worker at this `end` of the channel until drained, orphaned or broken; answers the exit status."""
    report_unhandled(log)
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    worker: Worker | None = None

    def finish(status: int) -> None:
        if not ended.done():
            ended.set_result(status)

    def receive(message: messages.FromSupervisor) -> None:
        nonlocal worker
        if worker is not None:
            worker.receive(message)
        elif isinstance(message, messages.Start):
            try:
                worker = Worker(message, log, send=channel.send, end=finish)
            except HoldfastError as error:
                log.error("worker_failed", code=error.code, reason=error.message)  # noqa: TRY400 (the reason is told)
                finish(1)

    channel = messages.Channel(messages.from_supervisor, receive, lambda: finish(1))
    await channel.open(end)
    status = await ended
    if worker is not None:
        worker.close()
    channel.close()
    await channel.wait_closed()
    return status


def main() -> None:
    """Run the worker whose channel's descriptor is the only argument."""
    # A Ctrl-C, a closed terminal and `systemctl` reach every process; only the supervisor decides what they mean, and
    # its own end is that of the channel.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end = socket.socket(fileno=int(sys.argv[1]))
    sys.exit(uvloop.run(work(end, configure())))


if __name__ == "__main__":
    main()
