"""Coming back by a ticket, as stock clients do: who takes it, from whom, and when not any more (trust.md §1.3)."""

from __future__ import annotations

import hashlib
import resource
import shutil
import signal
import socket
import ssl
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest

from holdfast.hub.tickets import SECONDS, TicketKeys

from ..support.hub import METRICS_PORT, RunningHub, running, wait_for
from ..support.mqtt import CONNACK_NOT_AUTHORIZED, CONNACK_YES, TIMEOUT_SECONDS, connect, context, read_exactly
from ..support.pki import Ca

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = Ca.root("Company-X Root")
FACTORY = ROOT.intermediate("Factory-Y")
TECHNICIAN = FACTORY.intermediate("Technician-Z")
# So many connections that the kernel has given each of two workers some.
MANY = 16


class Client:
    """A device that keeps what it was given, and comes back with it."""

    def __init__(self, hub: RunningHub, device_id: str, version: ssl.TLSVersion | None = None) -> None:
        self.hub, self.device_id = hub, device_id
        self.files = TECHNICIAN.device(device_id).write(hub.directory, device_id)
        self.context = context(hub, self.files, version)
        self.session: ssl.SSLSession | None = None

    def visit(self, device_id: str | None = None) -> tuple[bool, bytes]:
        """Whether the connection was a resumption, and the answer to its CONNECT."""
        with (
            socket.socket() as plain,
            self.context.wrap_socket(plain, server_hostname="localhost", session=self.session) as secured,
        ):
            secured.settimeout(TIMEOUT_SECONDS)
            secured.connect((self.hub.address, 8883))
            secured.sendall(connect(device_id or self.device_id))
            answer = read_exactly(secured, 4)
            self.session = secured.session
            return bool(secured.session_reused), answer

    def visits(self, wanted: tuple[bool, bytes]) -> bool:
        return self.visit() == wanted

    def visit_with(self, session: ssl.SSLSession | None) -> tuple[bool, bytes]:
        self.session = session
        return self.visit()


FULL, RESUMED = (False, CONNACK_YES), (True, CONNACK_YES)
REFUSED = (False, CONNACK_NOT_AUTHORIZED)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    for hub in running(tmp_path, workers=2, metrics_port=METRICS_PORT):
        hub.trust(company=ROOT)
        hub.start()
        hub.wait_for_events("serving", 2)
        yield hub


def comes_back(client: Client) -> None:
    """Every worker has heard of its ticket: it is taken back wherever it comes to."""
    wait_for(lambda: client.visit() == RESUMED, "resumption")


def shuts_out(client: Client) -> None:
    kept = client.session
    for _ in range(MANY):
        assert client.visit_with(kept) == REFUSED


def test_a_device_comes_back_by_its_ticket_to_whichever_worker(hub: RunningHub) -> None:
    client = Client(hub, "widget-1")
    assert client.visit() == FULL
    assert client.session is not None
    assert (client.session.has_ticket, client.session.ticket_lifetime_hint) == (True, SECONDS)
    wait_for(lambda: hub.of_each_worker("tickets") == [1, 1], "both workers' knowledge of it")
    for _ in range(MANY):
        comes_back(client)
    admitted = hub.wait_for_events("admitted", MANY + 1)
    resumed = [event for event in admitted if event.get("resumed")]
    assert len(resumed) >= MANY
    wait_for(lambda: sum(hub.of_each_worker("handshakes_resumed_total")) >= MANY, "what both workers count")
    one, other = hub.of_each_worker("handshakes_resumed_total")
    assert min(one, other) >= 1
    assert len({event["path"] for event in admitted}) == 1


def test_l03_tls_12_has_neither_tickets_nor_session_ids(hub: RunningHub) -> None:
    client = Client(hub, "widget-1", ssl.TLSVersion.TLSv1_2)
    for _ in range(4):
        assert client.visit() == FULL
        assert client.session is not None
        assert (client.session.has_ticket, client.session.id) == (False, b"")


