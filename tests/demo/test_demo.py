"""`holdfast demo`, run as its readers run it: it tells the whole story, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SECONDS_MAX = 100


def start(place: Path) -> subprocess.Popen[str]:
    # An operator's own settings must not leak into the story.
    environment = {**os.environ, "TMPDIR": str(place), "HOLDFAST_CONFIG": "/nowhere"}
    return subprocess.Popen(
        [sys.executable, "-m", "holdfast", "demo"],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left_running(place: Path) -> list[str]:
    """Processes whose command line or working directory is in the story's place."""
    found = []
    for process in os.listdir("/proc"):  # noqa: PTH208 (names are enough)
        try:
            if process.isdigit() and str(place) in os.readlink(f"/proc/{process}/cwd"):  # noqa: PTH115
                found.append(process)
        except OSError:
            continue
    return found


def test_the_whole_story_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    process = start(tmp_path)
    told, complaint = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, complaint) == (0, "")
    assert told.count("✓") >= 10
    for code in (
        *("unknown_issuer", "expired", "possession_failed", "bad_signature"),
        *("client_id_mismatch", "identity_pinned", "no_certificate"),
    ):
        assert code in told
    assert told.rstrip().endswith("nothing left running, nothing left behind.")
    assert (list(tmp_path.iterdir()), left_running(tmp_path)) == ([], [])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_story_leaves_nothing_either(tmp_path: Path, number: signal.Signals, status: int) -> None:
    process = start(tmp_path)
    assert process.stdout is not None
    while "holdfast serve" not in process.stdout.readline():
        pass
    time.sleep(0.3)
    process.send_signal(number)
    process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == status
    assert (list(tmp_path.iterdir()), left_running(tmp_path)) == ([], [])
