"""What a running hub says of itself: metrics that only grow, that it lives, that it is ready or why it is not."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import socket
import ssl
import time
from collections import defaultdict
from contextlib import ExitStack
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from prometheus_client.parser import text_string_to_metric_families

from holdfast import __version__, metrics
from holdfast._holdfast import Gate, TelemetryWriter, connection_codes
from holdfast.hub.counts import BATCH_BOUNDS, COUNTERS, GAUGES, Counts
from holdfast.hub.messages import Counted
from holdfast.hub.pages import CONNECTIONS_COUNT_MAX
from holdfast.hub.supervisor import Supervisor
from holdfast.hub.vitals import Present, Vitals
from holdfast.settings import Settings

from ..house.repository import ROOT as REPOSITORY
from ..house.repository import RUST
from ..support.hub import HUB, METRICS_PORT, RunningHub, running, wait_for
from ..support.mqtt import CONNACK_NOT_AUTHORIZED, CONNACK_YES, connect, dialled, puback, publish, read_exactly
from ..support.pki import DAY, DER, NOW, Ca, serialization, server_identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = Ca.root("Company-X Root")
FACTORY, STRANGER = ROOT.intermediate("Factory-Y"), Ca.root("Elsewhere")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    for hub in running(tmp_path, workers=2, metrics_port=METRICS_PORT):
        hub.trust(company=ROOT)
        hub.start()
        hub.wait_for_events("serving", 2)
        yield hub


def ask(hub: RunningHub, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    asked = http.client.HTTPConnection(hub.address, METRICS_PORT, timeout=10)
    try:
        asked.request(method, path, headers=headers)
        answer = asked.getresponse()
        return answer.status, answer.read().decode()
    finally:
        asked.close()


def scraped(hub: RunningHub) -> dict[str, float]:
    """Sums over all workers, by name and the label that is left: `refused_total[unknown_issuer]`."""
    status, text = ask(hub, "/metrics")
    assert status == 200
    assert [sample.name for family in text_string_to_metric_families(text) for sample in family.samples] == [
        sample.name for sample in metrics.parse_exposition(text)
    ]
    sums: dict[str, float] = defaultdict(float)
    for sample in metrics.parse_exposition(text):
        left = [value for name, value in sample.labels.items() if name != "worker"]
        sums[sample.name.removeprefix("holdfast_") + "".join(f"[{value}]" for value in left)] += sample.value
    return sums


def raw(hub: RunningHub, request: bytes) -> bytes:
    """What comes back for these bytes, and nothing after them."""
    with socket.create_connection((hub.address, METRICS_PORT), timeout=10) as plain:
        plain.sendall(request)
        plain.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: plain.recv(65_536), b""))


def test_what_happens_is_counted_once_and_a_dead_worker_keeps_what_it_counted(hub: RunningHub) -> None:
    device = FACTORY.device("widget-1").write(hub.directory, "good")
    stranger = STRANGER.device('widget-"1"\\').write(hub.directory, "bad")
    with ExitStack() as stack:
        secured = stack.enter_context(dialled(hub, device))
        secured.sendall(connect("widget-1") + b"".join(publish("widget-1", number) for number in range(1, 6)))
        assert read_exactly(secured, 4) == CONNACK_YES
        assert read_exactly(secured, 20) == b"".join(map(puback, range(1, 6)))
        for _ in range(7):
            with dialled(hub, stranger) as refused:
                refused.sendall(connect("widget-1"))
                assert read_exactly(refused, 4) == CONNACK_NOT_AUTHORIZED
        wait_for(lambda: scraped(hub)["refused_total[unknown_issuer]"] == 7, "counts of the refusals")
        wait_for(lambda: scraped(hub)["half_open"] == 0, "the last one's end")
        seen = scraped(hub)
        expected = {
            "connections_opened_total": 8, "handshakes_completed_total": 8, "chains_judged_total": 8,
            "batch_chains_sum": 8, "batch_chains_bucket[+Inf]": seen["batch_chains_count"], "admitted_total": 1,
            "messages_received_total": 5, "messages_stored_total": 5, "messages_acknowledged_total": 5, "sessions": 1,
            "half_open": 0, "worker_up": 2, "ready": 1, "worker_restarts_total": 0, "claims_total[pinned]": 1,
            "claims_commit_seconds_count": 1, "anchors": 1, f"build_info[{__version__}]": 1,
        }  # fmt: skip
        assert {name: seen[name] for name in expected} == expected
        assert seen["bytes_received_total"] > 8_000
        assert seen["worker_cpu_seconds_total"] > 0
        assert seen["resident_bytes"] > 10_000_000
        assert 0 <= seen["lease_age_seconds"] < 3
    wait_for(lambda: scraped(hub)["closed_total[connection_lost]"] + scraped(hub)["closed_total[peer_closed]"], "end")
    before = scraped(hub)
    for number in (1, 2):
        os.kill(hub.events("serving")[number - 1]["pid"], signal.SIGKILL)
        hub.wait_for_events("serving", 2 + number)
    after = scraped(hub)
    grown = {name for name in before if "_total" in name or "batch_chains" in name}
    assert {name for name in grown if after[name] < before[name]} == set()
    assert (after["worker_restarts_total"], after["sessions"], after["refused_total[unknown_issuer]"]) == (2, 0, 7)
    with dialled(hub, device) as secured:
        secured.sendall(connect("widget-1"))
        assert read_exactly(secured, 4) == CONNACK_YES
        wait_for(lambda: scraped(hub)["admitted_total"] == 2, "count of the second life, on top of the first")
    assert hub.stop() == 0


@pytest.mark.parametrize("strips_count_max", [0, 8])
def test_the_kernel_can_be_turned_off_in_the_settings(tmp_path: Path, strips_count_max: int) -> None:
    limits = {"strips_count_max": strips_count_max}
    for hub in running(tmp_path, metrics_port=METRICS_PORT, resumption=False, limits=limits):
        hub.trust(company=ROOT)
        hub.start()
        device = FACTORY.device("w1").write(hub.directory, "w1")
        for _ in range(2):
            with dialled(hub, device) as secured:
                secured.sendall(connect("w1"))
                assert read_exactly(secured, 4) == CONNACK_YES
        wait_for(lambda hub=hub: scraped(hub)["admitted_total"] == 2, "both are counted")
        assert scraped(hub)["possessions_by_kernel_total"] == (1 if strips_count_max else 0)


def test_i15_no_label_is_anything_that_a_peer_says(hub: RunningHub) -> None:
    """Peers with names of all kinds, with and without a key, with garbage: the labels stay words of ours."""
    for name in ("widget-1", "a" * 64, "$evil", 'x"y', "é"):
        with dialled(hub, STRANGER.device(name).write(hub.directory, name[:8])) as refused:
            refused.sendall(connect(name))
            refused.recv(4)
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\0" * 100):
        with socket.create_connection((hub.address, 8883), timeout=10) as plain:
            plain.sendall(garbage)
            plain.shutdown(socket.SHUT_WR)
            plain.recv(100)
    with pytest.raises((ssl.SSLError, OSError)), dialled(hub, None) as nobody:
        nobody.sendall(connect("widget-1"))
        raise ssl.SSLError(nobody.recv(4))
    wait_for(lambda: sum(n for name, n in scraped(hub).items() if name.startswith("refused_total[")) >= 8, "refusals")
    labels = {
        (name, value)
        for sample in metrics.parse_exposition(ask(hub, "/metrics")[1])
        for name, value in sample.labels.items()
        if name not in {"le", "version"}
    }
    assert {name for name, _ in labels} <= {"worker", "code", "reason", "answer"}
    assert {value for name, value in labels if name == "worker"} == {"0", "1"}
    assert {value for name, value in labels if name == "code"} <= set(connection_codes())


def test_the_pages_answer_what_they_are_asked_and_nothing_else(hub: RunningHub) -> None:
    wait_for(lambda: ask(hub, "/readyz") == (200, "ok\n"), "readiness")
    assert ask(hub, "/livez") == ask(hub, "/livez?verbose") == (200, "ok\n")
    assert ask(hub, "/livez", Host=f"{HUB}:{METRICS_PORT}") == ask(hub, "/livez", Host="[::1]:1") == (200, "ok\n")
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[", "a b"):
        assert ask(hub, "/metrics", Host=host)[0] == 421
    for path in ("/", "/metrics/", "/METRICS", "//metrics", "/../metrics", "*"):
        assert ask(hub, path)[0] == 404
    for method in ("POST", "HEAD", "DELETE", "get", "X" * 100):
        assert ask(hub, "/metrics", method)[0] == 405
    answer = raw(hub, b"OPTIONS /livez HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"\r\nAllow: GET\r\n" in answer
    assert raw(hub, b"GET /livez HTTP/1.0\r\n\r\nGET /livez HTTP/1.0\r\n\r\n").count(b"HTTP/1.1") == 1
    for bad in (
        b"",
        b"\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET  /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/2.0\r\n\r\n",
        b"GET /livez HTTP/1.1\n\n",
        b"\x16\x03\x01\0\0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x",
    ):
        assert raw(hub, bad).startswith(b"HTTP/1.1 400 "), bad


def test_the_pages_are_bounded_in_size_time_and_number(hub: RunningHub) -> None:
    with socket.create_connection((hub.address, METRICS_PORT), timeout=10) as plain:
        plain.sendall(b"GET /livez HTTP/1.1\r\nX: " + b"x" * 8_192)
        assert plain.recv(100).startswith(b"HTTP/1.1 400 ")
    with ExitStack() as stack:
        began = time.monotonic()
        silent = [
            stack.enter_context(socket.create_connection((hub.address, METRICS_PORT), timeout=10))
            for _ in range(2 * CONNECTIONS_COUNT_MAX)
        ]
        # The newest have the places, and whoever asks gets one.
        assert ask(hub, "/livez") == (200, "ok\n")
        *pushed_out, left = silent[: CONNECTIONS_COUNT_MAX + 2]
        assert {ended(one) for one in pushed_out} == {True}
        assert time.monotonic() - began < 4
        # Nobody who is silent holds one for long.
        assert ended(left)
        assert 4 < time.monotonic() - began < 9
    assert ask(hub, "/livez") == (200, "ok\n")


def ended(plain: socket.socket) -> bool:
    try:
        return plain.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_hub_that_should_get_no_devices_says_why(hub: RunningHub) -> None:
    wait_for(lambda: ask(hub, "/readyz") == (200, "ok\n"), "readiness")
    assert hub.process is not None
    killed = hub.events("serving")[0]
    os.kill(killed["pid"], signal.SIGKILL)
    wait_for(lambda: ask(hub, "/readyz") == (503, f"worker {killed['worker']} does not serve\n"), "death")
    assert ask(hub, "/livez") == (200, "ok\n")
    wait_for(lambda: ask(hub, "/readyz") == (200, "ok\n"), "another worker")
    # A hub does not start with it, but it may end while the hub runs.
    server_identity(hub.directory, x509.DNSName("localhost"), ends=NOW)
    hub.process.send_signal(signal.SIGHUP)
    hub.wait_for_events("reloaded")
    status, why = ask(hub, "/readyz")
    assert (status, why[:35]) == (503, "the hub's own certificate ended at ")
    assert scraped(hub)["ready"] == 0


def test_a_port_that_is_taken_stops_the_hub_before_anything_is_changed(hub: RunningHub) -> None:
    assert hub.process is not None
    taken = hub.command("serve", "--mqtt-port", "18884", "--state-dir", "other", check=False)
    assert (taken.returncode, "address_in_use" in taken.stderr) == (6, True)
    assert not (hub.directory / "other").exists()


def test_every_counter_of_a_worker_has_its_line_of_help() -> None:
    counted = set(re.findall(r'\("(\w+)", plane\.front\.', (RUST / "bindings/src/gate.rs").read_text()))
    assert counted == {"accepts_failed", "accepts_gone", "door_narrowed"}
    for path in RUST.glob("gate/src/*.rs"):
        counted |= set(re.findall(r'\.count(?:_many)?\("(\w+)"', path.read_text().partition("#[cfg(test)]")[0]))
    assert counted == set(COUNTERS)
    page = (REPOSITORY / "docs" / "operator.md").read_text()
    assert {name for name in counted if f"`holdfast_{name}_total`" not in page} == set()


def test_batches_have_the_bounds_that_the_gate_counts_by(tmp_path: Path) -> None:
    ca = Ca.root()
    key = ca.key.private_bytes(DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    writer = TelemetryWriter(str(tmp_path / "worker-0.db"))
    gate = Gate(certificate_chain=[ca.der], private_key=key, limits={}, telemetry=writer)
    assert len(gate.batches) == len(BATCH_BOUNDS) + 1
    writer.close()


def vitals(**odd: Any) -> Vitals:
    """Of a hub of two workers that is well, but for what is odd."""
    well: dict[str, Any] = {
        "workers": 2, "serving": {0, 1}, "epoch": 1, "applied": {0: 1, 1: 1}, "anchors": 1,
        "registry_read_seconds": 0.1, "lease_seconds": 0.9, "lease_seconds_max": 5.0,
        "not_after": NOW + DAY, "now": NOW, "stopping": False,
    }  # fmt: skip
    made = Vitals(lambda: Present(**well | odd))
    for number in range(2):
        made.counts.hear(number, said(0))
    return made


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ({}, None),
        ({"stopping": True}, "the hub is stopping"),
        ({"serving": {0}}, "worker 1 does not serve"),
        ({"workers": 3, "serving": {0, 1, 2}}, "worker 2 has been silent for more than 5 s"),
        ({"registry_read_seconds": 2.1}, "the registry was last read 2 s ago"),
        ({"lease_seconds": 5.1}, "the workers' lease was last renewed 5 s ago"),
        ({"now": NOW + DAY + DAY}, f"the hub's own certificate ended at {(NOW + DAY).isoformat()}"),
    ],
)
def test_each_reason_not_to_be_ready(odd: dict[str, Any], why: str | None) -> None:
    assert vitals(**odd).why_not_ready() == why


@pytest.mark.parametrize(("lease_ms", "why"), [(2_500, "the workers' lease was last renewed 3 s ago"), (5_000, None)])
def test_readiness_goes_by_the_lease_that_the_workers_have(lease_ms: int, why: str | None) -> None:
    supervisor, now = object.__new__(Supervisor), time.monotonic()
    vars(supervisor).update(
        _settings=Settings(workers=1), _limits={"lease_ms": lease_ms}, _read_at=now, _leased_at=now - 3, _ready={0},
        _applied={}, _trust=SimpleNamespace(epoch=1, anchors=()), _stopping=asyncio.Event(),
        _identity=SimpleNamespace(not_after=datetime.now(UTC) + DAY),
    )  # fmt: skip
    made = Vitals(supervisor._present)
    made.counts.hear(0, said(0))
    assert made.why_not_ready() == why


def said(admitted: int) -> Counted:
    return Counted(
        counters={"admitted": admitted, "chains_judged": admitted},
        refused={"expired": admitted},
        closed={"disconnect": admitted},
        batches=[admitted] * (len(BATCH_BOUNDS) + 1),
        cpu_microseconds=admitted * 1_000_000,
        gauges=dict.fromkeys(GAUGES, admitted),
    )


def test_counts_never_go_back_whoever_dies_in_between() -> None:
    def total(name: str, **labels: str) -> float:
        samples = metrics.parse_exposition(metrics.exposition(counts.families()))
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())

    counts = Counts()
    for lives, admitted in enumerate((3, 4, 5)):
        counts.hear(0, said(1))
        counts.hear(0, said(admitted))
        assert total("holdfast_sessions") == admitted
        counts.bury(0)
        counts.bury(1)
        expected = sum((3, 4, 5)[: lives + 1])
        assert total("holdfast_admitted_total", worker="0") == expected
        assert total("holdfast_refused_total", code="expired") == total("holdfast_batch_chains_sum") == expected
        assert total("holdfast_batch_chains_count") == 10 * expected
        assert total("holdfast_worker_cpu_seconds_total") == expected
        assert (total("holdfast_sessions"), counts.silent_seconds(0)) == (0, None)
