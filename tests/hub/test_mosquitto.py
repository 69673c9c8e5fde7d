"""`mosquitto_pub`, a device program that knows nothing of hubs: a CA file, a certificate, a key."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from ..support.mqtt import VERSIONS
from ..support.pki import DAY, NOW, Ca, Device

if TYPE_CHECKING:
    from ..support.hub import RunningHub

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed"),
]


def mosquitto_pub(hub: RunningHub, device: Device, device_id: str, version: str, *more: str) -> int:
    certificate, key = device.write(hub.directory, f"{device.chain[0].serial_number:x}")
    return subprocess.run(
        [
            *("mosquitto_pub", "-h", hub.address, "-p", "8883", "--cafile", hub.certificate),
            *("--cert", certificate, "--key", key, "--tls-version", {"tls12": "tlsv1.2", "tls13": "tlsv1.3"}[version]),
            *("-i", device_id, "-t", f"devices/{device_id}/messages/events/", *more),
        ],
        timeout=30,
        check=False,
        capture_output=True,
    ).returncode


@pytest.mark.parametrize("version", VERSIONS)
def test_it_publishes_through_its_chain_and_is_told_no_without_one(hub: RunningHub, version: str) -> None:
    root = Ca.root()
    technician = root.intermediate("Factory-Y").intermediate("Technician-Z")
    hub.trust(company=root)
    hub.start()
    widget = technician.device("widget-1")
    assert mosquitto_pub(hub, widget, "widget-1", version, "-q", "1", "-m", '{"t": 21.5}') == 0
    assert mosquitto_pub(hub, widget, "widget-1", version, "-q", "0", "-m", "plain") == 0
    impostors = {
        "unknown_issuer": (Ca.root("Elsewhere").device("widget-2"), "widget-2"),
        "expired": (technician.device("widget-3", ends=NOW - DAY / 2), "widget-3"),
        "client_id_mismatch": (widget, "widget-4"),
        "identity_pinned": (root.device("widget-1"), "widget-1"),
    }
    for device, device_id in impostors.values():
        assert mosquitto_pub(hub, device, device_id, version, "-q", "1", "-m", "{}") == 5  # CONNACK 5: not authorised
    hub.wait_for_events("refused", len(impostors))
    assert hub.refusals() == list(impostors)
    hub.stop()
    kept = [(message["device_id"], message.get("payload"), message.get("payload_text")) for message in hub.messages()]
    assert kept == [("widget-1", {"t": 21.5}, None), ("widget-1", None, "plain")]
