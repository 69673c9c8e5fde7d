"""`holdfast serve` as an operator meets it: starts, complaints, changes while it runs, the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization

from holdfast.cli.serve import serve
from holdfast.errors import ConfigurationError

from ..support.hub import RunningHub, running, wait_for
from ..support.mqtt import (
    CONNACK_NOT_AUTHORIZED,
    CONNACK_YES,
    connect,
    dialled,
    files,
    packet,
    puback,
    publish,
    read_exactly,
    read_to_end,
    text,
)
from ..support.pki import Ca, key_pem, p256

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Ca.root("Company-X Root")
UNPRIVILEGED_PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def answer(hub: RunningHub, device: tuple[Path, Path], device_id: str) -> bytes:
    with dialled(hub, device) as secured:
        secured.sendall(connect(device_id))
        return read_exactly(secured, 4)


# ── while it runs ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_the_command_line_changes_is_noticed_by_the_running_hub(hub: RunningHub) -> None:
    """A CA is registered, proven, disabled, enabled and deleted beside a running hub, by the command line."""
    hub.start()
    device = files(hub, ROOT.intermediate("Factory-Y").device("widget-1"))
    (hub.directory / "root.pem").write_bytes(ROOT.pem)
    assert answer(hub, device, "widget-1") == CONNACK_NOT_AUTHORIZED
    hub.command("ca", "add", "root.pem", "--name", "company-x")
    code = json.loads(hub.command("ca", "challenge", "company-x").stdout)["code"]
    assert answer(hub, device, "widget-1") == CONNACK_NOT_AUTHORIZED
    (hub.directory / "proof.pem").write_bytes(ROOT.verification(code))
    hub.command("ca", "prove", "company-x", "--certificate", "proof.pem")
    wait_for(lambda: answer(hub, device, "widget-1") == CONNACK_YES, "admission")
    with dialled(hub, device) as live:
        live.sendall(connect("widget-1"))
        assert read_exactly(live, 4) == CONNACK_YES
        hub.command("ca", "disable", "company-x", "--yes")
        # The live session ends with close_notify; whoever comes after that is refused.
        assert read_to_end(live) == b""
    assert answer(hub, device, "widget-1") == CONNACK_NOT_AUTHORIZED
    hub.command("ca", "enable", "company-x")
    wait_for(lambda: answer(hub, device, "widget-1") == CONNACK_YES, "admission")
    hub.command("ca", "delete", "company-x", "--yes")
    wait_for(lambda: answer(hub, device, "widget-1") == CONNACK_NOT_AUTHORIZED, "refusal")
    # The pin outlives the CA: the name cannot be taken by whoever comes next.
    other = Ca.root("Company-Q")
    hub.trust(other=other)
    wait_for(lambda: answer(hub, files(hub, other.device("widget-2")), "widget-2") == CONNACK_YES, "admission")
    assert answer(hub, files(hub, other.device("widget-1")), "widget-1") == CONNACK_NOT_AUTHORIZED
    wait_for(lambda: hub.refusals()[-1:] == ["identity_pinned"], "refusal")


def test_r01_e03_a_ca_that_is_disabled_lets_nobody_in_by_the_ca_above_it(hub: RunningHub) -> None:
    """Company-X ─▶ Factory-Y, both proven │ Factory-Y disabled: its key is closed, and no other."""
    factory = ROOT.intermediate("Factory-Y")
    hub.trust(company=ROOT, factory=factory)
    hub.start()
    device, sibling = (files(hub, one) for one in (factory.device("widget-1"), ROOT.device("widget-2")))
    assert answer(hub, sibling, "widget-2") == CONNACK_YES
    with dialled(hub, device) as live:
        live.sendall(connect("widget-1"))
        assert read_exactly(live, 4) == CONNACK_YES
        assert json.loads(hub.command("ca", "disable", "factory", "--preview", "--json").stdout)["devices"] == 1
        hub.command("ca", "disable", "factory", "--yes")
        assert read_to_end(live) == b""
    assert answer(hub, device, "widget-1") == CONNACK_NOT_AUTHORIZED
    assert hub.refusals() == ["key_closed"]
    assert answer(hub, sibling, "widget-2") == CONNACK_YES
    hub.command("ca", "enable", "factory")
    wait_for(lambda: answer(hub, device, "widget-1") == CONNACK_YES, "admission")


def test_r01_a_way_by_which_a_known_device_comes_later_is_in_the_preview(hub: RunningHub) -> None:
    """Company-X ─▶ Factory-Y ─▶ widget-1, then Company-X ─▶ Factory-S ─▶ Factory-Y ─▶ widget-1."""
    factory, sibling = ROOT.intermediate("Factory-Y"), ROOT.intermediate("Factory-S")
    first = factory.device("widget-1")
    cross = sibling.intermediate("Factory-Y", key=factory.key)
    (hub.directory / "sibling.pem").write_bytes(sibling.pem)
    hub.trust(company=ROOT)
    hub.start()
    preview = ("branch", "close", "sibling.pem", "--preview", "--json")
    assert answer(hub, files(hub, first), "widget-1") == CONNACK_YES
    assert json.loads(hub.command(*preview).stdout)["devices"] == 0
    assert answer(hub, files(hub, cross.device("widget-1", key=first.key)), "widget-1") == CONNACK_YES
    wait_for(lambda: json.loads(hub.command(*preview).stdout)["devices"] == 1, "record of the path")
    assert json.loads(hub.command(*preview).stdout)["with_another_way_in"] == ["widget-1"]


def test_x04_a_killed_worker_is_replaced_and_nothing_acknowledged_is_lost(hub: RunningHub) -> None:
    hub.trust(company=ROOT)
    hub.start()
    device = files(hub, ROOT.device("widget-1"))
    acknowledged = 0
    for _ in range(3):
        with dialled(hub, device) as secured:
            secured.sendall(connect("widget-1"))
            assert read_exactly(secured, 4) == CONNACK_YES
            for _ in range(40):
                acknowledged += 1
                secured.sendall(publish("widget-1", acknowledged))
                assert read_exactly(secured, 4) == puback(acknowledged)
            hub.kill_worker()
    ids = [message["system_properties"]["message-id"] for message in hub.messages()]
    assert ids == [str(number) for number in range(1, acknowledged + 1)]
    assert [event["status"] for event in hub.events("worker_ended")] == [-signal.SIGKILL] * 3


def test_a_worker_without_its_supervisor_ends(hub: RunningHub) -> None:
    hub.trust(company=ROOT)
    hub.start()
    worker = hub.worker_pid()
    assert hub.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not os.path.exists(f"/proc/{worker}"), "end of the worker")  # noqa: PTH110 (a process, not a file)


def test_a_device_is_known_again_after_a_restart_and_needs_no_claim(hub: RunningHub) -> None:
    hub.trust(company=ROOT)
    device = files(hub, ROOT.device("widget-1"))
    for _ in range(2):
        hub.start()
        assert answer(hub, device, "widget-1") == CONNACK_YES
        assert hub.stop() == 0
    with hub.registry() as registry:
        assert [len(pins) for _, pins in registry.devices.changed_since(0)] == [1]


# ── the end ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_devices_finish_and_leaves_nothing_running(hub: RunningHub, number: signal.Signals) -> None:
    hub.trust(company=ROOT)
    hub.start()
    worker = hub.worker_pid()
    with dialled(hub, files(hub, ROOT.device("widget-1"))) as secured:
        secured.sendall(connect("widget-1") + b"".join(publish("widget-1", number) for number in range(1, 21)))
        assert read_exactly(secured, 4) == CONNACK_YES
        assert hub.process is not None
        hub.process.send_signal(number)
        # What was in hand is stored and acknowledged; then comes close_notify.
        acknowledged = read_to_end(secured)
        assert acknowledged == b"".join(puback(number) for number in range(1, len(acknowledged) // 4 + 1))
    assert hub.process.wait(20) == 0
    assert not os.path.exists(f"/proc/{worker}")  # noqa: PTH110 (a process, not a file)
    assert [event["event"] for event in hub.events()][-2:] == ["closed", "stopped"]
    assert len(hub.messages()) >= len(acknowledged) // 4


def test_a_signal_to_every_process_is_the_supervisor_s_to_judge(hub: RunningHub) -> None:
    """As `systemctl` sends them without `KillMode=mixed`, workers first: a reload ends nobody, a stop drains."""
    hub.trust(company=ROOT)
    hub.start()
    assert hub.process is not None
    everybody = (hub.worker_pid(), hub.process.pid)
    with dialled(hub, files(hub, ROOT.device("widget-1"))) as secured:
        secured.sendall(connect("widget-1"))
        assert read_exactly(secured, 4) == CONNACK_YES
        for pid in everybody:
            os.kill(pid, signal.SIGHUP)
        hub.wait_for_events("reloaded")
        secured.sendall(publish("widget-1", 1))
        assert read_exactly(secured, 4) == puback(1)
        for pid in everybody:
            os.kill(pid, signal.SIGTERM)
        assert read_to_end(secured) == b"", "close_notify, and no reset"
    assert hub.process.wait(20) == 0
    assert hub.events("worker_ended") == []
    assert [event["reason"] for event in hub.events("closed")] == ["draining"]


STOPPED_WHILE_A_WORKER_STARTS = """
import os, signal
from holdfast.cli import main
from holdfast.hub import supervisor

