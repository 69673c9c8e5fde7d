"""A device program on the stock SDK, in a process of its own: does what it is told on stdin, answers on stdout.

Each line of stdin is a JSON list, a call and its arguments: `["connect"]`, `["send", from, to]`, `["disconnect"]`,
`["connected"]`. The answer is one line: `null`, a value, or `{"error": "CredentialError"}`.
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


async def answer(client: IoTHubDeviceClient, call: str, arguments: list[Any]) -> object:
    if call == "connected":
        return client.connected
    try:
        if call == "send":
            await send(client, *arguments)
        else:
            await getattr(client, call)()
    except Exception as error:  # noqa: BLE001 (the test wants to know which)
        return {"error": type(error).__name__}
    return None


async def main(arguments: dict[str, Any]) -> None:
    x509 = X509(arguments.pop("certificate"), arguments.pop("key"))
    client = IoTHubDeviceClient.create_from_x509_certificate(x509=x509, **arguments)
    while line := await asyncio.to_thread(sys.stdin.readline):
        call, *rest = json.loads(line)
        sys.stdout.write(json.dumps(await answer(client, call, rest)) + "\n")
        sys.stdout.flush()
    await client.shutdown()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
