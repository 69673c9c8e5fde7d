"""A device that speaks just enough MQTT 3.1.1 over TLS to send telemetry, on the standard library alone.

It is the demo's, not the product's.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ANSWER_SECONDS_MAX = 20.0
KEEP_ALIVE_SECONDS = 60
CONNECT, CONNACK, PUBLISH_QOS_1, PUBACK, DISCONNECT = 0x10, 0x20, 0x32, 0x40, 0xE0
USER_NAME, CLEAN_SESSION = 0x80, 0x02


class RefusedError(Exception):
    """The hub did not let the device in; the text is what the device was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """Where the hub is, and the certificate that a device knows it by."""

    name: str
    port: int
    certificate: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a device shows (a file with its certificate and the chain above it) and the key that it proves."""

    chain: Path
    key: Path


async def send(hub: Hub, credentials: Credentials | None, device_id: str, payloads: Sequence[bytes]) -> None:
    """Connect as `device_id`, publish `payloads` one after the other, each acknowledged, and disconnect.

    Raises:
        RefusedError: the TLS handshake or the CONNECT was refused.
    """
    context = ssl.create_default_context(cafile=hub.certificate)
    if credentials is not None:
        context.load_cert_chain(credentials.chain, credentials.key)
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", hub.port, ssl=context, server_hostname=hub.name)
            try:
                await _converse(reader, writer, hub.name, device_id, payloads)
            finally:
                writer.close()
    except ssl.SSLError as error:
        raise RefusedError(_alert(error)) from error
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        message = "closed without a word"
        raise RefusedError(message) from error
    except TimeoutError as error:
        message = f"no answer in {ANSWER_SECONDS_MAX:.0f} s"
        raise RefusedError(message) from error


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hub_name: str, device_id: str, payloads: Sequence[bytes]
) -> None:
    writer.write(_connect(hub_name, device_id))
    kind, _, _, return_code = await reader.readexactly(4)
    if kind != CONNACK or return_code != 0:
        message = f"CONNACK {return_code}"
        raise RefusedError(message)
    for packet_id, payload in enumerate(payloads, start=1):
        topic = f"devices/{device_id}/messages/events/%24.mid={device_id}-{packet_id}&%24.ct=application%2Fjson"
        writer.write(_packet(PUBLISH_QOS_1, _string(topic) + struct.pack("!H", packet_id) + payload))
        if await reader.readexactly(4) != struct.pack("!BBH", PUBACK, 2, packet_id):
            message = f"no acknowledgement of message {packet_id}"
            raise RefusedError(message)
    writer.write(_packet(DISCONNECT, b""))
    await writer.drain()


def _connect(hub_name: str, device_id: str) -> bytes:
    """The CONNECT that stock SDKs send: client id = device id, the hub's name in the user name, no password."""
    head = _string("MQTT") + struct.pack("!BBH", 4, USER_NAME | CLEAN_SESSION, KEEP_ALIVE_SECONDS)
    return _packet(CONNECT, head + _string(device_id) + _string(f"{hub_name}/{device_id}/?api-version=2021-04-12"))


def _packet(kind: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while True:
        left, seven = divmod(left, 128)
        length.append(seven | (0x80 if left else 0))
        if not left:
            return bytes([kind]) + length + body


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!H", len(data)) + data


def _alert(error: ssl.SSLError) -> str:
    """`TLSV1_ALERT_DECRYPT_ERROR` and the like, as RFC 8446 writes them."""
    name = (error.reason or "error").lower()
    return "TLS alert " + name.partition("alert_")[2] if "alert_" in name else f"TLS: {name}"
