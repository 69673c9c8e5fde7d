"""Intermediates: signed on request, inside what the issuer itself may."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast import IssuanceError, TrustStore, VerificationError, Verifier
from holdfast.authority import (
    Extras,
    Issuer,
    KeyAlgorithm,
    generate_key,
    load_issuer,
    read_request,
    sign_intermediate,
)
from holdfast.verify import Policy

from .papers import (
    AT,
    DAY,
    P256,
    accepted,
    below,
    ca_extension,
    ca_request,
    certificate,
    csr,
    device_request,
    extension,
    issue,
    name_of,
    parsed,
    pem_of,
    refused,
    root,
    usage_extension,
)

if TYPE_CHECKING:
    from holdfast.authority import PrivateKey, Request

PATH_LENS = [None, 0, 1, 2, 3]


def sign(issuer: Issuer, request: Request | None = None, **options: Any) -> Any:
    return sign_intermediate(issuer, request or ca_request(), at=options.pop("at", AT), **options)


# ── what is signed ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_engine_accepts_a_device_below_three_levels(company: Issuer, technician: Issuer) -> None:
    (device,) = issue(technician, device_request())
    assert accepted(company, device.chain) == "widget-1"
    assert len(device.chain) == 3


def test_chains_grow_by_themselves_and_never_hold_the_root(
    company: Issuer, factory: Issuer, technician: Issuer
) -> None:
    assert [one.subject for one in company.chain] == ["CN=Company-X Root"]
    assert [one.subject for one in factory.chain] == ["CN=Factory-Y"]
    assert [one.subject for one in technician.chain] == ["CN=Technician-Z", "CN=Factory-Y"]


def test_an_intermediate_is_a_ca_and_nothing_more(company: Issuer) -> None:
    issued = sign(company, path_len=1)
    assert issued.certificate.issuer == "CN=Company-X Root"
    assert (issued.certificate.is_ca, issued.certificate.path_len) == (True, 1)
    assert extension(issued, x509.BasicConstraints).critical
    usage = extension(issued, x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    assert {type(one.value) for one in parsed(issued).extensions} == {
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.SubjectKeyIdentifier,
        x509.AuthorityKeyIdentifier,
    }


def test_key_identifiers_point_at_the_issuer(company: Issuer) -> None:
    above, issued = extension(company, x509.SubjectKeyIdentifier).value, sign(company)
    assert extension(issued, x509.AuthorityKeyIdentifier).value.key_identifier == above.digest
    own = x509.SubjectKeyIdentifier.from_public_key(parsed(issued).public_key())
    assert extension(issued, x509.SubjectKeyIdentifier).value == own


@pytest.mark.parametrize(("upper", "lower"), list(product(KeyAlgorithm, [P256, KeyAlgorithm.RSA_2048])))
def test_every_algorithm_signs_every_other(upper: KeyAlgorithm, lower: KeyAlgorithm) -> None:
    """Also RSA above ECDSA and the reverse; the hash is that of the signer."""
    top = root(algorithm=upper)
    middle = below(top, "Factory-Y", lower)
    (device,) = issue(middle, device_request(key=generate_key(upper)))
    assert accepted(top, device.chain) == "widget-1"
    wanted = "sha384" if upper is KeyAlgorithm.ECDSA_P384 else "sha256"
    digest = parsed(middle).signature_hash_algorithm
    assert digest is not None
    assert digest.name == wanted


# ── path length ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_word_an_intermediate_signs_devices_only(company: Issuer) -> None:
    lowest = below(company, "Factory-Y")
    assert lowest.certificate.path_len == 0
    assert accepted(company, issue(lowest, device_request())[0].chain) == "widget-1"
    refused("path_len_exceeded", lambda: below(lowest, "Technician-Z"))


@pytest.mark.parametrize(("above", "asked"), [(1, 1), (1, 2), (3, 3), (0, 0)])
def test_t03_refuses_a_path_length_that_the_issuer_does_not_have(above: int, asked: int) -> None:
    issuer = root(path_len=above)
    refused("path_len_exceeded", lambda: sign(issuer, path_len=asked))


@pytest.mark.parametrize("above", [1, 3])
def test_accepts_the_largest_path_length_that_the_issuer_has(above: int) -> None:
    assert sign(root(path_len=above), path_len=above - 1).certificate.path_len == above - 1


@pytest.mark.parametrize(("top", "first", "second"), list(product(PATH_LENS, [0, 1, 2], [0, 1])))
def test_t03_whatever_is_signed_the_engine_accepts(top: int | None, first: int, second: int) -> None:
    """root(top) → one(first) → two(second) → device, as far down as it is signed."""
    company = lowest = root(path_len=top)
    for name, path_len in (("one", first), ("two", second)):
        if lowest.path_len is not None and path_len >= lowest.path_len:
            refused("path_len_exceeded", lambda: below(lowest, name, path_len=path_len))  # noqa: B023 (called here)
            break
        lowest = below(lowest, name, path_len=path_len)
        assert lowest.path_len == path_len
    assert accepted(company, issue(lowest, device_request())[0].chain) == "widget-1"


@pytest.mark.parametrize("top", [0, 1, 2])
def test_t03_what_is_refused_the_engine_would_refuse(top: int) -> None:
    """root(top) → as many CAs as that allows → one more, by another tool → device."""
    company = lowest = root(path_len=top)
    for depth in range(top):
        lowest = below(lowest, f"level-{depth}", path_len=top - depth - 1)
    refused("path_len_exceeded", lambda: below(lowest, "one too many"))
    key = generate_key()
    forced = certificate("one too many", key, parsed(lowest).subject, lowest.key, ca_extension())
    leaf = certificate("widget-1", generate_key(), name_of("one too many"), key)
    with pytest.raises(VerificationError) as caught:
        accepted(company, [leaf, forced, *lowest.presented])
    assert caught.value.code == "path_len_exceeded"


def test_refuses_an_issuer_that_stands_lower_than_its_own_chain_allows() -> None:
    """root(pathlen 1) → one → two, as another tool would sign it; two's file holds the whole chain."""
    top, one, two = root(path_len=1), generate_key(), generate_key()
    first = certificate("one", one, parsed(top).subject, top.key, ca_extension())
    second = certificate("two", two, name_of("one"), one, ca_extension())
    chain = pem_of(second, first, top.certificate.der)
    refused("path_len_exceeded", lambda: load_issuer(certificates=chain, key=two, at=AT))
    assert load_issuer(certificates=pem_of(first, top.certificate.der), key=one, at=AT).path_len == 0


