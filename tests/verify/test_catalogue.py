"""Families of the attack catalogue as rules rather than examples: DER and names (D), semantics and trust (T)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import holdfast
from holdfast import Policy, TrustStore, VerificationError, Verifier
from holdfast._holdfast import Certificate

from ..support import der, forge
from ..support.der import explicit, implicit, sequence
from ..support.forge import AT, BASIC, Chain, Extension, basic, constraints, directory, dns, honest, name, p256, san

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAF, TECHNICIAN, FACTORY, ROOT = range(4)


def judge(chain: Chain | list[bytes], at: datetime = AT, **policy: Any) -> tuple[str, int | None] | None:
    """`None` for yes, else code and position; the last certificate is the anchor."""
    *presented, root = chain.encode() if isinstance(chain, Chain) else chain
    try:
        Verifier(TrustStore([root]), Policy(**policy)).verify(presented, at)
    except VerificationError as error:
        return error.code, error.position
    return None


def elements(contents: bytes, at: int = 0) -> Iterator[tuple[int, int, int]]:
    """Where every element of a DER value stands, at any depth: offset of its tag, of its contents, of its end."""
    for _, inside, whole in der.children(contents):
        begin = at + len(whole) - len(inside)
        yield at, begin, at + len(whole)
        if whole[0] & 0x20:
            yield from elements(inside, begin)
        at += len(whole)


def reencode(
    certificate: bytes,
    change: tuple[int, int, int],
    tag: int | None = None,
    length: bytes | None = None,
    tail: bytes = b"",
) -> bytes:
    """The certificate with one element's tag or length written in another way; the lengths around it are made anew."""
    offset, begin, end = change

    def walk(contents: bytes, at: int) -> bytes:
        out = b""
        for kind, inside, whole in der.children(contents):
            start = at + len(whole) - len(inside)
            if (at, start, at + len(whole)) == (offset, begin, end):
                written = der.length(len(inside)) if length is None else length
                out += bytes([kind if tag is None else tag]) + written + inside + tail
            elif kind & 0x20 and at <= offset < at + len(whole):
                out += der.element(kind, walk(inside, start))
            else:
                out += whole
            at += len(whole)
        return out

    return walk(certificate, 0)


def structure(certificate: bytes) -> list[tuple[int, int, int]]:
    """Every element outside of extension values."""
    return list(elements(certificate))


def test_d01_ber_is_refused_at_every_position() -> None:
    """Indefinite and non-minimal lengths, constructed strings: at each of the forty-odd elements of a certificate."""
    good = honest().encode()
    places = structure(good[LEAF])
    assert len(places) > 40
    tried = 0
    for place in places:
        offset, begin, end = place
        kind, size = good[LEAF][offset], end - begin
        odd = {
            "long form": reencode(
                good[LEAF], place, length=b"\x81" + bytes([size]) if size < 0x80 else b"\x83" + size.to_bytes(3)
            ),
            "four octets": reencode(good[LEAF], place, length=b"\x84" + size.to_bytes(4)),
            "five octets": reencode(good[LEAF], place, length=b"\x85" + size.to_bytes(5)),
            "indefinite": reencode(good[LEAF], place, length=b"\x80", tail=b"\x00\x00"),
        }
        if not kind & 0x20:
            odd["constructed"] = reencode(good[LEAF], place, tag=kind | 0x20)
        for what, damaged in odd.items():
            verdict = judge([damaged, *good[1:]])
            assert verdict is not None, (place, what)
            code, position = verdict
            assert position == LEAF, (place, what, verdict)
            assert code.startswith("der_") or code == "invalid_time", (place, what, verdict)
            tried += 1
    assert tried > 200


def test_d02_serial_numbers_are_positive_and_short_in_leaf_and_registration() -> None:
    for serial, fine in ((1, True), ((1 << 159) - 1, True), (0, False), (-1, False), (1 << 160, False)):
        verdict = judge(honest().change(LEAF, serial=der.integer(serial)))
        assert verdict == (None if fine else ("invalid_serial_number", LEAF))
        root = Certificate(honest().change(ROOT, serial=der.integer(serial)).encode()[ROOT])
        if fine:
            root.check_anchor(AT)
        else:
            with pytest.raises(VerificationError, match="invalid_serial_number"):
                root.check_anchor(AT)
    assert judge(honest().change(LEAF, serial=der.integer(0)), lenient_issuance=True) is None
    assert judge(honest().change(LEAF, serial=b"\x02\x02\x00\x01"), lenient_issuance=True) == ("der_bad_value", LEAF)


