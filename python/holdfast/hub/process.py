"""One worker as the supervisor sees it: a process and the channel to it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from holdfast.hub import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ALLOCATION = {"MIMALLOC_ALLOW_THP": "0"}
"""Of what Rust allocates in a worker. A huge page is given back whole or not at all: after each burst some would stay,
and each worker would begin with 20 MB more. A connect costs no more without them."""


class WorkerProcess:
    """A worker that was started. It ends when its channel is closed, or when it is killed."""

    def __init__(self, process: asyncio.subprocess.Process, channel: messages.Channel[messages.FromWorker]) -> None:
        self._process = process
        self._channel = channel

    @classmethod
    async def start(
        cls, listeners: Sequence[socket.socket], receive: Callable[[messages.FromWorker], None]
    ) -> WorkerProcess:
        """Start a worker that inherits `listeners`; `receive` is called with all that it says.

        Raises:
            OSError: the system has no descriptor, memory or process for it.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs, ExitStack() as unused:
            unused.enter_context(ours)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # whatever lies in the directory that the hub was started in is not ours to import
                "-m",
                "holdfast.hub.worker",
                str(theirs.fileno()),
                env=ALLOCATION | os.environ,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *(listener.fileno() for listener in listeners)],
            )
            unused.pop_all()
        channel = messages.Channel(messages.from_worker, receive, lambda: None)
        await channel.open(ours)
        return cls(process, channel)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._process.returncode is not None

    @property
    def unsent(self) -> int:
        """Octets of what it was told that it has yet to read."""
        return self._channel.unsent

    def send(self, message: messages.Message) -> None:
        """Tell it something; nothing happens when it is gone."""
        self._channel.send(message)

    async def wait(self) -> int:
        """Wait until it has ended and all that it said was heard; answers its exit status (negative: the signal)."""
        status = await self._process.wait()
        await self._channel.wait_closed()
        return status

    def kill(self) -> None:
        """End it now."""
        if self._process.returncode is None:
            self._process.kill()
