"""CAs: added, challenged, proven, disabled; every illegal move refused; nothing moves without its act."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from holdfast._holdfast import Certificate
from holdfast.errors import ConflictError, HoldfastError, LimitExceededError, PossessionError, RegistrationError
from holdfast.possession import ProofKind, SignatureProof, signed_message
from holdfast.registry import cas as cas_module
from holdfast.registry import open_registry
from holdfast.registry.closures import Kind, Named
from holdfast.registry.moves import MOVES, Move, State
from holdfast.registry.upload import read_proof

from ..support.pki import DAY, NOW, Ca, build, name
from .acts import dump, last_act, recorded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from holdfast.possession import Challenge
    from holdfast.registry import Registry

WHO = "alice"
HOUR = timedelta(hours=1)


def add(registry: Registry, ca: Ca, called: str = "company-x") -> None:
    registry.cas.add(called, ca.pem, actor=WHO, at=NOW)


def challenged(registry: Registry, ca: Ca, called: str = "company-x") -> Challenge:
    add(registry, ca, called)
    return registry.cas.challenge(called, actor=WHO, at=NOW)


def proven(registry: Registry, ca: Ca, called: str = "company-x") -> None:
    challenge = challenged(registry, ca, called)
    registry.cas.prove(called, read_proof(ca.verification(challenge.code)), actor=WHO, at=NOW)


def answer(challenge: Challenge, signed: bytes) -> SignatureProof:
    return SignatureProof(challenge_id=challenge.challenge_id, algorithm="ecdsa-sha256", signature=signed)


def signature(ca: Ca, challenge: Challenge) -> SignatureProof:
    assert isinstance(ca.key, ec.EllipticCurvePrivateKey)
    return answer(challenge, ca.key.sign(signed_message(challenge), ec.ECDSA(hashes.SHA256())))


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(HoldfastError) as caught:
        call()
    return caught.value.code


# ── the way in ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_ca_is_trusted_only_once_its_key_was_proven(registry: Registry) -> None:
    root = Ca.root()
    add(registry, root)
    assert registry.cas.trust().anchors == ()
    challenge = registry.cas.challenge("company-x", actor=WHO, at=NOW)
    assert registry.cas.trust().anchors == ()
    registry.cas.prove("company-x", read_proof(root.verification(challenge.code)), actor=WHO, at=NOW)
    assert registry.cas.trust().anchors == (root.der,)
    found = registry.cas.find("company-x")
    assert (found.state, found.proof, found.proven_at) == (State.PROVEN, ProofKind.ISSUANCE, NOW)
    assert recorded(registry) == [
        ("tenant.created", "default"),
        ("ca.added", "company-x"),
        ("ca.challenged", "company-x"),
        ("ca.proven", "company-x"),
    ]
    assert last_act(registry)["actor"] == WHO


def test_a_bought_ca_that_is_not_self_signed_registers_like_a_root_of_ones_own(registry: Registry) -> None:
    bought = Ca.root("Provider").intermediate("Company-X at Provider")
    proven(registry, bought)
    assert registry.cas.trust().anchors == (bought.der,)


def test_a_proof_by_signature_is_recorded_as_what_it_is(registry: Registry) -> None:
    root = Ca.root()
    challenge = challenged(registry, root)
    found = registry.cas.prove("company-x", signature(root, challenge), actor=WHO, at=NOW)
    assert found.proof is ProofKind.SIGNATURE
    assert last_act(registry)["details"]["proof"] == "signature"


def test_a_challenge_is_256_random_bits_for_one_ca_tenant_and_hub(registry: Registry) -> None:
    root = Ca.root()
    first = challenged(registry, root)
    second = registry.cas.challenge("company-x", actor=WHO, at=NOW)
    found = registry.cas.find("company-x")
    assert (second.hub, second.tenant, second.ca) == ("hub.test", "default", "company-x")
    assert (second.certificate_sha256, second.spki_sha256) == (
        found.certificate.fingerprint,
        found.certificate.spki_sha256,
    )
    assert second.etag == found.etag
    assert second.expires_at == NOW + HOUR
    for one, other in (
        (first.code, second.code),
        (first.nonce, second.nonce),
        (first.challenge_id, second.challenge_id),
    ):
        assert one != other
    assert len(second.code) == len("HFPOP1-") + 52
    assert len(bytes.fromhex(second.nonce)) == 32


# ── proofs that are none ───────────────────────────────────────────────────────────────────────────────────────────


def test_o01_a_used_superseded_or_expired_challenge_proves_nothing(registry: Registry) -> None:
    root = Ca.root()
    first = challenged(registry, root)
    second = registry.cas.challenge("company-x", actor=WHO, at=NOW)
    prove = registry.cas.prove
    superseded = read_proof(root.verification(first.code))
    assert code_of(lambda: prove("company-x", superseded, actor=WHO, at=NOW)) == "proof_wrong_code"
    late = NOW + HOUR + timedelta(seconds=1)
    answer = read_proof(root.verification(second.code))
    assert code_of(lambda: prove("company-x", answer, actor=WHO, at=late)) == "challenge_expired"
    prove("company-x", answer, actor=WHO, at=NOW + HOUR)
    assert code_of(lambda: prove("company-x", answer, actor=WHO, at=NOW + HOUR)) == "illegal_move"


def test_o02_a_captured_answer_is_worth_nothing_in_another_tenant_or_hub(tmp_path: Path, registry: Registry) -> None:
    root = Ca.root()
    mine = challenged(registry, root)
    captured = [read_proof(root.verification(mine.code)), signature(root, mine)]
    for hub, tenant, file in (("hub.test", "thief", "registry.db"), ("other.test", "default", "other.db")):
        with open_registry(tmp_path / file, hub=hub, tenant=tenant, at=NOW, create=True) as theirs:
            challenged(theirs, root, "theirs")
            for proof in captured:
                with pytest.raises(PossessionError):
                    theirs.cas.prove("theirs", proof, actor="mallory", at=NOW, issuance_alone=True)
            assert theirs.cas.trust().anchors == ()
    registry.cas.prove("company-x", captured[0], actor=WHO, at=NOW, issuance_alone=True)
    assert registry.cas.trust().anchors == (root.der,)


def test_o03_an_answer_by_another_key_of_that_name_or_by_an_intermediate_is_refused(registry: Registry) -> None:
    root, twin = Ca.root(), Ca.root()
    challenge = challenged(registry, root)

    def prove(pem: bytes) -> str:
        return code_of(lambda: registry.cas.prove("company-x", read_proof(pem), actor=WHO, at=NOW))

    assert prove(twin.verification(challenge.code)) == "proof_bad_signature"
    assert prove(root.intermediate("Factory-Y").verification(challenge.code)) == "proof_wrong_issuer"
    assert last_act(registry)["action"] == "ca.proof_refused"
    registry.cas.prove("company-x", read_proof(root.verification(challenge.code)), actor=WHO, at=NOW)


def test_o04_the_code_counts_only_as_the_one_common_name_exactly_as_issued(registry: Registry) -> None:
    root = Ca.root()
    challenge = challenged(registry, root)
    code = challenge.code
    common_name = x509.NameOID.COMMON_NAME
    two = x509.Name([x509.NameAttribute(common_name, code), x509.NameAttribute(common_name, "widget-1")])
    hidden = x509.Name(
        [
            x509.NameAttribute(common_name, code),
            x509.NameAttribute(common_name, "widget-1", x509.name._ASN1Type.BMPString),
        ]
    )
    shared = x509.Name(
        [
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(common_name, code), x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "x")]
            )
        ]
    )
    for subject in (
        name(code.lower()),
        name(code + " "),
        name("X" + code),
        name(code[7:]),
        two,
        hidden,
        shared,
        x509.Name([]),
    ):
        pem = root.verification(code, subject=subject)
        assert (
            code_of(lambda pem=pem: registry.cas.prove("company-x", read_proof(pem), actor=WHO, at=NOW))
            == "proof_wrong_code"
        )
    for_san = root.verification("x", extensions=[(x509.SubjectAlternativeName([x509.DNSName(code)]), False)])
    assert (
        code_of(lambda: registry.cas.prove("company-x", read_proof(for_san), actor=WHO, at=NOW)) == "proof_wrong_code"
    )
    registry.cas.prove("company-x", read_proof(root.verification(code)), actor=WHO, at=NOW)


def test_an_answer_that_is_out_of_date_or_a_ca_is_refused(registry: Registry) -> None:
    root = Ca.root()
    code = challenged(registry, root).code
    odd = {
        "proof_not_in_date": [
            {"begins": NOW + DAY, "ends": NOW + 2 * DAY},
            {"begins": NOW - 2 * DAY, "ends": NOW - DAY},
        ],
        "proof_is_a_ca": [{"extensions": [(x509.BasicConstraints(True, None), True)]}],
    }
    for wanted, variants in odd.items():
        for variant in variants:
            proof = read_proof(root.verification(code, **variant))
            assert code_of(lambda proof=proof: registry.cas.prove("company-x", proof, actor=WHO, at=NOW)) == wanted
    # Its length proves nothing (trust.md §4.1): a year is fine.
    registry.cas.prove("company-x", read_proof(root.verification(code, ends=NOW + 365 * DAY)), actor=WHO, at=NOW)


def test_o10_a_ca_that_changed_since_it_was_challenged_is_not_proven(registry: Registry) -> None:
    root = Ca.root()
    challenge = challenged(registry, root)
    answer = read_proof(root.verification(challenge.code))
    registry.cas.delete("company-x", actor=WHO, at=NOW)
    assert code_of(lambda: registry.cas.prove("company-x", answer, actor=WHO, at=NOW)) == "unknown_ca"
    # Another certificate under the old name, same key: the old answer speaks for neither.
    again = Ca(
        build(name("Company-X Root"), root.key, name("Company-X Root"), root.key, extensions=CA_EXTENSIONS), root.key
    )
    add(registry, again)
    assert code_of(lambda: registry.cas.prove("company-x", answer, actor=WHO, at=NOW)) == "illegal_move"
    registry.cas.challenge("company-x", actor=WHO, at=NOW)
    assert code_of(lambda: registry.cas.prove("company-x", answer, actor=WHO, at=NOW)) == "proof_wrong_code"
    for move in (registry.cas.disable, registry.cas.enable, registry.cas.delete, registry.cas.challenge):
        before = dump(registry)
        assert code_of(lambda move=move: move("company-x", actor=WHO, at=NOW, etag=challenge.etag)) in {
            "etag_mismatch",
            "illegal_move",
        }
        assert dump(registry) == before


CA_EXTENSIONS = [(x509.BasicConstraints(True, None), True)]


def test_o14_ten_wrong_answers_make_a_challenge_void(registry: Registry) -> None:
    root = Ca.root()
    challenge = challenged(registry, root)
    wrong = read_proof(root.verification("HFPOP1-" + "A" * 52))
    for _ in range(cas_module.CHALLENGE_ATTEMPTS_MAX):
        assert code_of(lambda: registry.cas.prove("company-x", wrong, actor=WHO, at=NOW)) == "proof_wrong_code"
    assert registry.cas.find("company-x").state is State.SUBMITTED
    assert last_act(registry)["details"] == {
        "attempt": 10,
        "challenge": challenge.challenge_id,
        "code": "proof_wrong_code",
        "void": True,
    }
    right = read_proof(root.verification(challenge.code))
    assert code_of(lambda: registry.cas.prove("company-x", right, actor=WHO, at=NOW)) == "illegal_move"
    challenge = registry.cas.challenge("company-x", actor=WHO, at=NOW)
    registry.cas.prove("company-x", read_proof(root.verification(challenge.code)), actor=WHO, at=NOW)


def test_a_challenge_that_somebody_else_answered_meanwhile_is_not_open(registry: Registry) -> None:
    """What two processes that answer at once would find: the row count decides, and one of them loses."""
    root = Ca.root()
    challenge = challenged(registry, root)
    taken = cas_module.update(cas_module.challenges).values(state="consumed")
    with registry.database.writing(at=int(NOW.timestamp())) as transaction:
        transaction.change(taken)
        transaction.act("default", WHO, "ca.proven", "company-x")
    late = read_proof(root.verification(challenge.code))
    assert code_of(lambda: registry.cas.prove("company-x", late, actor=WHO, at=NOW)) == "no_open_challenge"
    assert registry.cas.trust().anchors == ()


def test_a_proof_speaks_for_the_certificate_that_was_challenged(registry: Registry) -> None:
    root, other = Ca.root(), Ca.root()
    challenge = challenged(registry, root)
    for proof in (read_proof(root.verification(challenge.code)), signature(root, challenge)):
        with pytest.raises(PossessionError) as refused:
            proof.check(challenge, Certificate(other.der), NOW)
        assert refused.value.code == "proof_for_another_certificate"
        proof.check(challenge, Certificate(root.der), NOW)


def test_a_signature_is_for_one_challenge_and_one_key(registry: Registry) -> None:
    root = Ca.root()
    first = challenged(registry, root)
    second = registry.cas.challenge("company-x", actor=WHO, at=NOW)
    old, forged = signature(root, first), signature(Ca.root(), second)
    posing = answer(second, old.signature)
    for proof, code in (
        (old, "proof_for_another_challenge"),
        (forged, "proof_bad_signature"),
        (posing, "proof_bad_signature"),
        (answer(second, b"\x30\x00"), "proof_bad_signature"),
    ):
        assert code_of(lambda proof=proof: registry.cas.prove("company-x", proof, actor=WHO, at=NOW)) == code
    registry.cas.prove("company-x", signature(root, second), actor=WHO, at=NOW)


def test_where_several_tenants_share_a_hub_issuance_alone_is_not_enough(tmp_path: Path, registry: Registry) -> None:
    root = Ca.root()
    challenge = challenged(registry, root)
    with open_registry(tmp_path / "registry.db", hub="hub.test", tenant="second", at=NOW, create=False) as second:
        add(second, Ca.root("Company-Q"))
    issuance = read_proof(root.verification(challenge.code))
    assert code_of(lambda: registry.cas.prove("company-x", issuance, actor=WHO, at=NOW)) == "signature_required"
    registry.cas.prove("company-x", signature(root, challenge), actor=WHO, at=NOW)


def test_a_tenant_without_cas_shares_nothing_and_hides_nobody(tmp_path: Path, registry: Registry) -> None:
    """What `ca add --tenant defualt`, taken back by `ca delete`, leaves for good."""
    root = Ca.root()
    with open_registry(tmp_path / "registry.db", hub="hub.test", tenant="defualt", at=NOW, create=False) as second:
        add(second, Ca.root("Company-Q"))
        assert code_of(lambda: registry.database.check_tenant("third")) == "unknown_tenant"
        second.cas.delete("company-x", actor=WHO, at=NOW)
        registry.database.check_tenant("third")
        registry.database.check_tenant("defualt")
    challenge = challenged(registry, root)
    registry.cas.prove("company-x", read_proof(root.verification(challenge.code)), actor=WHO, at=NOW)


def test_o11_two_tenants_prove_the_same_root_and_neither_touches_the_other(tmp_path: Path, registry: Registry) -> None:
    root = Ca.root()
    with open_registry(tmp_path / "registry.db", hub="hub.test", tenant="second", at=NOW, create=False) as second:
        proven(registry, root)
        challenge = challenged(second, root)
        assert second.cas.trust().anchors == ()
        second.cas.prove("company-x", signature(root, challenge), actor="bob", at=NOW)
        before = registry.cas.trust()
        second.cas.delete("company-x", actor="bob", at=NOW)
        assert second.cas.trust().anchors == ()
    assert registry.cas.trust() == before
    assert before.anchors == (root.der,)


def test_i05_a_clock_that_was_turned_back_revives_no_challenge(registry: Registry) -> None:
    root = Ca.root()
    challenge = challenged(registry, root)
    with registry.database.writing(at=int((NOW + 2 * HOUR).timestamp())):
        pass
    answer = read_proof(root.verification(challenge.code))
    assert code_of(lambda: registry.cas.prove("company-x", answer, actor=WHO, at=NOW)) == "clock_behind"
    assert code_of(lambda: registry.cas.challenge("company-x", actor=WHO, at=NOW)) == "clock_behind"
    assert registry.cas.trust().anchors == ()


def test_a_clock_that_was_turned_back_registers_nothing_that_has_ended(registry: Registry) -> None:
    """root, proven │ renewed, ended since: at once an anchor, if the clock were believed."""
    root = Ca.root()
    proven(registry, root)
    ended = renewed(root, ends=NOW + DAY)
    with registry.database.writing(at=int((NOW + 2 * DAY).timestamp())):
        pass
    before = dump(registry)
    assert code_of(lambda: add(registry, ended, "renewed")) == "clock_behind"
    assert dump(registry) == before


# ── certificates that cannot serve ─────────────────────────────────────────────────────────────────────────────────


def unusable() -> dict[str, Ca]:
    """One fact away from `Ca.root()`, each."""
    ca = (x509.BasicConstraints(True, None), True)
    no_signing = x509.KeyUsage(True, *[False] * 8)
    return {
        "not_a_ca": Ca.root(extensions=[(x509.BasicConstraints(False, None), True)]),
        "expired": Ca.root(begins=NOW - 2 * DAY, ends=NOW - DAY),
        "not_yet_valid": Ca.root(begins=NOW + DAY),
        "key_usage_not_allowed": Ca.root(extensions=[ca, (no_signing, True)]),
        "extended_key_usage_not_allowed": Ca.root(
            extensions=[ca, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)]
        ),
        "unknown_critical_extension": Ca.root(
            extensions=[ca, (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]
        ),
        "bad_signature": Ca(build(name("X"), Ca.root().key, name("X"), Ca.root().key, extensions=[ca]), Ca.root().key),
        "weak_public_key": Ca.root(key=rsa.generate_private_key(65537, 1024)),
        "issuer_name_empty": Ca(build(x509.Name([]), (key := Ca.root().key), x509.Name([]), key, extensions=[ca]), key),
    }


@pytest.mark.parametrize("code", unusable())
def test_t15_a_certificate_under_which_nobody_could_connect_is_refused_by_its_rule(
    registry: Registry, code: str
) -> None:
    before = dump(registry)
    with pytest.raises(RegistrationError) as refused:
        add(registry, unusable()[code])
    assert refused.value.code == code
    assert dump(registry) == before
    add(registry, Ca.root())


def test_a_name_and_a_certificate_are_registered_once(registry: Registry) -> None:
    root = Ca.root()
    add(registry, root)
    before = dump(registry)
    assert code_of(lambda: add(registry, root, "again")) == "ca_already_registered"
    assert code_of(lambda: add(registry, Ca.root())) == "ca_name_taken"
    for bad in ("", " ", "a b", "-a", "a/b", "a" * 65, "ä", "a\n"):
        assert code_of(lambda bad=bad: add(registry, Ca.root(), bad)) == "bad_ca_name"
    assert dump(registry) == before
    add(registry, Ca.root(), "a" * 64)


def test_o12_unproven_cas_cannot_pile_up_and_proving_makes_room(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cas_module, "UNPROVEN_COUNT_MAX", 2)
    first = Ca.root("first")
    challenge = challenged(registry, first, "first")
    add(registry, Ca.root("second"), "second")
    with pytest.raises(LimitExceededError) as full:
        add(registry, Ca.root("third"), "third")
    assert full.value.code == "too_many_unproven_cas"
    registry.cas.prove("first", read_proof(first.verification(challenge.code)), actor=WHO, at=NOW)
    add(registry, Ca.root("third"), "third")


# ── renewals ───────────────────────────────────────────────────────────────────────────────────────────────────────


def renewed(old: Ca, subject: str = "Company-X Root", **odd: object) -> Ca:
    extensions = odd.pop("extensions", CA_EXTENSIONS)
    return Ca(build(name(subject), old.key, name(subject), old.key, extensions=extensions, **odd), old.key)  # type: ignore[arg-type]


def test_o13_a_proof_carries_over_to_a_renewal_that_is_no_wider(registry: Registry) -> None:
    root = Ca.root(path_len=2)
    proven(registry, root)
    new = renewed(root, extensions=[(x509.BasicConstraints(True, 1), True)], ends=NOW + 60 * DAY)
    assert registry.cas.add("renewed", new.pem, actor=WHO, at=NOW).state is State.PROVEN
    assert last_act(registry)["details"]["proof_carried_from"] == "company-x"
    assert set(registry.cas.trust().anchors) == {root.der, new.der}


@pytest.mark.parametrize("how", ["key", "subject", "wider_path", "other_purposes", "not_proven"])
def test_o13_anything_else_has_to_be_proven_anew(registry: Registry, how: str) -> None:
    purposes = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    bounded = (x509.BasicConstraints(True, 1), True)
    root = Ca.root(extensions=[bounded, purposes])
    if how == "not_proven":
        add(registry, root)
    else:
        proven(registry, root)
    new = {
        "key": lambda: Ca.root(extensions=[bounded, purposes]),
        "subject": lambda: renewed(root, "Company-X Root 2", extensions=[bounded, purposes]),
        "wider_path": lambda: renewed(root, extensions=[(x509.BasicConstraints(True, None), True), purposes]),
        "other_purposes": lambda: renewed(root, extensions=[bounded]),
    }.get(how, lambda: renewed(root, extensions=[bounded, purposes]))()
    assert registry.cas.add("renewed", new.pem, actor=WHO, at=NOW).state is State.SUBMITTED
    assert new.der not in registry.cas.trust().anchors


def test_o13_a_renewal_is_signed_by_whom_the_tenant_trusts(registry: Registry) -> None:
    """Key and subject are public: whoever writes them into another certificate chooses its days."""
    root = Ca.root()
    factory = root.intermediate("Factory-Y")
    proven(registry, factory)
    again = root.intermediate("Factory-Y", key=factory.key)
    assert registry.cas.add("again", again.pem, actor=WHO, at=NOW).state is State.SUBMITTED
    registry.cas.delete("again", actor=WHO, at=NOW)
    proven(registry, root, "root")
    assert registry.cas.add("again", again.pem, actor=WHO, at=NOW).state is State.PROVEN


@pytest.mark.parametrize("kind", [Kind.KEY, Kind.CERTIFICATE])
def test_o13_r01_a_ca_that_is_closed_vouches_for_no_renewal(registry: Registry, kind: Kind) -> None:
    """root (closed) ─▶ factory, proven │ root ─▶ factory again, with other days: by whoever has root's key."""
    root = Ca.root()
    factory = root.intermediate("Factory-Y")
    proven(registry, root, "root"), proven(registry, factory)
    named = Named.of(Certificate(root.der), kind)
    registry.closures.close([named], actor=WHO, at=NOW)
    again = root.intermediate("Factory-Y", key=factory.key)
    assert registry.cas.add("again", again.pem, actor=WHO, at=NOW).state is State.SUBMITTED
    registry.cas.delete("again", actor=WHO, at=NOW)
    registry.closures.open(named, actor=WHO, at=NOW)
    assert registry.cas.add("again", again.pem, actor=WHO, at=NOW).state is State.PROVEN


