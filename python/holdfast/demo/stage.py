"""Where the story plays: a temporary directory, commands run in it, the hub's process. All is gone afterwards."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from types import TracebackType

    from holdfast.demo.narrator import Narrator

COMMAND_SECONDS_MAX = 60.0
HUB_SECONDS_MAX = 15.0
LOG_SECONDS_MAX = 5.0
POLL_SECONDS = 0.02
LOG_LINES_SHOWN = 15


class DemoError(HoldfastError):
    """Something is not as the story tells it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__("demo_failed", message, hint=hint)


class Stage:
    """A directory with a hub in it. Leaving it, in whatever way, ends the hub and removes the directory."""

    def __init__(self, narrator: Narrator) -> None:
        self.narrator = narrator
        self._temporary = tempfile.TemporaryDirectory(prefix="holdfast-demo-")
        self.directory = Path(self._temporary.name).resolve()
        self._hub: subprocess.Popen[bytes] | None = None
        self._log = self.directory / "hub.log"
        self._log_bytes_read = 0
        # The caller's own settings must not leak into the story.
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave a hub behind
        try:
            if self._hub is not None and self._hub.poll() is None:
                self._hub.terminate()
                try:
                    self._hub.wait(HUB_SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    self._hub.kill()
                    self._hub.wait()
        finally:
            self._temporary.cleanup()
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def holdfast(self, line: str, *, show: bool = True) -> str:
        """Run one `holdfast` command here, and answer what it printed.

        Raises:
            DemoError: it did not exit with 0.
        """
        if show:
            self.narrator.command(f"holdfast {line}")
        done = subprocess.run(  # noqa: S603 (our own interpreter and words)
            [sys.executable, "-m", "holdfast", *shlex.split(line)],
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        if done.returncode != 0:
            message = f"'holdfast {line}' ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
            raise DemoError(message)
        return done.stdout

    def check(self, claim: str, *, holds: bool, found: object = None) -> None:
        """Say `claim`, or fail with what was `found` instead."""
        if not holds:
            message = f"it does not hold that {claim}" + (f": found {found}" if found is not None else "")
            raise DemoError(message, hint=self._log_tail())
        self.narrator.held(claim)

    def start_hub(self, port: int) -> None:
        """Run `holdfast serve` as a process of its own and wait until it listens."""
        self.narrator.command("holdfast serve &")
        with self._log.open("wb") as log:
            self._hub = subprocess.Popen(
                [sys.executable, "-m", "holdfast", "serve"],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + HUB_SECONDS_MAX
        while not _listens(port):
            if self._hub.poll() is not None or time.monotonic() > deadline:
                message = "the hub did not start"
                raise DemoError(message, hint=self._log_tail())
            time.sleep(POLL_SECONDS)
        self._log_bytes_read = self._log.stat().st_size

    def stop_hub(self) -> int:
        """Ask the hub to drain and end, as an operator's init system would; answers its exit status."""
        if self._hub is None:
            message = "the hub was never started"
            raise DemoError(message)
        self.narrator.command(f"kill -TERM {self._hub.pid}")
        self._hub.terminate()
        return self._hub.wait(HUB_SECONDS_MAX)

    def next_refusal(self) -> str:
        """The code of the next refusal in the hub's log.

        Raises:
            DemoError: none came within a few seconds.
        """
        deadline = time.monotonic() + LOG_SECONDS_MAX
        while time.monotonic() < deadline:
            for event in self._new_events():
                if event.get("event") == "refused":
                    return str(event.get("code"))
            time.sleep(POLL_SECONDS)
        message = "the hub logged no refusal"
        raise DemoError(message, hint=self._log_tail())

    def _new_events(self) -> list[dict[str, Any]]:
        """Whole lines that were written since the last call."""
        with self._log.open("rb") as log:
            log.seek(self._log_bytes_read)
            lines, end, _ = log.read().rpartition(b"\n")
        self._log_bytes_read += len(lines) + len(end)
        return [json.loads(line) for line in lines.splitlines() if line.startswith(b"{")]

    def _log_tail(self) -> str | None:
        if not self._log.exists():
            return None
        return "\n".join(["The hub's log ends:", *self._log.read_text().splitlines()[-LOG_LINES_SHOWN:]])


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
