"""The log is for whoever reads it; where nobody can, the hub goes on."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import re
import socket
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

import pytest

from holdfast._holdfast import connection_codes
from holdfast.hub.counts import COUNTERS
from holdfast.hub.log import Lines
from holdfast.hub.worker import BEGUN, OVER

from ..house.repository import ROOT as REPOSITORY
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
RUST = REPOSITORY / "rust"
PAGE = REPOSITORY / "docs" / "operator.md"
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


@contextmanager
def reader_that_stalls(log: Path) -> Iterator[Callable[[], None]]:
    """It lives, and reads no more."""
    os.mkfifo(log)
    with open(log, "rb", opener=lambda path, _: os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as reader:
        other = os.open(log, os.O_WRONLY | os.O_NONBLOCK)
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 65_536)

        def stall() -> None:
            with suppress(BlockingIOError):
                while True:
                    os.write(other, b"." * 4_096)

        yield stall
        os.close(other)


@pytest.mark.parametrize("log", [full_disk, reader_that_dies, reader_that_stalls])
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
    rest, lost, *others = os.read(read_end, 2 * size).decode().split("\n")
    assert (rest, others) == ("", ["next", "é\\udcff", ""])
    assert json.loads(lost).items() >= {"event": "log_lines_lost", "lines": 2}.items()
    os.close(read_end)
    lines.write("nobody reads\n")
    os.close(write_end)


OTHERWISE: dict[str, set[str]] = {
    **{event: {"messages"} for event in [*BEGUN.values(), *OVER.values()]},
    "log_lines_lost": {"lines"},
}
"""What Python logs by a name that stands elsewhere, and what the log says of itself."""


def documented() -> dict[str, set[str]]:
    """The rows of the operator's page about the log: events, and the fields that they may have."""
    page = PAGE.read_text().partition("## What the log says")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?`) \| (.*?) \| .* \|$", page, re.MULTILINE)
    return {events: set(re.findall(r"\w+", re.sub(r"\(.*?\)", "", fields))) for events, fields in rows}


def said_by_python() -> dict[str, set[str]]:
    """What Python logs: each event with its fields; `...` stands for some that only a running hub knows."""
    said: dict[str, set[str]] = {event: set(fields) for event, fields in OTHERWISE.items()}
    for path in (REPOSITORY / "python/holdfast/hub").glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in {"info", "warning", "error", "critical"}
                and ast.unparse(call.func.value) in {"log", "self._log"}
            ):
                events = [one.value for one in ast.walk(call.args[0]) if isinstance(one, ast.Constant)]
                fields = {keyword.arg or "..." for keyword in call.keywords}
                for event in events:
                    said.setdefault(event, set()).update("exception" if one == "exc_info" else one for one in fields)
    return said


def said_by_rust() -> tuple[set[str], set[str]]:
    """What Rust logs: events, and all fields that any has."""
    events, fields = set(), set()
    for path in [*RUST.glob("gate/src/*.rs"), *RUST.glob("front/src/*.rs")]:
        source = path.read_text().partition("#[cfg(test)]")[0]
        for pattern in EVENTS_OF_RUST:
            events |= set(re.findall(pattern, source))
        fields |= set(re.findall(r'\("(\w+)", ', source)) | set(re.findall(r'\.with\(\s*"(\w+)",', source))
    return events, fields - events - set(COUNTERS) - set(connection_codes())


EVENTS_OF_RUST = (
    r'event: "(\w+)"',
    r'Note::new\(Level::\w+, "(\w+)"',
    r'undelivered\("(\w+)"',
    r'Some\("(message_\w+)"\)',
    r'Placement::\w+ => "(\w+)"',
)


def test_every_event_has_its_row_with_all_of_its_fields() -> None:
    rows = documented()
    of_python, (events, fields) = said_by_python(), said_by_rust()
    assert len(of_python) >= 20
    assert len(events) > 10
    in_rows = [event for row in rows for event in re.findall(r"\w+", row)]
    assert sorted(in_rows) == sorted(of_python.keys() | events)
    of_rust: set[str] = set()
    for row, wanted in rows.items():
        own = set(re.findall(r"\w+", row))
        said = set().union(*(of_python.get(event, set()) for event in own))
        assert said - {"..."} <= wanted, row
        if own & events:
            of_rust |= wanted
            assert wanted <= fields | said, row
        elif "..." not in said:
            assert wanted == said, row
    # Reasons for which sessions close stand in the same form.
    closes = {
        one
        for row in re.findall(r"^\| `closed`.*$", PAGE.read_text(), re.MULTILINE)
        for one in re.findall(r"`(\w+)`", row)
    }
    assert fields - closes <= of_rust


def pipe() -> tuple[int, int]:
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 16_384)
    return read_end, write_end


def sockets() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    return ours.detach(), theirs.detach()


def terminal() -> tuple[int, int]:
    return os.openpty()


@pytest.mark.parametrize(("kind", "own"), [(pipe, True), (pipe, False), (sockets, True), (terminal, True)])
def test_who_reads_no_more_costs_lines_that_are_counted(
    kind: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch, *, own: bool
) -> None:
    """Nobody waits, and the mode of the descriptor, which others write by, is as it was."""
    read_end, write_end = kind()
    if not own:
        monkeypatch.setattr(os, "open", refuse)
    lines = Lines(write_end)
    said = [f"{number} {'x' * 90}\n" for number in range(2_000)]
    for begin in range(0, 2_000, 100):
        lines.write("".join(said[begin : begin + 100]))
    assert os.get_blocking(write_end)
    os.set_blocking(read_end, False)
    heard = read_all(read_end)
    lines.write("again\n")
    heard += read_all(read_end)
    *told, again = heard.decode().replace("\r", "").splitlines()
    assert again == "again"
    whole = [line for line in told if line + "\n" in said]
    # A terminal has room again now and then, of itself.
    lost = sum(json.loads(line)["lines"] for line in told if line.startswith("{"))
    assert 0 < len(whole) < 2_000
    # Of one all but its end may have come.
    assert 0 <= lost - (2_000 - len(whole)) <= told.count("") + 1
    for end in (read_end, write_end):
        os.close(end)


def refuse(path: object, flags: int) -> NoReturn:
    raise PermissionError(path, flags)


def read_all(descriptor: int) -> bytes:
    data = b""
    with suppress(BlockingIOError):
        while True:
            data += os.read(descriptor, 65_536)
    return data
