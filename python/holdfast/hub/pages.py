"""Pages for whoever watches the hub: a few paths over plain HTTP/1.1, each bounded in size, time and number.

One request a connection, GET alone, nothing else of HTTP. A browser that was lured into asking (DNS rebinding) names a
host that is not ours, and is refused.
"""

from __future__ import annotations

import asyncio
import ipaddress
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

REQUEST_BYTES_MAX = 4096
REQUEST_SECONDS_MAX = 5.0
"""From accept to the last byte of the answer."""
CONNECTIONS_COUNT_MAX = 16
"""Beyond it the newest takes the place of the oldest. Whoever asks is answered in milliseconds, so that one keeps
still: could it stay, a few like it would make the hub look dead to whoever restarts it.
"""
PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer."""

    body: str
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = PLAIN


class Pages:
    """The pages of one hub, called `hub`, each made when somebody asks for it."""

    def __init__(self, pages: Mapping[str, Callable[[], Page]], *, hub: str) -> None:
        self._pages = pages
        self._names = {hub, "localhost"}
        self._open: dict[asyncio.StreamWriter, None] = {}
        """Connections, the oldest first."""

    async def serve(self, listener: socket.socket) -> asyncio.Server:
        """Answer on `listener` until the server is closed."""
        return await asyncio.start_server(self._on_connection, sock=listener, limit=REQUEST_BYTES_MAX)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) == CONNECTIONS_COUNT_MAX:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        try:
            async with asyncio.timeout(REQUEST_SECONDS_MAX):
                writer.write(_written(await self._answer(reader)))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError):  # too slow, or gone
            pass
        finally:
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> Page:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            return _no(HTTPStatus.BAD_REQUEST)
        first, *lines = head.split("\r\n")
        method, target, version = [*first.split(" "), "", ""][:3]
        if first.count(" ") != 2 or version not in {"HTTP/1.0", "HTTP/1.1"}:
            return _no(HTTPStatus.BAD_REQUEST)
        hosts = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("host:")]
        if not all(map(self._is_ours, hosts)):
            return _no(HTTPStatus.MISDIRECTED_REQUEST)
        page = self._pages.get(target.partition("?")[0])
        if page is None:
            return _no(HTTPStatus.NOT_FOUND)
        return page() if method == "GET" else _no(HTTPStatus.METHOD_NOT_ALLOWED)

    def _is_ours(self, host: str) -> bool:
        """Whether somebody who means this hub would call it so: by address, or by its name."""
        with suppress(ValueError):
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
            return True
        return False


def _no(status: HTTPStatus) -> Page:
    return Page(body=f"{status.phrase.lower()}\n", status=status)


def _written(page: Page) -> bytes:
    body = page.body.encode()
    head = [
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if page.status is HTTPStatus.METHOD_NOT_ALLOWED:
        head.append("Allow: GET")
    return "\r\n".join([*head, "", ""]).encode() + body
