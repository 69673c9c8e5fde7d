"""Whose slices of the processor are short: the store's thread's, and nobody else's."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.errors import HoldfastError
from holdfast.hub.slices import SHORT_SLICE_NS, with_short_slices

from ..support.hub import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..support.hub import RunningHub

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}.get(platform.machine())
SCHED_ATTR = struct.Struct("=IIQiIQQQII")

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or SCHED_GETATTR is None, reason="slices are Linux's, its numbers a processor's"
)


def attributes(thread: int = 0) -> tuple[int, int, int]:
    """Policy, nice and slice in nanoseconds of a thread; 0 is the one that asks."""
    buffer = ctypes.create_string_buffer(SCHED_ATTR.size)
    assert ctypes.CDLL(None).syscall(ctypes.c_long(SCHED_GETATTR), thread, buffer, SCHED_ATTR.size, 0) == 0
    _, policy, _, nice, _, slice_ns, *_ = SCHED_ATTR.unpack(buffer.raw)
    return policy, nice, slice_ns


def of_a_new_thread() -> tuple[int, int, int]:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(attributes).result()


def shortened(usual: tuple[int, int, int]) -> tuple[int, int, int]:
    """A kernel that knows nothing of slices (before 6.12) says 0, whatever it was told."""
    return (*usual[:2], SHORT_SLICE_NS if usual[2] else 0)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    for hub in running(tmp_path):
        hub.start()
        hub.wait_for_events("serving")
        yield hub


def test_the_stores_thread_goes_on_when_it_wakes(hub: RunningHub) -> None:
    threads = {
        (task / "comm").read_text().strip(): attributes(int(task.name))
        for task in Path(f"/proc/{hub.worker_pid()}/task").iterdir()
    }
    usual = attributes()
    assert threads.pop("holdfast-stream") == shortened(usual)
    assert threads
    assert set(threads.values()) == {usual}


def test_slices_are_short_where_they_are_asked_for_and_nothing_else_changes() -> None:
    def seen() -> list[tuple[int, int, int]]:
        os.nice(3)
        return [attributes(), with_short_slices(of_a_new_thread), attributes(), of_a_new_thread()]

    with ThreadPoolExecutor(1) as pool:  # whose niceness is its own
        before, inside, *after = pool.submit(seen).result()
    assert inside == shortened(before)
    assert after == [before, before]


def test_what_cannot_be_made_is_said() -> None:
    def fails() -> None:
        raise HoldfastError("some_code", "some message")

    with pytest.raises(HoldfastError, match="some message"):
        with_short_slices(fails)


def test_another_policy_of_the_operators_is_left_alone() -> None:
    def seen() -> list[tuple[int, int, int]]:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        return [attributes(), with_short_slices(of_a_new_thread)]

    with ThreadPoolExecutor(1) as pool:
        before, inside = pool.submit(seen).result()
    assert before[0] == os.SCHED_BATCH
    assert inside == before
