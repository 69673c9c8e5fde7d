"""What a worker does of itself, again and again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import structlog

from holdfast._holdfast import Gate
from holdfast.hub import counts, messages
from holdfast.hub import worker as worker_module
from holdfast.hub.door import Door
from holdfast.hub.worker import Worker

from ..support.pki import DER, Ca, serialization

if TYPE_CHECKING:
    from pathlib import Path

CA = Ca.root()
KEY = CA.key.private_bytes(DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
TIMES = 3


class Panicked(BaseException):
    """As a panic of the compiled half is: no `Exception`."""


@pytest.mark.parametrize(("owner", "name"), [(Door, "tick"), (counts, "counted")])
async def test_x03_what_fails_once_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    monkeypatch.setattr(worker_module, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(counts, "SECONDS", 0.01)
    start = messages.Start(
        number=0, workers=1, certificate_chain=[CA.der], private_key=KEY, limits=Gate.default_limits(),
        telemetry_file=str(tmp_path / "worker-0.db"), drain_seconds=0, tenant="t", listener="l", ticket_keys=[],
        listeners=[],
    )  # fmt: skip
    worker = Worker(start, structlog.get_logger(), send=lambda _: None, end=lambda _: None)
    failed, done = list[object](), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))

    def fail(*_: object) -> None:
        if len(failed) == TIMES:
            done.set()
        raise Panicked

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fail)
        await asyncio.wait_for(done.wait(), 5)
    assert all(isinstance(error, Panicked) for error in failed)
    loop.remove_reader(worker._gate.judged_fileno())
    worker.close()
