"""Revocation for the whole path (R02): whose list counts, whose key may sign it, what an unknown status means."""

from __future__ import annotations

import resource
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import holdfast
from holdfast import Policy, RevocationDepth, TrustStore, VerificationError, Verifier

from ..support import der, forge
from ..support.der import explicit, implicit, sequence
from ..support.forge import (
    AT,
    CRL_SIGN,
    DELTA,
    KEY_CERT_SIGN,
    Chain,
    Extension,
    Revoked,
    aki,
    crl,
    directory,
    idp,
    name,
    p256,
    points,
    ski,
)
from ..support.forge import key_usage as usage

LEAF, TECHNICIAN, FACTORY, ROOT = range(4)
SERIALS = (0x101, 0x102, 0x103, 0x104)
KEYS = {"Technician-Z": p256("technician"), "Factory-Y": p256("factory"), "Company-X Root": p256("root")}


def base() -> Chain:
    chain = forge.honest()
    for position, serial in enumerate(SERIALS):
        chain = chain.change(position, serial=der.integer(serial))
    return chain


def fresh(**other: bytes) -> tuple[bytes, ...]:
    """A list of nobody for each issuer, but those given in `other` (technician, factory, root)."""
    names = {"technician": "Technician-Z", "factory": "Factory-Y", "root": "Company-X Root"}
    return tuple(other.get(slug) or crl(issuer, KEYS[issuer]) for slug, issuer in names.items())


def judge(crls: tuple[bytes, ...], chain: Chain | None = None, more: tuple[bytes, ...] = (), **policy: Any) -> Any:
    """`None` for yes, else code and position."""
    *presented, root = (chain or base()).encode()
    verifier = Verifier(TrustStore([root]), Policy(crls=crls, **policy))
    try:
        verifier.verify([*presented, *more], AT)
    except VerificationError as error:
        return error.code, error.position
    return None


def test_r02_every_certificate_but_the_anchor_is_asked_for() -> None:
    assert judge(fresh()) is None
    for position, (slug, issuer) in enumerate(
        (("technician", "Technician-Z"), ("factory", "Factory-Y"), ("root", "Company-X Root"))
    ):
        revoked = crl(issuer, KEYS[issuer], Revoked(SERIALS[position], 4))
        assert judge(fresh(**{slug: revoked})) == ("certificate_revoked", position)
    own = crl("Company-X Root", KEYS["Company-X Root"], Revoked(SERIALS[ROOT]))
    assert judge(fresh(root=own)) is None


def test_r02_the_same_serial_number_of_another_issuer_is_another_certificate() -> None:
    everyone = tuple(crl(issuer, key, *(Revoked(serial) for serial in SERIALS[1:])) for issuer, key in KEYS.items())
    assert judge((everyone[0], *fresh()[1:])) is None
    assert judge(everyone) == ("certificate_revoked", FACTORY)


def test_a_revocation_says_why_and_since_when() -> None:
    *presented, root = base().encode()
    revoked = crl("Technician-Z", KEYS["Technician-Z"], Revoked(SERIALS[LEAF], 1))
    (outcome,) = Verifier(TrustStore([root]), Policy(crls=fresh(technician=revoked))).verify_many([presented], AT)
    assert outcome.message == "revoked since 2026-01-01T00:00:00Z, reason keyCompromise"


def test_depth_and_leniencies_are_explicit() -> None:
    stale = crl("Factory-Y", KEYS["Factory-Y"], next_update=AT - timedelta(seconds=1))
    assert judge(fresh(factory=stale)) == ("crl_expired", TECHNICIAN)
    assert judge(fresh(factory=stale), lenient_stale_crls=True) is None
    assert judge(fresh(factory=stale), lenient_unknown_revocation_status=True) is None
    assert judge(fresh(factory=stale), revocation_depth=RevocationDepth.END_ENTITY) is None
    stale_and_revoked = crl(
        "Factory-Y", KEYS["Factory-Y"], Revoked(SERIALS[TECHNICIAN]), next_update=AT - timedelta(seconds=1)
    )
    assert judge(fresh(factory=stale_and_revoked), lenient_stale_crls=True) == ("certificate_revoked", TECHNICIAN)
    assert judge((), lenient_unknown_revocation_status=True) is None
    assert judge(()) == ("crl_missing", FACTORY)
    exactly = crl("Factory-Y", KEYS["Factory-Y"], next_update=AT)
    assert judge(fresh(factory=exactly)) is None


