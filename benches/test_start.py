"""What starting costs: `import holdfast` over an empty interpreter, and `holdfast --help` from a shell."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 21
IMPORT_MILLISECONDS = 20
HELP_MILLISECONDS = 150


def milliseconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - began) * 1000


def test_import_and_help_are_quick(benchmark: BenchmarkFixture) -> None:
    commands = {
        "pass": (sys.executable, "-c", "pass"),
        "import": (sys.executable, "-c", "import holdfast"),
        "help": (sys.executable, "-m", "holdfast", "--help"),
    }
    for command in commands.values():
        milliseconds(*command)
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            found[name].append(milliseconds(*command))
    benchmark.pedantic(milliseconds, commands["import"], rounds=5, iterations=1)
    medians = {name: statistics.median(times) for name, times in found.items()}
    benchmark.extra_info.update({name: round(value, 1) for name, value in medians.items()})
    print("\n", benchmark.extra_info)
    assert medians["import"] - medians["pass"] <= IMPORT_MILLISECONDS
    assert medians["help"] <= HELP_MILLISECONDS
