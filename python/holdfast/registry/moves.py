"""The states of a registered CA and the moves between them, as data. Everything else that changes a state asks here.

```text
 add ─▶ submitted ──challenge──▶ challenged ──prove──▶ proven ──disable──▶ disabled
            ▲                     │  ▲  └ challenge ┘    ▲                   │
            └──────── void ───────┘  (a new one)         └───── enable ──────┘        delete: from every state
```

`add` leads straight to `proven` where a proof carries over to a renewed certificate (trust.md §4.4).
Only `proven` CAs are anchors.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from holdfast.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(enum.Enum):
    """Where a CA stands (RFC 4211 §4's words)."""

    SUBMITTED = "submitted"
    CHALLENGED = "challenged"
    PROVEN = "proven"
    DISABLED = "disabled"


class Move(enum.Enum):
    """What may be done to a CA."""

    CHALLENGE = "challenge"
    PROVE = "prove"
    VOID = "void"
    """Too many wrong answers."""
    DISABLE = "disable"
    ENABLE = "enable"
    DELETE = "delete"


MOVES: Mapping[State, Mapping[Move, State | None]] = {
    State.SUBMITTED: {Move.CHALLENGE: State.CHALLENGED, Move.DELETE: None},
    State.CHALLENGED: {
        Move.CHALLENGE: State.CHALLENGED,
        Move.PROVE: State.PROVEN,
        Move.VOID: State.SUBMITTED,
        Move.DELETE: None,
    },
    State.PROVEN: {Move.DISABLE: State.DISABLED, Move.DELETE: None},
    State.DISABLED: {Move.ENABLE: State.PROVEN, Move.DELETE: None},
}
"""Every legal move and where it leads; `None` is gone. What is not here is refused."""

HINTS: Mapping[tuple[State, Move], str] = {
    (State.SUBMITTED, Move.PROVE): "Ask for a challenge first: `holdfast ca challenge`",
    (State.SUBMITTED, Move.ENABLE): "It has to be proven first: `holdfast ca challenge`",
    (State.CHALLENGED, Move.ENABLE): "It has to be proven first: `holdfast ca prove`",
    (State.PROVEN, Move.CHALLENGE): "It is proven already",
    (State.PROVEN, Move.PROVE): "It is proven already",
    (State.DISABLED, Move.CHALLENGE): "Its proof still holds: `holdfast ca enable`",
}


def move(state: State, wanted: Move, name: str) -> State | None:
    """Where `wanted` leads the CA called `name` from `state`.

    Raises:
        ConflictError: `illegal_move`.
    """
    if wanted not in MOVES[state]:
        message = f"CA '{name}' is {state.value}: it cannot {wanted.value} from there"
        raise ConflictError("illegal_move", message, hint=HINTS.get((state, wanted)))
    return MOVES[state][wanted]
