"""Hubs for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..support.hub import RunningHub, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    yield from running(tmp_path)
