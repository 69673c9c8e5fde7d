"""A worker: one process, one loop, one gate. `python -P -m holdfast.hub.worker FD` is how the supervisor starts one.

FD is its end of the channel. It has no secret and no socket but those that the channel brings, and it ends when the
channel does: without a supervisor nobody can be claimed, and nobody would say when trust ends.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import uvloop

from holdfast._holdfast import Device, Gate, TelemetryWriter
from holdfast.errors import HoldfastError
from holdfast.hub import messages
from holdfast.hub.door import Door
from holdfast.hub.log import configure, lines_to, report_unhandled

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

TICK_SECONDS = 0.1
DRAIN_POLL_SECONDS = 0.05


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
        self._listeners = [socket.socket(fileno=descriptor) for descriptor in start.listeners]
        self._servers: list[asyncio.Server] = []
        self._task: asyncio.Task[None] | None = None
        self._epoch = 0
        self._store = TelemetryWriter(start.telemetry_file)
        gate = Gate(
            certificate_chain=start.certificate_chain,
            private_key=start.private_key,
            limits=start.limits,
            telemetry=self._store,
        )
        self._door = Door(gate, write=lines_to(log), claim=self._claim, post=send)
        self._loop.add_reader(self._store.fileno(), self._on_stored)
        self._loop.add_reader(gate.judged_fileno(), self._door.judged)
        self._tick()

    def receive(self, message: messages.FromSupervisor) -> None:
        """Do what the supervisor says."""
        match message:
            case messages.Trust():
                floor = datetime.fromtimestamp(message.clock_floor, UTC)
                self._door.replace_trust(message.epoch, message.anchors, floor)
                self._epoch = message.epoch
                self._send(messages.TrustApplied(epoch=message.epoch))
            case messages.Pins():
                self._door.load_devices([Device(name, issuer.hex(), leaf.hex()) for name, issuer, leaf in message.rows])
            case messages.Claimed():
                self._door.claimed(message.answers)
            case messages.Serve():
                self._task = self._loop.create_task(self._serve())
            case messages.Drain():
                self._task = self._loop.create_task(self._drain())
            case messages.Start():
                self._fail("started_twice", "a second Start")
            case _:
                self._receive_inbox(message)

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

    def close(self) -> None:
        """Store what is queued, and say of which wills that was the last; nothing is acknowledged any more."""
        self._loop.remove_reader(self._store.fileno())
        self._store.close()
        self._door.stored()
        self._door.flush()

    async def _serve(self) -> None:
        for listener in self._listeners:
            self._servers.append(
                await self._loop.create_server(self._door.accept, sock=listener, backlog=socket.SOMAXCONN)
            )
        self._send(messages.Ready())

    async def _drain(self) -> None:
        """Accept nobody, let what is in hand be finished, then let go."""
        for server in self._servers:
            server.close()
        deadline = self._loop.time() + self._drain_seconds
        while self._door.drain() and self._loop.time() < deadline:  # noqa: ASYNC110 (each turn ends what has become idle)
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        self._door.abort()
        self._end(0)

    def _claim(self, claims: list[messages.Claim]) -> None:
        self._send(messages.Claims(epoch=self._epoch, claims=claims))

    def _on_stored(self) -> None:
        self._door.stored()
        if self._store.failure is not None:
            # What was not acknowledged will be sent again, to a worker whose disk works.
            self._fail("telemetry_log_failed", self._store.failure)

    def _tick(self) -> None:
        self._door.tick()
        self._loop.call_later(TICK_SECONDS, self._tick)

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
    # A Ctrl-C reaches the whole group; only the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = socket.socket(fileno=int(sys.argv[1]))
    sys.exit(uvloop.run(work(end, configure())))


if __name__ == "__main__":
    main()
