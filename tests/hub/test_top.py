"""`holdfast top` shows a hub as it goes, or says why it cannot."""

from __future__ import annotations

import http.server
import json
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.errors import RemoteProtocolError
from holdfast.hub import watcher
from holdfast.hub.flow import Flow, Look
from holdfast.settings import Settings

from ..support.hub import METRICS_PORT, RunningHub, running, wait_for
from ..support.mqtt import CONNACK_NOT_AUTHORIZED, CONNACK_YES, connect, dialled, puback, publish, read_exactly
from ..support.pki import Ca

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = Ca.root()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    for hub in running(tmp_path, metrics_port=METRICS_PORT):
        hub.trust(company=ROOT)
        yield hub


def test_top_shows_a_hub_as_it_goes_and_works_in_a_pipe(hub: RunningHub) -> None:
    hub.start()
    device = ROOT.device("widget-1").write(hub.directory, "good")
    with ExitStack() as stack:
        secured = stack.enter_context(dialled(hub, device))
        secured.sendall(connect("widget-1") + publish("widget-1", 1))
        assert read_exactly(secured, 8) == CONNACK_YES + puback(1)
        with dialled(hub, Ca.root("Elsewhere").device("w").write(hub.directory, "bad")) as refused:
            refused.sendall(connect("w"))
            assert read_exactly(refused, 4) == CONNACK_NOT_AUTHORIZED

        def counted() -> Any:
            record = json.loads(hub.command("top", "--once", "--json", "--interval", "0.2").stdout)
            return record if record["refused"] else None

        record = wait_for(counted, "refusal")
        assert (record["ready"], record["totals"]["sessions"]) == (True, 1)
        assert record["refused"]["unknown_issuer"]["total"] == 1
        assert sum(record["batches"].values()) == 2
        assert [one["sessions"] for one in record["workers"]] == [1]
        shown = hub.command("top", "--once", "--interval", "0.2").stdout
        assert "\x1b" not in shown
        for text in ("hub.test", "ready", "1 sessions", "unknown_issuer", "workers 1/1"):
            assert text in shown


def test_top_says_why_it_shows_nothing(hub: RunningHub) -> None:
    told = hub.command("top", "--once", check=False)
    assert (told.returncode, "(metrics_unreachable)" in told.stderr) == (4, True)
    toml = hub.directory / "holdfast.toml"
    toml.write_text(toml.read_text().replace("9464", "0"))
    told = hub.command("top", "--once", "--json", check=False)
    assert (told.returncode, json.loads(told.stderr)["error"]) == (3, "metrics_off")


@contextmanager
def another_program(body: bytes) -> Iterator[Settings]:
    """Something that speaks HTTP where the hub should be."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Settings(metrics_port=server.server_address[1])
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("body", [b"", b"<html>", b"a 1\n", b"\xff\xfe", b"holdfast_ready one\n"])
def test_another_program_is_no_hub(body: bytes) -> None:
    with another_program(body) as of_it, pytest.raises(RemoteProtocolError) as caught:
        Look.of(watcher.fetch(of_it, "/metrics")[1], 0)
    assert caught.value.code == "metrics_unreadable"


def test_rates_are_growth_by_time_also_across_a_restart() -> None:
    def look(at: float, admitted: int) -> Look:
        lines = f'holdfast_build_info{{version="1"}} 1\nholdfast_admitted_total{{worker="0"}} {admitted}\n'
        return Look.of(lines, at)

    assert Flow(look(10, 100), look(12, 150)).rate("admitted_total") == 25
    assert Flow(look(10, 100), look(12, 6)).rate("admitted_total") == 3
    assert Flow(look(10, 100), look(12, 100)).rate("admitted_total", worker="1") == 0
