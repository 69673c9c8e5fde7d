"""`holdfast fleet` against real servers: the hub, mosquitto, nginx, and targets that behave worse than devices do."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ..support import servers
from ..support.fleets import fleet_of
from ..support.hub import loopback, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from holdfast.fleet.papers import Fleet

DEVICES = 300


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return fleet_of(tmp_path_factory.mktemp("fleet"), "widget", DEVICES)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, made: Fleet) -> Iterator[servers.Server]:
    limits = {"handshake_deadline_ms": 2_000}
    with servers.holdfast(tmp_path_factory.mktemp("hub"), made, limits=limits) as server:
        yield server


def command(verb: str, target: str, made: Fleet, *words: str) -> list[str]:
    return [sys.executable, "-m", "holdfast", "fleet", verb, target, str(made.directory), *words, "--json"]


def run(verb: str, target: str, made: Fleet, *words: str, status: int = 0) -> Any:
    finished = subprocess.run(
        command(verb, target, made, *words), capture_output=True, text=True, check=False, timeout=90
    )
    report = json.loads(finished.stdout)
    odd = [
        (crowd["name"], crowd["rounds"][0]["outcomes"])
        for crowd in report["crowds"]
        if crowd.get("as_expected") not in {None, crowd["rounds"][0]["started"]}
    ]
    assert finished.returncode == status, (odd, finished.stderr)
    return report


def outcomes(report: Any, crowd: int = 0) -> list[dict[str, int]]:
    return [one["outcomes"] for one in report["crowds"][crowd]["rounds"]]


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_every_device_connects_and_comes_again(hub: servers.Server, made: Fleet, tls: str) -> None:
    report = run("connect", hub.target, made, "--contacts", "2", "--tls", tls, "--devices", "100")
    (crowd,) = report["crowds"]
    assert outcomes(report) == [{"connected": 100}] * 2
    assert crowd["lost"] == {}
    for one in crowd["rounds"]:
        assert one["connect"]["count"] == one["tls"]["count"] == one["answer"]["count"] == 100
        assert 0 < one["connect"]["p50_ms"] <= one["connect"]["p99_ms"] <= one["connect"]["max_ms"]
    assert sum(second["connected"] for second in crowd["seconds"]) == 200


@pytest.mark.parametrize(("tls", "resumed"), [("1.2", [0, 0, 0]), ("1.3", [0, 100, 100])])
def test_devices_come_back_by_the_tickets_that_they_were_given(
    hub: servers.Server, made: Fleet, tls: str, resumed: list[int]
) -> None:
    report = run("connect", hub.target, made, "--contacts", "3", "--resume", "--tls", tls, "--devices", "100:100")
    (crowd,) = report["crowds"]
    assert outcomes(report) == [{"connected": 100}] * 3
    assert [one["resumed"] for one in crowd["rounds"]] == resumed


def test_they_come_from_many_addresses_over_several_processes(hub: servers.Server, made: Fleet) -> None:
    assert hub.hub is not None
    before = len(hub.hub.events("admitted"))
    report = run("connect", hub.target, made, "--processes", "3", "--sources", "16", "--devices", "200:100")
    assert (report["processes"], outcomes(report)) == (3, [{"connected": 100}])
    events = hub.hub.events("admitted")[before:]
    assert {event["device"] for event in events} == {made.devices.device_id(number) for number in range(200, 300)}
    assert len({event["source"] for event in events}) > 8


def test_connections_are_begun_at_the_rate_that_was_asked_for(hub: servers.Server, made: Fleet) -> None:
    report = run("connect", hub.target, made, "--rate", "50", "--devices", "75")
    (crowd,) = report["crowds"]
    assert outcomes(report) == [{"connected": 75}]
    # The 75th is due 1.48 s after the first: never sooner, whatever the machine.
    assert crowd["rounds"][0]["seconds"] >= 1.48
    assert crowd["schedule_lag"]["count"] == 75


def test_what_is_published_is_stored_and_every_acknowledgement_measured(tmp_path: Path, made: Fleet) -> None:
    with servers.holdfast(tmp_path, made) as server:
        report = run(
            "publish", server.target, made, "--devices", "20", "--seconds", "2", "--messages-per-second", "200"
        )
        (crowd,) = report["crowds"]
        assert crowd["published"] == crowd["acknowledged"] == crowd["acknowledgement"]["count"] > 100
        assert crowd["lost"] == {}
        assert server.hub is not None
        server.hub.stop()
        kept = server.hub.messages()
    assert len(kept) == crowd["published"]
    assert {message["device_id"] for message in kept} == {made.devices.device_id(number) for number in range(20)}


def test_ctrl_c_ends_a_hold_with_a_report_and_nobody_is_cut_off(hub: servers.Server, made: Fleet) -> None:
    assert hub.hub is not None
    before = len(hub.hub.events("closed"))
    process = subprocess.Popen(command("hold", hub.target, made, "--devices", "50"), stdout=subprocess.PIPE)
    admitted = len(hub.hub.events("admitted"))
    wait_for(lambda: len(hub.hub.events("admitted")) >= admitted + 50, "50 devices")  # type: ignore[union-attr]
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    report = json.loads(said)
    assert process.returncode == 0
    assert (report["interrupted"], outcomes(report), report["crowds"][0]["open_max"]) == (True, [{"connected": 50}], 50)
    closed = wait_for(
        lambda: found if len(found := hub.hub.events("closed")[before:]) >= 50 else [],  # type: ignore[union-attr]
        "50 good-byes",
    )
    assert {event["reason"] for event in closed} == {"disconnect"}


def test_every_misbehaviour_meets_what_it_should_and_honest_devices_do_not_notice(
    hub: servers.Server, made: Fleet
) -> None:
    """U6 and L01 L08 L10 L11 L17 M01 M02 M04 M07 M08 M09 M10 M12 O16 P01 P09 P15 T07 T10, all at once."""
    report = run("misbehave", hub.target, made, "all", "--each", "3", "--honest", "20", "--patience", "15")
    answers = {crowd["name"]: set(crowd["rounds"][0]["outcomes"]) for crowd in report["crowds"]}
    assert len(answers) > 45
    assert answers["unregistered-ca"] == answers["expired"] == answers["self-signed"] == {"connack_5"}
    assert answers["wrong-client-id"] == answers["no-certificate"] == {"connack_5"}
    assert answers["wrong-signature"] == answers["stolen-certificate"] == {"tls_alert_decrypt_error"}
    assert answers["garbage"] == {"closed"}
    assert answers["stall-accepted"] == answers["stall-connect"] == answers["drip"] == {"closed"}
    assert answers["never-reads"] == {"held_back"}
    assert answers["honest"] == answers["tiny-records"] == {"connected"}
    assert "admitted" not in set.union(*answers.values())


def test_a_hub_that_lets_them_in_is_told_apart(tmp_path: Path, made: Fleet) -> None:
    """The nearest acceptance: mosquitto asks for a certificate too, but any client id will do for it."""
    if servers.which("mosquitto") is None:
        pytest.skip("mosquitto is not installed")
    with servers.mosquitto(tmp_path, made) as server:
        report = run("misbehave", server.target, made, "wrong-client-id", "garbage", "--patience", "4", status=1)
    assert outcomes(report, 0) == [{"admitted": 10}]
    assert report["crowds"][0]["as_expected"] == 0
    assert report["crowds"][1]["as_expected"] == 10


@pytest.mark.services
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("name", ["mosquitto", "nginx", "uvloop_ssl"])
def test_the_same_command_measures_any_server(tmp_path: Path, made: Fleet, name: str, tls: str) -> None:
    if name != "uvloop_ssl" and servers.which(name) is None:
        pytest.skip(f"{name} is not installed")
    start: Callable[..., contextlib.AbstractContextManager[servers.Server]] = getattr(servers, name)
    with start(tmp_path, made) as server:
        application = ["--app", server.application]
        report = run("connect", server.target, made, "--tls", tls, "--contacts", "2", "--devices", "50", *application)
        assert outcomes(report) == [{"connected": 50}] * 2
        stranger = run(
            "misbehave", server.target, made, "unregistered-ca", "no-certificate", "--tls", tls, *application
        )
    assert [set(outcomes(stranger, crowd)[0]) & {"admitted", "tolerated"} for crowd in (0, 1)] == [set(), set()]


@pytest.mark.services
def test_messages_to_mosquitto_are_acknowledged(tmp_path: Path, made: Fleet) -> None:
    if servers.which("mosquitto") is None:
        pytest.skip("mosquitto is not installed")
    with servers.mosquitto(tmp_path, made) as server:
        for qos in ("0", "1"):
            report = run("publish", server.target, made, "--devices", "10", "--seconds", "1", "--qos", qos)
            (crowd,) = report["crowds"]
            assert crowd["published"] > 100
            assert crowd["acknowledged"] == (crowd["published"] if qos == "1" else 0)


# ── targets that are worse than devices ────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def listening(meet: Callable[[socket.socket], None]) -> Iterator[str]:
    """A target that does `meet` with each connection."""
    address = loopback()
    with socket.create_server((address, 8883), backlog=128) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    meet(listener.accept()[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield address
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_a_target_that_never_answers_is_reported(made: Fleet) -> None:
    kept = []
    with listening(kept.append) as target:
        report = run("connect", target, made, "--devices", "20", "--patience", "1", status=1)
    assert outcomes(report) == [{"handshake_timeout": 20}]
    for one in kept:
        one.close()


def test_a_target_that_closes_or_resets_is_reported(made: Fleet) -> None:
    with listening(lambda one: (one.recv(1 << 16), one.close())) as target:  # type: ignore[func-returns-value, arg-type, return-value]
        report = run("connect", target, made, "--devices", "20", status=1)
    assert outcomes(report) == [{"closed": 20}]

    def reset(one: socket.socket) -> None:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()

    with listening(reset) as target:
        report = run("connect", target, made, "--devices", "20", status=1)
    assert outcomes(report) == [{"reset": 20}]


def test_a_target_that_speaks_something_else_is_reported(made: Fleet) -> None:
    def banner(one: socket.socket) -> None:
        one.sendall(b"220 mail.test ESMTP\r\n" * 10)
        kept.append(one)

    kept: list[socket.socket] = []
    with listening(banner) as target:
        report = run("connect", target, made, "--devices", "10", status=1)
    assert outcomes(report) == [{"tls_error": 10}]
    for one in kept:
        one.close()


def test_connections_that_a_hub_loses_are_reported(tmp_path: Path, made: Fleet) -> None:
    with servers.holdfast(tmp_path, made) as server:
        process = subprocess.Popen(command("hold", server.target, made, "--devices", "30"), stdout=subprocess.PIPE)
        assert server.hub is not None
        server.hub.wait_for_events("admitted", 30)
        server.hub.kill_worker()
        said, _ = process.communicate(timeout=30)
    report = json.loads(said)
    assert process.returncode == 1
    assert outcomes(report) == [{"connected": 30}]
    assert sum(report["crowds"][0]["lost"].values()) == 30