def test_critical_distribution_points_are_understood_where_revocation_is_asked() -> None:
    chain = base().extend(
        LEAF, Extension(forge.CRL_POINTS, points(forge.full_name(forge.uri("http://a/"))).value, critical=True)
    )
    assert judge(fresh(), chain) is None


def test_lists_are_pem_or_der_and_one_each() -> None:
    import base64

    def pem(*lists: bytes) -> bytes:
        blocks = (
            b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(one) + b"-----END X509 CRL-----\n" for one in lists
        )
        return b"".join(blocks)

    assert judge(tuple(map(pem, fresh()))) is None
    for bad in (b"", b"text", pem(*fresh()), fresh()[0] + b"\x00", fresh()[0][:-1]):
        with pytest.raises(holdfast.ConfigurationError) as caught:
            Policy_with(bad)
        assert caught.value.code == "bad_crl"
        assert "crls[1]" in caught.value.message


def Policy_with(bad: bytes) -> Verifier:  # noqa: N802 (reads as what it makes)
    return Verifier(TrustStore([]), Policy(crls=(fresh()[0], bad)))


# ── whose key ──────────────────────────────────────────────────────────────────────────────────────────────────────


def separate(issuer: str, by: forge.Key, *extensions: Extension, serial: int = 0x110) -> bytes:
    """A certificate for signing Technician-Z's lists, issued by `issuer`."""
    key = p256("crl-signer")
    usual = (usage(CRL_SIGN), ski(key), aki(by))
    tbs = forge.Tbs(
        subject=name("Technician-Z"),
        key=key,
        issuer=name(issuer),
        serial=der.integer(serial),
        extensions=extensions or usual,
    )
    return forge.sign(tbs, by)


def test_a_separate_key_signs_lists_if_the_ca_or_one_above_certified_it() -> None:
    lists = fresh(technician=crl("Technician-Z", p256("crl-signer")))
    for issuer, key in KEYS.items():
        if issuer == "Technician-Z":
            continue  # see the next test
        assert judge(lists, more=(separate(issuer, key),)) is None
    assert judge(lists) == ("crl_bad_signature", LEAF)
    widget = separate("widget-1", p256("widget"))
    assert judge(lists, more=(widget,)) == ("crl_bad_signature", LEAF)
    signs_no_lists = separate("Factory-Y", KEYS["Factory-Y"], usage(KEY_CERT_SIGN), aki(KEYS["Factory-Y"]))
    assert judge(lists, more=(signs_no_lists,)) == ("crl_bad_signature", LEAF)
    revoked = crl("Factory-Y", KEYS["Factory-Y"], Revoked(0x110))
    assert judge((lists[0], revoked, lists[2]), more=(separate("Factory-Y", KEYS["Factory-Y"]),)) == (
        "crl_signer_not_trusted",
        LEAF,
    )


def test_a_separate_key_that_the_ca_itself_certified_has_a_status_of_its_own() -> None:
    """Its status must be told by a list that the CA's own key signed; it does not vouch for itself."""
    own = separate("Technician-Z", KEYS["Technician-Z"])
    by_separate = crl("Technician-Z", p256("crl-signer"))
    assert judge(fresh(technician=by_separate), more=(own,)) == ("crl_signer_not_trusted", LEAF)
    both = (*fresh(), by_separate)
    assert judge(both, more=(own,)) is None


def test_after_a_roll_over_the_new_key_signs_lists_of_what_the_old_one_signed() -> None:
    """leaf ← Technician-Z (old key, signed by the new) ← Technician-Z (new key) ← Factory-Y ← root."""
    from dataclasses import replace

    new = p256("technician-new")
    chain = base()
    old = replace(
        forge.ca("Technician-Z", KEYS["Technician-Z"], "Technician-Z", new).with_extension(aki(new)),
        serial=der.integer(0x120),
    )
    newer = replace(
        forge.ca("Technician-Z", new, "Factory-Y", KEYS["Factory-Y"]), serial=der.integer(SERIALS[TECHNICIAN])
    )
    rolled = Chain(
        (chain.tbs[LEAF], old, newer, *chain.tbs[FACTORY:]),
        (KEYS["Technician-Z"], new, *chain.signers[TECHNICIAN:]),
    )
    lists = fresh(technician=crl("Technician-Z", new))
    assert judge(lists, rolled) is None
    revoked = fresh(technician=crl("Technician-Z", new, Revoked(SERIALS[LEAF])))
    assert judge(revoked, rolled) == ("certificate_revoked", LEAF)
    # The other way round the old key would sign for what stands above it.
    old_speaks = fresh(technician=crl("Technician-Z", KEYS["Technician-Z"]))
    assert judge(old_speaks, rolled) == ("crl_bad_signature", TECHNICIAN)


