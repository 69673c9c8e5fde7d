"""The stock device SDK as a device runs it: unmodified, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .hub import RunningHub

PROGRAM = Path(__file__).with_name("sdk_program.py")
RETRY_SECONDS = 1


class SdkDevice:
    """One client; calls answer `None`, a value, or the name of the SDK's exception."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self, *words: Any) -> None:
        """A call that is not waited for, and the last one."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def call(self, *words: Any) -> Any:
        self.begin(*words)
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        return answer["error"] if isinstance(answer, dict) else answer

    def kill(self) -> None:
        self._process.kill()


@contextmanager
def sdk_device(
    hub: RunningHub, certificate: Path, key: Path, device_id: str, *, retry: bool = True
) -> Iterator[SdkDevice]:
    """A client as an application makes one; with `retry`, eager to reconnect."""
    arguments = {
        "certificate": str(certificate),
        "key": str(key),
        "hostname": hub.address,
        "device_id": device_id,
        "server_verification_cert": hub.certificate.read_text(),
        "connection_retry": retry,
        "connection_retry_interval": RETRY_SECONDS,
    }
    log = (hub.directory / f"sdk-{device_id}.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, PROGRAM, json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        yield SdkDevice(process)
        process.communicate(timeout=30)
    finally:
        log.close()
        process.kill()
        process.communicate()
