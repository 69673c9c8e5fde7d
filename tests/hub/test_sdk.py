"""The stock Python device SDK, unmodified: TLS 1.2, port 8883, MQTT 3.1.1, its own ideas of when to try again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ..support.hub import now, wait_for
from ..support.pki import DAY, NOW, Ca, Device, posing_key
from ..support.sdk import RETRY_SECONDS, SdkDevice, sdk_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..support.hub import RunningHub

RETRIES_AWAITED_SECONDS = 3.5


@contextmanager
def sdk(hub: RunningHub, device: Device, device_id: str) -> Iterator[SdkDevice]:
    certificate, key = device.write(hub.directory, f"device-{device.chain[0].serial_number:x}")
    with sdk_device(hub, certificate, key, device_id) as client:
        yield client


def test_a_hundred_messages_arrive_once_in_order_also_over_a_reconnect(hub: RunningHub) -> None:
    """Company-X → Factory-Y → Technician-Z → widget-1, which nobody has ever heard of."""
    root = Ca.root("Company-X Root")
    technician = root.intermediate("Factory-Y", path_len=1).intermediate("Technician-Z", path_len=0)
    hub.trust(company=root)
    hub.start()
    with sdk(hub, technician.device("widget-1"), "widget-1") as client:
        assert client.call("connect") is None
        assert client.call("send", 0, 50) is None
        # The worker is lost and another takes its place; the SDK reconnects by itself and goes on.
        hub.kill_worker()
        assert client.call("send", 50, 100) is None
        assert client.call("disconnect") is None
    messages = hub.messages()
    assert [message["payload"]["number"] for message in messages] == list(range(100))
    assert {message["device_id"] for message in messages} == {"widget-1"}
    assert messages[7]["system_properties"] == {
        "message-id": "m-7",
        "content-type": "application/json",
        "content-encoding": "utf-8",
    }
    assert messages[7]["properties"] == {"text": "a b+c/d%&=", "empty": ""}
    assert len(hub.events("admitted")) == 2
    assert hub.refusals() == []


def test_a_device_comes_back_by_itself_after_the_hub_was_stopped_and_started(hub: RunningHub) -> None:
    root = Ca.root()
    hub.trust(company=root)
    hub.start()
    with sdk(hub, root.device("widget-1"), "widget-1") as client:
        assert client.call("connect") is None
        assert client.call("send", 0, 1) is None
        assert hub.stop() == 0
        hub.start()
        hub.wait_for_events("admitted")
        assert client.call("send", 1, 2) is None
    assert [message["payload"]["number"] for message in hub.messages()] == [0, 1]


def test_m04_a_device_that_asks_for_a_twin_is_closed_and_soon_told_to_wait(hub: RunningHub) -> None:
    """There are no twins yet. The SDK comes back and asks again at once, dozens of times a second, for ever."""
    root = Ca.root()
    hub.trust(company=root)
    hub.start()
    with sdk(hub, root.device("widget-1"), "widget-1") as client:
        assert client.call("connect") is None
        client.begin("get_twin")
        wait_for(lambda: "closed_too_often" in hub.refusals(), "refusal")
        admitted, refused = len(hub.events("admitted")), len(hub.refusals())
        time.sleep(RETRIES_AWAITED_SECONDS)
        client.kill()
    assert len(hub.events("admitted")) == admitted == 16
    assert len(hub.refusals()) - refused <= RETRIES_AWAITED_SECONDS / RETRY_SECONDS + 1
    assert {event["reason"] for event in hub.events("closed")} == {"mqtt_topic_not_allowed"}


def unregistered(_root: Ca, technician: Ca) -> tuple[Device, str]:
    stranger = Ca.root("Company-X Root").intermediate("Factory-Y").intermediate("Technician-Z")
    assert stranger.certificate.subject == technician.certificate.subject
    return stranger.device("widget-1"), "widget-1"


REFUSED: dict[str, tuple[str, Callable[[Ca, Ca], tuple[Device, str]]]] = {
    "unregistered CA": ("unknown_issuer", lambda _root, _tech: (Ca.root("Company-Q").device("widget-1"), "widget-1")),
    "unregistered CA of the same names": ("bad_signature", unregistered),
    "expired": ("expired", lambda _root, tech: (tech.device("widget-1", ends=NOW - DAY / 2), "widget-1")),
    "another client id": ("client_id_mismatch", lambda _root, tech: (tech.device("widget-1"), "widget-2")),
    "an id pinned to another factory": (
        "identity_pinned",
        lambda root, _tech: (root.intermediate("Factory-W").device("pinned"), "pinned"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_impostor_is_told_no_for_good(hub: RunningHub, case: str) -> None:
    """CONNACK 5 after a finished handshake: the SDK gives up, whatever its appetite for reconnecting."""
    code, make = REFUSED[case]
    root = Ca.root("Company-X Root")
    technician = root.intermediate("Factory-Y", path_len=1).intermediate("Technician-Z", path_len=0)
    hub.trust(company=root)
    hub.start()
    with sdk(hub, technician.device("pinned"), "pinned") as rightful:
        assert rightful.call("connect") is None
    device, device_id = make(root, technician)
    with sdk(hub, device, device_id) as client:
        assert client.call("connect") == "CredentialError"
        time.sleep(RETRIES_AWAITED_SECONDS)
        assert client.call("connected") is False
    assert hub.refusals() == [code]
    assert hub.messages() == []


def test_t13_a_ca_that_is_registered_but_not_proven_lets_nobody_in(hub: RunningHub) -> None:
    root = Ca.root()
    with hub.registry() as registry:
        registry.cas.add("company", root.pem, actor="test", at=now())
    hub.start()
    with sdk(hub, root.device("widget-1"), "widget-1") as client:
        assert client.call("connect") == "CredentialError"
        time.sleep(RETRIES_AWAITED_SECONDS)
    assert hub.refusals() == ["unknown_issuer"]


def test_o16_a_stolen_certificate_without_its_key_fails_inside_the_handshake(hub: RunningHub) -> None:
    """`trust.md` §1.1: decrypt_error, and nothing is left behind.

    The SDK takes an alert for a bad line and tries again, each time for nothing; the rightful device is not touched.
    """
    root = Ca.root()
    hub.trust(company=root)
    hub.start()
    rightful = root.device("widget-1")
    certificate, key = rightful.write(hub.directory, "stolen")
    key.write_bytes(posing_key(rightful))
    with sdk_device(hub, certificate, key, "widget-1", retry=False) as thief:
        for _ in range(3):
            assert thief.call("connect") == "ConnectionFailedError"
    assert hub.refusals() == ["possession_failed"] * 3
    # I15: nothing is said under a claimed name.
    assert not any("device" in event for event in hub.events("refused"))
    with sdk(hub, rightful, "widget-1") as owner:
        assert owner.call("connect") is None
        assert owner.call("send", 0, 1) is None
    assert len(hub.messages()) == 1
