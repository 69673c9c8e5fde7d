"""The public face: chains judged one at a time, many at a time, and from many callers of one loop."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

import holdfast
from holdfast import Batcher, Policy, TrustStore, VerificationError, Verifier
from holdfast._holdfast import codes, connection_codes

from ..support.pki import DAY, NOW, Ca, build, name

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Ca.root("Company-X Root")
FACTORY = ROOT.intermediate("Factory-Y", path_len=1)
TECHNICIAN = FACTORY.intermediate("Technician-Z", path_len=0)
WIDGET = TECHNICIAN.device("widget-1")
STORE = TrustStore([ROOT.der])
VERIFIER = Verifier(STORE, Policy())


def fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def refusal(chain: Sequence[bytes], verifier: Verifier = VERIFIER, at: datetime = NOW) -> tuple[str, int | None]:
    with pytest.raises(VerificationError) as caught:
        verifier.verify(chain, at)
    return caught.value.code, caught.value.position


def test_a_path_says_who_vouched_for_whom_and_until_when() -> None:
    path = VERIFIER.verify(WIDGET.der, at=NOW)
    assert path.common_name == "widget-1"
    assert path.fingerprints == tuple(map(fingerprint, WIDGET.chain))
    assert path.anchor_fingerprint == fingerprint(ROOT.certificate) == STORE.fingerprints[0]
    assert path.not_after == WIDGET.chain[0].not_valid_after_utc
    soon = TECHNICIAN.device("w", ends=NOW + 300 * DAY)
    assert VERIFIER.verify(soon.der, at=NOW).not_after == ROOT.certificate.not_valid_after_utc


def test_order_doublets_and_strangers_in_the_presented_chain_do_not_matter() -> None:
    leaf, *above = WIDGET.der
    for permuted in itertools.permutations([*above, ROOT.der, Ca.root("Other").der]):
        assert VERIFIER.verify([leaf, *permuted], at=NOW).common_name == "widget-1"
    assert VERIFIER.verify([leaf, *above, *above], at=NOW).common_name == "widget-1"


def test_many_chains_have_one_outcome_each_in_order() -> None:
    bad = [
        (Ca.root("Elsewhere").device("x").der, "unknown_issuer"),
        ([], "empty_chain"),
        ([b""], "der_truncated"),
        (WIDGET.der[:1], "unknown_issuer"),
    ]
    chains = [chain for good_chain in [WIDGET.der] * 50 for chain in (good_chain, *(chain for chain, _ in bad))]
    outcomes = VERIFIER.verify_many(chains, at=NOW)
    assert [outcome.code for outcome in outcomes] == [None, *(code for _, code in bad)] * 50
    for outcome in outcomes:
        assert outcome.ok == (outcome.code is None) == (outcome.path is not None) == (outcome.message is None)
    assert outcomes[0].path is not None
    assert outcomes[0].path.common_name == "widget-1"
    assert outcomes[1].position == 0


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_one_and_many_agree_on_every_chain(threads: int) -> None:
    """Also across blocks, and where a link that chains share is bad."""
    twin = Ca.root("Company-X Root").intermediate("Factory-Y").intermediate("Technician-Z")
    devices = [(TECHNICIAN if number % 3 else twin).device(f"w-{number}") for number in range(60)]
    chains = [devices[number % 60].der for number in range(2_500)]
    verifier = Verifier(STORE, Policy(), threads=threads)
    outcomes = verifier.verify_many(chains, at=NOW)
    assert [outcome.ok for outcome in outcomes] == [bool(number % 60 % 3) for number in range(2_500)]
    for chain, outcome in zip(chains[:60], outcomes, strict=False):
        if outcome.ok:
            assert outcome.path is not None
            assert verifier.verify(chain, NOW).fingerprints == outcome.path.fingerprints
        else:
            assert refusal(chain, verifier) == (outcome.code, outcome.position) == ("bad_signature", 2)


# ── rules, one fact from a chain that is accepted ──────────────────────────────────────────────────────────────────


def kinds_of_keys() -> dict[str, Any]:
    return {
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "rsa2048": rsa.generate_private_key(65537, 2048),
        "rsa4096": rsa.generate_private_key(65537, 4096),
    }


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384()], ids=["sha256", "sha384"])
def test_every_kind_of_key_signs_every_kind(digest: hashes.HashAlgorithm) -> None:
    keys = kinds_of_keys()
    for issuer, subject in itertools.product(keys.values(), keys.values()):
        root = Ca.root(key=issuer, digest=digest)
        chain = root.device("w", key=subject, digest=digest).der
        assert Verifier(TrustStore([root.der]), Policy()).verify(chain, NOW).common_name == "w"


def test_validity_is_inclusive_at_both_ends_in_every_certificate() -> None:
    """T10: root -1 … +30 days, the others as given; each one second outside, at its own position."""
    begins, ends = NOW - DAY, NOW + DAY
    second = timedelta(seconds=1)
    for odd in range(3):
        bounds = [{}, {}, {}]
        bounds[odd] = {"begins": begins, "ends": ends}
        root = Ca.root(**bounds[2], **({} if odd == 2 else {"begins": NOW - 9 * DAY, "ends": NOW + 9 * DAY}))
        other = {"begins": NOW - 9 * DAY, "ends": NOW + 9 * DAY}
        middle = root.intermediate("I", **(bounds[1] or other))
        chain = middle.device("w", **(bounds[0] or other)).der
        verifier = Verifier(TrustStore([root.der]), Policy())
        for at in (begins, ends, ends + timedelta(microseconds=999_999)):
            assert verifier.verify(chain, at).common_name == "w"
        assert refusal(chain, verifier, begins - second) == ("not_yet_valid", odd)
        assert refusal(chain, verifier, ends + second) == ("expired", odd)


def test_t01_t02_t05_only_a_ca_signs_and_a_ca_is_no_device() -> None:
    plain = Ca.root("R")
    verifier = Verifier(TrustStore([plain.der]), Policy())
    no_ca = plain.intermediate("I", extensions=[(x509.BasicConstraints(False, None), True)])
    bare = plain.intermediate("I", extensions=[])
    signs = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
    keyed = plain.intermediate("I", extensions=[(signs, True)])
    for middle in (no_ca, bare, keyed):
        assert refusal(middle.device("w").der, verifier) == ("not_a_ca", 1)
    assert verifier.verify(plain.intermediate("I").device("w").der, NOW).common_name == "w"
    ca_leaf = plain.intermediate("w")
    assert refusal([ca_leaf.der], verifier) == ("ca_used_as_end_entity", 0)
    assert refusal([plain.der], verifier) == ("ca_used_as_end_entity", 0)
    lenient = Verifier(TrustStore([plain.der]), Policy(lenient_ca_leaf=True))
    assert lenient.verify([ca_leaf.der], NOW).common_name == "w"


def test_a_leaf_alone_is_completed_by_anchors_and_by_nothing_that_was_accepted_before() -> None:
    """Technician-Z is an anchor of one store; of the other it was met in accepted paths."""
    for _ in range(3):
        assert VERIFIER.verify(WIDGET.der, NOW).common_name == "widget-1"
    assert refusal(WIDGET.der[:1]) == ("unknown_issuer", 0)
    technicians = Verifier(TrustStore([ROOT.der, TECHNICIAN.der]), Policy())
    path = technicians.verify(WIDGET.der[:1], NOW)
    assert path.anchor_fingerprint == fingerprint(TECHNICIAN.certificate)
    assert technicians.verify(WIDGET.der, NOW).common_name == "widget-1"


def test_t03_path_lengths_bind_whoever_stands_below() -> None:
    root = Ca.root("R", path_len=1)
    verifier = Verifier(TrustStore([root.der]), Policy())
    one = root.intermediate("A", path_len=5)
    assert verifier.verify(one.device("w").der, NOW).common_name == "w"
    assert refusal(one.intermediate("B").device("w").der, verifier) == ("path_len_exceeded", 1)
    nought = Ca.root("R", path_len=0)
    assert refusal(nought.intermediate("A").device("w").der, Verifier(TrustStore([nought.der]), Policy())) == (
        "path_len_exceeded",
        1,
    )


def test_max_intermediates_counts_what_is_not_self_issued() -> None:
    at_most_one = Verifier(STORE, Policy(max_intermediates=1))
    assert refusal(WIDGET.der, at_most_one) == ("max_intermediates_exceeded", 1)
    assert at_most_one.verify(FACTORY.device("w").der, NOW).common_name == "w"
    rollover_key = Ca.root().key
    certificate = build(
        FACTORY.certificate.subject, rollover_key, FACTORY.certificate.subject, FACTORY.key,
        extensions=[(x509.BasicConstraints(True, None), True)],
    )  # fmt: skip
    rolled = Ca(certificate, rollover_key, (certificate, *FACTORY.above))
    assert at_most_one.verify(rolled.device("w").der, NOW).common_name == "w"


def test_t06_extended_key_usage() -> None:
    def device(*usages: x509.ObjectIdentifier) -> list[bytes]:
        extensions = [(x509.ExtendedKeyUsage(usages), False)] if usages else []
        return TECHNICIAN.device("w", extensions=extensions).der

    client, server = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
    for good in ((), (client,), (server, client)):
        assert VERIFIER.verify(device(*good), NOW).common_name == "w"
    for bad in ((server,), (ExtendedKeyUsageOID.EMAIL_PROTECTION,), (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)):
        assert refusal(device(*bad)) == ("extended_key_usage_not_allowed", 0)
    narrow = ROOT.intermediate(
        "I", extensions=[(x509.BasicConstraints(True, None), True), (x509.ExtendedKeyUsage([server]), False)]
    )
    assert refusal(narrow.device("w").der) == ("extended_key_usage_not_allowed", 1)


def test_t07_the_same_name_with_another_key_is_another_ca() -> None:
    twin = Ca.root("Company-X Root")
    assert refusal(twin.device("w").der) == ("bad_signature", 0)
    # With both registered each is tried (P07, rollover).
    both = Verifier(TrustStore([twin.der, ROOT.der]), Policy())
    assert both.verify(twin.device("w").der, NOW).anchor_fingerprint == fingerprint(twin.certificate)
    assert both.verify(ROOT.device("w").der, NOW).anchor_fingerprint == fingerprint(ROOT.certificate)


def test_s08_weak_keys_and_signatures_are_refused_where_they_stand() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    assert refusal(TECHNICIAN.device("w", key=weak).der) == ("weak_public_key", 0)
    assert refusal(ROOT.intermediate("I", key=weak).device("w").der) == ("weak_public_key", 1)
    only_rsa = Verifier(STORE, Policy(key_algorithms=frozenset({"rsa"})))
    assert refusal(WIDGET.der, only_rsa) == ("key_algorithm_not_allowed", 0)


# ── bounds and bad calls ───────────────────────────────────────────────────────────────────────────────────────────


def test_chains_are_bounded() -> None:
    assert refusal([*WIDGET.der, *[ROOT.der] * 8]) == ("too_many_certificates", None)
    assert VERIFIER.verify([*WIDGET.der, *[ROOT.der] * 7], NOW).common_name == "widget-1"
    short = Verifier(STORE, Policy(chain_bytes_max=sum(map(len, WIDGET.der)) - 1))
    assert refusal(WIDGET.der, short) == ("chain_too_large", None)


def test_a_policy_that_cannot_be_followed_makes_no_verifier() -> None:
    with pytest.raises(holdfast.ConfigurationError) as caught:
        Verifier(STORE, Policy(key_algorithms=frozenset({"rot13"})))
    assert caught.value.code == "unknown_key_algorithm"


def test_a_batch_is_bounded() -> None:
    with pytest.raises(holdfast.LimitExceededError) as caught:
        VERIFIER.verify_many([[]] * 1_000_001)
    assert caught.value.code == "batch_too_large"
    assert len(VERIFIER.verify_many([[]] * 10)) == 10


@pytest.mark.parametrize("bad", [None, 1, "text", [1], ["text"], [None]])
def test_what_is_no_chain_is_a_type_error(bad: Any) -> None:
    with pytest.raises(TypeError):
        VERIFIER.verify(bad)
    with pytest.raises(TypeError):
        VERIFIER.verify_many([WIDGET.der, bad])


def test_bytes_come_in_any_form_and_times_must_be_aware() -> None:
    leaf, *above = WIDGET.der
    assert VERIFIER.verify([bytearray(leaf), *above], NOW).common_name == "widget-1"
    with pytest.raises(holdfast.LocalProtocolError) as caught:
        VERIFIER.verify(WIDGET.der, datetime(2026, 1, 1))  # noqa: DTZ001 (that is the point)
    assert caught.value.code == "naive_datetime"
    assert VERIFIER.verify(WIDGET.der).common_name == "widget-1"


def test_a_store_is_made_of_certificates_or_not_at_all() -> None:
    assert len(TrustStore.from_pem(ROOT.pem + Ca.root("Other").pem)) == 2
    assert len(TrustStore([ROOT.der, ROOT.der])) == 1
    assert len(TrustStore([])) == 0
    assert refusal(WIDGET.der, Verifier(TrustStore([]), Policy())) == ("unknown_issuer", 2)
    for pem, code in ((b"", "no_certificate"), (b"-----BEGIN CERTIFICATE-----\n!", "bad_pem")):
        with pytest.raises(holdfast.ConfigurationError) as caught:
            TrustStore.from_pem(pem)
        assert caught.value.code == code
    with pytest.raises(VerificationError) as broken:
        TrustStore([ROOT.der, ROOT.der[:-1]])
    assert (broken.value.code, broken.value.position) == ("der_truncated", 1)


def test_every_code_is_a_slug_and_stands_once() -> None:
    for listed in (codes(), connection_codes()):
        assert len(listed) == len(set(listed))
        assert all(code.replace("_", "").isalnum() and code.islower() for code in listed)


# ── many callers of one loop ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_batcher_answers_everyone_with_their_own() -> None:
    batcher = Batcher(VERIFIER)
    good = [TECHNICIAN.device(f"w-{number}").der for number in range(20)]
    answers = await asyncio.gather(
        *(batcher.verify(chain) for chain in good),
        *(batcher.verify(chain) for chain in ([], [b""], Ca.root("Elsewhere").device("x").der)),
        return_exceptions=True,
    )
    names = [getattr(answer, "common_name", None) for answer in answers[:20]]
    assert names == [f"w-{number}" for number in range(20)]
    assert [getattr(answer, "code", None) for answer in answers[20:]] == [
        "empty_chain",
        "der_truncated",
        "unknown_issuer",
    ]
    with pytest.raises(TypeError):
        await batcher.verify([1])  # type: ignore[list-item]
    assert (await batcher.verify(good[0])).common_name == "w-0"


async def test_a_batcher_says_all_that_the_verifier_says() -> None:
    batcher = Batcher(VERIFIER)
    for chain in ([], [b""], Ca.root("Elsewhere").device("x").der, WIDGET.der[:1]):
        with pytest.raises(VerificationError) as alone:
            VERIFIER.verify(chain)
        with pytest.raises(VerificationError) as batched:
            await batcher.verify(chain)
        assert vars(batched.value) == vars(alone.value)
        assert batched.value.hint


async def test_a_caller_who_leaves_takes_nobody_along() -> None:
    batcher = Batcher(VERIFIER)
    tasks = [asyncio.ensure_future(batcher.verify(WIDGET.der)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [False, True, False]


class Panic(BaseException):
    """What comes of a panic is no `Exception`."""


class Failing:
    """In place of a verifier."""

    def verify_many(self, _: object) -> None:
        raise Panic


class Slow:
    """In place of a verifier: comes to no end before it is told to."""

    def __init__(self) -> None:
        self.end = threading.Event()

    def verify_many(self, _: object) -> None:
        self.end.wait()


async def test_x03_a_panic_is_the_answer_of_those_whom_it_has_met_and_the_next_are_judged() -> None:
    batcher = Batcher(cast("Verifier", Failing()))
    for _ in range(2):
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*(batcher.verify(WIDGET.der) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Panic] * 3


async def test_x03_nobody_waits_for_a_batch_that_was_cancelled() -> None:
    slow = Slow()
    batcher = Batcher(cast("Verifier", slow))
    callers = [asyncio.ensure_future(batcher.verify(WIDGET.der)) for _ in range(2)]
    await asyncio.sleep(0.01)
    callers.append(asyncio.ensure_future(batcher.verify(WIDGET.der)))  # for the batch behind it
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {*callers, asyncio.current_task()}:
        task.cancel()
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*callers, return_exceptions=True)
    slow.end.set()
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 3


def test_random_and_mutated_chains_are_refused_with_a_code_and_never_crash() -> None:
    dice = random.Random(20261124)
    known = set(codes())
    chains = []
    for _ in range(3_000):
        chain = [bytearray(one) for one in WIDGET.der]
        for _ in range(dice.randrange(1, 3)):
            certificate = dice.choice(chain)
            where = dice.randrange(len(certificate))
            dice.choice(
                (
                    lambda c=certificate, w=where: c.__setitem__(w, dice.randrange(256)),
                    lambda c=certificate, w=where: c.__delitem__(w),
                    lambda c=certificate, w=where: c.insert(w, dice.randrange(256)),
                    lambda c=certificate, w=where: c.__delitem__(slice(w, None)),
                )
            )()
        chains.append([bytes(one) for one in chain])
    for chain, outcome in zip(chains, VERIFIER.verify_many(chains, at=NOW), strict=True):
        if outcome.ok:
            assert chain == WIDGET.der, "a byte changed, and the path still stands"
        else:
            assert outcome.code in known
            assert outcome.position is None or outcome.position <= len(chain)


def test_name_of_nobody() -> None:
    """Chains are judged without asking whose device it is: a leaf without a common name has a good path."""
    leaf = TECHNICIAN.device(x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "x")]))
    assert VERIFIER.verify(leaf.der, NOW).common_name is None
    assert name("x").rfc4514_string() == "CN=x"
