"""The telemetry logs, read while they are written, by the reader and by the command."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from holdfast._holdfast import TelemetryWriter
from holdfast.errors import ConfigurationError
from holdfast.stream.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 24, 12, 0, 0, 250_000, UTC)


INSERT = (
    "INSERT INTO messages (device_id, payload, system_properties, properties, received_at_ms) VALUES (?, ?, ?, ?, ?)"
)


def message(device_id: str, payload: bytes, **properties: str | None) -> tuple[str, bytes, str, str]:
    return device_id, payload, json.dumps({"content-type": "x"}), json.dumps(properties)


def log(directory: Path, worker: int, *messages: tuple[tuple[str, bytes, str, str], float]) -> None:
    path = directory / f"worker-{worker}.db"
    TelemetryWriter(str(path)).close()
    with closing(sqlite3.connect(path)) as written, written:
        at_ms = round(AT.timestamp() * 1000)
        written.executemany(INSERT, [(*one, at_ms + round(seconds * 1000)) for one, seconds in messages])


def test_logs_are_merged_in_the_order_of_arrival_and_read_on_from_there(tmp_path: Path) -> None:
    log(tmp_path, 0, (message("a", b"1"), 0), (message("a", b"3"), 2))
    log(tmp_path, 1, (message("b", b"2"), 1), (message("b", b"4"), 3))
    reader = Reader(tmp_path)
    events = list(reader.read())
    assert [(event.log, event.seq, event.device_id, event.payload) for event in events] == [
        ("worker-0", 1, "a", b"1"),
        ("worker-1", 1, "b", b"2"),
        ("worker-0", 2, "a", b"3"),
        ("worker-1", 2, "b", b"4"),
    ]
    assert events[0].received_at == AT
    assert list(reader.read()) == []
    log(tmp_path, 0, (message("a", b"5"), 4))
    assert [event.payload for event in reader.read()] == [b"5"]


def test_more_than_a_portion_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.stream.reader.ROWS_AT_ONCE", 3)
    log(tmp_path, 0, *((message("a", str(number).encode()), number) for number in range(10)))
    assert [event.payload for event in Reader(tmp_path).read()] == [str(number).encode() for number in range(10)]


def test_one_device_and_the_last_few(tmp_path: Path) -> None:
    log(tmp_path, 0, *((message("ab"[number % 2], str(number).encode()), number) for number in range(10)))
    of_b = Reader(tmp_path, device_id="b")
    of_b.skip_to_last(2)
    assert [event.payload for event in of_b.read()] == [b"7", b"9"]
    none = Reader(tmp_path)
    none.skip_to_last(0)
    assert list(none.read()) == []
    everything = Reader(tmp_path)
    everything.skip_to_last(100)
    assert len(list(everything.read())) == 10


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        (b'{"t": 1}', {"payload": {"t": 1}}),
        (b'"text"', {"payload": "text"}),
        (b"plain", {"payload_text": "plain"}),
        (b"NaN", {"payload_text": "NaN"}),
        (b"-Infinity", {"payload_text": "-Infinity"}),
        (b"1e308", {"payload": 1e308}),
        (b"1e309", {"payload_text": "1e309"}),
        (b'{"t": [0, -1e999]}', {"payload_text": '{"t": [0, -1e999]}'}),
        (b'{"t": [0, NaN]}', {"payload_text": '{"t": [0, NaN]}'}),
        (b"[" * 100_000, {"payload_text": "[" * 100_000}),
        (b"\xff\x00", {"payload_base64": "/wA="}),
        (b"", {"payload_text": ""}),
    ],
)
def test_a_payload_is_shown_as_what_it_is(tmp_path: Path, payload: bytes, wanted: dict[str, Any]) -> None:
    log(tmp_path, 0, (message("a", payload, key="v", nothing=None), 0))
    (event,) = Reader(tmp_path).read()
    record = json.loads(json.dumps(event.record(), allow_nan=False))
    assert {name: value for name, value in record.items() if name.startswith("payload")} == wanted
    assert record["properties"] == {"key": "v", "nothing": None}
    assert record["received_at"] == "2026-11-24T12:00:00.250+00:00"


def test_a_payload_that_can_be_read_can_be_written_however_deep_it_is(tmp_path: Path) -> None:
    """Where the reader ends is where the writer does, or one deeper, as the interpreter has it (3.12)."""
    log(tmp_path, 0, *((message("a", b"[" * depth + b"]" * depth), depth) for depth in range(900, 1_600)))
    for event in Reader(tmp_path).read():
        assert json.loads(json.dumps(event.record()))["device_id"] == "a"


def test_what_is_no_log_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as missing:
        list(Reader(tmp_path / "nowhere").read())
    assert missing.value.code == "no_telemetry"
    (tmp_path / "worker-0.db").write_bytes(b"garbage, and enough of it that it is not taken for a new file" * 99)
    with pytest.raises(ConfigurationError) as broken:
        list(Reader(tmp_path).read())
    assert broken.value.code == "telemetry_log_failed"


def test_the_command_shows_lines_that_move_no_cursor(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "telemetry"
    directory.mkdir(parents=True)
    log(directory, 0, (message("widget-1", b"a\x1b[2J\xff\n", key="\u202eevil"), 0))

    def tail(*more: str) -> str:
        command = [sys.executable, "-m", "holdfast", "stream", "tail", *more]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout or done.stderr

    assert tail() == (
        "2026-11-24 12:00:00.250+00:00  widget-1                  a\\x1b[2J\\xff\\n  content-type=x key=\\u202eevil\n"
    )
    assert json.loads(tail("--json", "--device", "widget-1"))["payload_base64"] == "YRtbMkr/Cg=="
    assert tail("--device", "widget-2") == "no message is kept of widget-2\n"
    assert tail("--device", "widget-2", "--json") == ""