# ── moves ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def bring(registry: Registry, ca: Ca, state: State) -> None:
    if state is State.SUBMITTED:
        add(registry, ca)
    elif state is State.CHALLENGED:
        challenged(registry, ca)
    else:
        proven(registry, ca)
        if state is State.DISABLED:
            registry.cas.disable("company-x", actor=WHO, at=NOW)


PUBLIC_MOVES = [move for move in Move if move is not Move.VOID]


@pytest.mark.parametrize(("state", "move"), list(itertools.product(State, PUBLIC_MOVES)))
def test_e10_every_move_from_every_state_leads_where_the_table_says_or_is_refused(
    registry: Registry, state: State, move: Move
) -> None:
    root = Ca.root()
    bring(registry, root, state)
    challenges = registry.database.rows(cas_module.select(cas_module.challenges))
    code = challenges[0]["code"] if challenges else "HFPOP1-" + "A" * 52
    proof = read_proof(root.verification(code))
    calls: dict[Move, Callable[[], object]] = {
        Move.CHALLENGE: lambda: registry.cas.challenge("company-x", actor=WHO, at=NOW),
        Move.PROVE: lambda: registry.cas.prove("company-x", proof, actor=WHO, at=NOW),
        Move.DISABLE: lambda: registry.cas.disable("company-x", actor=WHO, at=NOW),
        Move.ENABLE: lambda: registry.cas.enable("company-x", actor=WHO, at=NOW),
        Move.DELETE: lambda: registry.cas.delete("company-x", actor=WHO, at=NOW),
    }
    before = dump(registry)
    if move not in MOVES[state]:
        with pytest.raises(ConflictError) as refused:
            calls[move]()
        assert refused.value.code == "illegal_move"
        assert dump(registry) == before
        return
    calls[move]()
    after = MOVES[state][move]
    if after is None:
        assert code_of(lambda: registry.cas.find("company-x")) == "unknown_ca"
    else:
        assert registry.cas.find("company-x").state is after
    # I10: the act says what was done; nothing else was recorded, but that a key stays closed whose CA has gone.
    outlives = move is Move.DELETE and state is State.DISABLED
    done = [what for what, _ in recorded(registry)][len(before["acts"]) :]
    assert len(done) == 1 + outlives
    assert ("branch.closed" in done) == outlives