def test_d01_what_issuers_alone_are_held_to_is_still_der() -> None:
    """Unique and key identifiers under `lenient_issuance`: let through where they are well-formed, and only there."""
    for octets, fine in (
        (b"\x00\x01", True),
        (b"\x00", True),
        (b"\x01\x01", False),
        (b"\x08\x00", False),
        (b"", False),
    ):
        chain = honest().change(LEAF, unique_identifiers=implicit(1, octets))
        assert judge(chain, lenient_issuance=True) == (None if fine else ("der_bad_value", LEAF))
    for arc in (forge.SKI, forge.AKI):
        chain = honest().extend(LEAF, Extension(arc, b"\x05\x00"))
        assert judge(chain, lenient_issuance=True) == ("der_unexpected_tag", LEAF)


def test_d03_nothing_may_follow_anywhere() -> None:
    """One byte more inside of each constructed element, extension values included."""
    good = honest().encode()
    assert judge([good[LEAF] + b"\x00", *good[1:]]) == ("der_trailing_data", LEAF)
    for offset, begin, end in structure(good[LEAF]):
        if good[LEAF][offset] & 0x20:
            inside = good[LEAF][begin:end] + b"\x05\x00"
            damaged = splice(good[LEAF], (offset, begin, end), inside)
            verdict = judge([damaged, *good[1:]])
            assert verdict is not None
            assert verdict[0] in {
                "der_trailing_data",
                "der_unexpected_tag",
                "signature_algorithm_mismatch",
                "unsupported_public_key",
            }
    for extension in honest().tbs[LEAF].extensions or ():
        longer = replace(extension, value=extension.value + b"\x00")
        verdict = judge(
            honest().change(
                LEAF,
                extensions=tuple(
                    longer if one.arc == extension.arc else one for one in honest().tbs[LEAF].extensions or ()
                ),
            )
        )
        assert verdict == ("der_trailing_data", LEAF), extension.arc


def splice(certificate: bytes, place: tuple[int, int, int], inside: bytes) -> bytes:
    """The certificate with the contents of one element replaced."""
    offset, begin, end = place

    def walk(contents: bytes, at: int) -> bytes:
        out = b""
        for kind, within, whole in der.children(contents):
            start = at + len(whole) - len(within)
            if (at, start, at + len(whole)) == (offset, begin, end):
                out += der.element(kind, inside)
            elif kind & 0x20 and at <= offset < at + len(whole):
                out += der.element(kind, walk(within, start))
            else:
                out += whole
            at += len(whole)
        return out

    return walk(certificate, 0)


def test_d04_an_extension_stands_once_whatever_it_is() -> None:
    usual = honest().tbs[LEAF].extensions or ()
    unknown = Extension("1.3.6.1.4.1.55738.1", b"\x05\x00")
    for twice in (*usual, san(dns("a.example")), unknown):
        others = tuple(one for one in usual if one.arc != twice.arc)
        assert judge(honest().change(LEAF, extensions=(*others, twice, replace(twice, critical=False)))) == (
            "duplicate_extension",
            LEAF,
        )
    assert judge(honest().change(LEAF, extensions=(*usual, unknown))) is None


def test_d05_an_unknown_critical_extension_is_refused_in_leaf_intermediate_and_root() -> None:
    for position in range(4):
        unknown = Extension("1.3.6.1.4.1.55738.1", b"\x05\x00")
        assert judge(honest().extend(position, unknown)) is None
        verdict = judge(honest().extend(position, replace(unknown, critical=True)))
        assert verdict == ("unknown_critical_extension", position)


def test_d10_deep_nesting_costs_no_stack() -> None:
    value = b""
    for _ in range(10_000):
        value = sequence(value)
    ignored = Extension("1.3.6.1.4.1.55738.1", value)
    assert judge(honest().extend(LEAF, ignored), chain_bytes_max=1 << 17) is None, "nobody looks into it"
    for arc in (BASIC, forge.EKU, forge.SAN, forge.POLICIES, forge.AKI):
        verdict = judge(honest().extend(LEAF, Extension(arc, value, critical=arc == BASIC)), chain_bytes_max=1 << 17)
        assert verdict is not None
        assert verdict[0].startswith("der_")
    with pytest.raises(VerificationError):
        Certificate(value)