def test_t03_a_path_length_that_widens_on_the_way_down_gains_nothing() -> None:
    """root(pathlen 1) → one(pathlen 5), as another tool would sign it: nothing but devices below."""
    top, key = root(path_len=1), generate_key()
    der = certificate("one", key, parsed(top).subject, top.key, ca_extension(5))
    one = load_issuer(certificates=pem_of(der, top.certificate.der), key=key, at=AT)
    assert one.path_len == 0
    refused("path_len_exceeded", lambda: below(one, "two"))
    assert accepted(top, issue(one, device_request())[0].chain) == "widget-1"


def test_p09_refuses_a_chain_deeper_than_the_hub_accepts(company: Issuer) -> None:
    issuer = company
    for depth in range(Policy().max_intermediates):
        issuer = below(issuer, f"level-{depth}", path_len=20 - depth)
    (device,) = issue(issuer, device_request())
    assert accepted(company, device.chain) == "widget-1"
    refused("max_intermediates_exceeded", lambda: sign(issuer))


# ── validity ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_refuses_to_outlast_the_issuer(company: Issuer) -> None:
    left = company.not_after - AT
    refused("validity_exceeds_issuer", lambda: sign(company, validity=left + timedelta(seconds=1)))


def test_accepts_to_last_as_long_as_the_issuer(company: Issuer) -> None:
    assert sign(company, validity=company.not_after - AT).certificate.not_after == company.not_after


def test_without_a_word_lasts_ten_years_or_as_long_as_the_chain_above() -> None:
    assert sign(root()).certificate.not_after == AT + 3650 * DAY
    assert sign(root(validity=30 * DAY)).certificate.not_after == AT + 30 * DAY


