"""Many chains in one buffer: the verdicts are those of `verify_many`, whichever way the chains come in."""

from __future__ import annotations

import array
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast import LimitExceededError, LocalProtocolError, Policy, TrustStore, Verifier
from holdfast._holdfast import chain_offsets, codes, kernel

from ..support.pki import DAY, NOW, Ca

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast import Columns

ROOT = Ca.root("Company-X Root")
TECHNICIANS = [ROOT.intermediate("Factory-Y").intermediate(f"Technician-{number}") for number in range(3)]
VERIFIER = Verifier(TrustStore([ROOT.der]), Policy(), threads=1)


def packed(chains: Sequence[Sequence[bytes]]) -> tuple[bytes, array.array[int]]:
    offsets = array.array("q", [0])
    for chain in chains:
        offsets.append(offsets[-1] + sum(map(len, chain)))
    return b"".join(map(b"".join, chains)), offsets


def damaged(der: bytes) -> bytes:
    return der[:-1] + bytes([der[-1] ^ 1])


def mixed(count: int) -> list[list[bytes]]:
    """Good chains of three issuers, with bad signatures, expired devices, strangers and rubbish among them."""
    stranger = Ca.root("Stranger").device("stranger").der
    expired = TECHNICIANS[0].device("old", begins=NOW - 9 * DAY, ends=NOW - DAY).der
    chains = []
    for number in range(count):
        good = TECHNICIANS[number % 3].device(f"widget-{number}").der
        odd = {
            5: [damaged(good[0]), *good[1:]],
            7: stranger,
            11: expired,
            13: [good[0], damaged(good[1]), good[2]],
            17: [good[0][:40], *good[1:]],
            19: [],
        }
        chains.append(odd.get(number % 23, good))
    return chains


def columns_as_rows(columns: Columns) -> list[tuple[object, ...]]:
    numbers, positions = memoryview(columns.codes).cast("H"), memoryview(columns.positions).cast("h")
    ends, begins = memoryview(columns.message_offsets).cast("q"), memoryview(columns.common_name_offsets).cast("q")
    not_after, rows = memoryview(columns.not_after).cast("q"), []
    for at, ok in enumerate(columns.ok):
        if ok:
            assert (numbers[at], positions[at]) == (65535, -1)
            leaf, anchor = (one[32 * at :][:32].hex() for one in (columns.fingerprints, columns.anchor_fingerprints))
            common_name = columns.common_names[begins[at] : begins[at + 1]].decode()
            rows.append((True, common_name, leaf, anchor, not_after[at]))
        else:
            position = None if positions[at] < 0 else positions[at]
            rows.append((False, codes()[numbers[at]], position, columns.messages[ends[at] : ends[at + 1]].decode()))
    return rows


