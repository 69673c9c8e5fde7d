"""A root, a factory, a technician: each with its own key, at a fixed time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .papers import below, root

if TYPE_CHECKING:
    from holdfast.authority import Issuer


@pytest.fixture(scope="package")
def company() -> Issuer:
    """Company-X Root, without a limit on what follows."""
    return root()


@pytest.fixture(scope="package")
def factory(company: Issuer) -> Issuer:
    """Factory-Y, under which one more CA may follow."""
    return below(company, "Factory-Y", path_len=1)


@pytest.fixture(scope="package")
def technician(factory: Issuer) -> Issuer:
    """Technician-Z, who signs devices only."""
    return below(factory, "Technician-Z", path_len=0)
