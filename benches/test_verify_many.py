"""`verify_many` beside pyca's `ClientVerifier`: the same chains of three, one core each, in one interleaved run."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import cryptography
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from holdfast import Policy, TrustStore, Verifier

from .chains import fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

CHAINS = 20_000
# pyca takes tens of seconds for all of them: it is given a slice, and asked as often.
PEER_CHAINS = 1_000
ROUNDS = 5


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def test_verify_many_is_at_least_six_times_client_verifier_per_core(benchmark: BenchmarkFixture) -> None:
    root, chains = fleet(CHAINS)
    ours = Verifier(TrustStore([root]), Policy(), threads=1)
    theirs = PolicyBuilder().store(Store([x509.load_der_x509_certificate(root)])).build_client_verifier()

    def peer() -> int:
        good = 0
        for leaf, *above in chains[:PEER_CHAINS]:
            intermediates = [x509.load_der_x509_certificate(one) for one in above]
            good += theirs.verify(x509.load_der_x509_certificate(leaf), intermediates) is not None
        return good

    # Warm-up, and that both do the work.
    assert all(outcome.ok for outcome in ours.verify_many(chains))
    assert peer() == PEER_CHAINS
    rates: dict[str, list[float]] = {"holdfast": [], "pyca": []}
    for _ in range(ROUNDS):
        rates["pyca"].append(PEER_CHAINS / seconds(peer))
        rates["holdfast"].append(CHAINS / seconds(lambda: ours.verify_many(chains)))
    benchmark.pedantic(ours.verify_many, (chains,), rounds=ROUNDS, iterations=1)
    ratio = statistics.median(rates["holdfast"]) / statistics.median(rates["pyca"])
    benchmark.extra_info.update(
        {
            "chains_per_second": round(statistics.median(rates["holdfast"])),
            "peer_chains_per_second": round(statistics.median(rates["pyca"])),
            "peer": f"cryptography {cryptography.__version__} ClientVerifier",
            "ratio": round(ratio, 1),
            "spread": {name: [round(min(found)), round(max(found))] for name, found in rates.items()},
        }
    )
    print("\n", benchmark.extra_info)
    assert ratio >= 6
