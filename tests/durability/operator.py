"""An operator who never rests: queues messages and revokes keys as the command line does, and says so afterwards.

`python -m tests.durability.operator REGISTRY INBOX HUB DEVICE LIFE`. A line of stdout is an acknowledgement: `sent ID`,
`revoked SHA256`.
"""

from __future__ import annotations

import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.inbox import open_inbox
from holdfast.inbox.messages import NewMessage
from holdfast.registry import open_registry
from holdfast.registry.closures import Kind, Named

REVOKE_EVERY = 25
"""Messages: each revocation moves trust, and whoever is claimed in that moment has to come again."""
PAUSE_SECONDS = 0.02


def main(registry_file: str, inbox_file: str, hub: str, device: str, life: str) -> None:
    own = {"hub": hub, "tenant": "default", "create": False}
    with (
        open_registry(Path(registry_file), at=datetime.now(UTC), **own) as registry,
        open_inbox(Path(inbox_file), **own) as inbox,
    ):
        number = 0
        while True:
            number += 1
            now = datetime.now(UTC)
            try:
                name = f"{life}-{number}"
                inbox.messages.send(device, NewMessage(message_id=name, payload=name.encode()), at=now)
                print(f"sent {name}", flush=True)
                if number % REVOKE_EVERY == 0:
                    key = Named(Kind.KEY, secrets.token_bytes(32))
                    registry.closures.close([key], actor="operator", at=now, revoke=True)
                    print(f"revoked {key.sha256.hex()}", flush=True)
            except HoldfastError as error:  # no acknowledgement, so nothing is promised
                print(error, file=sys.stderr)
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
