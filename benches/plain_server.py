"""`plain_server.py COUNT`: the hub's loop, listeners and protocol with nothing behind them; COUNT plain connections."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from holdfast.hub.connection import Connection
from holdfast.hub.listeners import open_listeners

ADDRESS, PORT = "127.65.0.1", 8883
CLIENT = """
import socket, sys
held = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(int(sys.argv[3]))]
print(len(held), flush=True)
sys.stdin.read()
"""


class Door:
    """Keeps connections as the hub's door does."""

    def __init__(self) -> None:
        self.read_buffer = memoryview(bytearray(65_536))
        self.connections: dict[int, Connection] = {}

    def opened(self, connection: Connection, source: str) -> None:
        connection.handle = len(self.connections) + (1 << 32)
        self.connections[connection.handle] = connection

    def ended(self, connection: Connection) -> None:
        connection.close()

    def lost(self, connection: Connection) -> None:
        self.connections.pop(connection.handle, None)


async def main(count: int) -> None:
    door = Door()
    (listener,) = open_listeners(ADDRESS, PORT, 1)
    accept = lambda: Connection(door)  # type: ignore[arg-type]  # noqa: E731 (it is all there is to say)
    server = await asyncio.get_running_loop().create_server(accept, sock=listener)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    await reader.readline()
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, ADDRESS, str(PORT), str(count)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stdin is not None
    await client.stdout.readline()
    while len(door.connections) < count:  # noqa: ASYNC110 (the loop has them in its queue: a moment, and not to be measured)
        await asyncio.sleep(0.05)
    print(len(door.connections), flush=True)
    await reader.read()
    client.stdin.close()
    await client.wait()
    server.close()


uvloop.run(main(int(sys.argv[1])))
