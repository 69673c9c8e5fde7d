"""Every saved run says on what it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .machine import describe

if TYPE_CHECKING:
    from typing import Any


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    machine_info["holdfast"] = describe()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for name, value in describe().items():
        terminalreporter.write_line(f"{name:>9}  {value}")
