"""Several workers are one hub: one session an identity, one trust, a branch closed in all of them; reload and drain."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import sqlite3
import ssl
import struct
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast.hub import status

from ..support.hub import RunningHub, running, wait_for
from ..support.mqtt import (
    CONNACK_NOT_AUTHORIZED,
    CONNACK_SERVER_UNAVAILABLE,
    CONNACK_YES,
    connect,
    dialled,
    files,
    packet,
    read_exactly,
    read_packet,
    read_to_end,
    text,
)
from ..support.pki import Ca, server_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Ca.root("Company-X Root")
FACTORY, SIBLING = ROOT.intermediate("Factory-Y"), ROOT.intermediate("Factory-S")
# So many connections that the kernel has given each of two workers some.
MANY = 16


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    for hub in running(tmp_path, workers=2):
        hub.trust(company=ROOT)
        hub.start()
        hub.wait_for_events("serving", 2)
        yield hub


def fingerprint(ca: Ca) -> str:
    return hashlib.sha256(ca.der).hexdigest()


def live(stack: ExitStack, hub: RunningHub, device: tuple[Path, Path], device_id: str) -> ssl.SSLSocket:
    secured = stack.enter_context(dialled(hub, device))
    secured.sendall(connect(device_id))
    assert read_exactly(secured, 4) == CONNACK_YES
    return secured


def answer(hub: RunningHub, device: tuple[Path, Path], device_id: str) -> bytes:
    with dialled(hub, device) as secured:
        secured.sendall(connect(device_id))
        return read_exactly(secured, 4)


def session_present(stack: ExitStack, hub: RunningHub, device: tuple[Path, Path], number: int) -> int:
    """What `widget-{number}` is told of its session, which is to last an hour if the number is odd, else a second."""
    expiry = b"\x05\x11" + struct.pack("!I", 3_600 if number % 2 else 1)
    secured = stack.enter_context(dialled(hub, device))
    secured.sendall(packet(0x10, text("MQTT") + bytes([5, 0, 0, 60]) + expiry + text(f"widget-{number}")))
    kind, body = read_packet(secured)
    assert (kind, body[1]) == (0x20, 0)
    return body[0]


def is_open(secured: ssl.SSLSocket) -> bool:
    secured.sendall(b"\xc0\0")
    return secured.recv(2) == b"\xd0\0"


def survives(secured: ssl.SSLSocket) -> bool:
    try:
        return is_open(secured)
    except OSError:
        return False


def pids(hub: RunningHub) -> list[int]:
    return [event["pid"] for event in hub.events("serving")]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_e06_an_identity_has_one_session_whichever_worker_it_comes_to(hub: RunningHub, version: ssl.TLSVersion) -> None:
    device = files(hub, FACTORY.device("widget-1"))
    with ExitStack() as stack:
        before: ssl.SSLSocket | None = None
        for _ in range(MANY):
            secured = stack.enter_context(dialled(hub, device, version))
            secured.sendall(connect("widget-1"))
            assert read_exactly(secured, 4) == CONNACK_YES
            if before is not None:
                assert read_to_end(before) == b"", "the older session is ended"
            before = secured
        assert before is not None
        assert is_open(before)
    # The line comes behind the end.
    closed = [event["reason"] for event in hub.wait_for_events("closed", MANY)]
    assert closed.count("taken_over") == MANY - 1


def test_e07_a_new_key_pushes_nobody_out_whichever_worker_it_comes_to(hub: RunningHub) -> None:
    old, new = (files(hub, FACTORY.device("widget-1")) for _ in range(2))
    with ExitStack() as stack:
        session = live(stack, hub, old, "widget-1")
        for _ in range(MANY):
            assert answer(hub, new, "widget-1") == CONNACK_SERVER_UNAVAILABLE
        assert set(hub.refusals()) == {"rekeyed_while_live"}
        assert is_open(session)
    wait_for(lambda: answer(hub, new, "widget-1") == CONNACK_YES, "the new key, once the old one has gone")


def test_x04_a_session_that_has_ended_since_its_worker_was_lost_goes_on_in_no_other(hub: RunningHub) -> None:
    """MQTT-4.1.0-2; and those that have not ended go on."""
    devices = [files(hub, FACTORY.device(f"widget-{number}")) for number in range(2 * MANY)]
    with ExitStack() as stack:
        assert {session_present(stack, hub, device, number) for number, device in enumerate(devices)} == {0}
        with closing(sqlite3.connect(hub.directory / "state" / "inbox.db")) as inbox:
            count = "SELECT count(*) FROM sessions"
            wait_for(lambda: inbox.execute(count).fetchone() == (2 * MANY,), "sessions that are kept")
        os.kill(pids(hub)[0], signal.SIGKILL)
        hub.wait_for_events("serving", 3)
    time.sleep(2.5)
    with ExitStack() as stack:
        found = [session_present(stack, hub, device, number) for number, device in enumerate(devices)]
    assert found == [number % 2 for number in range(2 * MANY)]


def test_r01_a_branch_is_closed_in_every_worker_before_the_command_returns(hub: RunningHub) -> None:
    below = [files(hub, FACTORY.intermediate(f"T-{number}").device(f"below-{number}")) for number in range(MANY)]
    beside = [files(hub, SIBLING.device(f"beside-{number}")) for number in range(MANY)]
    with ExitStack() as stack:
        shut = [live(stack, hub, device, f"below-{number}") for number, device in enumerate(below)]
        kept = [live(stack, hub, device, f"beside-{number}") for number, device in enumerate(beside)]
        before = hub.command("branch", "close", fingerprint(FACTORY), "--preview", "--json").stdout
        assert f'"devices": {MANY}' in before
        began = time.monotonic()
        done = hub.command("branch", "close", fingerprint(FACTORY), "--yes", "--reason", "stolen laptop", "--json")
        assert '"applied": "by every worker"' in done.stdout
        assert status.read(hub.directory / "state")["tenant"] == "default"
        # From here on nobody is admitted, first time or again.
        for number, device in enumerate(below):
            assert answer(hub, device, f"below-{number}") == CONNACK_NOT_AUTHORIZED
        assert {read_to_end(secured) for secured in shut} == {b""}
        assert time.monotonic() - began < 20
        assert all(is_open(secured) for secured in kept)
    assert set(hub.refusals()) == {"key_closed"}
    assert [event["reason"] for event in hub.wait_for_events("closed", MANY)].count("untrusted") == MANY
    assert "stolen laptop" in hub.command("branch", "list").stdout
    hub.command("branch", "open", fingerprint(FACTORY))
    wait_for(lambda: answer(hub, below[0], "below-0") == CONNACK_YES, "admission")


def test_r01_a_signer_that_nobody_has_come_by_is_shut_out_by_its_fingerprint(hub: RunningHub) -> None:
    below, beside = files(hub, FACTORY.device("widget-1")), files(hub, SIBLING.device("widget-2"))
    done = hub.command("branch", "close", fingerprint(FACTORY), "--unseen", "--yes", "--json")
    assert '"applied": "by every worker"' in done.stdout
    assert (answer(hub, below, "widget-1"), answer(hub, beside, "widget-2")) == (CONNACK_NOT_AUTHORIZED, CONNACK_YES)
    hub.command("branch", "open", fingerprint(FACTORY))
    wait_for(lambda: answer(hub, below, "widget-1") == CONNACK_YES, "admission")
    assert set(hub.refusals()) == {"certificate_closed"}


def test_r01_a_worker_that_does_not_answer_is_killed_before_the_command_returns(hub: RunningHub) -> None:
    stopped = pids(hub)[0]
    os.kill(stopped, signal.SIGSTOP)
    done = hub.command("branch", "close", fingerprint(FACTORY), "--unseen", "--certificate", "--yes", "--json")
    assert '"applied": "by every worker"' in done.stdout
    assert [event["worker"] for event in hub.events("worker_silent")] in ([0], [1])
    wait_for(lambda: not os.path.exists(f"/proc/{stopped}"), "end of the worker")  # noqa: PTH110 (a process)
    hub.wait_for_events("serving", 3)


def test_x05_a_worker_that_hangs_is_replaced_and_the_others_serve(hub: RunningHub) -> None:
    stopped, other = hub.events("serving")
    os.kill(stopped["pid"], signal.SIGSTOP)
    (slow,) = hub.wait_for_events("worker_slow")
    assert (slow["worker"], slow["seconds"], hub.events("worker_silent")) == (stopped["worker"], 1, [])
    (silent,) = hub.wait_for_events("worker_silent")
    assert (silent["worker"], silent["seconds"]) == (stopped["worker"], 5)
    (*_, fresh) = hub.wait_for_events("serving", 3)
    assert fresh["worker"] == stopped["worker"]
    assert [event["status"] for event in hub.events("worker_ended")] == [-signal.SIGKILL]
    time.sleep(1.5)
    assert len(hub.events("worker_silent")) == 1
    os.kill(other["pid"], 0)
    device = files(hub, FACTORY.device("widget-1"))
    assert {answer(hub, device, "widget-1") for _ in range(MANY)} == {CONNACK_YES}


def test_x08_no_worker_keeps_huge_pages_that_a_burst_has_left(hub: RunningHub) -> None:
    os.kill(pids(hub)[0], signal.SIGKILL)
    hub.wait_for_events("serving", 3)
    for pid in pids(hub)[1:]:
        assert "THP_enabled:\t0\n" in Path(f"/proc/{pid}/status").read_text()


def test_g04_a_worker_that_cannot_be_started_is_tried_again_and_the_others_serve(hub: RunningHub) -> None:
    """The supervisor has no descriptor left for the channel."""
    assert hub.process is not None
    (killed, _), supervisor = hub.events("serving"), hub.process.pid
    with ExitStack() as stack:
        names = [f"widget-{number}" for number in range(MANY)]
        sessions = [live(stack, hub, files(hub, FACTORY.device(name)), name) for name in names]
        soft, hard = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (3, hard))
        os.kill(killed["pid"], signal.SIGKILL)
        failed = hub.wait_for_events("worker_failed", 3)
        assert {(event["worker"], event["code"]) for event in failed} == {(killed["worker"], "worker_not_started")}
        assert any(map(survives, sessions))
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (soft, hard))
        assert hub.wait_for_events("serving", 3)[2]["worker"] == killed["worker"]
    assert hub.stop() == 0


def test_e04_a_repinned_device_is_out_in_every_worker_before_the_command_returns(hub: RunningHub) -> None:
    mine, other = (files(hub, ca.device("widget-1")) for ca in (FACTORY, SIBLING))
    issuer = hub.directory / "factory-s.pem"
    issuer.write_bytes(SIBLING.pem)
    with ExitStack() as stack:
        session = live(stack, hub, mine, "widget-1")
        neighbour = live(stack, hub, files(hub, FACTORY.device("widget-2")), "widget-2")
        assert answer(hub, other, "widget-1") == CONNACK_NOT_AUTHORIZED
        (refused,) = hub.events("refused")
        key = SIBLING.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert (refused["code"], refused["issuer_spki_sha256"]) == ("identity_pinned", hashlib.sha256(key).hexdigest())
        done = hub.command("device", "repin", "widget-1", str(issuer), "--yes", "--reason", "sent back", "--json")
        assert '"applied": "by every worker"' in done.stdout
        for _ in range(MANY):
            assert answer(hub, mine, "widget-1") == CONNACK_NOT_AUTHORIZED
        assert read_to_end(session) == b""
        for _ in range(MANY):
            assert answer(hub, other, "widget-1") == CONNACK_YES
        assert is_open(neighbour)
    assert hub.wait_for_events("closed")[0]["reason"] == "repinned"
    assert [event["device"] for event in hub.events("rekeyed")] == ["widget-1"]
    assert set(hub.refusals()) == {"identity_pinned"}


def test_e04_a_signer_s_devices_move_to_its_declared_successor_whichever_worker_they_come_to(hub: RunningHub) -> None:
    before = [files(hub, FACTORY.device(f"widget-{number}")) for number in range(MANY)]
    after = [files(hub, SIBLING.device(f"widget-{number}")) for number in range(MANY)]
    for number, device in enumerate(before):
        assert answer(hub, device, f"widget-{number}") == CONNACK_YES
    new = hub.directory / "factory-s.pem"
    new.write_bytes(SIBLING.pem)
    preview = hub.command("branch", "succeed", fingerprint(FACTORY), str(new), "--preview", "--json").stdout
    assert f'"devices": {MANY}' in preview
    hub.command("branch", "succeed", fingerprint(FACTORY), str(new), "--yes", "--reason", "a new key")
    hub.wait_for_events("trust_applied", 4)
    with ExitStack() as stack:
        kept = live(stack, hub, before[0], "widget-0")
        assert answer(hub, after[0], "widget-0") == CONNACK_SERVER_UNAVAILABLE, "never while the old key is live"
        assert is_open(kept)
    # The old signer's key is closed at once, as if it had been stolen: who has not moved yet still can.
    hub.command("branch", "close", fingerprint(FACTORY), "--yes")
    for number, device in enumerate(after):
        wait_for(lambda: answer(hub, device, f"widget-{number}") == CONNACK_YES, "the old session's end")  # noqa: B023
    hub.wait_for_events("succeeded", MANY)
    assert "a new key" in hub.command("branch", "successions").stdout
    hub.command("branch", "succeed", fingerprint(FACTORY), fingerprint(SIBLING), "--withdraw")
    refused = hub.command("branch", "succeed", fingerprint(FACTORY), str(new), "--withdraw", "--json", check=False)
    assert (refused.returncode, '"not_declared"' in refused.stderr) == (6, True)


def test_what_was_revoked_stays_closed_and_the_command_says_so(hub: RunningHub) -> None:
    assert answer(hub, files(hub, FACTORY.device("widget-1")), "widget-1") == CONNACK_YES
    hub.command("branch", "close", fingerprint(FACTORY), "--revoke", "--yes")
    refused = hub.command("branch", "open", fingerprint(FACTORY), "--json", check=False)
    assert (refused.returncode, '"revoked_for_ever"' in refused.stderr) == (6, True)
    unknown = hub.command("branch", "close", "ab" * 32, "--yes", "--json", check=False)
    assert (unknown.returncode, '"unknown_branch"' in unknown.stderr) == (3, True)


def test_g08_workers_whose_supervisor_is_silent_admit_nobody_after_the_lease(hub: RunningHub) -> None:
    device, other = files(hub, FACTORY.device("widget-1")), files(hub, FACTORY.device("widget-2"))
    assert hub.process is not None
    assert answer(hub, device, "widget-1") == answer(hub, other, "widget-2") == CONNACK_YES
    with ExitStack() as stack:
        session = live(stack, hub, device, "widget-1")
        hub.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(6.5)
            assert answer(hub, other, "widget-2") == b"\x20\x02\x00\x03"
            assert is_open(session)
            silent = hub.command("ca", "disable", "company", "--yes", "--json", check=False)
            assert (silent.returncode, '"not_acknowledged"' in silent.stderr) == (4, True)
        finally:
            hub.process.send_signal(signal.SIGCONT)
        assert read_to_end(session) == b""
    assert hub.refusals() == ["lease_lapsed"]
    # It was the supervisor that had not listened (X05).
    hub.wait_for_events("trust_applied", 4)
    assert hub.events("worker_silent") == hub.events("worker_ended") == []


def test_x09_a_reload_is_for_new_connections_and_a_bad_one_changes_nothing(hub: RunningHub) -> None:
    device = files(hub, FACTORY.device("widget-1"))
    assert hub.process is not None
    with ExitStack() as stack:
        session = live(stack, hub, device, "widget-1")
        shown = session.getpeercert(binary_form=True)
        (hub.directory / "tls.pem").write_text("none")
        hub.process.send_signal(signal.SIGHUP)
        assert hub.wait_for_events("reload_failed")[0]["code"] == "bad_tls_certificate"
        server_identity(hub.directory, x509.DNSName("localhost"))
        settings = hub.directory / "holdfast.toml"
        settings.write_text(settings.read_text() + "lenient_issuance_proof = true\n[limits]\nconnect_bytes_max = 40\n")
        hub.process.send_signal(signal.SIGHUP)
        reloaded = hub.wait_for_events("reloaded")[0]
        assert reloaded["changed"] == ["limits"]
        assert reloaded["needs_restart"] == ["lenient_issuance_proof"]

        def changed() -> bool:
            with dialled(hub, device) as other:
                return other.getpeercert(binary_form=True) != shown

        wait_for(changed, "another certificate")
        assert is_open(session)
        # Defaults are not what it was started with.
        settings.rename(hub.directory / "away.toml")
        hub.process.send_signal(signal.SIGHUP)
        assert hub.wait_for_events("reload_failed", 2)[1]["code"] == "unreadable_file"
        assert len(hub.events("reloaded")) == 1
    assert hub.stop() == 0
