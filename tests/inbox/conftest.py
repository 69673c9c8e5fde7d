"""Inboxes for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdfast.inbox import open_inbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.inbox import Inbox


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with open_inbox(tmp_path / "inbox.db", hub="hub.test", tenant="default", create=True) as opened:
        yield opened


@pytest.fixture
def neighbour(inbox: Inbox, tmp_path: Path) -> Iterator[Inbox]:
    """Another tenant's view of the same file."""
    with open_inbox(tmp_path / "inbox.db", hub="hub.test", tenant="other", create=False) as opened:
        yield opened