def test_only_what_may_end_an_admission_raises_the_epoch(registry: Registry) -> None:
    def epoch() -> int:
        return registry.cas.trust().epoch

    proven(registry, Ca.root("one"), "one")
    proven(registry, Ca.root("two"), "two")
    start = epoch()
    registry.cas.disable("one", actor=WHO, at=NOW)
    assert epoch() == start + 1
    registry.cas.enable("one", actor=WHO, at=NOW)
    registry.cas.disable("two", actor=WHO, at=NOW)
    registry.cas.delete("two", actor=WHO, at=NOW)
    assert epoch() == start + 2
    registry.cas.delete("one", actor=WHO, at=NOW)
    assert epoch() == start + 3


def test_an_etag_that_was_not_looked_at_lately_stops_a_change(registry: Registry) -> None:
    proven(registry, Ca.root())
    seen = registry.cas.find("company-x").etag
    registry.cas.disable("company-x", actor=WHO, at=NOW, etag=seen)
    assert code_of(lambda: registry.cas.enable("company-x", actor=WHO, at=NOW, etag=seen)) == "etag_mismatch"
    registry.cas.enable("company-x", actor=WHO, at=NOW, etag=registry.cas.find("company-x").etag)


def test_what_is_not_there_is_unknown(registry: Registry) -> None:
    for call in (
        registry.cas.find,
        *(lambda n, m=m: m(n, actor=WHO, at=NOW) for m in (registry.cas.disable, registry.cas.delete)),
    ):
        with pytest.raises(RegistrationError) as unknown:
            call("nobody")
        assert unknown.value.code == "unknown_ca"