def test_l03_r01_nobody_comes_back_by_a_closed_branch_whichever_worker_gave_the_ticket(hub: RunningHub) -> None:
    clients = [Client(hub, f"widget-{number}") for number in range(4)]
    for client in clients:
        assert client.visit() == FULL
        comes_back(client)
    fingerprint = hashlib.sha256(FACTORY.der).hexdigest()
    done = hub.command("branch", "close", fingerprint, "--yes", "--json")
    assert '"applied": "by every worker"' in done.stdout
    kept = [client.session for client in clients]
    for client in clients:
        shuts_out(client)
    assert set(hub.refusals()) == {"key_closed"}
    hub.command("branch", "open", fingerprint)
    wait_for(lambda: clients[0].visit_with(kept[0]) == FULL, "admission")
    for client, session in zip(clients[1:], kept[1:], strict=True):
        assert client.visit_with(session) == FULL, "what it was given before stays void"
        comes_back(client)


def test_l03_r01_nobody_comes_back_under_a_ca_that_was_disabled(hub: RunningHub) -> None:
    client = Client(hub, "widget-1")
    assert client.visit() == FULL
    comes_back(client)
    hub.command("ca", "disable", "company", "--yes")
    shuts_out(client)
    assert set(hub.refusals()) == {"unknown_issuer"}


def test_l07_a_ticket_that_came_with_a_refusal_is_worth_nothing(hub: RunningHub) -> None:
    client = Client(hub, "widget-1")
    for _ in range(4):
        assert client.visit("widget-2") == REFUSED
        assert client.session is not None
        assert client.session.has_ticket
    assert client.visit() == FULL
    comes_back(client)
    # Turned away by its ticket: next time it proves its key.
    kept = client.session
    assert kept is not None

    def is_turned_away() -> bool:
        """By a worker that has heard of its ticket."""
        client.session = kept
        return client.visit("widget-2") == (True, CONNACK_NOT_AUTHORIZED)

    wait_for(is_turned_away, "the ticket to be taken")
    assert client.visit() == FULL


def test_l06_tickets_do_not_outlive_the_supervisor(hub: RunningHub) -> None:
    client = Client(hub, "widget-1")
    assert client.visit() == FULL
    comes_back(client)
    assert hub.stop() == 0
    hub.start()
    assert client.visit() == FULL
    comes_back(client)


def test_l06_no_process_of_the_hub_leaves_a_core_with_keys_in_it(hub: RunningHub) -> None:
    pids = [hub.process.pid, *(line["pid"] for line in hub.wait_for_events("serving"))]
    assert len(pids) > 1
    assert [resource.prlimit(pid, resource.RLIMIT_CORE) for pid in pids] == [(0, 0)] * len(pids)


def test_l06_a_worker_that_starts_anew_knows_the_keys_and_no_ticket(tmp_path: Path) -> None:
    for hub in running(tmp_path):
        hub.trust(company=ROOT)
        hub.start()
        client = Client(hub, "widget-1")
        assert client.visit() == FULL
        comes_back(client)
        hub.kill_worker()
        assert client.visit() == FULL
        assert client.visit() == RESUMED


def test_an_operator_turns_resumption_off_and_on(tmp_path: Path) -> None:
    for hub in running(tmp_path, resumption=False):
        hub.trust(company=ROOT)
        hub.start()
        assert hub.process is not None
        client = Client(hub, "widget-1")
        assert client.visit() == FULL
        assert client.session is not None
        assert not client.session.has_ticket
        settings = hub.directory / "holdfast.toml"
        on = settings.read_text().replace("resumption = false", "resumption = true")
        settings.write_text(on)
        hub.process.send_signal(signal.SIGHUP)
        assert hub.wait_for_events("reloaded")[0]["changed"] == ["resumption"]
        comes_back(client)
        settings.write_text(on.replace("resumption = true", "resumption = false"))
        hub.process.send_signal(signal.SIGHUP)
        assert hub.wait_for_events("reloaded", 2)[1]["changed"] == ["resumption"]
        wait_for(partial(client.visits, FULL), "a full handshake")
        assert client.visit() == FULL


