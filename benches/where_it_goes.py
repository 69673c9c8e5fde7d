"""Where the hub's CPU for a connect goes, and its memory for an idle connection: `make profile`.

CPU: `perf` samples worker and supervisor while new devices connect (first contact) and while known ones do; what was
running is sorted by library and symbol. Memory: the session's heap as an allocator counts it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import servers
from tests.support.fleets import fleet_of

from . import results
from .accounting import cpu_seconds

if TYPE_CHECKING:
    from holdfast.fleet.papers import Fleet

DEVICES = 3_000
FREQUENCY = 4_999
LEAST_SHARE = 0.4
"""Percent below which a symbol is not listed by itself."""

# (what, library, symbol): the first that fits. Libraries and symbols as perf names them.
P256 = r"p256|nistz256|ecp_|ec_GFp|(?i:ecdsa)|ec_scalar|beeu|(?i:bn_)"
SYMMETRIC = r"(?i:sha256|sha512|aes|gcm|ghash|hmac|hkdf|chacha)|SHA"
ALLOCATION = r"malloc|calloc|realloc|\bc?free\b|_int_|unlink_chunk|alloc::|PyObject_(Malloc|Free)"
NETWORK = r"tcp|sock|inet|ip_|skb|net_|__dev|loopback|dst_|nf_|csum|sk_|ipv4"
PARTS = [
    ("P-256: chain, possession, our signature", r"_holdfast", P256),
    ("X25519: key exchange", r"_holdfast", r"25519"),
    ("hashes and AEAD", r"_holdfast", SYMMETRIC),
    ("rustls", r"_holdfast", r"rustls"),
    ("x509, engine, roster", r"_holdfast", r"holdfast_(x509|engine|roster)"),
    ("front, gate, session", r"_holdfast", r"holdfast_(front|gate|session)"),
    ("crossing: bindings, PyO3", r"_holdfast", r"pyo3|_holdfast|bindings"),
    ("random numbers", r"_holdfast", r"(?i:rand|ctr_drbg|entropy)"),
    ("allocation", r".", ALLOCATION),
    ("aws-lc and Rust's library, the rest", r"_holdfast", r"."),
    ("uvloop", r"loop\.cpython|uvloop", r"."),
    ("kernel: TCP and sockets", r"kernel", NETWORK),
    ("kernel: the rest", r"kernel", r"."),
    ("SQLite", r"sqlite", r"."),
    ("interpreter", r"python", r"."),
    ("other libraries", r".", r"."),
]


def main() -> None:
    """Profile, and write the result beside the others."""
    if shutil.which("perf") is None:
        sys.exit("profile: perf is missing (Debian's linux-perf)")
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        fleet = fleet_of(directory, "widget", DEVICES + 200)
        sections, record = [], {}
        (directory / "hub").mkdir()
        with servers.holdfast(directory / "hub", fleet) as server:
            _connect(server, fleet, f"{DEVICES}:200", "1.3")
            for tls, contact in (("1.3", "first"), ("1.3", "second"), ("1.2", "second")):
                data = directory / f"{tls}-{contact}.perf"
                cost, samples = _sampled(server, fleet, tls, data)
                text, parts = _section(f"TLS {tls}, {contact} contact", cost, samples)
                sections.append(text)
                record[f"{tls} {contact}"] = {"cpu_us": cost, "share_by_part": parts}
        memory, sizes = _memory(directory, fleet)
        sections.append(memory)
        print(results.write("profile", {**record, "memory": sizes}, text="\n".join(sections)))


def _connect(server: servers.Server, fleet: Fleet, devices: str, tls: str) -> None:
    words = ["--devices", devices, "--tls", tls, "--concurrency", "64", "--json"]
    command = [sys.executable, "-m", "holdfast", "fleet", "connect", server.target, str(fleet.directory), *words]
    subprocess.run(command, check=True, capture_output=True)


def _sampled(server: servers.Server, fleet: Fleet, tls: str, data: Path) -> tuple[float, Counter[tuple[str, str]]]:
    """Microseconds of CPU a connect, and samples by library and symbol."""
    pids = server.pids()
    recorder = subprocess.Popen(
        ["perf", "record", "-e", "cpu-clock", "-F", str(FREQUENCY), "-p", ",".join(map(str, pids)), "-o", data],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    before = cpu_seconds(pids)
    _connect(server, fleet, f"0:{DEVICES}", tls)
    used = cpu_seconds(pids) - before
    recorder.terminate()
    recorder.wait()
    script = subprocess.run(
        ["perf", "script", "-i", data, "-F", "ip,sym,dso"], capture_output=True, text=True, check=True
    )
    samples: Counter[tuple[str, str]] = Counter()
    for line in script.stdout.splitlines():
        if found := re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)$", line):
            symbol = re.sub(r"\+0x[0-9a-f]+$|::h[0-9a-f]{16}$", "", found[1])
            samples[Path(found[2]).name, symbol] += 1
    return used / DEVICES * 1e6, samples


def _section(title: str, cost: float, samples: Counter[tuple[str, str]]) -> tuple[str, dict[str, float]]:
    total = sum(samples.values())
    parts: Counter[str] = Counter()
    for (library, symbol), count in samples.items():
        parts[next(what for what, dso, name in PARTS if re.search(dso, library) and re.search(name, symbol))] += count
    rows = [[what, cost * count / total, f"{100 * count / total:.1f} %"] for what, count in parts.most_common()]
    symbols = [
        [f"`{symbol[:70]}`", library, f"{100 * count / total:.1f} %"]
        for (library, symbol), count in samples.most_common(30)
        if 100 * count / total >= LEAST_SHARE
    ]
    text = f"""
## {title}: {cost:.0f} µs of CPU, {total} samples

{results.table(["part", "µs", "share"], rows)}

{results.table(["symbol", "library", "share"], symbols)}
"""
    return text, {what: count / total for what, count in parts.items()}


# ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _memory(directory: Path, fleet: Fleet) -> tuple[str, dict[str, float]]:
    heap = subprocess.run(
        ["cargo", "run", "--quiet", "--release", "--locked", "-p", "holdfast-gate", "--example", "heap"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows: list[list[object]] = [line.rsplit(" ", 1) for line in heap.stdout.splitlines()]
    sizes = {str(what): float(str(size)) for what, size in rows}
    return (
        f"""
## Memory of one idle connection, bytes

{results.table(["what", "bytes"], rows)}

What an allocator counts is what was asked for; resident memory also holds what lies free between the pieces.
""",
        sizes,
    )


if __name__ == "__main__":
    main()