def test_d12_versions_and_their_extensions() -> None:
    v1 = honest().change(LEAF, version=b"", extensions=None)
    assert judge(v1) == ("unsupported_version", LEAF)
    assert judge(v1, lenient_v1_leaf=True) is None
    v1_ca = honest().change(TECHNICIAN, version=b"", extensions=None)
    assert judge(v1_ca, lenient_v1_leaf=True) == ("unsupported_version", TECHNICIAN)
    v2 = honest().change(LEAF, version=explicit(0, der.integer(1)))
    assert judge(v2, lenient_v1_leaf=True) == ("extensions_not_allowed", LEAF)


def test_d13_inner_and_outer_algorithm_are_equal_to_the_byte() -> None:
    sha384, null = der.oid("1.2.840.10045.4.3.3"), der.element(der.NULL)
    for inner in (sequence(sha384), sequence(der.oid("1.2.840.10045.4.3.2"), null)):
        for position in range(4):
            assert judge(honest().change(position, algorithm=inner)) is not None
        assert judge(honest().change(LEAF, algorithm=inner)) == ("signature_algorithm_mismatch", LEAF)


def test_d14_year_9999_means_no_end() -> None:
    forever = honest().change(
        LEAF, validity=sequence(forge.time(forge.BEGIN), der.text("99991231235959Z", der.GENERALIZED_TIME))
    )
    assert judge(forever) is None
    for position in range(1, 4):
        forever = forever.change(position, validity=forever.tbs[LEAF].validity)
    assert judge(forever, at=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)) is None
    pivot = honest().change(
        LEAF, validity=sequence(der.text("500101000000Z", der.UTC_TIME), der.text("491231235959Z", der.UTC_TIME))
    )
    assert judge(pivot) is None, "1950 to 2049"


def test_d15_bit_strings_of_every_odd_form_are_an_answer() -> None:
    odd = (
        b"\x03\x00",
        b"\x03\x01\x00",
        b"\x03\x02\x09\x80",
        b"\x03\x02\x07\xff",
        b"\x03\x02\x00\x80",
        b"\x03\x01\x07",
        b"\x23\x00",
    )
    for value in odd:
        verdict = judge(honest().extend(LEAF, Extension(forge.KEY_USAGE, value, critical=True)))
        assert verdict is not None
        assert verdict[0].startswith("der_")
        technician = p256("technician")
        reasons = forge.idp(implicit(3, value[2:]))
        with pytest.raises(holdfast.ConfigurationError, match="bad_crl"):
            Verifier(TrustStore([]), Policy(crls=(forge.crl("Technician-Z", technician, extensions=[reasons]),)))
        if value[2:] in {b"\x00", b""}:
            break


PEM = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"


def pem(certificate: bytes, label: bytes = b"CERTIFICATE") -> bytes:
    import base64

    return PEM.replace(b"CERTIFICATE", label) % base64.encodebytes(certificate).strip()


def test_d18_d19_a_store_is_made_of_whole_certificates_and_nothing_else() -> None:
    """T16: a bundle that is cut, or holds something else, makes no store; never the part that could be read."""
    root = honest().encode()[ROOT]
    assert len(TrustStore.from_pem(b"# Company-X\n" + pem(root) + b"\ntext between\n")) == 1
    cases = {
        "no_certificate": [b"", b"text", pem(root).replace(b"-----BEGIN", b"-----begin")],
        "bad_pem": [
            pem(root)[:-40],
            pem(root) + b"-----BEGIN CERTIFICATE-----\nMIIB",
            b"-----BEGIN CERTIFICATE-----" * 2_400,
            pem(root).replace(b"MII", b"M!I", 1),
        ],
        "unexpected_pem_block": [
            pem(root) + pem(b"\x30\x00", b"PRIVATE KEY"),
            pem(root) + pem(b"\x30\x00", b"EC PRIVATE KEY"),
            pem(root) + pem(b"\x30\x00", b"X509 CRL"),
            pem(root) + pem(b"\x30\x00", b"CERTIFICATE REQUEST"),
        ],
    }
    for code, texts in cases.items():
        for text in texts:
            with pytest.raises(holdfast.ConfigurationError) as caught:
                TrustStore.from_pem(text)
            assert caught.value.code == code
    for text in (pem(root[:-1]), pem(root + b"\x00"), pem(b"")):
        with pytest.raises(VerificationError, match="der_"):
            TrustStore.from_pem(pem(root) + text)


