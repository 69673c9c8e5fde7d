"""`holdfast cert bulk` as a user runs it: files of every format in, outcomes of every format out."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyarrow import parquet

from ..bulk.test_packed import ROOT, mixed, outcomes_as_rows
from ..bulk.test_read import DER, LINES, PEM
from ..bulk.test_read import ROOT as OTHER_ROOT
from ..support.hub import wait_for
from ..support.pki import NOW

if TYPE_CHECKING:
    from pathlib import Path


def bulk(*arguments: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "holdfast", "cert", "bulk", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=60)


@pytest.fixture
def anchors(tmp_path: Path) -> Path:
    path = tmp_path / "anchors.pem"
    path.write_bytes(ROOT.pem + OTHER_ROOT.pem)
    return path


@pytest.mark.parametrize("source", [DER, PEM, LINES], ids=["der", "pem", "json-lines"])
def test_every_format_is_read_from_files_and_from_standard_input(source: bytes, anchors: Path, tmp_path: Path) -> None:
    file = tmp_path / "chains"
    file.write_bytes(source)
    for shown in (bulk("--anchors", anchors, "--json", file), bulk("--anchors", anchors, "--json", "-", given=source)):
        assert shown.returncode == 0, shown.stderr
        rows = [json.loads(line) for line in shown.stdout.splitlines()]
        assert [row["common_name"] for row in rows] == [f"widget-{number}" for number in range(4)]
        assert json.loads(shown.stderr) == {"chains": 4, "accepted": 4, "refused": 0, "codes": {}}


def test_outcomes_go_to_files_by_extension(anchors: Path, tmp_path: Path) -> None:
    chains = [chain for at, chain in enumerate(mixed(100)) if at % 23 not in {17, 19}]
    wanted = outcomes_as_rows(chains)
    accepted = sum(bool(row[0]) for row in wanted)
    by_code = Counter(str(row[1]) for row in wanted if not row[0])
    file = tmp_path / "chains.jsonl"
    file.write_text(
        "".join(json.dumps({"id": f"é {at}", "chain": encoded(chain)}) + "\n" for at, chain in enumerate(chains))
    )
    for name in ("out.jsonl", "out.arrow", "out.parquet"):
        shown = bulk("--anchors", anchors, "--at", NOW.isoformat(), "--output", tmp_path / name, file)
        assert shown.returncode == 1, shown.stderr
        assert str(len(chains) - accepted).encode() in shown.stdout
        for code in by_code:
            assert code.encode() in shown.stdout
        again = bulk("--anchors", anchors, "--output", tmp_path / name, file)
        assert again.returncode == 6
        assert b"file_exists" in again.stderr
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    with pa.OSFile(str(tmp_path / "out.arrow")) as source:
        arrow = pa.ipc.open_file(source).read_all()
    assert arrow.to_pylist() == parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [line["ok"] for line in lines] == arrow["ok"].to_pylist() == [row[0] for row in wanted]
    assert [line.get("code") for line in lines] == arrow["code"].to_pylist()
    assert [line["id"] for line in lines] == arrow["id"].to_pylist() == [f"é {at}" for at in range(len(chains))]
    assert [line["line"] for line in lines] == arrow["line"].to_pylist() == list(range(1, len(chains) + 1))
    assert [line.get("fingerprint") for line in lines] == [
        one and one.hex() for one in arrow["fingerprint"].to_pylist()
    ]
    assert not list(tmp_path.glob("*.partial"))


def encoded(chain: list[bytes]) -> list[str]:
    return [base64.b64encode(one).decode() for one in chain]


@pytest.mark.parametrize(
    ("arguments", "given", "status", "code"),
    [
        (["-"], b"", 3, "no_chains"),
        (["/nowhere/at/all"], b"", 3, "unreadable_file"),
        (["--output", "out.csv", "-"], DER, 3, "unknown_output_format"),
        (["--output", "/nowhere/out.jsonl", "-"], DER, 3, "unwritable_output"),
    ],
)
def test_bad_input_is_one_line_and_a_status(
    arguments: list[str], given: bytes, status: int, code: str, anchors: Path, tmp_path: Path
) -> None:
    shown = bulk("--anchors", anchors, *arguments, given=given)
    assert shown.returncode == status, shown.stderr
    assert shown.stderr.count(b"\n") == 1
    assert code.encode() in shown.stderr
    assert not list(tmp_path.glob("*.partial"))


def test_an_anchor_that_cannot_be_trusted_is_bad_input(anchors: Path) -> None:
    """As it is for `cert verify`: 1 would say that a chain was refused."""
    anchors.write_bytes(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
    shown = bulk("--anchors", anchors, "-", given=DER)
    assert shown.returncode == 3
    assert b"(bad_anchor)" in shown.stderr


def test_anchors_are_read_as_by_verify_and_the_file_is_named(anchors: Path, tmp_path: Path) -> None:
    (tmp_path / "root.der").write_bytes(OTHER_ROOT.der)
    assert (
        bulk("--anchors", tmp_path / "root.der", "--anchors", anchors, "-", given=b"\xef\xbb\xbf" + PEM).returncode == 0
    )
    (tmp_path / "words").write_text("no certificate")
    shown = bulk("--anchors", tmp_path / "words", "-", given=DER)
    assert shown.returncode == 3
    assert b"words (no_certificate)" in shown.stderr


def test_what_fails_in_the_middle_leaves_no_half_file(anchors: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    shown = bulk("--anchors", anchors, "--output", output, "-", given=PEM[:-100])
    assert shown.returncode == 3
    assert b"bad_pem" in shown.stderr
    assert sorted(tmp_path.iterdir()) == [anchors]


@pytest.mark.parametrize("name", ["out.jsonl", "out.arrow", "out.parquet"])
def test_a_run_that_is_stopped_leaves_nothing_and_one_that_is_killed_is_in_nobodys_way(
    name: str, anchors: Path, tmp_path: Path
) -> None:
    """Stopped, then killed, while they wait for more on standard input; then once more to the end."""
    words = [sys.executable, "-m", "holdfast", "cert", "bulk", "--anchors", anchors, "--output", tmp_path / name, "-"]
    for sent, status, count in ((signal.SIGTERM, 128 + signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL, 1)):
        with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            wait_for(lambda: list(tmp_path.glob(f"{name}.*")), "beginning of the output")
            time.sleep(0.5)  # until pyarrow is loaded, which would rather be stopped than the command
            process.send_signal(sent)
            process.communicate(timeout=60)
        assert process.returncode == status
        assert len(list(tmp_path.glob(f"{name}*"))) == count
    assert bulk("--anchors", anchors, "--output", tmp_path / name, "-", given=DER).returncode == 0
    assert (tmp_path / name).stat().st_size


@pytest.mark.parametrize("name", ["out.jsonl", "out.arrow", "out.parquet"])
def test_g04_a_full_disk_is_an_error_and_leaves_no_half_file(name: str, anchors: Path, tmp_path: Path) -> None:
    """No file may have more than 0 bytes; exit status 1 would say that a chain was refused."""
    command = ["/bin/sh", "-c", 'ulimit -f 0; exec "$0" -m holdfast cert bulk --anchors "$1" --output "$2" -']
    words = [*command, sys.executable, str(anchors), str(tmp_path / name)]
    shown = subprocess.run(words, input=DER, capture_output=True, check=False, timeout=60)
    assert shown.returncode == 3
    assert b"(file_not_written)" in shown.stderr
    assert shown.stderr.count(b"\n") == 1
    assert sorted(tmp_path.iterdir()) == [anchors]


def test_a_line_that_holds_no_chain_is_a_row_and_the_others_are_judged(anchors: Path, tmp_path: Path) -> None:
    source = LINES + b'\n{"id": "broken"}\n' + LINES
    wanted = [*[None] * 4, "bad_chain_line", *[None] * 4]
    for name in ("out.jsonl", "out.arrow", "out.parquet"):
        shown = bulk("--anchors", anchors, "--json", "--output", tmp_path / name, "-", given=source)
        assert shown.returncode == 3, shown.stderr
        rows = [json.loads(line) for line in shown.stdout.splitlines()]
        assert [row.get("code") for row in rows] == wanted
        assert rows[4]["id"] == "broken"
        assert rows[4]["message"].startswith("line 6 holds no chain: ")
        counts = {"chains": 9, "accepted": 8, "refused": 1, "codes": {"bad_chain_line": 1}}
        assert json.loads(shown.stderr) == counts
    assert (tmp_path / "out.jsonl").read_bytes() == shown.stdout
    with pa.OSFile(str(tmp_path / "out.arrow")) as stream:
        arrow = pa.ipc.open_file(stream).read_all()
    assert arrow.to_pylist() == parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert arrow["code"].to_pylist() == wanted
    assert arrow["message"].to_pylist() == [row.get("message") for row in rows]
    assert arrow["position"].null_count == 9


def test_an_id_moves_no_cursor(anchors: Path) -> None:
    """On a terminal ESC [ 2 J would wipe what stands above; JSON escapes it by itself."""
    shown = bulk("--anchors", anchors, "-", given=json.dumps({"id": "\x1b[2Jx\n", "chain": 7}).encode())
    assert shown.returncode == 3
    assert b"\x1b" not in shown.stdout
    assert rb"\x1b[2Jx\n" in shown.stdout


def test_a_time_may_be_asked_for(anchors: Path) -> None:
    shown = bulk("--anchors", anchors, "--at", "2055-01-01T00:00:00+00:00", "--json", "-", given=DER)
    assert shown.returncode == 1
    assert json.loads(shown.stderr)["codes"] == {"expired": 4}
