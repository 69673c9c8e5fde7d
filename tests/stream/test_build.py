"""How the SQLite behind the telemetry log was built."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from holdfast import _holdfast


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere SQLite knows better itself")
def test_a_commit_waits_for_what_reading_it_back_needs_and_not_for_the_time_of_the_change() -> None:
    assert b"\0fdatasync\0" in Path(_holdfast.__file__).read_bytes()