class Slow(supervisor.WorkerProcess):
    @classmethod
    async def start(cls, *arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return await super().start(*arguments)

supervisor.WorkerProcess = Slow
main()
"""


def test_a_stop_while_a_worker_starts_does_not_wait_for_it(hub: RunningHub) -> None:
    """`drain_seconds` is 5: who is never told to drain would be waited for, for 7."""
    program = [sys.executable, "-c", STOPPED_WHILE_A_WORKER_STARTS, "serve"]
    finished = subprocess.run(program, cwd=hub.directory, capture_output=True, timeout=6.5, check=False)
    assert finished.returncode == 0
    assert [json.loads(line)["event"] for line in finished.stderr.splitlines()] == ["stopping", "stopped"]


# ── complaints ─────────────────────────────────────────────────────────────────────────────────────────────────────


def complaint(hub: RunningHub, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and the one line that a start ends with, as JSON."""
    finished = subprocess.run(
        [sys.executable, "-m", "holdfast", "serve", *arguments],
        cwd=hub.directory,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("holdfast: ")
    return finished.returncode, {"line": line, "code": line.rpartition("(")[2].partition(")")[0]}


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def edit_settings(hub: RunningHub, line: str) -> None:
    path = hub.directory / "holdfast.toml"
    path.write_text(path.read_text() + line + "\n")


def make_unreadable(hub: RunningHub) -> None:
    (hub.directory / "tls.pem").unlink()


def make_key_exposed(hub: RunningHub) -> None:
    (hub.directory / "tls.key").chmod(0o640)


def make_key_foreign(hub: RunningHub) -> None:
    (hub.directory / "tls.key").write_bytes(key_pem(p256()))


def make_key_garbage(hub: RunningHub) -> None:
    (hub.directory / "tls.key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


def make_key_locked(hub: RunningHub) -> None:
    path = hub.directory / "tls.key"
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))


def make_certificate_garbage(hub: RunningHub) -> None:
    (hub.directory / "tls.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def make_registry_foreign(hub: RunningHub) -> None:
    (hub.directory / "state").mkdir()
    with sqlite3.connect(hub.directory / "state" / "registry.db") as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()


def make_registry_of_another_hub(hub: RunningHub) -> None:
    hub.trust(company=ROOT)
    edit_settings(hub, "")
    path = hub.directory / "holdfast.toml"
    path.write_text(path.read_text().replace('hub = "hub.test"', 'hub = "other.test"'))


def make_state_a_file(hub: RunningHub) -> None:
    (hub.directory / "state").write_text("")


COMPLAINTS: dict[str, tuple[Callable[[RunningHub], None], int, str]] = {
    "unknown key": (lambda hub: edit_settings(hub, "mqtt_prot = 1"), 3, "unknown_setting"),
    "wrong type": (lambda hub: edit_settings(hub, "tenant = 1"), 3, "bad_setting"),
    "not TOML": (lambda hub: edit_settings(hub, "= ="), 3, "bad_settings"),
    "unknown limit": (lambda hub: edit_settings(hub, "[limits]\nconections_count_max = 1"), 3, "unknown_limit"),
    "limit of nothing": (lambda hub: edit_settings(hub, "[limits]\nconnections_count_max = 0"), 3, "bad_limit"),
    "bound on strangers loosened": (
        lambda hub: edit_settings(hub, "[limits]\nhandshake_bytes_max = 100000000"),
        3,
        "bad_limit",
    ),
    "lease too short": (lambda hub: edit_settings(hub, "[limits]\nlease_ms = 2499"), 3, "bad_limit"),
    "negative limit": (lambda hub: edit_settings(hub, "[limits]\nconnections_count_max = -1"), 3, "bad_setting"),
    "limit without end": (
        lambda hub: edit_settings(hub, f"[limits]\nconnections_count_max = {2**64}"),
        3,
        "bad_setting",
    ),
    "unreadable certificate": (make_unreadable, 3, "unreadable_file"),
    "garbage for a certificate": (make_certificate_garbage, 3, "bad_tls_certificate"),
    "key that others may read (F05)": (make_key_exposed, 3, "secret_file_exposed"),
    "key of another certificate": (make_key_foreign, 3, "tls_key_mismatch"),
    "garbage for a key": (make_key_garbage, 3, "bad_tls_key"),
    "key under a passphrase": (make_key_locked, 3, "tls_key_encrypted"),
    "registry of another program": (make_registry_foreign, 3, "not_a_registry"),
    "registry of another deployment": (make_registry_of_another_hub, 3, "other_deployment"),
    "state that is no directory": (make_state_a_file, 3, "state_dir_unusable"),
}


def test_m06_a_device_that_does_not_finish_in_time_is_said_to_be_gone_and_its_will_is_published(tmp_path: Path) -> None:
    """Half of a PUBLISH is in hand when the hub is stopped; one second later it still is."""
    for hub in running(tmp_path, drain_seconds=1):
        hub.trust(company=ROOT)
        hub.start()
        events = text("devices/widget-1/messages/events/")
        will = packet(0x10, text("MQTT") + bytes([4, 0x0E, 0, 60]) + text("widget-1") + events + text("gone"))
        with dialled(hub, files(hub, ROOT.intermediate("Factory-Y").device("widget-1"))) as live:
            live.sendall(will)
            assert read_exactly(live, 4) == CONNACK_YES
            live.sendall(publish("widget-1", 1)[:10])
            assert hub.stop() == 0
        assert [(event["device"], event["reason"]) for event in hub.events("closed")] == [
            ("widget-1", "connection_lost")
        ]
        assert [message["payload_text"] for message in hub.messages()] == ["gone"]


@pytest.mark.parametrize("case", COMPLAINTS)
def test_what_cannot_work_is_one_clear_line_and_changes_nothing(hub: RunningHub, case: str) -> None:
    spoil, status, code = COMPLAINTS[case]
    spoil(hub)
    before = snapshot(hub.directory)
    found_status, found = complaint(hub)
    assert (found_status, found["code"]) == (status, code), found
    after = snapshot(hub.directory)
    lock = str(hub.directory / "state" / "lock")
    assert {name: data for name, data in after.items() if name != lock} == before


def test_a_busy_port_is_a_conflict_and_changes_nothing(hub: RunningHub) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((hub.address, 8883))
        taken.listen()
        before = snapshot(hub.directory)
        status, found = complaint(hub)
        assert (status, found["code"]) == (6, "address_in_use")
        assert snapshot(hub.directory) == before
    hub.start()


def test_a_second_hub_in_the_same_place_is_a_conflict(hub: RunningHub) -> None:
    hub.start()
    status, found = complaint(hub)
    assert (status, found["code"]) == (6, "address_in_use")
    status, found = complaint(hub, "--mqtt-port", "8884")
    assert (status, found["code"]) == (6, "already_running")


def test_a_second_hub_in_the_same_place_accepts_nobody(hub: RunningHub) -> None:
    """It waits for the state directory for a while: whoever came to its port meanwhile would be reset."""
    hub.start()
    second = [sys.executable, "-m", "holdfast", "serve", "--mqtt-port", "8884"]
    accepted = 0
    with subprocess.Popen(second, cwd=hub.directory, stderr=subprocess.PIPE) as waiting:
        while waiting.poll() is None:
            with suppress(OSError), socket.create_connection((hub.address, 8884), timeout=1):
                accepted += 1
            time.sleep(0.005)
    assert (accepted, waiting.returncode) == (0, 6)


def test_an_address_of_another_machine_is_refused(hub: RunningHub) -> None:
    status, found = complaint(hub, "--mqtt-host", "192.0.2.1")
    assert (status, found["code"]) == (3, "address_not_available")


def test_a_port_that_the_user_may_not_have_is_refused(hub: RunningHub) -> None:
    """As a user without rights; the settings are read before, as root."""
    code = (
        "import os\n"
        "from holdfast.hub.listeners import open_listeners\n"
        "from holdfast.errors import ConfigurationError\n"
        "os.setuid(65534)\n"
        f"try: open_listeners({hub.address!r}, 443, 1)\n"
        "except ConfigurationError as error: print(error.code)"
    )
    if os.geteuid() != 0 or int(UNPRIVILEGED_PORTS.read_text()) <= 443:
        pytest.skip("this machine lets everybody listen everywhere, or is not ours to ask")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "address_not_allowed"


def test_a_platform_without_the_hub_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    result = CliRunner().invoke(serve, [])
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.code == "unsupported_platform"


def test_a_missing_settings_file_is_named(hub: RunningHub) -> None:
    status, found = complaint(hub, "--config", "nowhere.toml")
    assert (status, found["code"]) == (3, "unreadable_file")
    assert "nowhere.toml" in found["line"]


def test_a_tenant_that_is_not_there_is_served_only_where_there_is_no_other(hub: RunningHub) -> None:
    hub.start()  # the first start: nobody is there yet
    assert hub.stop() == 0
    hub.trust(company=ROOT)
    status, found = complaint(hub, "--tenant", "defualt")
    assert (status, found["code"]) == (3, "unknown_tenant")


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    for hub in running(tmp_path, mqtt_port=1):
        (tmp_path / "holdfast.toml").rename(tmp_path / "other.toml")
        status, found = complaint(hub, "--config", "other.toml", "--mqtt-port", "70000")
        assert (status, found["code"]) == (3, "bad_setting")
        assert "70000" in found["line"]


def test_state_is_its_owners_alone(hub: RunningHub) -> None:
    hub.trust(company=ROOT)
    hub.start()
    assert answer(hub, files(hub, ROOT.device("w")), "w") == CONNACK_YES
    hub.stop()
    state = hub.directory / "state"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.rglob("*"))}
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


def test_no_secret_is_in_the_log_or_the_environment(hub: RunningHub) -> None:
    """F05: the hub's own key goes to workers over the channel, and nowhere else."""
    hub.trust(company=ROOT)
    hub.start()
    secret = (hub.directory / "tls.key").read_bytes().splitlines()[1]
    for pid in (hub.worker_pid(), hub.process.pid if hub.process else 0):
        for name in ("environ", "cmdline"):
            with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123 (no path of ours)
                assert secret not in file.read()
    assert secret not in hub.log.read_bytes()
