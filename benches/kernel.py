"""What bulk verification costs: `python -m benches.kernel` measures every row in two or three minutes and keeps them.

Chains are device ← Technician-Z ← Factory-Y ← root, all P-256. A rate is of the thread's own CPU time, the median of
the rounds with their quartiles; what is compared takes turns within each round. Only the row of two cores is of the
clock: run it on a machine that does nothing else.
"""

from __future__ import annotations

import array
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cryptography
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store
from tests.support.pki import Ca

from holdfast import Policy, TrustStore, Verifier
from holdfast._holdfast import FleetChain, FleetDevices, kernel
from holdfast.bulk.read import read_chains

from . import chains, results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEVICES: Final = 100_000
IN_FILE: Final = 1_000_000
FEW: Final = 1_000
ISSUERS: Final = 1_000
ROUNDS: Final = 7
SPINS: Final = 3_000_000

Chains = list[list[bytes]]
Clock = time.thread_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table: what, what is wanted, what was found, and how far it spread."""

    what: str
    wanted: str
    found: str
    spread: str


def main() -> None:
    """Measure, print, keep."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="holdfast-kernel-") as place:
        directory = Path(place)
        root, fleet = _fleet(directory)
        for measure in (_many, _one_at_a_time, _anchors, _two_cores):
            rows += measure(root, fleet)
        rows += _issuers()
        rows += _file(root, fleet, directory)
    text = [
        f"- peer: cryptography {cryptography.__version__}, `ClientVerifier`",
        f"- load before and after: {' '.join(Path('/proc/loadavg').read_text().split()[:3])}",
        f"- the process's kernel: {kernel()}",
        "",
        results.table(
            ("row", "wanted", "found", "spread"), [(row.what, row.wanted, row.found, row.spread) for row in rows]
        ),
    ]
    record = {"rows": [asdict(row) for row in rows]}
    print("\n".join(text))
    print(results.write("bulk", record, text="\n".join(text)))


def _fleet(directory: Path) -> tuple[bytes, Chains]:
    """The root, and the chains of a hundred thousand devices, each with a key of its own."""
    today = datetime.now(UTC)
    names = ["Company-X Root", "Factory-Y", "Technician-Z"]
    chain = FleetChain(names, not_before=today - timedelta(days=1), not_after=today + timedelta(days=3650))
    path = directory / "devices"
    chain.make_devices(str(path), prefix="widget", count=DEVICES, threads=os.cpu_count() or 1)
    devices = FleetDevices(str(path))
    return chain.certificates[0], [devices.chain(number) for number in range(DEVICES)]


def _seconds(call: Callable[[], object], clock: Callable[[], float] = Clock) -> float:
    began = clock()
    call()
    return clock() - began


def _turns(calls: Sequence[Callable[[], object]], clock: Callable[[], float] = Clock) -> list[list[float]]:
    """Seconds of each call in each round, one after another."""
    for call in calls:
        call()
    rounds = [[_seconds(call, clock) for call in calls] for _ in range(ROUNDS)]
    return [list(found) for found in zip(*rounds, strict=True)]


def _quartiles(values: Sequence[float], form: str) -> tuple[str, str]:
    low, middle, high = statistics.quantiles(values, n=4)
    return format(middle, form), f"{low:{form}} to {high:{form}}"


def _rate(what: str, wanted: str, count: int, seconds: Sequence[float]) -> Row:
    found, spread = _quartiles([count / one for one in seconds], ",.0f")
    return Row(what=what, wanted=wanted, found=found, spread=spread)


def _ratio(what: str, wanted: str, above: Sequence[float], below: Sequence[float], scale: float = 1) -> Row:
    found, spread = _quartiles([scale * one / other for one, other in zip(above, below, strict=True)], ".2f")
    return Row(what=what, wanted=wanted, found=found, spread=spread)


def _verifier(*roots: bytes, threads: int = 1) -> Verifier:
    return Verifier(TrustStore(list(roots)), Policy(), threads=threads)


def _good(verifier: Verifier, fleet: Chains) -> None:
    if not all(outcome.ok for outcome in verifier.verify_many(fleet)):
        message = "a good chain was refused"
        raise AssertionError(message)


def _many(root: bytes, fleet: Chains) -> list[Row]:
    ours, few = _verifier(root), fleet[:FEW]
    theirs = PolicyBuilder().store(Store([x509.load_der_x509_certificate(root)])).build_client_verifier()
    buffer = b"".join(b"".join(chain) for chain in fleet)
    offsets = array.array("q", [0])
    for chain in fleet:
        offsets.append(offsets[-1] + sum(map(len, chain)))

    def peer() -> None:
        for leaf, *above in few:
            intermediates = [x509.load_der_x509_certificate(one) for one in above]
            theirs.verify(x509.load_der_x509_certificate(leaf), intermediates)

    _good(ours, fleet)
    calls = (lambda: ours.verify_many(fleet), lambda: ours.verify_packed(buffer, offsets), peer)
    many, packed, pyca = _turns(calls)
    return [
        _rate("`verify_many`, 100,000 distinct devices, one core, chains a second", "≥ 150,000", DEVICES, many),
        _rate("`verify_packed`, the same", "≥ 150,000", DEVICES, packed),
        _rate("pyca's `ClientVerifier`, the same", "", FEW, pyca),
        _ratio("`verify_many` in pyca's", "≥ 6", pyca, many, DEVICES / FEW),
    ]


