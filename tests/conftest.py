"""With HOLDFAST_REQUIRE_SERVICES=1 a skip is a failure: a lane that promises all tests must not pass by fewer.

Conformance data lies outside of the repository: tests marked `vectors` are promised only where HOLDFAST_VECTORS says
where it is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
REQUIRED = os.environ.get("HOLDFAST_REQUIRE_SERVICES") == "1"
VECTORS = bool(os.environ.get("HOLDFAST_VECTORS"))


def _skip_is_failure(report: Report) -> Report:
    promised = VECTORS or "vectors" not in getattr(report, "keywords", {})
    if REQUIRED and promised and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason}: skipped, but HOLDFAST_REQUIRE_SERVICES=1 asks for every test"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _skip_is_failure((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _skip_is_failure((yield))
