"""Strangers that cost next to nothing: `python -m benches.flood ADDRESS PORT RATE KIND`, until its input ends.

Each dials from an address of its own choosing, every tenth from one that honest devices come from, and when its
connection is there it sends octets made before, and resets. `garbage` is no TLS at all; `replay` is a ClientHello that
was recorded once, so that the hub answers it with a key exchange. A line of JSON at the end: dials that were begun, and
those that found the connection there.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import socket
import ssl
import struct
import sys
import time
from collections import deque

IN_FLIGHT = 2_000
"""Dials that wait; the oldest makes room, whether its connection is there or not."""
SOURCES = 5_000
BURST_SECONDS = 0.005
RESET = struct.pack("ii", 1, 0)


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    shaking = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    try:
        shaking.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError


def main(address: str, port: int, rate: float, kind: str) -> None:
    octets = client_hello() if kind == "replay" else b"\xff" + os.urandom(255)
    own = (f"127.{number // 250 + 32}.{number % 250}.1" for number in range(SOURCES))
    sources = itertools.cycle(
        [f"127.16.0.{number % 250 + 1}" if number % 10 == 0 else one for number, one in enumerate(own)]
    )
    waiting: deque[socket.socket] = deque()
    begun = spoken = 0
    began = time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        due = int((time.monotonic() - began) * rate) - begun
        for _ in range(due):
            dialled = socket.socket()
            dialled.setblocking(False)
            dialled.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            dialled.bind((next(sources), 0))
            dialled.connect_ex((address, port))
            waiting.append(dialled)
            begun += 1
            if len(waiting) > IN_FLIGHT:
                spoken += leave(waiting.popleft(), octets)
        # Dials that were there at once are answered when their turn comes; a slow flood must not keep them for long.
        while waiting and len(waiting) > rate * 0.1:
            spoken += leave(waiting.popleft(), octets)
        time.sleep(BURST_SECONDS)
    print(json.dumps({"kind": kind, "begun": begun, "spoken": spoken, "cpu_seconds": sum(os.times()[:2])}), flush=True)


def leave(dialled: socket.socket, octets: bytes) -> bool:
    with dialled:
        try:
            dialled.send(octets)
        except OSError:  # nobody has taken it
            return False
        return True


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
