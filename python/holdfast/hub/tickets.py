"""The keys of tickets: made here, in memory, and nowhere else; gone when the supervisor ends (trust.md §1.3).

Workers are told them over their channels. They are in no file, no log line and no backup. What holds them in Rust wipes
them; Python cannot wipe what it has freed.
"""

from __future__ import annotations

import os

KEY_BYTES = 32
SECONDS = 3600.0
"""How long a key seals, and how much longer it opens: no ticket is good for longer. trust.md §1.3 allows 24 hours; in
one a key seals no more than it may, however fast strangers come."""


class TicketKeys:
    """The present key, and the one before."""

    def __init__(self, *, at: float) -> None:
        """Make the first key. `at`, here and below: a clock that never goes back, in seconds."""
        self._keys = [os.urandom(KEY_BYTES)]
        self._made_at = at

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._keys)})"

    @property
    def keys(self) -> list[bytes]:
        """The newest first."""
        return list(self._keys)

    def rotate(self, *, at: float) -> bool:
        """Make a new key where it is time, and forget the one before the last; answers whether it was."""
        if at - self._made_at < SECONDS:
            return False
        self._keys = [os.urandom(KEY_BYTES), self._keys[0]]
        self._made_at = at
        return True
