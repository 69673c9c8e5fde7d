"""The hub and its peers: servers that require certificates of a fleet's root, each with process and address of its own.

All verify the client's chain and none offers resumption where that can be said, so that all do the same work.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .hub import RunningHub, loopback, running, wait_for
from .pki import Ca, server_identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast.fleet.papers import Fleet

PORT = 8883
# Debian keeps daemons in a directory that only root's path has.
SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


@dataclass
class Server:
    """A server that is running."""

    name: str
    address: str
    process: subprocess.Popen[bytes]
    application: str = "mqtt"
    version: str = ""
    log: Path | None = None
    hub: RunningHub | None = None
    options: Sequence[str] = field(default=())

    @property
    def target(self) -> str:
        return f"{self.address}:{PORT}"

    def pids(self) -> list[int]:
        """The process, and all below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        return found


def which(program: str) -> str | None:
    return shutil.which(program, path=SEARCH)


def root_ca(fleet: Fleet) -> Ca:
    """The fleet's root, able to sign."""
    certificate = x509.load_pem_x509_certificate((fleet.directory / "root.pem").read_bytes())
    (key_file,) = (fleet.directory / "keys").glob("0-*.key")
    return Ca(certificate, load_pem_private_key(key_file.read_bytes(), None))  # type: ignore[arg-type]


@contextmanager
def holdfast(directory: Path, fleet: Fleet, **settings: Any) -> Iterator[Server]:
    """A hub that has proven the fleet's root."""
    for hub in running(directory, **settings):
        hub.trust(company=root_ca(fleet))
        hub.start()
        assert hub.process is not None
        yield Server("holdfast", hub.address, hub.process, version=_version("holdfast"), log=hub.log, hub=hub)


@contextmanager
def mosquitto(directory: Path, fleet: Fleet) -> Iterator[Server]:
    address, (certificate, key) = _identity(directory)
    lines = [
        f"listener {PORT} {address}",
        f"cafile {fleet.directory / 'root.pem'}",
        f"certfile {certificate}",
        f"keyfile {key}",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous true",
        "persistence false",
        "set_tcp_nodelay true",
        "max_inflight_messages 1000",
        "log_dest stderr",
        "log_type error",
        f"user {'root' if os.getuid() == 0 else 'mosquitto'}",
    ]
    (directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    command = [str(which("mosquitto")), "-c", str(directory / "mosquitto.conf")]
    with _running("mosquitto", command, directory, address) as server:
        server.version = _version("mosquitto", "-h")
        yield server


@contextmanager
def nginx(directory: Path, fleet: Fleet) -> Iterator[Server]:
    address, (certificate, key) = _identity(directory)
    configuration = f"""
        daemon off;
        master_process off;
        pid {directory}/nginx.pid;
        error_log stderr error;
        worker_rlimit_nofile 20000;
        events {{ worker_connections 19000; }}
        http {{
            access_log off;
            keepalive_timeout 3600;
            keepalive_requests 1000000;
            client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
            fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
            server {{
                listen {address}:{PORT} ssl backlog=4096;
                ssl_protocols TLSv1.2 TLSv1.3;
                ssl_certificate {certificate};
                ssl_certificate_key {key};
                ssl_client_certificate {fleet.directory / "root.pem"};
                ssl_verify_client on;
                ssl_verify_depth 5;
                ssl_session_tickets off;
                location / {{ return 200 "ok\\n"; }}
            }}
        }}
    """
    (directory / "nginx.conf").write_text(configuration)
    command = [str(which("nginx")), "-p", str(directory), "-c", str(directory / "nginx.conf")]
    with _running("nginx", command, directory, address) as server:
        server.version, server.application = _version("nginx", "-v"), "http"
        yield server


@contextmanager
def uvloop_ssl(directory: Path, fleet: Fleet) -> Iterator[Server]:
    """CPython's `ssl` on uvloop: the smallest server that answers a CONNECT."""
    address, (certificate, key) = _identity(directory)
    program = Path(__file__).with_name("uvloop_program.py")
    root = fleet.directory / "root.pem"
    command = [sys.executable, str(program), address, str(PORT), str(certificate), str(key), str(root)]
    with _running("uvloop + ssl", command, directory, address) as server:
        import ssl

        import uvloop

        server.version = f"CPython {sys.version.split()[0]}, uvloop {uvloop.__version__}, {ssl.OPENSSL_VERSION}"
        yield server


def _identity(directory: Path) -> tuple[str, tuple[Path, Path]]:
    address = loopback()
    return address, server_identity(directory, x509.IPAddress(ipaddress.ip_address(address)))


@contextmanager
def _running(name: str, command: Sequence[str], directory: Path, address: str) -> Iterator[Server]:
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        wait_for(lambda: process.poll() is not None or _listens(address), f"listening {name}")
        assert process.poll() is None, log.read_text()
        yield Server(name, address, process, log=log)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(address: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, PORT)) == 0


def _version(program: str, *flags: str) -> str:
    if program == "holdfast":
        import holdfast as package

        return package.__version__
    said = subprocess.run([str(which(program)), *flags], capture_output=True, text=True, check=False)
    return next((line for line in (said.stdout + said.stderr).splitlines() if program in line), program)
