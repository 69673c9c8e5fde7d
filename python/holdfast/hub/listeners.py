"""Sockets that listen: probed first, then opened, and kept by the supervisor for as long as the hub runs."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from contextlib import ExitStack

from holdfast.errors import ConfigurationError, ConflictError

BACKLOG_COUNT = 1_024
"""Connections that the kernel keeps for one listener. A worker takes a few a turn; whoever came behind so many would
have gone before it was served, and is better told to try again: by the kernel, at no cost."""
SILENT_SECONDS = 1
"""How long the kernel keeps to itself a connection that has said nothing, where clients speak first, as in TLS: nobody
who does waits for that, and a crowd that dials and resets without a word costs no worker anything."""
SEND_BUFFER_BYTES = 64 * 1024
RECEIVE_BUFFER_BYTES = 256 * 1024
"""What the kernel keeps for one connection at the most (it doubles both): left to itself it goes to megabytes for every
peer that does not read, or that sends faster than its messages are stored."""
DESCRIPTORS_KEPT = 500
"""Descriptors of a worker that connections cannot have."""


def check_free(host: str, port: int) -> None:
    """Refuse an address that is taken, without listening there: nobody is accepted who would then be let go.

    Raises:
        ConflictError, ConfigurationError: as `open_listeners`.
    """
    _bound(host, port, shared=False).close()


def open_listeners(host: str, port: int, count: int, *, silent_seconds: int = 0) -> list[socket.socket]:
    """Open `count` sockets that share `host` and `port`, the kernel spreading connections over them.

    Who says nothing is handed over `silent_seconds` later, where the system can do that (Linux).

    Raises:
        ConflictError: `address_in_use`; SO_REUSEPORT alone would let a second hub take half of the connections.
        ConfigurationError: `address_not_available`, `address_not_allowed`.
    """
    # Where binding alone still succeeds, listening does not.
    _bound(host, port, shared=False, backlog=1).close()
    with ExitStack() as opened:
        listeners = [opened.enter_context(_bound(host, port, shared=True, backlog=BACKLOG_COUNT)) for _ in range(count)]
        opened.pop_all()
    for listener in listeners:
        listener.settimeout(0)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, silent_seconds)
    return listeners


def _bound(host: str, port: int, *, shared: bool, backlog: int | None = None) -> socket.socket:
    """A socket that is bound there and, with a `backlog`, listens."""
    is_ipv6 = ipaddress.ip_address(host).version == 6
    bound = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What is accepted inherits these.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
        if backlog is not None:
            bound.listen(backlog)
    except OSError as error:
        bound.close()
        raise _explained(error, f"{host}:{port}") from error
    return bound


def _explained(error: OSError, where: str) -> ConflictError | ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return ConflictError("address_in_use", f"another process listens on {where}")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return ConfigurationError("address_not_allowed", f"this user may not listen on {where}")
    return ConfigurationError("address_not_available", f"cannot listen on {where}: {error.strerror}")