def test_l06_keys_change_every_hour_and_the_one_before_outlives_it_by_one_lineage() -> None:
    assert SECONDS <= 24 * 3600
    keys = TicketKeys(at=1_000.0)
    (first,) = keys.keys
    assert (len(first), any(first)) == (32, True)
    assert not keys.rotate(at=1_000.0 + SECONDS - 1)
    assert keys.keys == [first]
    assert keys.rotate(at=1_000.0 + SECONDS)
    second = keys.keys[0]
    assert (keys.keys, second != first) == ([second, first], True)
    assert not keys.rotate(at=1_000.0 + 2 * SECONDS - 1)
    assert keys.rotate(at=1_000.0 + 2 * SECONDS)
    assert keys.keys[1:] == [second]
    assert first not in TicketKeys(at=0.0).keys, "another start makes others"
    assert first.hex() not in repr(keys)
    assert repr(keys) == "TicketKeys(2)"


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def s_client(hub: RunningHub, client: Client, *more: str | Path) -> str:
    """What `openssl s_client` tells of a connection that says CONNECT and hears the answer."""
    certificate, key = client.files
    heard = hub.directory / "heard"
    with heard.open("wb") as output:
        process = subprocess.Popen(
            [
                *("openssl", "s_client", "-connect", f"{hub.address}:8883", "-servername", "localhost", "-no_ign_eof"),
                *("-CAfile", hub.certificate, "-cert", certificate, "-cert_chain", certificate, "-key", key, *more),
            ],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
        )
    assert process.stdin is not None
    process.stdin.write(connect(client.device_id))
    process.stdin.flush()
    # The answer comes behind the ticket. It ends with its input.
    wait_for(lambda: process.poll() is not None or CONNACK_YES[:3] in heard.read_bytes(), "answer")
    process.stdin.close()
    process.wait(TIMEOUT_SECONDS)
    return heard.read_bytes().decode(errors="replace")


@needs_openssl
def test_openssl_comes_back_and_not_with_early_data_nor_in_tls_12_nor_by_a_key_of_its_own(hub: RunningHub) -> None:
    client = Client(hub, "widget-1")
    kept, early = hub.directory / "session.pem", hub.directory / "early"
    early.write_bytes(connect("widget-1"))
    first = s_client(hub, client, "-tls1_3", "-sess_out", kept)
    assert "New, TLSv1.3" in first
    assert "Max Early Data: 0" in first

    def resumed(*more: str | Path) -> str:
        """Every worker has heard of the ticket: it is taken back wherever it comes to."""

        def comes_back() -> str:
            told = s_client(hub, client, "-tls1_3", "-sess_in", kept, "-sess_out", kept, *more)
            return told if "Reused, TLSv1.3" in told else ""

        return wait_for(comes_back, "resumption")

    resumed()
    # L02: the ticket says that no early data is taken; OpenSSL sends it to nobody who does not want it.
    assert "Early data was accepted" not in resumed("-early_data", early)
    # psk_ke as well as psk_dhe_ke: the exchange of keys is not left out.
    assert "Server Temp Key: X25519" in resumed("-allow_no_dhe_kex")
    external = s_client(hub, client, "-tls1_3", "-psk_identity", "widget-1", "-psk", "11" * 32)
    assert "Reused" not in external, "a key that was agreed elsewhere is no ticket"
    old = hub.directory / "old.pem"
    assert "New, TLSv1.2" in s_client(hub, client, "-tls1_2", "-sess_out", old)
    assert not old.exists(), "there is nothing to be kept"
    first_one, *others = (event.get("resumed", False) for event in hub.events("admitted"))
    assert (first_one, any(others)) == (False, True)
    assert hub.events("unhandled_exception") == hub.events("worker_ended") == []