def test_the_shortest_of_the_whole_chain_above_counts() -> None:
    """root 10 days → one, by another tool, 20 days → two: nothing lasts more than 10."""
    top, key = root(validity=10 * DAY), generate_key()
    der = certificate("one", key, parsed(top).subject, top.key, ca_extension(), ends=AT + 20 * DAY)
    issuer = load_issuer(certificates=pem_of(der, top.certificate.der), key=key, at=AT)
    assert sign(issuer).certificate.not_after == AT + 10 * DAY
    refused("validity_exceeds_issuer", lambda: sign(issuer, validity=11 * DAY))


def test_never_begins_before_its_issuer() -> None:
    top = root()
    later = AT - timedelta(minutes=4)
    assert sign(top, at=later).certificate.not_before == top.certificate.not_before
    assert sign(top, at=AT + DAY).certificate.not_before == AT + DAY - timedelta(minutes=5)


def test_t10_refuses_an_expired_issuer_and_one_that_has_not_begun(company: Issuer) -> None:
    key, pem = company.key, company.pem
    end, begin = company.not_after, company.certificate.not_before
    refused("expired", lambda: load_issuer(certificates=pem, key=key, at=end + timedelta(seconds=1)))
    refused("not_yet_valid", lambda: load_issuer(certificates=pem, key=key, at=begin - timedelta(seconds=1)))
    assert load_issuer(certificates=pem, key=key, at=end).key is key
    assert load_issuer(certificates=pem, key=key, at=begin).key is key


def test_refuses_to_sign_after_the_issuer_ended(company: Issuer) -> None:
    for late in (company.not_after + timedelta(seconds=1), company.not_after + 30 * DAY):
        refused("expired", lambda: sign(company, at=late))  # noqa: B023 (called here)
        refused("expired", lambda: issue(company, device_request(), at=late))  # noqa: B023
    assert sign(company, at=company.not_after).certificate.not_after == company.not_after


# ── issuers that are none ──────────────────────────────────────────────────────────────────────────────────────────


def issuer_of(*extensions: tuple[x509.ExtensionType, bool]) -> None:
    key = generate_key()
    der = certificate("Company-X", key, name_of("Company-X"), key, *extensions)
    load_issuer(certificates=pem_of(der), key=key, at=AT)


def test_accepts_a_ca_without_key_usage() -> None:
    issuer_of(ca_extension())


@pytest.mark.parametrize(
    ("code", "extensions"),
    [
        ("not_a_ca", []),
        ("not_a_ca", [(x509.BasicConstraints(ca=False, path_length=None), True)]),
        ("key_usage_not_allowed", [ca_extension(), usage_extension("digital_signature", "crl_sign")]),
        (
            "extended_key_usage_not_allowed",
            [ca_extension(), (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)],
        ),
        (
            "unknown_critical_extension",
            [ca_extension(), (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b""), True)],
        ),
    ],
)
def test_t01_t04_t06_refuses_to_sign_with_what_is_no_ca(
    code: str, extensions: list[tuple[x509.ExtensionType, bool]]
) -> None:
    refused(code, lambda: issuer_of(*extensions))


def test_t02_refuses_to_sign_with_a_device(technician: Issuer) -> None:
    key = generate_key()
    (device,) = issue(technician, device_request(key=key))
    refused("not_a_ca", lambda: load_issuer(certificates=device.pem, key=key, at=AT))


def test_refuses_a_key_that_belongs_to_another_certificate(company: Issuer, factory: Issuer) -> None:
    refused("key_mismatch", lambda: load_issuer(certificates=company.pem, key=factory.key, at=AT))
    refused("key_mismatch", lambda: load_issuer(certificates=company.pem, key=generate_key(), at=AT))


