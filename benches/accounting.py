"""What the kernel says that processes have used: CPU, memory, and its own memory for sockets."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# What a connected socket with epoll holds: the socket, its inode and name, the open file, the entry in the poll.
SLABS = (
    "TCP",
    "sock_inode_cache",
    "dentry",
    "filp",
    "eventpoll_epi",
    "eventpoll_pwq",
    "request_sock_TCP",
    "tw_sock_TCP",
)


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes, all their threads; proc(5): fields 14 and 15 of stat."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of all processes together: resident, and proportional (pages that several share are divided)."""

    resident: int
    proportional: int

    @classmethod
    def of(cls, pids: Iterable[int]) -> Memory:
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
        return cls(*(sum(_kilobytes(name, rollup) for rollup in rollups) * 1024 for name in ("Rss", "Pss")))


def _kilobytes(name: str, text: str) -> int:
    found = re.search(rf"^{name}: +(\d+) kB$", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def kernel_bytes() -> int | None:
    """What the kernel holds for all TCP sockets of this machine, buffers included; `None` where it does not say.

    Both ends of a loopback connection are in it, so half of what a connection adds is the server's.
    """
    try:
        slabs = Path("/proc/slabinfo").read_text()
    except PermissionError:
        return None
    sizes = [re.search(rf"^{re.escape(name)} +(\d+) +\d+ +(\d+)", slabs, re.MULTILINE) for name in SLABS]
    objects = sum(int(found[1]) * int(found[2]) for found in sizes if found)
    buffers = re.search(r"^TCP: .* mem (\d+)$", Path("/proc/net/sockstat").read_text(), re.MULTILINE)
    return objects + (int(buffers[1]) * PAGE if buffers else 0)
