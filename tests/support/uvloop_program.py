"""`uvloop_program.py ADDRESS PORT CERTIFICATE KEY CLIENT_ROOT`: TLS by CPython on uvloop; a CONNECT gets a CONNACK."""

from __future__ import annotations

import asyncio
import ssl
import sys

import uvloop


class Device(asyncio.Protocol):
    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if data[0] == 0x10:  # CONNECT
            self.transport.write(b"\x20\x02\x00\x00")
        elif data[0] == 0xC0:  # PINGREQ
            self.transport.write(b"\xd0\x00")
        else:
            self.transport.close()


async def serve(address: str, port: str, certificate: str, key: str, root: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(root)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    server = await asyncio.get_running_loop().create_server(Device, address, int(port), ssl=context, backlog=4096)
    await server.serve_forever()


uvloop.run(serve(*sys.argv[1:]))