def test_a_ca_further_down_that_takes_the_name_of_one_above_does_not_sign_its_lists() -> None:
    """leaf ← "Factory-Y" (a sub-CA that calls itself so) ← Technician-Z ← Factory-Y ← root; Technician-Z is revoked."""
    from dataclasses import replace

    impostor = p256("impostor")
    chain = base()
    leaf = replace(chain.tbs[LEAF], issuer=name("Factory-Y")).with_extension(aki(impostor))
    sub = replace(forge.ca("Factory-Y", impostor, "Technician-Z", KEYS["Technician-Z"]), serial=der.integer(0x130))
    posing = Chain((leaf, sub, *chain.tbs[TECHNICIAN:]), (impostor, *chain.signers))
    lists = (crl("Factory-Y", impostor), crl("Technician-Z", KEYS["Technician-Z"]), fresh()[2])
    assert judge(lists, posing) == ("crl_bad_signature", 2)


# ── which list ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_lists_of_one_scope_add_up() -> None:
    technician = KEYS["Technician-Z"]
    only_users, only_cas = (idp(implicit(number, b"\xff")) for number in (1, 2))
    users = crl("Technician-Z", technician, extensions=[only_users])
    cas = crl("Technician-Z", technician, Revoked(SERIALS[LEAF]), extensions=[only_cas])
    assert judge((*fresh(technician=users), cas)) is None
    some, others = (idp(implicit(3, der.named_bits(*bits)[2:])) for bits in ((1, 2), (3, 4, 5, 6, 7, 8)))
    compromise = crl("Technician-Z", technician, extensions=[some])
    the_rest = crl("Technician-Z", technician, extensions=[others])
    assert judge((*fresh(technician=compromise), the_rest)) is None
    assert judge(fresh(technician=compromise)) == ("crl_reasons_incomplete", LEAF)
    revoked = crl("Technician-Z", technician, Revoked(SERIALS[LEAF], 1), extensions=[some])
    assert judge((*fresh(technician=revoked), the_rest)) == ("certificate_revoked", LEAF)


def test_a_distribution_point_is_known_by_its_name() -> None:
    technician = KEYS["Technician-Z"]
    here = forge.full_name(forge.uri("http://ca.example/1.crl"), directory(name("Lists", forge.organization("X"))))
    relative = explicit(0, explicit(1, forge.attribute("2.5.4.3", "Lists")))
    listed = {
        "full": (here, forge.full_name(directory(name("LISTS", forge.organization("x", der.PRINTABLE))))),
        "relative": (
            relative,
            forge.full_name(directory(name("Lists", *[part for _, _, part in der.inside(name("Technician-Z"))]))),
        ),
    }
    for what, (in_certificate, in_list) in listed.items():
        chain = base().extend(LEAF, points(in_certificate))
        one = crl("Technician-Z", technician, extensions=[idp(in_list)])
        assert (what, judge(fresh(technician=one), chain)) == (what, None)
    assert judge(fresh(), base().extend(LEAF, points(here))) is None, "a list without a point speaks for all"


