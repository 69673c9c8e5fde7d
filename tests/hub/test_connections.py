"""What a socket sees: refusals to their last byte, bytes that are no TLS, peers that stall, devices that never read."""

from __future__ import annotations

import os
import random
import resource
import select
import signal
import socket
import ssl
import struct
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..support.hub import METRICS_PORT, RunningHub, now, running, wait_for
from ..support.mqtt import (
    CONNACK_NOT_AUTHORIZED,
    CONNACK_YES,
    VERSIONS,
    connect,
    context,
    dialled,
    files,
    puback,
    publish,
    read_exactly,
    read_to_end,
)
from ..support.pki import Ca, Device

if TYPE_CHECKING:
    from collections.abc import Iterator

SENT_MAX = 200_000
ROOT = Ca.root("Company-X Root")
TECHNICIAN = ROOT.intermediate("Factory-Y").intermediate("Technician-Z")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One hub for all tests here: whatever the others did to it, it must serve the next."""
    directory = tmp_path_factory.mktemp("hub")
    for running_hub in running(directory, limits={"handshake_deadline_ms": 1_500, "half_open_count_max": 64}):
        running_hub.trust(company=ROOT)
        running_hub.start()
        yield running_hub
        # U1: nothing here has ended a worker, or raised what nobody caught.
        assert running_hub.events("worker_ended") == []
        assert running_hub.events("unhandled_exception") == []
        assert running_hub.stop() == 0


@pytest.fixture
def refusals(hub: RunningHub) -> list[str]:
    """The codes that this test has added to the log, once it asks."""
    before = len(hub.refusals())

    class New(list[str]):
        def __eq__(self, wanted: object) -> bool:
            assert isinstance(wanted, list)
            return wait_for(lambda: hub.refusals()[before:] or [], "refusal") == wanted

        __hash__ = None  # type: ignore[assignment]

    return New()


def reasons(hub: RunningHub, device_id: str) -> list[str]:
    """Why sessions of the device have ended, once one has."""
    return wait_for(
        lambda: [event["reason"] for event in hub.events("closed") if event.get("device") == device_id],
        f"end of {device_id}",
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_refusal_is_read_to_its_last_byte_whatever_the_peer_still_sends(
    hub: RunningHub, refusals: list[str], version: str
) -> None:
    """CONNACK 5, close_notify, end of stream; no reset, although packets come before, with and after the refusal."""
    stranger = files(hub, Ca.root("Elsewhere").device("widget-1"))
    with dialled(hub, stranger, VERSIONS[version]) as secured:
        secured.sendall(connect("widget-1") + publish("widget-1", 1) * 200)
        time.sleep(0.05)
        secured.sendall(publish("widget-1", 2) * 200)
        assert read_to_end(secured) == CONNACK_NOT_AUTHORIZED
    assert refusals == ["unknown_issuer"]


@pytest.mark.parametrize("version", VERSIONS)
def test_l08_without_a_certificate_the_handshake_completes_and_connect_is_refused(
    hub: RunningHub, refusals: list[str], version: str
) -> None:
    with dialled(hub, None, VERSIONS[version]) as secured:
        secured.sendall(connect("widget-1"))
        assert read_to_end(secured) == CONNACK_NOT_AUTHORIZED
    assert refusals == ["no_certificate"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("order", ["reversed", "with root", "with another's", "doubled"])
def test_p16_messy_but_honest_chains_are_let_in(hub: RunningHub, version: str, order: str) -> None:
    device = TECHNICIAN.device(f"messy-{version}-{order.replace(' ', '-').replace(chr(39), '')}")
    leaf, *above = device.chain
    chain = {
        "reversed": (leaf, *reversed(above)),
        "with root": (*device.chain, ROOT.certificate),
        "with another's": (*device.chain, Ca.root("Other").certificate),
        "doubled": (leaf, *above, *above),
    }[order]
    device_id = device.chain[0].subject.rfc4514_string().removeprefix("CN=")
    with dialled(hub, files(hub, Device(device.key, chain)), VERSIONS[version]) as secured:
        secured.sendall(connect(device_id) + publish(device_id, 7))
        assert read_exactly(secured, 8) == CONNACK_YES + puback(7)


def test_l01_bytes_that_are_no_tls_reach_nobody(hub: RunningHub) -> None:
    dice = random.Random(20261124)
    garbage = [
        connect("widget-1"),
        b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"",
        b"\x16\x03\x01\xff\xff" + bytes(100),
        b"\x80\x2e\x01\x00\x02" + bytes(41),
        *(dice.randbytes(dice.choice([1, 5, 100, 40_000])) for _ in range(60)),
    ]
    messages = len(hub.messages())
    for data in garbage:
        with socket.create_connection((hub.address, 8883), 20) as plain:
            try:
                plain.sendall(data)
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(65536):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass
    assert len(hub.messages()) == messages
    assert {event.get("device") for event in hub.events("refused") if event["code"] == "tls_error"} == {None}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_handshake_cut_anywhere_leaves_nothing_behind(hub: RunningHub, version: str) -> None:
    """A ClientHello, recorded from a real handshake, cut at many places and followed by the end of the stream."""
    device = files(hub, TECHNICIAN.device("cut"))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context(hub, device, VERSIONS[version]).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    for end in (*range(0, len(hello), 37), len(hello) - 1, len(hello)):
        with socket.create_connection((hub.address, 8883), 20) as plain:
            plain.sendall(hello[:end])
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65536):
                pass


def test_l17_peers_that_stall_are_closed_at_the_deadline_and_keep_nobody_out(hub: RunningHub) -> None:
    stalled = [socket.create_connection((hub.address, 8883), 20) for _ in range(40)]
    for one in stalled[::2]:
        one.sendall(b"\x16\x03\x01\x02\x00\x01")
    device = files(hub, TECHNICIAN.device("patient"))
    with dialled(hub, device) as secured:
        secured.sendall(connect("patient"))
        assert read_exactly(secured, 4) == CONNACK_YES
        for one in stalled:
            while one.recv(1000):
                pass
            one.close()
        # The one that was let in is not touched by the deadline of those that were not.
        secured.sendall(bytes([0xC0, 0]))
        assert read_exactly(secured, 2) == bytes([0xD0, 0])


def test_a_full_house_of_strangers_is_refused_at_the_door(hub: RunningHub, refusals: list[str]) -> None:
    # They are accepted in the order in which they spoke.
    crowd = [socket.create_connection((hub.address, 8883), 20) for _ in range(64)]
    for one in crowd:
        one.sendall(b"\x16")
    with socket.create_connection((hub.address, 8883), 20) as late, suppress(ConnectionResetError):
        late.sendall(b"\x16")
        assert late.recv(100) == b""
    assert refusals == ["connection_limit"]
    for one in crowd:
        one.close()
    device = files(hub, TECHNICIAN.device("afterwards"))

    def let_in() -> bool:
        try:
            with dialled(hub, device) as secured:
                secured.sendall(connect("afterwards"))
                return read_exactly(secured, 4) == CONNACK_YES
        except (OSError, AssertionError):
            return False

    wait_for(let_in, "room")


@pytest.fixture
def counting_hub(tmp_path: Path) -> Iterator[RunningHub]:
    for hub in running(tmp_path, metrics_port=METRICS_PORT):
        hub.trust(company=ROOT)
        hub.start()
        yield hub
        assert hub.stop() == 0


def say_and_reset(hub: RunningHub, said: bytes) -> None:
    with socket.create_connection((hub.address, 8883), 20) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stranger.sendall(said)


@pytest.mark.skipif(not hasattr(socket, "TCP_DEFER_ACCEPT"), reason="that the kernel keeps the silent is Linux's")
def test_x01_a_flood_of_what_is_no_tls_makes_the_door_narrow(counting_hub: RunningHub) -> None:
    """While it is narrow devices come in as ever, and whoever speaks no TLS is closed, a little later."""
    hub = counting_hub
    for _ in range(20):
        say_and_reset(hub, b"")
    # So many that the worker finds nobody there any more: it must not have accepted them meanwhile.
    os.kill(hub.worker_pid(), signal.SIGSTOP)
    for _ in range(110):
        say_and_reset(hub, b"GET / HTTP/1.1\r\n\r\n")
    os.kill(hub.worker_pid(), signal.SIGCONT)
    wait_for(lambda: hub.of_each_worker("accepts_gone_total") == [110], "all that had spoken")
    # Whoever had said nothing was nobody.
    assert (hub.of_each_worker("connections_opened_total"), hub.of_each_worker("door_narrowed_total")) == ([0], [1])
    for version in VERSIONS:
        device = f"patient-{version}"
        with dialled(hub, files(hub, TECHNICIAN.device(device)), VERSIONS[version]) as secured:
            secured.sendall(connect(device) + publish(device, 1))
            assert read_exactly(secured, 8) == CONNACK_YES + puback(1)
    for _ in range(20):
        say_and_reset(hub, b"GET / HTTP/1.1\r\n\r\n")
    with socket.create_connection((hub.address, 8883), 20) as plain, suppress(ConnectionResetError):
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while plain.recv(1_000):
            pass
    assert hub.refusals() == ["tls_error"]
    wait_for(lambda: hub.of_each_worker("connections_opened_total") == [3], "counts")
    assert hub.of_each_worker("accepts_gone_total") == [110]


@pytest.mark.parametrize("version", VERSIONS)
def test_m10_a_device_that_never_reads_holds_up_itself_alone_and_gets_its_own_bytes(
    hub: RunningHub, version: str
) -> None:
    """It sends without reading until nothing more is taken; others go on; then it reads what is its own, in order."""
    sender, payload = f"deaf-{version}", b"x" * 20
    with dialled(hub, files(hub, TECHNICIAN.device(sender)), VERSIONS[version], buffer_bytes=4_096) as deaf:
        deaf.sendall(connect(sender))
        assert read_exactly(deaf, 4) == CONNACK_YES
        deaf.setblocking(False)
        sent, quiet_since = 0, time.monotonic()
        while time.monotonic() - quiet_since < 0.5:
            assert sent < SENT_MAX, "the hub goes on reading from a device that does not read"
            _, writable, _ = select.select([], [deaf], [], 0.05)
            with suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if writable:
                    # A write that could not be finished is done again with the same bytes: the same number.
                    deaf.send(publish(sender, sent % 65_535 + 1, payload))
                    sent, quiet_since = sent + 1, time.monotonic()
        other = f"lively-{version}"
        with dialled(hub, files(hub, TECHNICIAN.device(other)), VERSIONS[version]) as lively:
            lively.sendall(connect(other))
            assert read_exactly(lively, 4) == CONNACK_YES
            for number in range(1, 101):
                lively.sendall(publish(other, number))
                assert read_exactly(lively, 4) == puback(number)
        deaf.setblocking(True)
        deaf.settimeout(20)
        wanted = b"".join(puback(number % 65_535 + 1) for number in range(sent))
        assert read_exactly(deaf, len(wanted)) == wanted


@pytest.mark.parametrize("version", VERSIONS)
def test_a_refusal_is_kept_for_a_peer_that_reads_it_late(hub: RunningHub, refusals: list[str], version: str) -> None:
    """It sends for as long as it may and reads nothing until the hub has long let go: CONNACK 5 and a clean end."""
    stranger = files(hub, Ca.root("Elsewhere").device("widget-1"))
    with dialled(hub, stranger, VERSIONS[version], buffer_bytes=4_096) as secured:
        secured.sendall(connect("widget-1") + publish("widget-1", 1, b"x" * 1_000) * 20)
        time.sleep(1.5)
        assert read_to_end(secured) == CONNACK_NOT_AUTHORIZED
    assert refusals == ["unknown_issuer"]


def test_m12_a_packet_that_is_too_large_ends_the_connection_before_it_is_read(hub: RunningHub) -> None:
    with dialled(hub, files(hub, TECHNICIAN.device("large"))) as secured:
        secured.sendall(connect("large"))
        assert read_exactly(secured, 4) == CONNACK_YES
        secured.sendall(publish("large", 1, b"x" * (256 * 1024 - 200)))
        assert read_exactly(secured, 4) == puback(1)
        secured.sendall(bytes([0x32, 0xFF, 0xFF, 0x7F]))
        assert read_to_end(secured) == b""
    assert reasons(hub, "large") == ["mqtt_packet_too_large"]


def test_r06_a_session_ends_with_its_certificate(hub: RunningHub) -> None:
    ends = now().replace(microsecond=0) + timedelta(seconds=2)
    with dialled(hub, files(hub, TECHNICIAN.device("short-lived", ends=ends))) as secured:
        secured.sendall(connect("short-lived"))
        assert read_exactly(secured, 4) == CONNACK_YES
        assert read_to_end(secured) == b""
    assert now() > ends
    assert reasons(hub, "short-lived") == ["expired"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are Linux's")
def test_g04_a_worker_without_descriptors_serves_whom_it_has_and_then_those_who_wait(hub: RunningHub) -> None:
    device, pid = files(hub, TECHNICIAN.device("early")), hub.worker_pid()
    kept = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with dialled(hub, device) as early:
        early.sendall(connect("early"))
        assert read_exactly(early, 4) == CONNACK_YES
        used = max(int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, kept[1]))
        waiting = [socket.create_connection((hub.address, 8883), 20) for _ in range(16)]
        assert "Too many open files" in hub.wait_for_events("accept_failed")[0]["reason"]
        time.sleep(1)
        # One line, and about ten tries: it neither spins nor ends.
        assert len(hub.events("accept_failed")) == 1
        early.sendall(publish("early", 1))
        assert read_exactly(early, 4) == puback(1)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, kept)
        with dialled(hub, files(hub, TECHNICIAN.device("late"))) as late:
            late.sendall(connect("late"))
            assert read_exactly(late, 4) == CONNACK_YES
        for one in waiting:
            one.close()
    assert hub.worker_pid() == pid


def test_a_hub_takes_all_descriptors_that_it_may_have(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, hard))
    try:
        for hub in running(tmp_path):
            hub.start()
            assert resource.prlimit(hub.worker_pid(), resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptors_of_the_worker_return_to_where_they_were(hub: RunningHub) -> None:
    device = files(hub, TECHNICIAN.device("counted"))
    descriptors = Path(f"/proc/{hub.worker_pid()}/fd")

    def settled() -> bool:
        return len(list(descriptors.iterdir())) <= before

    with dialled(hub, device) as secured:
        secured.sendall(connect("counted"))
        read_exactly(secured, 4)
        before = len(list(descriptors.iterdir())) - 1
    wait_for(settled, "closed descriptors")
    for _ in range(30):
        with dialled(hub, device) as secured:
            secured.sendall(connect("counted"))
            assert read_exactly(secured, 4) == CONNACK_YES
    wait_for(settled, "closed descriptors")