def test_t04_a_ca_without_key_cert_sign_signs_nothing() -> None:
    for position in (TECHNICIAN, FACTORY, ROOT):
        assert judge(honest().extend(position, forge.key_usage(forge.CRL_SIGN))) == ("key_usage_not_allowed", position)
        assert judge(honest().without(position, forge.KEY_USAGE)) is None, "no key usage allows every use"


def test_t11_an_expired_cross_sign_beside_a_valid_path_does_no_harm() -> None:
    """Factory-Y is certified twice: by an old root, expired, and by a good one. Both roots are registered."""
    old_root = p256("old-root")
    ended = sequence(forge.time(forge.BEGIN), forge.time(datetime(2021, 1, 1, tzinfo=UTC)))
    factory = p256("factory")
    cross = replace(forge.ca("Factory-Y", factory, "Old Root", old_root), validity=ended)
    leaf, technician, good, root = honest().encode()
    old = forge.sign(forge.ca("Old Root", old_root, "Old Root", old_root), old_root)
    expired = forge.sign(cross, old_root)
    for bag in ([expired, good], [good, expired]):
        path = Verifier(TrustStore([old, root]), Policy()).verify([leaf, technician, *bag], AT)
        assert path.common_name == "widget-1"
    with pytest.raises(VerificationError, match="expired"):
        Verifier(TrustStore([old, root]), Policy()).verify([leaf, technician, expired], AT)


def test_t12_constraints_reach_every_kind_of_name() -> None:
    """For each kind: a name inside, one outside, and the same under exclusion; case does not help."""
    host = "factory-y.example"
    kinds = {
        "dns": (dns(host), dns("W." + host.upper()), dns("w.factory-w.example")),
        "wildcard": (dns(host), dns("*." + host), dns("*.factory-w.example")),
        "email": (forge.email(host), forge.email("a@" + host.upper()), forge.email("a@factory-w.example")),
        "uri": (forge.uri(host), forge.uri(f"https://{host}/x"), forge.uri("https://factory-w.example/")),
        "ip": (forge.ip(192, 0, 2, 0, 255, 255, 255, 0), forge.ip(192, 0, 2, 9), forge.ip(192, 0, 3, 9)),
        "directory": (
            directory(sequence(forge.organization("Factory-Y"))),
            directory(name("w", forge.organization("FACTORY-Y", der.PRINTABLE))),
            directory(name("w", forge.organization("Factory-W"))),
        ),
    }
    for kind, (subtree, inside, outside) in kinds.items():
        # A permitted directory name binds subjects too; the technician's constraint binds the device's alone.
        subject = name("widget-1", forge.organization("Factory-Y"))
        base = honest().change(LEAF, subject=subject)
        permit, exclude = (base.extend(TECHNICIAN, constraints(*lists)) for lists in (([subtree], []), ([], [subtree])))
        if kind == "directory":
            exclude = exclude.change(LEAF, subject=name("widget-1"))
        assert (kind, judge(permit.extend(LEAF, san(inside)))) == (kind, None)
        assert (kind, judge(permit.extend(LEAF, san(outside)))) == (kind, ("name_not_permitted", LEAF))
        assert (kind, judge(permit.extend(LEAF, san(inside, outside)))) == (kind, ("name_not_permitted", LEAF))
        assert (kind, judge(exclude.extend(LEAF, san(inside)))) == (kind, ("name_excluded", LEAF))
        assert (kind, judge(exclude.extend(LEAF, san(outside)))) == (kind, None)


