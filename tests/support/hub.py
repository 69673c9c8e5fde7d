"""A real hub: `holdfast serve` as a process of its own, on an address of its own, with its log read as events."""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography import x509

from holdfast import metrics
from holdfast.registry import open_registry
from holdfast.registry.upload import read_proof

from .pki import server_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from holdfast.registry import Registry

    from .pki import Ca

WAIT_SECONDS = 20.0
PORT = 8883
METRICS_PORT = 9464
HUB = "hub.test"
T = TypeVar("T")


def loopback() -> str:
    """An address that no other test listens on."""
    return str(ipaddress.ip_address(int(ipaddress.ip_address("127.64.0.1")) + secrets.randbelow(1 << 20)))


def wait_for(look: Callable[[], T], what: str, seconds: float = WAIT_SECONDS) -> T:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"no {what} in {seconds} s"
        time.sleep(0.01)
    return found


def now() -> datetime:
    return datetime.now(UTC)


def clean_environment() -> dict[str, str]:
    """The test's own, without what is meant for holdfast's tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}


def prove(registry: Registry, name: str, ca: Ca) -> None:
    """Register `ca` and prove it, by issuance."""
    registry.cas.add(name, ca.pem, actor="test", at=now())
    challenge = registry.cas.challenge(name, actor="test", at=now())
    registry.cas.prove(name, read_proof(ca.verification(challenge.code)), actor="test", at=now())


@dataclass
class RunningHub:
    """One hub in `directory`; leaving it kills what is left."""

    directory: Path
    address: str
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    """On top of the test's own."""

    @classmethod
    def prepare(cls, directory: Path, **settings: Any) -> RunningHub:
        """Settings and TLS files of a hub that is not running yet."""
        hub = cls(directory, loopback())
        addresses = [x509.IPAddress(ipaddress.ip_address(hub.address)), x509.DNSName("localhost"), x509.DNSName(HUB)]
        server_identity(directory, *addresses)
        own = {"hub": HUB, "mqtt_host": hub.address, "mqtt_port": PORT, "metrics_host": hub.address}
        values = own | {"workers": 1, "drain_seconds": 5} | settings
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, dict)]
        for table, entries in ((key, value) for key, value in values.items() if isinstance(value, dict)):
            lines += [f"[{table}]", *(f"{key} = {value}" for key, value in entries.items())]
        (directory / "holdfast.toml").write_text("\n".join(lines) + "\n")
        return hub

    @property
    def certificate(self) -> Path:
        return self.directory / "tls.pem"

    def registry(self) -> Any:
        """The registry, as the command line would open it beside the running hub."""
        path = self.directory / "state" / "registry.db"
        return open_registry(path, hub=HUB, tenant="default", at=now(), create=True)

    def trust(self, **cas: Ca) -> None:
        """Register and prove `cas`."""
        with self.registry() as registry:
            for name, ca in cas.items():
                prove(registry, name, ca)

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.begin()
        wait_for(lambda: self.ended() or self.events("serving"), "serving hub")
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()

    def begin(self) -> None:
        """Start it."""
        self.starts += 1
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "holdfast", "serve"],
                cwd=self.directory,
                env=clean_environment() | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; answers its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(WAIT_SECONDS)

    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    @property
    def log(self) -> Path:
        return self.directory / f"hub-{self.starts}.log"

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """What was logged since the last start, whole lines only."""
        lines = self.log.read_bytes().rpartition(b"\n")[0].splitlines()
        records = [json.loads(line) for line in lines if line.startswith(b"{")]
        return [record for record in records if event is None or record["event"] == event]

    def refusals(self) -> list[str]:
        return [event["code"] for event in self.events("refused")]

    def wait_for_events(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        return wait_for(lambda: found if len(found := self.events(event)) >= count else [], f"{count} × {event}")

    def messages(self, *arguments: str) -> list[dict[str, Any]]:
        """What `holdfast stream tail` shows."""
        lines = self.command("stream", "tail", "--json", *arguments).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `holdfast` in this hub's directory."""
        return subprocess.run(
            [sys.executable, "-m", "holdfast", *arguments],
            cwd=self.directory,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
        )

    def samples(self) -> list[metrics.Sample]:
        """What it counts, as of the last second; its `metrics_port` must be `METRICS_PORT`."""
        with urllib.request.urlopen(f"http://{self.address}:{METRICS_PORT}/metrics", timeout=WAIT_SECONDS) as answer:
            return list(metrics.parse_exposition(answer.read().decode()))

    def of_each_worker(self, metric: str) -> list[float]:
        """What each says of it, as of the last second."""
        return [sample.value for sample in self.samples() if sample.name == f"holdfast_{metric}"]

    def worker_pid(self) -> int:
        return int(self.events("serving")[-1]["pid"])

    def kill_worker(self) -> None:
        """Kill the worker and wait until another serves."""
        count = len(self.events("serving"))
        os.kill(self.worker_pid(), signal.SIGKILL)
        self.wait_for_events("serving", count + 1)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def running(directory: Path, **settings: Any) -> Iterator[RunningHub]:
    """A fixture's body: a hub that is prepared, and gone afterwards, in whatever way the test ended."""
    hub = RunningHub.prepare(directory, **settings)
    try:
        yield hub
    finally:
        hub.kill()
