"""Messages for devices through a running hub, with clients that know nothing of it: the stock SDK, paho, mosquitto."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ..support.hub import wait_for
from ..support.mqtt import VERSIONS, context
from ..support.pki import Ca, Device
from ..support.sdk import SdkDevice, sdk_device

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..support.hub import RunningHub

RECONNECT_SECONDS = 120
"""Longer than any test: what is lost here stays lost."""
INBOX = "devices/widget-1/messages/devicebound/#"
EVENTS = "devices/widget-1/messages/events/"


@pytest.fixture
def widget(hub: RunningHub) -> Device:
    """A device of the hub, which is running."""
    root = Ca.root("Company-X Root")
    hub.trust(company=root)
    hub.start()
    return root.intermediate("Factory-Y").device("widget-1")


@contextmanager
def sdk(hub: RunningHub, device: Device) -> Iterator[SdkDevice]:
    certificate, key = device.write(hub.directory, "widget-1")
    with sdk_device(hub, certificate, key, "widget-1") as client:
        yield client


def send(hub: RunningHub, payload: str, *options: str) -> None:
    hub.command("device", "send", "widget-1", "--payload", payload, "--message-id", payload, *options)


def waiting(hub: RunningHub) -> int:
    (line,) = (line for line in hub.command("device", "show", "widget-1").stdout.splitlines() if "messages" in line)
    return int(line.split()[-1])


def wills_kept(hub: RunningHub) -> int:
    path = hub.directory / "state" / "inbox.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as inbox:
        (count,) = inbox.execute("SELECT count(*) FROM wills").fetchone()
        return int(count)


def payloads(received: list[dict[str, Any]]) -> list[str]:
    return [one["payload"] for one in received]


# ── the stock SDK: TLS 1.2, MQTT 3.1.1, subscribes once in its life ────────────────────────────────────────────────


def test_the_stock_sdk_hears_what_was_sent_while_it_was_away_and_while_the_hub_was_down(
    hub: RunningHub, widget: Device
) -> None:
    """It never subscribes again after a reconnect: a hub that forgets leaves it deaf (wire contract §1.4)."""
    with sdk(hub, widget) as client:
        assert client.call("connect") is None
        assert client.call("listen") is None
        send(hub, "live", "--property", "text=a b+c/d%&=", "--content-type", "text/plain", "--correlation-id", "c")
        (first,) = client.call("received", 1)
        assert first == {
            "payload": "live",
            "message_id": "live",
            "correlation_id": "c",
            "content_type": "text/plain",
            "expires_at": None,
            "properties": {"text": "a b+c/d%&="},
        }
        # The worker dies: the device comes back by itself, and is sent what came meanwhile.
        hub.kill_worker()
        send(hub, "after-worker")
        assert payloads(client.call("received", 2)) == ["live", "after-worker"]
        # The hub stops; messages are queued beside it; it starts; the device comes back by itself.
        assert hub.stop() == 0
        send(hub, "while-down-1")
        send(hub, "while-down-2", "--expires", "600")
        hub.start()
        assert payloads(client.call("received", 4)) == ["live", "after-worker", "while-down-1", "while-down-2"]
        # It goes away in good order; its subscription stays.
        assert client.call("disconnect") is None
        send(hub, "while-away")
        assert waiting(hub) == 1
        assert client.call("connect") is None
        assert payloads(client.call("received", 5))[4:] == ["while-away"]
        wait_for(lambda: waiting(hub) == 0, "empty inbox")
    assert hub.refusals() == []


def test_g01_an_acknowledged_message_is_gone_and_no_other_is_after_the_hub_was_killed(
    hub: RunningHub, widget: Device
) -> None:
    with sdk(hub, widget) as client:
        assert client.call("connect") is None
        assert client.call("listen") is None
        send(hub, "before")
        assert payloads(client.call("received", 1)) == ["before"]
        wait_for(lambda: waiting(hub) == 0, "empty inbox")
        hub.kill()
        send(hub, "while-dead")
        hub.start()
        assert payloads(client.call("received", 2)) == ["before", "while-dead"]
        wait_for(lambda: waiting(hub) == 0, "empty inbox")


# ── paho with MQTT 5.0 ─────────────────────────────────────────────────────────────────────────────────────────────


class Paho:
    """One client of MQTT 5.0, and what it was told."""

    def __init__(self, hub: RunningHub, device: Device, version: str, *, will: str | None = None) -> None:
        self.connack: tuple[dict[str, int], Any, Any] | None = None
        self.granted: list[int] = []
        self.messages: list[paho.MQTTMessage] = []
        self.ended: list[int] = []
        self._hub = hub
        self._client = paho.Client(client_id="widget-1", protocol=paho.MQTTv5)
        self._client.reconnect_delay_set(min_delay=RECONNECT_SECONDS, max_delay=RECONNECT_SECONDS)
        files = device.write(hub.directory, f"paho-{device.chain[0].serial_number:x}")
        secured = context(hub, files, VERSIONS[version])
        secured.check_hostname = False
        self._client.tls_set_context(secured)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda _c, _u, _m, codes, _p: self.granted.extend(code.value for code in codes)
        self._client.on_message = lambda _c, _u, message: self.messages.append(message)
        if will is not None:
            self._client.will_set(EVENTS, will, qos=1)
        self._client.on_disconnect = lambda _c, _u, code, _p: self.ended.append(int(getattr(code, "value", code)))

    def _on_connect(self, _client: object, _data: object, flags: dict[str, int], code: Any, properties: Any) -> None:
        self.connack = (flags, code, properties)

    def connect(self, *, clean_start: bool = False, expiry: int = 3_600) -> None:
        asked = Properties(PacketTypes.CONNECT)
        asked.SessionExpiryInterval = expiry
        self._client.connect(self._hub.address, 8883, clean_start=clean_start, properties=asked)
        self._client.loop_start()
        wait_for(lambda: self.connack, "CONNACK")

    def subscribe(self, topic: str = INBOX) -> int:
        self._client.subscribe(topic, qos=1)
        wait_for(lambda: self.granted, "SUBACK")
        return self.granted.pop()

    def publish(self, topic: str, payload: str, **properties: Any) -> None:
        said = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(said, name, value)
        self._client.publish(topic, payload, qos=1, properties=said).wait_for_publish(20)

    def received(self, count: int) -> list[str]:
        wait_for(lambda: len(self.messages) >= count, f"{count} messages")
        return [message.payload.decode() for message in self.messages]

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def vanish(self) -> None:
        """Lose the connection without a word: TCP ends, and neither TLS nor MQTT says so."""
        with socket.socket(fileno=os.dup(self._client.socket().fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_of_5_0_goes_on_over_a_restart(hub: RunningHub, widget: Device, version: str) -> None:
    client = Paho(hub, widget, version)
    client.connect()
    assert client.connack is not None
    flags, code, told = client.connack
    assert (flags["session present"], code.value) == (0, 0)
    assert (told.ReceiveMaximum, told.MaximumQoS, told.RetainAvailable) == (32, 1, 0)
    assert (told.TopicAliasMaximum, told.MaximumPacketSize) == (8, 262_144)
    assert (told.SharedSubscriptionAvailable, told.SubscriptionIdentifierAvailable) == (0, 0)
    assert client.subscribe() == 1
    assert client.subscribe("devices/widget-2/messages/devicebound/#") == 0x87
    send(hub, "first", "--property", "a=b", "--content-type", "text/plain", "--expires", "60")
    assert client.received(1) == ["first"]
    properties = client.messages[0].properties
    assert (properties.UserProperty, properties.ContentType) == ([("a", "b")], "text/plain")
    assert 0 < properties.MessageExpiryInterval <= 60
    client.publish(EVENTS, "{}", UserProperty=[("x", "y")], ContentType="application/json")
    client.stop()
    send(hub, "while-away")
    assert hub.stop() == 0
    hub.start()
    again = Paho(hub, widget, version)
    again.connect()
    assert again.connack is not None
    assert again.connack[0]["session present"] == 1
    assert again.received(1) == ["while-away"]
    again.stop()
    fresh = Paho(hub, widget, version)
    fresh.connect(clean_start=True, expiry=0)
    assert fresh.connack is not None
    assert fresh.connack[0]["session present"] == 0
    fresh.stop()
    (message,) = hub.messages()
    assert (message["properties"], message["system_properties"]["content-type"]) == ({"x": "y"}, "application/json")


def test_g01_a_subscription_that_was_granted_is_there_after_the_hub_was_killed(hub: RunningHub, widget: Device) -> None:
    """The hub is killed as soon as the SUBACK is seen; the device does not subscribe again."""
    client = Paho(hub, widget, "tls13")
    client.connect()
    assert client.subscribe() == 1
    hub.kill()
    client.stop()
    send(hub, "after")
    hub.start()
    again = Paho(hub, widget, "tls13")
    again.connect()
    assert again.connack is not None
    assert again.connack[0]["session present"] == 1
    assert again.received(1) == ["after"]
    again.stop()


def test_m03_the_newest_connection_of_a_device_wins(hub: RunningHub, widget: Device) -> None:
    older, newer = Paho(hub, widget, "tls13"), Paho(hub, widget, "tls13")
    older.connect()
    newer.connect()
    wait_for(lambda: older.ended, "end of the older connection")
    older.stop()
    assert [event["reason"] for event in hub.wait_for_events("closed")] == ["taken_over"]
    newer.publish(EVENTS, "{}")
    newer.stop()


# ── mosquitto_sub ──────────────────────────────────────────────────────────────────────────────────────────────────


def mosquitto_sub(hub: RunningHub, files: tuple[Path, Path], protocol: str, *more: str) -> list[str]:
    certificate, key = files
    finished = subprocess.run(
        [
            *("mosquitto_sub", "-h", hub.address, "-p", "8883", "--cafile", hub.certificate, "-V", protocol),
            *("--cert", certificate, "--key", key, "-i", "widget-1", "-t", INBOX, "-q", "1", *more),
        ],
        timeout=30,
        check=False,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


@pytest.mark.services
@pytest.mark.skipif(shutil.which("mosquitto_sub") is None, reason="mosquitto_sub is not installed")
@pytest.mark.parametrize("protocol", ["mqttv311", "mqttv5"])
def test_mosquitto_subscribes_goes_away_and_finds_its_messages(hub: RunningHub, widget: Device, protocol: str) -> None:
    """`-E` leaves once subscribed, `-c` keeps the session; `-x` says how long in 5.0."""
    files = widget.write(hub.directory, "mosquitto")
    keep = ["-c", *(["-x", "600"] if protocol == "mqttv5" else [])]
    assert mosquitto_sub(hub, files, protocol, *keep, "-E") == []
    for payload in ("one", "two", "three"):
        send(hub, payload)
    assert mosquitto_sub(hub, files, protocol, *keep, "-C", "3", "-W", "20") == ["one", "two", "three"]
    wait_for(lambda: waiting(hub) == 0, "empty inbox")


# ── wills ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["lost", "hub stopped", "worker killed", "hub killed"])
def test_m06_a_will_is_published_once_whoever_is_left_to_do_it(hub: RunningHub, widget: Device, how: str) -> None:
    client = Paho(hub, widget, "tls13", will="gone")
    client.connect()
    wait_for(lambda: hub.events("admitted"), "admission")
    wait_for(lambda: wills_kept(hub) == 1, "the will on the disk")  # behind the CONNACK
    if how == "lost":
        client.vanish()
    elif how == "hub stopped":
        hub.stop()
        client.stop()
        hub.start()
    elif how == "worker killed":
        hub.kill_worker()
        client.stop()
    else:
        hub.kill()
        client.stop()
        hub.start()
    found = wait_for(hub.messages, "will")
    assert [(one["device_id"], one["payload_text"]) for one in found] == [("widget-1", "gone")]
    assert found[0]["properties"]["iothub-MessageType"] == "Will"
    hub.stop()
    hub.start()
    hub.stop()
    assert len(hub.messages()) == 1
