"""Slices of the processor for threads that work for a moment and then wait for the disk: `sched_setattr(2)`.

Linux lets whoever wakes go on at once if its slice is shorter than that of whoever runs (6.12 and later, no privilege
needed). Else a store's thread waits, at each of its steps, until a busy loop has used up its own slice.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SHORT_SLICE_NS = 100_000
"""The least that Linux takes."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}.get(platform.machine())
"""The system call's number: glibc has a function for it only since 2.41."""
_SCHED_ATTR = struct.Struct("=IIQiIQQQII")
"""`struct sched_attr`, version 1."""


def with_short_slices(make: Callable[[], T]) -> T:
    """What `make` makes; the threads that it starts have short slices, because it runs in one that has them.

    Where the system has no such thing, or the operator has chosen another policy, they are as all others.
    """

    def shortened() -> T:
        with suppress(OSError):  # a system that forbids to ask
            _shorten()
        return make()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(shortened).result()


def _shorten() -> None:
    """Shorten the slices of the calling thread, and change nothing else about it."""
    number = _SCHED_SETATTR if sys.platform == "linux" and sys.maxsize > 2**32 else None
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, os.SCHED_OTHER, 0, nice, 0, SHORT_SLICE_NS, 0, 0, 0, 0)
    # Whoever forbids it has it as it was.
    ctypes.CDLL(None).syscall(ctypes.c_long(number), 0, attributes, 0)