class TokenKey(ec.EllipticCurvePrivateKey):
    """A key that can be asked to sign and to show its public half, as one in hardware; both may be other keys."""

    def __init__(self, shown: PrivateKey, used: PrivateKey) -> None:
        assert isinstance(shown, ec.EllipticCurvePrivateKey)
        assert isinstance(used, ec.EllipticCurvePrivateKey)
        self.shown, self.used = shown, used

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self.shown.public_key()

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        return self.used.sign(data, signature_algorithm)

    @property
    def curve(self) -> ec.EllipticCurve:
        return self.shown.curve

    @property
    def key_size(self) -> int:
        return self.shown.key_size

    def exchange(self, algorithm: Any, peer_public_key: Any) -> Any:
        raise NotImplementedError

    private_numbers = private_bytes = __copy__ = __deepcopy__ = exchange


def test_a_key_that_never_leaves_its_token_signs_like_one_in_a_file(company: Issuer) -> None:
    issuer = load_issuer(certificates=company.pem, key=TokenKey(company.key, company.key), at=AT)
    (device,) = issue(below(issuer, "Factory-Y"), device_request())
    assert accepted(company, device.chain) == "widget-1"


def test_what_a_key_signs_that_only_poses_as_the_certificates_is_not_handed_out(company: Issuer) -> None:
    issuer = load_issuer(certificates=company.pem, key=TokenKey(company.key, generate_key()), at=AT)
    refused("bad_signature", lambda: sign(issuer))
    refused("bad_signature", lambda: issue(issuer, device_request()))


def test_refuses_a_chain_in_another_order(technician: Issuer) -> None:
    own, above = technician.chain
    refused(
        "issuer_name_mismatch",
        lambda: load_issuer(certificates=pem_of(above.der, own.der), key=technician.key, at=AT),
    )


def test_t07_refuses_a_chain_through_another_ca_of_the_same_name(technician: Issuer) -> None:
    other = below(root(), "Factory-Y", path_len=1)
    chain = pem_of(technician.certificate.der, other.certificate.der)
    refused("bad_signature", lambda: load_issuer(certificates=chain, key=technician.key, at=AT))


def test_a_root_in_the_file_is_judged_with_it_and_left_out_of_what_is_presented(
    company: Issuer, factory: Issuer
) -> None:
    chain = factory.pem + company.pem
    issuer = load_issuer(certificates=chain, key=factory.key, at=AT)
    assert issuer.presented == (factory.certificate.der,)
    assert accepted(company, issue(issuer, device_request())[0].chain) == "widget-1"


@pytest.mark.parametrize("kind", [0x03, 0x05, 0x1B, 0x30])
def test_refuses_an_issuer_whose_name_cannot_be_read(kind: int) -> None:
    """A name that is no string: to the engine it is as good as another, but it could not be copied."""
    key = generate_key()
    der = certificate("Company-X", key, name_of("Company-X"), key, ca_extension())
    der = der.replace(b"\x0c\x09Company-X", bytes([kind]) + b"\x09Company-X")
    refused("issuer_unreadable", lambda: load_issuer(certificates=der, key=key, at=AT))


def test_a_ca_certificate_with_one_bit_flipped_is_refused_or_signs_what_the_engine_accepts() -> None:
    """The signature of an anchor is nobody's business, so some flips pass; none does anything else."""
    key = generate_key()
    whole = certificate("Company-X", key, name_of("Company-X"), key, ca_extension(1), usage_extension("key_cert_sign"))
    passed = 0
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            try:
                issuer = load_issuer(certificates=bytes(flipped), key=key, at=AT)
                (device,) = issue(issuer, device_request())
            except IssuanceError:
                continue
            assert accepted(issuer, device.chain) == "widget-1"
            passed += 1
    assert 0 < passed < 8 * len(whole) // 2


# ── CAs that were bought ───────────────────────────────────────────────────────────────────────────────────────────


