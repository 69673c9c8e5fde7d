"""The log is for whoever reads it; where nobody can, the hub goes on."""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from holdfast.hub.log import Lines

from ..support.hub import RunningHub, wait_for
from ..support.mqtt import (
    CONNACK_NOT_AUTHORIZED,
    CONNACK_YES,
    connect,
    dialled,
    puback,
    publish,
    read_exactly,
    read_to_end,
)
from ..support.pki import Ca

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a hub runs on Linux")
ROOT, STRANGER = Ca.root("Company-X Root"), Ca.root("Elsewhere")


@contextmanager
def full_disk(log: Path) -> Iterator[Callable[[], None]]:
    log.symlink_to("/dev/full")
    yield lambda: None


@contextmanager
def reader_that_dies(log: Path) -> Iterator[Callable[[], None]]:
    """It does so when it is told to, with the hub running."""
    os.mkfifo(log)
    with open(log, "rb", opener=lambda path, _: os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as reader:
        yield reader.close


@pytest.mark.parametrize("log", [full_disk, reader_that_dies])
def test_a_log_that_cannot_be_written_costs_lines_and_no_device(
    hub: RunningHub, log: Callable[[Path], AbstractContextManager[Callable[[], None]]]
) -> None:
    """Supervisor and worker have something to say at each step: of trust, of a stranger, of the end."""
    hub.trust(company=ROOT)
    device, stranger = (ca.device("w").write(hub.directory, name) for ca, name in ((ROOT, "good"), (STRANGER, "bad")))

    def answer(who: tuple[Path, Path]) -> bytes:
        with dialled(hub, who) as secured:
            secured.sendall(connect("w"))
            return read_exactly(secured, 4)

    def serves() -> bool:
        try:
            return answer(device) == CONNACK_YES
        except OSError:
            return False

    with log(hub.directory / "hub-1.log") as spoil:
        hub.begin()
        wait_for(serves, "a hub that serves")
        spoil()
        with dialled(hub, device) as secured:
            secured.sendall(connect("w"))
            assert read_exactly(secured, 4) == CONNACK_YES
            assert answer(stranger) == CONNACK_NOT_AUTHORIZED
            done = hub.command("branch", "close", "ab" * 32, "--unseen", "--yes", "--json")
            assert '"applied": "by every worker"' in done.stdout
            secured.sendall(publish("w", 1))
            assert read_exactly(secured, 4) == puback(1)
            assert hub.stop() == 0
            assert read_to_end(secured) == b""


def test_a_line_that_was_cut_does_not_spoil_the_next() -> None:
    """A pipe of 4 KiB that nobody reads, and that waits for nobody, is a disk that is nearly full."""
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    size = fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4_096)
    lines = Lines(write_end)
    lines.write("x" * 2 * size + "\n")
    lines.write("lost\n")
    assert os.read(read_end, 2 * size) == b"x" * size
    lines.write("next\n")
    lines.write("é\udcff\n")
    assert os.read(read_end, 2 * size).decode() == "\nnext\né\\udcff\n"
    os.close(read_end)
    lines.write("nobody reads\n")
    os.close(write_end)