def outcomes_as_rows(chains: Sequence[Sequence[bytes]]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for outcome in VERIFIER.verify_many(chains, NOW):
        if (path := outcome.path) is not None:
            end = int(path.not_after.timestamp())
            rows.append((True, path.common_name, path.fingerprints[0], path.anchor_fingerprint, end))
        else:
            rows.append((False, outcome.code, outcome.position, outcome.message))
    return rows


def test_columns_say_what_outcomes_say() -> None:
    chains = mixed(300)
    wanted = outcomes_as_rows(chains)
    assert {row[1] for row in wanted if not row[0]} >= {"bad_signature", "expired", "unknown_issuer", "empty_chain"}
    buffer, offsets = packed(chains)
    for given in (buffer, bytearray(buffer), memoryview(buffer)):
        columns = VERIFIER.verify_packed(given, offsets, NOW)
        assert len(columns) == 300
        # A chain cut short runs into the next certificate when it is packed: it is refused, in other words.
        found = columns_as_rows(columns)
        assert [row for at, row in enumerate(found) if at % 23 != 17] == [
            row for at, row in enumerate(wanted) if at % 23 != 17
        ]
        assert not any(found[at][0] for at in range(17, 300, 23))
    short = VERIFIER.verify_packed(buffer, array.array("i", offsets), NOW)
    assert columns_as_rows(short) == columns_as_rows(VERIFIER.verify_packed(buffer, offsets, NOW))


def test_one_bad_chain_never_changes_its_neighbours() -> None:
    good = [TECHNICIANS[number % 2].device(f"widget-{number}").der for number in range(64)]
    for seed in range(20):
        bad = set(random.Random(seed).sample(range(64), 1 + seed))
        chains = [[damaged(chain[0]), *chain[1:]] if at in bad else chain for at, chain in enumerate(good)]
        columns = VERIFIER.verify_packed(*packed(chains), NOW)
        assert [at for at, ok in enumerate(columns.ok) if not ok] == sorted(bad)


@pytest.mark.parametrize("offsets", [[0, 5, 4], [-1, 3], [0, 11], [2**62]])
def test_offsets_that_lead_elsewhere_are_refused(offsets: list[int]) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        VERIFIER.verify_packed(b"0123456789", array.array("q", offsets), NOW)
    assert caught.value.code == "bad_offsets"


def test_nothing_and_too_much() -> None:
    assert len(VERIFIER.verify_packed(b"", array.array("q"), NOW)) == 0
    assert len(VERIFIER.verify_packed(b"", array.array("q", [0]), NOW)) == 0
    assert columns_as_rows(VERIFIER.verify_packed(b"", array.array("q", [0, 0]), NOW))[0][1] == "empty_chain"
    with pytest.raises(LimitExceededError) as caught:
        VERIFIER.verify_packed(b"", array.array("q", bytes(8 * 1_000_002)), NOW)
    assert caught.value.code == "batch_too_large"
    with pytest.raises((TypeError, BufferError)):
        VERIFIER.verify_packed(b"", "no offsets", NOW)  # type: ignore[arg-type]
    # More certificates than a chain may have, smaller than anything: counted no further than they may be.
    (row,) = columns_as_rows(VERIFIER.verify_packed(b"\x30\x00" * 10_000, array.array("q", [0, 20_000]), NOW))
    assert row[1] == "too_many_certificates"


def test_chains_end_where_names_or_numbers_say() -> None:
    chains = [TECHNICIANS[number % 3].device(f"widget-{number}").der for number in range(5)]
    buffer, offsets = packed(chains)
    assert chain_offsets(buffer) == chain_offsets(buffer, certificates=3) == offsets.tobytes()
    assert array.array("q", chain_offsets(buffer, certificates=1))[1] == len(chains[0][0])
    assert array.array("q", chain_offsets(buffer, last=False)) == offsets[:-1]
    # Wherever a stream is cut, only chains that are surely whole come out, and the rest waits.
    for cut in range(0, len(buffer), 97):
        found = array.array("q", chain_offsets(buffer[:cut], last=False))
        assert found == offsets[: len(found)]
    # A root that vouches for itself ends its chain.
    assert array.array("q", chain_offsets(ROOT.der * 2)) == array.array("q", [0, len(ROOT.der), 2 * len(ROOT.der)])


def test_s13_the_kernel_ran_where_the_machine_has_it() -> None:
    chains = [TECHNICIANS[0].device(f"widget-{number}").der for number in range(64)]
    before = kernel()
    for _ in range(4):
        assert all(VERIFIER.verify_packed(*packed(chains), NOW).ok)
    after = kernel()
    assert after["on"]
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        flags = set()
    if {"avx512ifma", "avx512_vbmi2"} <= flags:
        assert after["backend"] == "ifma"
        assert after["decided"] >= before["decided"] + 256
    # Once the issuer has its table, every back end decides.
    assert after["decided"] > before["decided"]
    assert after["sampled"] > before["sampled"]
    assert sum(after["batches"]) > sum(before["batches"])


def test_every_signature_can_be_checked_twice() -> None:
    twice = Verifier(TrustStore([ROOT.der]), Policy(recheck_every_signature=True), threads=1)
    chains = mixed(100)
    assert columns_as_rows(twice.verify_packed(*packed(chains), NOW)) == columns_as_rows(
        VERIFIER.verify_packed(*packed(chains), NOW)
    )
