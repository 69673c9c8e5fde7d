"""A device program on the stock SDK, in a process of its own: does what it is told on stdin, answers on stdout.

Each line of stdin is a JSON list, a call and its arguments: `["connect"]`, `["send", from, to]`, `["disconnect"]`,
`["connected"]`, `["listen"]`, `["received", count]`. The answer is one line: `null`, a value, or
`{"error": "CredentialError"}`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from azure.iot.device import X509, Message
from azure.iot.device.aio import IoTHubDeviceClient


async def send(client: IoTHubDeviceClient, first: int, end: int) -> None:
    """Send messages `first` to `end` - 1, each once the one before it is acknowledged."""
    for number in range(first, end):
        message = Message(f'{{"number": {number}}}')
        message.message_id = f"m-{number}"
        message.content_type, message.content_encoding = "application/json", "utf-8"
        message.custom_properties["text"] = "a b+c/d%&="
        message.custom_properties["empty"] = ""
        await client.send_message(message)


async def listen(client: IoTHubDeviceClient, received: list[dict[str, Any]]) -> None:
    """Subscribe to messages for the device: they go to `received`. The SDK does that once in its life."""

    def keep(message: Message) -> None:
        received.append(
            {
                "payload": message.data.decode(),
                "message_id": message.message_id,
                "correlation_id": message.correlation_id,
                "content_type": message.content_type,
                "expires_at": message.expiry_time_utc,
                "properties": message.custom_properties,
            }
        )

    client.on_message_received = keep


async def wait_for(received: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """What was received, once there are `count` of them, or after a long time."""
    for _ in range(400):
        if len(received) >= count:
            break
        await asyncio.sleep(0.05)
    return received


async def answer(client: IoTHubDeviceClient, call: str, arguments: list[Any], received: list[dict[str, Any]]) -> object:
    if call == "connected":
        return client.connected
    if call == "received":
        return await wait_for(received, *arguments)
    try:
        if call == "send":
            await send(client, *arguments)
        elif call == "listen":
            await listen(client, received)
        else:
            await getattr(client, call)()
    except Exception as error:  # noqa: BLE001 (the test wants to know which)
        return {"error": type(error).__name__}
    return None


async def main(arguments: dict[str, Any]) -> None:
    x509 = X509(arguments.pop("certificate"), arguments.pop("key"))
    client = IoTHubDeviceClient.create_from_x509_certificate(x509=x509, **arguments)
    received: list[dict[str, Any]] = []
    while line := await asyncio.to_thread(sys.stdin.readline):
        call, *rest = json.loads(line)
        sys.stdout.write(json.dumps(await answer(client, call, rest, received)) + "\n")
        sys.stdout.flush()
    await client.shutdown()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