def bought(**options: Any) -> tuple[Issuer, bytes]:
    """A CA whose certificate a provider made with its own tools, as its owner holds it: alone, not self-signed."""
    provider, key = generate_key(KeyAlgorithm.RSA_4096), generate_key()
    subject = options.pop("subject", name_of("Company-X Issuing CA"))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(name_of("Provider Root"))
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(AT - DAY)
        .not_valid_after(AT + 100 * DAY)
        .add_extension(*ca_extension(2))
        .add_extension(*usage_extension("key_cert_sign", "crl_sign", "digital_signature"))
        .add_extension(
            x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), None)]),
            False,
        )
    )
    der = builder.sign(provider, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    return load_issuer(certificates=der, key=key, at=AT), der


def test_a_bought_ca_signs_like_a_self_made_root() -> None:
    """DER, no subject key identifier, a policy that binds nobody, signed with RSA by a provider that is not in it."""
    company, der = bought()
    assert company.path_len == 2
    device = issue(below(below(company, "Factory-Y", path_len=1), "Technician-Z"), device_request())[0]
    assert accepted(der, device.chain) == "widget-1"
    assert len(device.chain) == 4  # who will be the anchor is not known here, so all of it is presented
    assert accepted(der, device.chain[:3]) == "widget-1"


def test_a_bought_cas_name_is_copied_byte_for_byte() -> None:
    """Names match by their DER: a BMPString, as old providers write it, must not become a UTF8String."""
    common_name = x509.NameAttribute(NameOID.COMMON_NAME, "Company-X", _type=x509.name._ASN1Type.BMPString)
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Old", _type=x509.name._ASN1Type.PrintableString)
    company, der = bought(subject=x509.Name([organization, common_name]))
    assert accepted(der, issue(below(company, "Factory-Y"), device_request())[0].chain) == "widget-1"


# ── requests ───────────────────────────────────────────────────────────────────────────────────────────────────────


def asked(*extensions: tuple[x509.ExtensionType, bool], subject: str = "Factory-Y") -> Request:
    return read_request(csr(subject, *extensions))


@pytest.mark.parametrize(
    "extensions",
    [
        [],
        [ca_extension()],
        [ca_extension(7)],
        [ca_extension(), usage_extension("key_cert_sign")],
        [(x509.SubjectKeyIdentifier(b"my label"), False)],
    ],
)
def test_accepts_a_request_that_asks_for_no_more_than_it_gets(
    company: Issuer, extensions: list[tuple[x509.ExtensionType, bool]]
) -> None:
    issued = sign(company, asked(*extensions))
    assert issued.certificate.path_len == 0
    assert issued.ignored == ()


SAN = (x509.SubjectAlternativeName([x509.DNSName("hub.example")]), False)
CONSTRAINTS = (x509.NameConstraints([x509.DNSName("example")], None), True)
UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False)
SERVER = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)


@pytest.mark.parametrize(
    ("asks", "named"),
    [
        (SAN, "SubjectAlternativeName (2.5.29.17)"),
        (CONSTRAINTS, "NameConstraints (2.5.29.30)"),
        (SERVER, "ExtendedKeyUsage (2.5.29.37)"),
        (usage_extension("key_cert_sign", "digital_signature"), "KeyUsage (2.5.29.15)"),
        (UNKNOWN, "1.2.3.4"),
    ],
)
def test_e09_refuses_extensions_that_are_not_granted_or_leaves_them_out_and_says_so(
    company: Issuer, asks: tuple[x509.ExtensionType, bool], named: str
) -> None:
    request = asked(ca_extension(), asks)
    assert named in refused("extension_not_granted", lambda: sign(company, request)).message
    issued = sign(company, request, extras=Extras.IGNORE)
    assert issued.ignored == (named,)
    assert [one.value for one in parsed(issued).extensions] == [
        one.value for one in parsed(sign(company, request, extras=Extras.IGNORE)).extensions
    ]
    assert asks[0] not in [one.value for one in parsed(issued).extensions]


def test_refuses_to_make_a_ca_of_a_device(company: Issuer) -> None:
    refused("request_asks_for_device", lambda: sign(company, device_request()))
    refused("request_asks_for_device", lambda: sign(company, device_request(), extras=Extras.IGNORE))


@pytest.mark.parametrize("name", ["Company-X Root", "Factory-Y", "COMPANY-X root"])
def test_refuses_a_ca_that_would_pass_for_one_above(factory: Issuer, name: str) -> None:
    """A CA of its issuer's own name is self-issued, and path lengths do not count those (RFC 5280 §6.1.4 (l))."""
    refused("subject_taken", lambda: sign(factory, ca_request(name)))


