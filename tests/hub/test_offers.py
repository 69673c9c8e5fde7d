"""What a client offers in its hello: names, versions, suites, protocols. None of it makes the hub less strict."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ..support.hub import RunningHub, running, wait_for
from ..support.mqtt import (
    CONNACK_NOT_AUTHORIZED,
    CONNACK_YES,
    TIMEOUT_SECONDS,
    VERSIONS,
    connect,
    context,
    files,
    read_exactly,
    read_to_end,
)
from ..support.pki import Ca

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = Ca.root("Company-X Root")
TECHNICIAN = ROOT.intermediate("Factory-Y").intermediate("Technician-Z")
ELSEWHERE = Ca.root("Elsewhere")
NO_EXTENDED_MASTER_SECRET = 1
"""`SSL_OP_NO_EXTENDED_MASTER_SECRET`, which the standard library has no name for."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    for running_hub in running(tmp_path_factory.mktemp("hub")):
        running_hub.trust(company=ROOT)
        running_hub.start()
        yield running_hub
        assert running_hub.events("worker_ended") == []
        assert running_hub.events("unhandled_exception") == []


@contextmanager
def shaken(hub: RunningHub, made: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A finished handshake with the hub, as `made` says."""
    with (
        socket.create_connection((hub.address, 8883), TIMEOUT_SECONDS) as plain,
        made.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        yield secured


# ── names ──────────────────────────────────────────────────────────────────────────────────────────────────────────

ORDINARY = {
    "absent": None,
    "unknown": "hub.elsewhere.example",
    "mixed case": "LocalHost",
    "of 253": ".".join(["a" * 63] * 3 + ["b" * 61]),
}
ODD = {
    "trailing dot": "localhost.",
    "wildcard": "*.example.com",
    "address": "127.0.0.1",
    "of 255": "a" * 255,
    "empty label": "a..b",
    "control octets": "local\x01host\x7f",
    "injected line": 'host\n{"event": "admitted", "device": "nobody"}',
}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
@pytest.mark.parametrize("name", [*ORDINARY, *ODD])
def test_l09_whatever_server_is_named_a_device_is_let_in_and_a_stranger_is_not(
    hub: RunningHub, version: str, name: str
) -> None:
    """A name that is no host name may end the handshake instead: nobody is judged by other rules for it."""
    device_id = f"named-{version.replace('_', '')}-{name.replace(' ', '-')}"
    admitted = _answer(hub, files(hub, TECHNICIAN.device(device_id)), device_id, version, (ORDINARY | ODD)[name])
    refused = _answer(hub, files(hub, ELSEWHERE.device(device_id)), device_id, version, (ORDINARY | ODD)[name])
    assert admitted == CONNACK_YES if name in ORDINARY else admitted in {CONNACK_YES, b""}
    assert refused == (CONNACK_NOT_AUTHORIZED if admitted else b"")
    assert not [event for event in hub.events("admitted") if event["device"] == "nobody"]


def _answer(hub: RunningHub, own: tuple[Path, Path], device_id: str, version: str, name: str | None) -> bytes:
    """What the hub says to a CONNECT; nothing: the handshake has failed. By openssl's client, which sends any name."""
    named = ["-noservername"] if name is None else ["-servername", name]
    chain, key = own
    command = ["openssl", "s_client", "-connect", f"{hub.address}:8883", f"-{version}", "-quiet", *named]
    command += ["-cert", str(chain), "-cert_chain", str(chain), "-key", str(key)]
    # MQTT's DISCONNECT ends it.
    said = subprocess.run(command, input=connect(device_id) + b"\xe0\0", capture_output=True, timeout=60, check=False)
    return said.stdout


# ── versions and suites ────────────────────────────────────────────────────────────────────────────────────────────


def _weak(
    hub: RunningHub, own: tuple[Path, Path], version: ssl.TLSVersion, ciphers: str, options: int
) -> ssl.SSLContext:
    made = context(hub, own)
    made.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    made.minimum_version = made.maximum_version = version
    made.options |= options
    return made


WEAK = {
    "TLS 1.0": (ssl.TLSVersion.TLSv1, "ALL", 0),
    "TLS 1.1": (ssl.TLSVersion.TLSv1_1, "ALL", 0),
    "no encryption": (ssl.TLSVersion.TLSv1_2, "NULL", 0),
    "no server certificate": (ssl.TLSVersion.TLSv1_2, "aNULL", 0),
    "no forward secrecy": (ssl.TLSVersion.TLSv1_2, "kRSA", 0),
    "CBC": (ssl.TLSVersion.TLSv1_2, "SHA1:SHA256:!AESGCM", 0),
    "finite fields": (ssl.TLSVersion.TLSv1_2, "kDHE", 0),
    "no extended master secret": (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", NO_EXTENDED_MASTER_SECRET),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("what", WEAK)
def test_l14_what_is_too_weak_is_refused_in_the_handshake(hub: RunningHub, what: str) -> None:
    device_id = f"weak-{what.replace(' ', '-').replace('.', '')}"
    version, ciphers, options = WEAK[what]
    made = _weak(hub, files(hub, TECHNICIAN.device(device_id)), version, ciphers, options)
    before = hub.refusals().count("tls_error")
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"), shaken(hub, made):
        pass
    wait_for(lambda: hub.refusals().count("tls_error") > before, "refusal in the log")
    assert not [event for event in hub.events("admitted") if event["device"] == device_id]


def test_l14_the_same_client_is_let_in_where_it_offers_what_is_strong_enough(hub: RunningHub) -> None:
    made = _weak(hub, files(hub, TECHNICIAN.device("strong-1")), ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", 0)
    with shaken(hub, made) as secured:
        secured.sendall(connect("strong-1"))
        assert read_exactly(secured, 4) == CONNACK_YES


@pytest.mark.parametrize("suites", [[0x0005, 0x0004], [0x0003, 0x0006, 0x0008], [0x0000, 0x0001, 0x0002]])
def test_l14_ssl_3_with_rc4_export_and_null_suites_is_answered_by_an_alert_at_most(
    hub: RunningHub, suites: list[int]
) -> None:
    listed = b"".join(struct.pack("!H", suite) for suite in suites)
    hello = b"\x03\x00" + bytes(32) + b"\0" + struct.pack("!H", len(listed)) + listed + b"\x01\x00"
    message = b"\x01" + struct.pack("!I", len(hello))[1:] + hello
    with socket.create_connection((hub.address, 8883), TIMEOUT_SECONDS) as plain:
        plain.sendall(b"\x16\x03\x00" + struct.pack("!H", len(message)) + message)
        answer = b""
        while part := plain.recv(65536):
            answer += part
    assert answer[:1] in {b"", b"\x15"}, answer
    assert len(answer) <= 7, answer


# ── protocols ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("protocols", [["http/1.1"], ["h2", "http/1.1"], ["mqtt"], ["x\r\n\x1b[2J"]])
def test_l16_no_protocol_is_agreed_on_and_none_but_mqtt_is_spoken(
    hub: RunningHub, version: str, protocols: list[str]
) -> None:
    device_id = f"protocol-{version}-{len(protocols[0])}-{len(protocols)}"
    made = context(hub, files(hub, TECHNICIAN.device(device_id)), VERSIONS[version])
    made.set_alpn_protocols(protocols)
    with shaken(hub, made) as secured:
        assert secured.selected_alpn_protocol() is None
        secured.sendall(connect(device_id))
        assert read_exactly(secured, 4) == CONNACK_YES
    # Whoever means another protocol hears nothing of it.
    with shaken(hub, made) as secured:
        secured.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_to_end(secured) == b""
    assert "\x1b" not in hub.log.read_text()