def test_t12_self_issued_intermediates_are_exempt_and_the_end_entity_never_is() -> None:
    """leaf ← Technician-Z (self-issued) ← Technician-Z ← Factory-Y (permits factory-y.example) ← root."""
    new, technician = p256("technician-new"), p256("technician")
    base = honest(forge.CLIENT_AUTH, san(dns("w.factory-y.example"))).extend(
        FACTORY, constraints([dns("factory-y.example")])
    )
    rolled = forge.ca("Technician-Z", new, "Technician-Z", technician).with_extension(forge.aki(technician))
    odd = rolled.with_extension(san(dns("technician.elsewhere.example")))
    leaf = base.tbs[LEAF].with_extension(forge.aki(new))
    chain = Chain((leaf, odd, *base.tbs[TECHNICIAN:]), (new, *base.signers))
    assert judge(chain) is None
    self_issued_leaf = replace(leaf, subject=name("Technician-Z")).with_extension(san(dns("w.elsewhere.example")))
    assert judge(Chain((self_issued_leaf, odd, *base.tbs[TECHNICIAN:]), (new, *base.signers))) == (
        "name_not_permitted",
        0,
    )


def test_a_server_is_judged_under_the_name_it_was_called_by() -> None:
    server = honest(forge.SERVER_AUTH, san(dns("*.example.com"), forge.ip(192, 0, 2, 1))).change(
        LEAF, subject=name("s")
    )
    *presented, root = server.encode()
    for called in ("www.example.com", "WWW.EXAMPLE.COM", "www.example.com.", "192.0.2.1"):
        policy = Policy(purpose=holdfast.Purpose.SERVER_AUTH, server_name=called)
        assert Verifier(TrustStore([root]), policy).verify(presented, AT).common_name == "s"
    for fields, code in (
        ({"purpose": holdfast.Purpose.SERVER_AUTH}, "server_name_missing"),
        ({"server_name": "www.example.com"}, "unexpected_server_name"),
        ({"purpose": holdfast.Purpose.SERVER_AUTH, "server_name": "a b"}, "invalid_server_name"),
        ({"certificate_policies": ("1.2.x",)}, "invalid_policy_oid"),
        ({"max_intermediates": -1}, "invalid_policy"),
        ({"crls": 1}, "invalid_policy"),
    ):
        with pytest.raises(holdfast.ConfigurationError) as caught:
            Verifier(TrustStore([root]), Policy(**fields))  # type: ignore[arg-type]
        assert caught.value.code == code


def test_names_match_whatever_their_string_type_case_and_white_space() -> None:
    """RFC 5280 §7.1, as PKITS 4.3.3 to 4.3.11 has it; bytes are compared first."""
    for issuer in (name("TECHNICIAN-Z"), name(" Technician-Z "), name("Technician-Z", tag=der.PRINTABLE)):
        assert judge(honest().change(LEAF, issuer=issuer)) is None
        assert judge(honest().change(FACTORY, issuer=name("company-x  root", tag=der.PRINTABLE))) is None
    assert judge(honest().change(LEAF, issuer=name("Technician Z"))) == ("unknown_issuer", LEAF)


def test_leniencies_move_one_rule_each() -> None:
    base = honest()
    ahead = base.change(LEAF, validity=sequence(forge.time(AT + timedelta(seconds=200)), forge.time(forge.END)))
    assert judge(ahead) == ("not_yet_valid", LEAF)
    assert judge(ahead, lenient_not_before_skew_seconds=200) is None
    assert judge(ahead, lenient_not_before_skew_seconds=199) == ("not_yet_valid", LEAF)
    far = base.change(LEAF, validity=sequence(forge.time(AT + timedelta(seconds=301)), forge.time(forge.END)))
    assert judge(far, lenient_not_before_skew_seconds=10_000) == ("not_yet_valid", LEAF), "300 at most"
    ended = base.change(LEAF, validity=sequence(forge.time(forge.BEGIN), forge.time(AT - timedelta(seconds=1))))
    assert judge(ended, lenient_not_before_skew_seconds=300) == ("expired", LEAF)
    ca_ahead = base.change(TECHNICIAN, validity=ahead.tbs[LEAF].validity)
    assert judge(ca_ahead, lenient_not_before_skew_seconds=300) == ("not_yet_valid", TECHNICIAN)
    assert judge(base.extend(TECHNICIAN, basic(True, critical=False)), lenient_issuance=True) is None
    assert judge(base.extend(TECHNICIAN, basic(False, critical=False)), lenient_issuance=True) == (
        "not_a_ca",
        TECHNICIAN,
    )