def test_a_delta_amends_its_complete_list() -> None:
    technician, leaf = KEYS["Technician-Z"], SERIALS[LEAF]
    held = crl("Technician-Z", technician, Revoked(leaf, 6), number=7)
    assert judge(fresh(technician=held)) == ("certificate_revoked", LEAF)

    def delta(*revoked: Revoked, number: int = 8, base_number: int = 7, **odd: Any) -> bytes:
        indicator = Extension(DELTA, der.integer(base_number), critical=True)
        return crl(
            "Technician-Z", technician, *revoked, number=number, extensions=[indicator, *odd.pop("more", [])], **odd
        )

    assert judge((*fresh(technician=held), delta(Revoked(leaf, 8)))) is None, "removed from hold"
    assert judge((*fresh(), delta())) is None
    assert judge((*fresh(), delta(Revoked(leaf, 1)))) == ("certificate_revoked", LEAF)
    assert judge((*fresh(), delta(Revoked(leaf, 1), number=6, base_number=5))) is None, "older than the complete list"
    assert judge((*fresh(), delta(number=9, base_number=8))) == ("crl_delta_base_missing", LEAF)
    assert judge((*fresh(), delta(next_update=AT - timedelta(days=1)))) == ("crl_expired", LEAF)
    other_scope = idp(implicit(2, b"\xff"))
    assert judge((*fresh(), delta(Revoked(leaf, 1), more=[other_scope]))) is None, "a delta of another scope"
    # What the complete list says stands, where nobody can say that it has changed, however lenient somebody is.
    for unusable in (delta(next_update=AT - timedelta(days=1)), delta(number=9, base_number=8)):
        lists = (*fresh(technician=held), unusable)
        assert judge(lists, lenient_unknown_revocation_status=True) == ("certificate_revoked", LEAF)
    # Each tells all that has changed since its base: the last one counts, in whatever order they were given.
    earlier, later = delta(Revoked(leaf, 8)), delta(Revoked(leaf, 1), number=9)
    for deltas in ((earlier, later), (later, earlier)):
        assert judge((*fresh(technician=held), *deltas)) == ("certificate_revoked", LEAF)
    earlier, later = delta(Revoked(leaf, 1)), delta(Revoked(leaf, 8), number=9)
    for deltas in ((earlier, later), (later, earlier)):
        assert judge((*fresh(technician=held), *deltas)) is None


def test_an_indirect_list_speaks_for_those_who_name_it() -> None:
    """The widget's distribution point names Factory-Y as the issuer of lists about it."""
    factory, leaf = KEYS["Factory-Y"], SERIALS[LEAF]
    chain = base().extend(LEAF, points(explicit(2, directory(name("Factory-Y")))))
    indirect = idp(implicit(4, b"\xff"))

    def lists(*revoked: Revoked, extensions: list[Extension] | None = None) -> tuple[bytes, ...]:
        return crl("Factory-Y", factory, *revoked, extensions=extensions or [indirect]), fresh()[2]

    technician = name("Technician-Z")
    assert judge(lists(), chain) is None
    assert judge(lists(Revoked(leaf, issuer=technician)), chain) == ("certificate_revoked", LEAF)
    assert judge(lists(Revoked(1, issuer=technician), Revoked(leaf)), chain) == ("certificate_revoked", LEAF), (
        "the issuer is that of the entry before"
    )
    assert judge(lists(Revoked(leaf)), chain) is None, "Factory-Y's own certificate of that number"
    assert judge(lists(Revoked(leaf, issuer=name("TECHNICIAN-Z"))), chain) == ("certificate_revoked", LEAF)
    assert judge(fresh()[1:], chain) == ("crl_scope_mismatch", LEAF), (
        "a direct list says nothing of others' certificates"
    )
    assert judge(lists(), base()) == ("crl_missing", LEAF), "not named by the widget"


def test_r02_a_million_entries_in_bounded_memory() -> None:
    """The list is kept once, with four bytes for each entry; what loading needs beside that is bounded too."""
    count = 1_000_000
    moment = forge.time(datetime(2026, 1, 1, tzinfo=UTC))
    entries = b"".join(
        b"\x30\x17\x02\x06" + (0x7000_0000_0000 + number * 7).to_bytes(6) + moment for number in range(count)
    )
    technician = KEYS["Technician-Z"]
    extensions = sequence(aki(technician).encode(), Extension(forge.CRL_NUMBER, der.integer(7)).encode())
    tbs = sequence(
        der.integer(1), technician.algorithm, name("Technician-Z"), moment,
        forge.time(datetime(2026, 12, 1, tzinfo=UTC)),
        der.element(der.SEQUENCE, entries), explicit(0, extensions),
    )  # fmt: skip
    large = sequence(tbs, technician.algorithm, der.bits(technician.sign(tbs)))
    del tbs, entries
    *presented, root = base().encode()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    verifier = Verifier(TrustStore([root]), Policy(crls=fresh(technician=large)))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    tracemalloc.stop()
    # While loading: the list, its offsets, and 40 bytes an entry for the sort.
    assert grown < len(large) + 4 * count + 60 * count
    assert verifier.verify(presented, AT).common_name == "widget-1"
    for number in (0, 1, count // 2, count - 1):
        chain = base().change(LEAF, serial=der.integer(0x7000_0000_0000 + number * 7)).encode()[:-1]
        beside = base().change(LEAF, serial=der.integer(0x7000_0000_0000 + number * 7 + 1)).encode()[:-1]
        outcomes = verifier.verify_many([chain, beside], AT)
        assert [outcome.code for outcome in outcomes] == ["certificate_revoked", None]