def test_accepts_a_ca_whose_name_only_resembles_one_above(factory: Issuer) -> None:
    assert sign(factory, ca_request("Factory-Y 2")).certificate.subject == "CN=Factory-Y 2"


def test_what_a_self_issued_ca_would_have_gained() -> None:
    """root(pathlen 1) → one → "one" again, self-issued → device: the engine lets it pass, so it must not be signed."""
    top = root(path_len=1)
    one = below(top, "one")
    twin = generate_key()
    again = certificate("one", twin, name_of("one"), one.key, ca_extension())
    leaf = certificate("widget-1", generate_key(), name_of("one"), twin)
    assert accepted(top, [leaf, again, one.certificate.der]) == "widget-1"
    refused("path_len_exceeded", lambda: sign(one, ca_request("one", twin)))


def test_refuses_an_empty_subject(company: Issuer) -> None:
    refused("issuer_name_empty", lambda: sign(company, read_request(csr(x509.Name([]), ca_extension()))))


@pytest.mark.parametrize("name", ["Factory\x00-Y", "Factory\r\n-Y", "\x1b[2JFactory-Y", "Factory-\u202eY"])
def test_d06_refuses_a_subject_that_cannot_be_shown(company: Issuer, name: str) -> None:
    refused("subject_invalid", lambda: sign(company, read_request(csr(name))))


@pytest.mark.filterwarnings("ignore:Attribute's length must be")
def test_refuses_a_subject_that_would_fill_every_chain_below(company: Issuer) -> None:
    def request(size: int) -> Request:
        units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 50)] * 15
        rest = size - len(x509.Name([*units, *name_of("x")]).public_bytes()) + 1
        subject = x509.Name([*units, x509.NameAttribute(NameOID.COMMON_NAME, "x" * rest, _validate=False)])
        assert len(subject.public_bytes()) == size
        return read_request(csr(subject))

    assert len(parsed(sign(company, request(1024))).subject.rdns) == 16
    refused("subject_invalid", lambda: sign(company, request(1025)))


@pytest.mark.parametrize(
    "subject",
    [
        name_of("HFPOP1-" + "A" * 52),
        name_of("hfpop1-x"),
        name_of("Factory-Y", "HFPOP1-" + "A" * 52),
        x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "HFPOP1-x"), *name_of("Factory-Y")]),
    ],
)
def test_o04_refuses_to_sign_a_possession_code(company: Issuer, subject: x509.Name) -> None:
    refused("common_name_reserved", lambda: sign(company, read_request(csr(subject))))


@pytest.mark.parametrize(
    ("code", "key", "digest"),
    [
        ("weak_public_key", rsa.generate_private_key(65537, 1024), hashes.SHA256()),
        ("public_key_too_large", rsa.generate_private_key(65537, 4104), hashes.SHA256()),
        ("unsupported_public_key", ec.generate_private_key(ec.SECP256K1()), hashes.SHA256()),
    ],
)
def test_s08_p13_refuses_keys_that_the_engine_would_refuse(company: Issuer, code: str, key: Any, digest: Any) -> None:
    request = read_request(csr("Factory-Y", key=key, digest=digest))
    refused(code, lambda: sign(company, request))
    refused(code, lambda: issue(company, request))


def test_refuses_a_key_of_a_kind_that_is_never_issued() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = x509.CertificateSigningRequestBuilder().subject_name(name_of("Factory-Y")).sign(key, None)
    refused("unsupported_public_key", lambda: read_request(pem.public_bytes(serialization.Encoding.PEM)))


def test_another_tool_judges_the_chain_alike(company: Issuer, technician: Issuer) -> None:
    """`cryptography`'s own verifier, which asks for a subject alternative name in end entities, on the CA part."""
    for lower, upper in ((technician.chain[0], technician.chain[1]), (technician.chain[1], company.certificate)):
        parsed(lower).verify_directly_issued_by(parsed(upper))
    verifier = Verifier(TrustStore([company.certificate.der]), Policy())
    assert verifier.verify(issue(technician, device_request())[0].chain, AT).not_after == AT + 1825 * DAY
