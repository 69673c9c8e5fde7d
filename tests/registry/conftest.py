"""A registry of its own for every test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdfast.registry import Registry, open_registry

from ..support.pki import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with open_registry(tmp_path / "registry.db", hub="hub.test", tenant="default", at=NOW, create=True) as registry:
        yield registry