def _one_at_a_time(root: bytes, fleet: Chains) -> list[Row]:
    ours, few = _verifier(root), fleet[: 5 * FEW]
    _good(ours, few)
    (one,) = _turns([lambda: [ours.verify(chain) for chain in few]])
    return [_rate("`verify`, one at a time, an issuer met often, chains a second", "", len(few), one)]


def _anchors(root: bytes, fleet: Chains) -> list[Row]:
    few = fleet[: 20 * FEW]
    name = b"root 00000000"
    other = Ca.root(name.decode()).der
    roots = [other.replace(name, b"root %08d" % number) for number in range(100_000)]
    one, many = _verifier(root), _verifier(root, *roots)
    _good(many, few)
    under_one, under_many = _turns([lambda: one.verify_many(few), lambda: many.verify_many(few)])
    return [_ratio("cost a chain, 100,000 anchors against 1", "≤ 1.2", under_many, under_one)]


def _spin(_: object) -> int:
    state = 1
    for step in range(SPINS):
        state = (state * 5 + step) & 0xFFFF_FFFF
    return state


def _two_cores(root: bytes, fleet: Chains) -> list[Row]:
    one, both = _verifier(root), _verifier(root, threads=0)
    few = fleet[: 50 * FEW]
    _good(one, few)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        calls = (
            lambda: one.verify_many(few),
            lambda: both.verify_many(few),
            lambda: pool.map(_spin, [0], 1),
            lambda: pool.map(_spin, [0, 0], 1),
        )
        alone, together, spin, spins = _turns(calls, time.perf_counter)
    ours = [first / second for first, second in zip(alone, together, strict=True)]
    loops = [2 * first / second for first, second in zip(spin, spins, strict=True)]
    found, spread = _quartiles(loops, ".2f")
    return [
        Row(what="an arithmetic loop on two cores over one", wanted="", found=found, spread=spread),
        _ratio("`verify_many` on two cores over one, in the loop's", "≥ 0.9", ours, loops),
    ]


def _issuers() -> list[Row]:
    root, fleet = chains.fleet(20 * ISSUERS, technicians=ISSUERS)
    ours = _verifier(root)
    for _ in range(8):
        _good(ours, fleet)
    (seconds,) = _turns([lambda: ours.verify_many(fleet)])
    return [_rate("`verify_many`, 1,000 issuers in turn, chains a second", "", len(fleet), seconds)]


def _file(root: bytes, fleet: Chains, directory: Path) -> list[Row]:
    """A million chains in a file, through the command as a user runs it; what a chain costs in a long stream."""
    anchors, file, few = directory / "root.pem", directory / "chains.der", directory / "few.der"
    anchors.write_bytes(x509.load_der_x509_certificate(root).public_bytes(Encoding.PEM))
    octets = b"".join(b"".join(chain) for chain in fleet)
    with file.open("wb") as stream:
        for _ in range(IN_FILE // DEVICES):
            stream.write(octets)
    few.write_bytes(b"".join(b"".join(chain) for chain in fleet[:FEW]))
    rows = []
    for output in (None, directory / "out.jsonl", directory / "out.parquet"):
        kind = f"with {output.suffix} written" if output else "count and refusals alone"
        seconds, mebibytes = _command(anchors, file, output)
        rows.append(
            Row(
                what=f"`cert bulk`, 1,000,000 chains from a file, {kind}: resident, MiB",
                wanted="≤ 100",
                found=f"{mebibytes:.0f}",
                spread=f"{IN_FILE / seconds:,.0f} chains a second of CPU",
            )
        )
    ours = _verifier(root)

    def judged(path: Path) -> None:
        with path.open("rb") as stream:
            for piece in read_chains(stream):
                ours.verify_packed(piece.buffer, piece.offsets)

    judged(few)
    short = [_seconds(lambda: [judged(few) for _ in range(50)]) / 50 for _ in range(3)]
    long = [_seconds(lambda: judged(file))]
    short += [_seconds(lambda: [judged(few) for _ in range(50)]) / 50 for _ in range(3)]
    rows.append(
        _ratio("cost a chain, 1,000,000 in a stream against 1,000", "≤ 1.2", long * len(short), short, FEW / IN_FILE)
    )
    return rows


def _command(anchors: Path, file: Path, output: Path | None) -> tuple[float, float]:
    """CPU seconds and peak resident MiB of one run."""
    words = [sys.executable, "-m", "holdfast", "cert", "bulk", "--threads", "1", "--anchors", str(anchors), str(file)]
    if output:
        words += ["--output", str(output)]
    # A process of its own in between: the peak that is read is of this command alone.
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=2); "
    code += "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
    code += "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"
    done = subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, text=True)
    seconds, mebibytes = done.stdout.split()
    return float(seconds), float(mebibytes)


if __name__ == "__main__":
    main()
