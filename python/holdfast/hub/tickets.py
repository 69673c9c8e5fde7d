"""The keys of tickets: made here, in memory, and nowhere else; gone when the supervisor ends (trust.md §1.3).

Workers are told them over their channels. They are in no file, no log line and no backup. What holds them in Rust wipes
them; Python cannot wipe what it has freed.
"""

from __future__ import annotations

import os

KEY_BYTES = 32
ROTATION_SECONDS = 12 * 3600.0
"""trust.md §1.3 allows 24 hours."""
LINEAGE_SECONDS = 3600.0
"""How long a ticket may be good: as long the key before is kept."""


class TicketKeys:
    """The present key, and for a while the one before."""

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
        """Make a new key, or forget the one before, where it is time; answers whether anything has changed."""
        if at - self._made_at >= ROTATION_SECONDS:
            self._keys = [os.urandom(KEY_BYTES), self._keys[0]]
            self._made_at = at
            return True
        if len(self._keys) > 1 and at - self._made_at >= LINEAGE_SECONDS:
            del self._keys[1:]
            return True
        return False
