"""Every way we know to damage a chain, each one fact away from a chain that is accepted, with its one right code.

`docs/damaged-chains.md` is made from this file: `python -m tests.damaged`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..support import der, forge
from ..support.der import explicit, implicit, sequence
from ..support.forge import (
    AIA,
    AKI,
    AT,
    BASIC,
    BEGIN,
    CE,
    CLIENT_AUTH,
    CRL_NUMBER,
    CRL_SIGN,
    DELTA,
    DIGITAL_SIGNATURE,
    EKU,
    KEY_CERT_SIGN,
    KEY_USAGE,
    NAME_CONSTRAINTS,
    POLICIES,
    SAN,
    SERVER_AUTH,
    SKI,
    Chain,
    Extension,
    Key,
    Revoked,
    aki,
    basic,
    constraints,
    crl,
    directory,
    dns,
    eku,
    email,
    full_name,
    honest,
    idp,
    inhibit_any,
    ip,
    key_usage,
    mappings,
    name,
    organization,
    other_name,
    p256,
    points,
    policies,
    policy_constraints,
    san,
    ski,
    time,
    uri,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEAF, TECHNICIAN, FACTORY, ROOT = range(4)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Case:
    """One damage. `chain` is what is presented (the root left out), `anchors` what is trusted."""

    group: str
    slug: str
    what: str
    code: str
    position: int | None
    chain: list[bytes]
    anchors: list[bytes]
    policy: dict[str, Any] = field(default_factory=dict)
    at: datetime = AT
    near: Callable[[], tuple[list[bytes], list[bytes], dict[str, Any], datetime]] | None = None
    """The nearest chain that is accepted: chain, anchors, policy, time."""


class Recipes:
    """Collects cases of one group after another."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.group = ""
        self.base = honest()
        self.policy: dict[str, Any] = {}
        self.at = AT

    def begin(self, group: str, base: Chain | None = None, at: datetime = AT, **policy: Any) -> None:
        """The next cases belong to `group` and are one fact from `base`, which is accepted under `policy`."""
        self.group, self.base, self.policy, self.at = group, base or honest(), policy, at

    def add(
        self,
        slug: str,
        what: str,
        code: str,
        position: int | None,
        chain: Chain | list[bytes],
        *,
        anchors: list[bytes] | None = None,
        base: Chain | None = None,
        at: datetime | None = None,
        **policy: Any,
    ) -> None:
        near, near_policy, near_at = base or self.base, self.policy, self.at
        encoded = chain.encode() if isinstance(chain, Chain) else chain
        presented, trusted = (encoded[:-1], encoded[-1:]) if anchors is None else (encoded, anchors)

        def nearest() -> tuple[list[bytes], list[bytes], dict[str, Any], datetime]:
            *good, root = near.encode()
            return good, [root], near_policy, near_at

        judged = {**self.policy, **policy}
        when = at or self.at
        self.cases.append(Case(self.group, slug, what, code, position, presented, trusted, judged, when, nearest))


def cut(encoded: list[bytes], position: int, change: Callable[[bytes], bytes]) -> list[bytes]:
    """The chain with the bytes of one certificate changed."""
    return [change(one) if place == position else one for place, one in enumerate(encoded)]


def reopen(certificate: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The certificate with its three parts changed; lengths are made anew, the signature is not."""
    return sequence(*change([whole for _, _, whole in der.inside(certificate)]))


# fmt: off
# ── the groups ─────────────────────────────────────────────────────────────────────────────────────────────────────


def encoding(make: Recipes) -> None:
    make.begin("Encoding")
    good = honest().encode()
    usual = make.base.tbs[LEAF].extensions or ()

    def damaged(slug: str, what: str, code: str, change: Callable[[bytes], bytes], position: int = LEAF) -> None:
        make.add(slug, what, code, position, cut(good, position, change))

    damaged("empty", "the certificate is no bytes at all", "der_truncated", lambda _: b"")
    damaged("cut-in-the-middle", "the certificate is cut after 200 bytes", "der_truncated", lambda one: one[:200])
    damaged("last-byte-missing", "the certificate lacks its last byte", "der_truncated", lambda one: one[:-1])
    damaged("trailing-zero", "a zero byte follows the certificate", "der_trailing_data", lambda one: one + b"\x00")
    damaged("two-in-one", "another certificate follows the certificate", "der_trailing_data", lambda one: one + one)
    damaged("pem-text", "the certificate is PEM text", "der_unexpected_tag", lambda _: b"-----BEGIN CERTIFICATE-----")
    damaged("a-set", "the certificate is a SET", "der_unexpected_tag", lambda one: b"\x31" + one[1:])
    damaged("a-key", "a public key stands in for the certificate", "der_unexpected_tag", lambda _: p256("widget").spki)
    damaged("indefinite-length", "the certificate's length is indefinite (BER)", "der_bad_length",
        lambda one: b"\x30\x80" + one[4:] + b"\x00\x00")
    damaged("long-length-form", "the certificate's length has a leading zero (BER)", "der_bad_length",
        lambda one: b"\x30\x83\x00" + one[2:])
    damaged("five-byte-length", "the certificate's length takes five bytes", "der_bad_length",
        lambda one: b"\x30\x85\x00\x00\x00" + one[2:])
    damaged("length-bomb", "the certificate claims two gigabytes", "der_truncated",
        lambda one: b"\x30\x84\x7f\xff\xff\xff" + one[4:])
    damaged("signature-with-unused-bits", "the signature is no whole number of bytes", "der_bad_value",
        lambda one: reopen(one, lambda parts: [*parts[:2], der.bits(b"\x80" * 70, unused=1)]))
    damaged("fourth-part", "the certificate has a fourth part", "der_trailing_data", lambda one: reopen(one,
        lambda parts: [*parts, der.element(der.NULL)]))
    damaged("no-signature", "the certificate has no signature", "der_truncated", lambda one: reopen(one,
        lambda parts: parts[:2]))
    damaged("in-an-intermediate", "Factory-Y's certificate lacks its last byte", "der_truncated", lambda one: one[:-1],
        FACTORY)

    def change(slug: str, what: str, code: str, **fields: Any) -> None:
        make.add(slug, what, code, LEAF, make.base.change(LEAF, **fields))

    change("boolean-one", "a critical flag is 1 instead of 255", "der_bad_value", extensions_der=explicit(3,
        sequence(sequence(der.oid(BASIC), b"\x01\x01\x01", der.octets(sequence())))))
    change("critical-false", "a critical flag is written although it is false", "der_bad_value",
        extensions_der=explicit(3, sequence(sequence(der.oid(BASIC), b"\x01\x01\x00", der.octets(sequence())))))
    change("no-extension-in-list", "the list of extensions is empty", "der_truncated", extensions_der=explicit(3,
        sequence()))
    change("padded-serial", "the serial number has a superfluous zero", "der_bad_value",
        serial=b"\x02\x05\x00\x12\x34\x56\x78")
    change("serial-of-no-octets", "the serial number has no octets", "der_bad_value", serial=b"\x02\x00")
    change("version-one-written", "version 1 is written although it is the default", "der_bad_value",
        version=explicit(0, der.integer(0)))
    change("oid-padded", "an object identifier begins an arc with a zero", "der_bad_value",
        algorithm=sequence(b"\x06\x09\x2a\x86\x48\xce\x3d\x04\x03\x80\x02"))
    change("empty-rdn", "the subject has an RDN of no attributes", "der_truncated", subject=sequence(der.set_of()))
    unordered = der.set_of(forge.attribute("2.5.4.3", "widget-1"), forge.attribute("2.5.4.3", "a"))
    change("unordered-rdn", "the attributes of an RDN are out of order", "der_bad_value", subject=sequence(unordered))
    change("data-after-extensions", "the signed part goes on after the extensions", "der_trailing_data",
        more=der.element(der.NULL))
    change("constructed-serial", "the serial number is a constructed INTEGER", "der_unexpected_tag",
        serial=b"\x22\x03\x02\x01\x07")
    change("data-in-extension", "an extension's value is followed by a byte", "der_trailing_data",
        extensions=(*usual[1:], Extension(BASIC, sequence() + b"\x00", critical=True)))
    deep = (*usual[1:], Extension(BASIC, nest(10_000), critical=True))
    make.add("nested-ten-thousand", "an extension nests ten thousand SEQUENCEs", "der_unexpected_tag", LEAF,
        make.base.change(LEAF, extensions=deep), chain_bytes_max=1 << 17)


def nest(levels: int) -> bytes:
    value = b""
    for _ in range(levels):
        value = sequence(value)
    return value


def fields(make: Recipes) -> None:
    make.begin("Fields")
    base = make.base

    def change(slug: str, what: str, code: str, position: int = LEAF, **odd: Any) -> None:
        make.add(slug, what, code, position, base.change(position, **odd))

    change("version-1", "a device of version 1, without extensions", "unsupported_version", version=b"",
        extensions=None)
    change("version-1-ca", "an intermediate of version 1", "unsupported_version", TECHNICIAN, version=b"",
        extensions=None)
    change("version-1-root", "a root of version 1", "unsupported_version", ROOT, version=b"", extensions=None)
    change("version-2", "a device of version 2", "unsupported_version", version=explicit(0, der.integer(1)),
        extensions=None)
    change("version-4", "a device of version 4", "unsupported_version", version=explicit(0, der.integer(3)))
    change("version-1-extensions", "extensions in version 1", "extensions_not_allowed", version=b"")
    change("version-2-extensions", "extensions in version 2", "extensions_not_allowed", version=explicit(0,
        der.integer(1)))
    change("serial-zero", "the serial number is zero", "invalid_serial_number", serial=der.integer(0))
    change("serial-negative", "the serial number is negative", "invalid_serial_number", serial=der.integer(-5))
    change("serial-21-octets", "the serial number has 21 octets", "invalid_serial_number", serial=der.integer(1 << 160))
    change("serial-zero-ca", "an intermediate's serial number is zero", "invalid_serial_number", FACTORY,
        serial=der.integer(0))
    change("issuer-unique-id", "an issuer unique identifier", "unique_identifier", unique_identifiers=implicit(1,
        b"\x00\x01"))
    change("subject-unique-id", "a subject unique identifier", "unique_identifier", unique_identifiers=implicit(2,
        b"\x00\x01"))
    change("algorithms-differ", "the algorithm inside is another than outside", "signature_algorithm_mismatch",
        algorithm=sequence(der.oid("1.2.840.10045.4.3.3")))
    change("algorithm-parameters-differ", "the algorithm inside has parameters, outside none",
        "signature_algorithm_mismatch", algorithm=sequence(der.oid("1.2.840.10045.4.3.2"), der.element(der.NULL)))
    without_name = base.change(ROOT, subject=sequence(), issuer=sequence()).change(FACTORY, issuer=sequence())
    make.add("root-without-subject", "a root with an empty subject", "issuer_name_empty", ROOT, without_name)
    change("no-name-at-all", "neither a subject nor an alternative name", "subject_empty", subject=sequence())
    no_subject = base.change(LEAF, subject=sequence()).extend(LEAF, san(dns("widget-1.example"), critical=True))
    make.add("san-not-critical", "no subject, and the alternative name is not critical", "extension_must_be_critical",
        LEAF, base.change(LEAF, subject=sequence()).extend(LEAF, san(dns("widget-1.example"))), base=no_subject)


def validity(make: Recipes) -> None:
    make.begin("Validity")
    base = make.base
    names = {LEAF: "the device", TECHNICIAN: "Technician-Z", FACTORY: "Factory-Y", ROOT: "the root"}
    for position, who in names.items():
        narrow = base.change(position, validity=sequence(time(AT - SECOND), time(AT + SECOND)))
        slug = who.removeprefix("the ").lower()
        make.add(f"{slug}-expired", f"{who} ended a second ago", "expired", position, narrow, base=base,
            at=AT + 2 * SECOND)
        make.add(f"{slug}-not-yet", f"{who} begins in a second", "not_yet_valid", position, narrow, base=base,
            at=AT - 2 * SECOND)
    make.add("ends-before-it-begins", "the device's validity ends before it begins", "not_yet_valid", LEAF,
        base.change(LEAF, validity=sequence(time(AT + SECOND), time(AT - SECOND))))

    def odd(slug: str, what: str, value: str, tag: int, code: str = "invalid_time") -> None:
        changed = base.change(LEAF, validity=sequence(time(BEGIN), der.text(value, tag)))
        make.add(slug, what, code, LEAF, changed)

    odd("no-z", "a time without its Z", "491231235959", der.UTC_TIME)
    odd("no-seconds", "a time without seconds", "4912312359Z", der.UTC_TIME)
    odd("offset", "a time with an offset", "491231235959+0000", der.UTC_TIME)
    odd("fraction", "a time with a fraction", "20501231235959.5Z", der.GENERALIZED_TIME)
    odd("month-13", "a thirteenth month", "491331235959Z", der.UTC_TIME)
    odd("february-30", "the thirtieth of February", "480230235959Z", der.UTC_TIME)
    odd("second-60", "a leap second", "491231235960Z", der.UTC_TIME)
    odd("generalized-before-2050", "GeneralizedTime for 2049", "20491231235959Z", der.GENERALIZED_TIME)
    odd("printable-time", "a time that is a PrintableString", "491231235959Z", der.PRINTABLE)


def keys(make: Recipes) -> None:
    make.begin("Keys and signatures")
    base = make.base
    point = der.inside(p256("widget").spki)[1][1][1:]
    ec_public = der.oid("1.2.840.10045.2.1")
    p256_curve = der.oid("1.2.840.10045.3.1.7")

    def spki(
        slug: str, what: str, code: str, algorithm: bytes, bits: bytes, position: int = LEAF, **policy: Any
    ) -> None:
        make.add(slug, what, code, position, base.change(position, spki=sequence(algorithm, der.bits(bits))), **policy)

    def rsa_key(modulus: int, exponent: int) -> bytes:
        return sequence(der.integer(modulus), der.integer(exponent))

    rsa_algorithm = sequence(der.oid("1.2.840.113549.1.1.1"), der.element(der.NULL))
    spki("explicit-curve", "P-256 described by its parameters instead of its name", "explicit_curve_parameters",
        sequence(ec_public, explicit_p256()), point)
    spki("swapped-generator", "P-256's parameters with another generator (CVE-2020-0601)", "explicit_curve_parameters",
        sequence(ec_public, explicit_p256(generator=b"\x04" + b"\x07" * 64)), point)
    spki("implicit-curve", "a curve inherited from the issuer", "unsupported_public_key", sequence(ec_public,
        der.element(der.NULL)), point)
    spki("p192", "a key on P-192", "unsupported_public_key", sequence(ec_public, der.oid("1.2.840.10045.3.1.1")),
        b"\x04" + b"\x07" * 48)
    spki("secp256k1", "a key on secp256k1", "unsupported_public_key", sequence(ec_public, der.oid("1.3.132.0.10")),
        point)
    spki("compressed-point", "a compressed point", "point_form_not_supported", sequence(ec_public, p256_curve),
        b"\x02" + point[1:33])
    spki("hybrid-point", "a point in hybrid form", "point_form_not_supported", sequence(ec_public, p256_curve),
        b"\x06" + point[1:])
    spki("point-at-infinity", "the point at infinity", "point_form_not_supported", sequence(ec_public, p256_curve),
        b"\x00")
    spki("point-of-another-curve", "a P-384 point said to be on P-256", "point_form_not_supported", sequence(ec_public,
        p256_curve), b"\x04" + b"\x07" * 96)
    spki("dsa-key", "a DSA key", "unsupported_public_key", sequence(der.oid("1.2.840.10040.4.1")), der.integer(7))
    spki("x25519-key", "a key for key agreement", "unsupported_public_key", sequence(der.oid("1.3.101.110")),
        b"\x07" * 32)
    spki("ed25519-short", "an Ed25519 key of 31 bytes", "unsupported_public_key", sequence(der.oid("1.3.101.112")),
        b"\x07" * 31)
    spki("ed25519-parameters", "an Ed25519 key with parameters", "unsupported_public_key",
        sequence(der.oid("1.3.101.112"), der.element(der.NULL)), b"\x07" * 32)
    spki("rsa-1024", "an RSA key of 1024 bits", "weak_public_key", rsa_algorithm, rsa_key((1 << 1024) - 105, 65537))
    spki("rsa-1024-ca", "an intermediate with an RSA key of 1024 bits", "weak_public_key", rsa_algorithm,
        rsa_key((1 << 1024) - 105, 65537), TECHNICIAN)
    spki("rsa-2049", "an RSA key of 2049 bits", "weak_public_key", rsa_algorithm, rsa_key((1 << 2049) - 1, 65537))
    spki("rsa-even", "an even RSA modulus", "weak_public_key", rsa_algorithm, rsa_key((1 << 2048) - 2, 65537))
    spki("rsa-exponent-1", "an RSA exponent of 1", "weak_public_key", rsa_algorithm, rsa_key((1 << 2048) - 1, 1))
    spki("rsa-exponent-even", "an even RSA exponent", "weak_public_key", rsa_algorithm, rsa_key((1 << 2048) - 1, 65536))
    spki("rsa-16384", "an RSA key of 16384 bits", "public_key_too_large", rsa_algorithm, rsa_key((1 << 16384) - 1,
        65537))
    spki("rsa-huge-exponent", "an RSA exponent of 4000 bits", "public_key_too_large", rsa_algorithm,
        rsa_key((1 << 4096) - 1, (1 << 4000) - 1))
    spki("rsa-negative", "a negative RSA modulus", "der_bad_value", rsa_algorithm, rsa_key(-(1 << 2048) + 1, 65537))
    spki("rsa-no-null", "an RSA key without its NULL", "unsupported_public_key",
        sequence(der.oid("1.2.840.113549.1.1.1")), rsa_key((1 << 2048) - 1, 65537))
    make.add("kind-not-allowed", "a key of a kind that the policy leaves out", "key_algorithm_not_allowed", LEAF, base,
        key_algorithms=frozenset({"rsa"}))
    make.add("ml-dsa-not-asked-for", "an ML-DSA key under a policy that does not ask for it",
        "key_algorithm_not_allowed", LEAF, base.change(LEAF,
        spki=sequence(sequence(der.oid("2.16.840.1.101.3.4.3.17")), der.bits(b"\x07" * 1312))))

    def algorithm(slug: str, what: str, code: str, identifier: bytes, position: int = LEAF) -> None:
        changed = base.change(position, algorithm=identifier).signed(position, algorithm=identifier,
            signature=b"\x07" * 70)
        make.add(slug, what, code, position, changed)

    null = der.element(der.NULL)
    algorithm("sha1-rsa", "signed with SHA-1 and RSA", "weak_signature_algorithm",
        sequence(der.oid("1.2.840.113549.1.1.5"), null))
    algorithm("md5-rsa", "signed with MD5 and RSA", "weak_signature_algorithm",
        sequence(der.oid("1.2.840.113549.1.1.4"), null))
    algorithm("md2-rsa", "signed with MD2 and RSA", "weak_signature_algorithm",
        sequence(der.oid("1.2.840.113549.1.1.2"), null))
    algorithm("sha1-ecdsa", "signed with SHA-1 and ECDSA", "weak_signature_algorithm",
        sequence(der.oid("1.2.840.10045.4.1")))
    algorithm("sha1-dsa", "signed with SHA-1 and DSA", "weak_signature_algorithm",
        sequence(der.oid("1.2.840.10040.4.3")))
    algorithm("sha1-ca", "an intermediate signed with SHA-1", "weak_signature_algorithm",
        sequence(der.oid("1.2.840.10045.4.1")), TECHNICIAN)
    algorithm("pss-with-sha1", "PSS with its default, SHA-1", "weak_signature_algorithm",
        sequence(der.oid("1.2.840.113549.1.1.10"), sequence()))
    algorithm("pss-hashes-differ", "PSS whose mask has another hash", "unsupported_signature_algorithm",
        sequence(der.oid("1.2.840.113549.1.1.10"), forge.pss_parameters(1, 2, 32)))
    algorithm("pss-short-salt", "PSS with a salt of 20 bytes", "unsupported_signature_algorithm",
        sequence(der.oid("1.2.840.113549.1.1.10"), forge.pss_parameters(1, 1, 20)))
    algorithm("pss-trailer", "PSS with another trailer", "unsupported_signature_algorithm",
        sequence(der.oid("1.2.840.113549.1.1.10"), forge.pss_parameters(1, 1, 32, explicit(3, der.integer(2)))))
    algorithm("sha224", "signed with SHA-224", "unsupported_signature_algorithm",
        sequence(der.oid("1.2.840.10045.4.3.1")))
    algorithm("sha3", "signed with SHA3-256", "unsupported_signature_algorithm",
        sequence(der.oid("2.16.840.1.101.3.4.3.10")))
    algorithm("ecdsa-null", "an ECDSA algorithm with NULL parameters", "unsupported_signature_algorithm",
        sequence(der.oid("1.2.840.10045.4.3.2"), null))
    algorithm("rsa-under-ec-key", "an RSA signature said to be by an EC key", "signature_key_mismatch",
        sequence(der.oid("1.2.840.113549.1.1.11"), null))
    algorithm("ed25519-under-ec-key", "an Ed25519 signature said to be by an EC key", "signature_key_mismatch",
        sequence(der.oid("1.3.101.112")))

    good = base.encode()
    flip = lambda one: one[:-1] + bytes([one[-1] ^ 1])  # noqa: E731
    make.add("signature-bit-flipped", "one bit of the signature is flipped", "bad_signature", LEAF, cut(good, LEAF,
        flip))
    make.add("signature-bit-flipped-ca", "one bit of an intermediate's signature is flipped", "bad_signature", FACTORY,
        cut(good, FACTORY, flip))
    changed = cut(good, LEAF, lambda one: one.replace(b"widget-1", b"widget-2"))
    make.add("name-changed-after-signing", "the device's name was changed after signing", "bad_signature", LEAF,
        changed)
    make.add("signature-of-zeros", "the signature is r = s = 0 (CVE-2022-21449)", "bad_signature", LEAF,
        base.signed(LEAF, signature=sequence(der.integer(0), der.integer(0))))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    make.add("signature-of-the-order", "the signature is r = s = n", "bad_signature", LEAF, base.signed(LEAF,
        signature=sequence(der.integer(order), der.integer(order))))
    make.add("signature-empty", "the signature is empty", "bad_signature", LEAF, base.signed(LEAF, signature=b""))
    make.add("signature-trailing", "a byte follows inside of the signature", "bad_signature", LEAF, base.signed(LEAF,
        signature=forge.p256("technician").sign(base.tbs[LEAF].encode(forge.ECDSA_SHA256)) + b"\x00"))
    make.add("signed-by-itself", "the device signed its own certificate in the technician's name", "bad_signature",
        LEAF, base.signed(LEAF, signer=p256("widget")))
    make.add("signed-by-the-factory", "Factory-Y signed in Technician-Z's name", "bad_signature", LEAF,
        base.signed(LEAF, signer=p256("factory")))
    twin = base.change(ROOT, key=p256("twin"), extensions=forge.ca("Company-X Root", p256("root"), "Company-X Root",
        p256("root")).extensions)
    make.add("twin-root", "a root of the same name and key identifier, with another key", "bad_signature", FACTORY,
        twin.signed(ROOT, signer=p256("twin")))
    off_curve = sequence(sequence(ec_public, p256_curve), der.bits(b"\x04" + b"\x07" * 64))
    make.add("issuer-key-off-curve", "the issuer's key is no point of its curve", "bad_signature", LEAF,
        base.change(TECHNICIAN, spki=off_curve))


def explicit_p256(generator: bytes | None = None) -> bytes:
    """P-256 as `ECParameters` with everything written out."""
    prime = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    g = bytes.fromhex(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    field_id = sequence(der.oid("1.2.840.10045.1.1"), der.integer(prime))
    curve = sequence(der.octets((prime - 3).to_bytes(32)), der.octets(b.to_bytes(32)))
    return sequence(der.integer(1), field_id, curve, der.octets(generator or g), der.integer(order), der.integer(1))


def extensions(make: Recipes) -> None:
    make.begin("Extensions")
    base = make.base
    private = "1.3.6.1.4.1.55738.666.7"
    for position, who in ((LEAF, "the device"), (TECHNICIAN, "an intermediate"), (ROOT, "the root")):
        make.add(f"unknown-critical-{position}", f"{who} has a critical extension that nobody knows",
            "unknown_critical_extension", position, base.extend(position, Extension(private, b"\x05\x00",
            critical=True)), base=base.extend(position, Extension(private, b"\x05\x00")))
    make.add("critical-distribution-points", "critical distribution points, where revocation is not asked",
        "unknown_critical_extension", LEAF, base.extend(LEAF, Extension(forge.CRL_POINTS, sequence(sequence()),
        critical=True)), base=base.extend(LEAF, Extension(forge.CRL_POINTS, sequence(sequence()))))
    twice = tuple(base.tbs[LEAF].extensions or ())
    make.add("basic-twice", "basic constraints twice, FALSE and TRUE", "duplicate_extension", LEAF, base.change(LEAF,
        extensions=(*twice, basic(True))))
    make.add("san-twice", "alternative names twice", "duplicate_extension", LEAF, base.change(LEAF, extensions=(*twice,
        san(dns("a.example")), san(dns("b.example")))))
    make.add("unknown-twice", "an extension that nobody knows, twice", "duplicate_extension", LEAF, base.change(LEAF,
        extensions=(*twice, Extension(private, b"\x05\x00"), Extension(private, b"\x05\x00"))))
    many = tuple(Extension(f"1.3.6.1.4.1.55738.666.{number}", b"\x05\x00") for number in range(60))
    make.add("sixty-five", "65 extensions", "too_many_extensions", LEAF, base.change(LEAF, extensions=(*twice, *many)),
        base=base.change(LEAF, extensions=(*twice, *many[:59])))

    def malformed(slug: str, what: str, code: str, extension: Extension, position: int = LEAF) -> None:
        make.add(slug, what, code, position, base.extend(position, extension))

    malformed("basic-not-a-sequence", "basic constraints that are a BOOLEAN", "der_unexpected_tag", Extension(BASIC,
        der.TRUE, critical=True))
    malformed("basic-negative-pathlen", "a negative path length", "der_bad_value", Extension(BASIC, sequence(der.TRUE,
        der.integer(-1)), critical=True), TECHNICIAN)
    malformed("pathlen-without-ca", "a path length where CA is not asserted", "path_len_without_ca", Extension(BASIC,
        sequence(der.integer(0)), critical=True))
    malformed("key-usage-empty", "key usage with no bit set", "der_bad_value", Extension(KEY_USAGE, der.named_bits(),
        critical=True))
    malformed("key-usage-no-octets", "key usage that is an empty BIT STRING", "der_bad_value", Extension(KEY_USAGE,
        b"\x03\x00", critical=True))
    malformed("key-usage-nine-unused", "key usage with nine unused bits", "der_bad_value", Extension(KEY_USAGE,
        b"\x03\x02\x09\x80", critical=True))
    malformed("key-usage-padding", "key usage with a padding bit set", "der_bad_value", Extension(KEY_USAGE,
        b"\x03\x02\x07\xc0", critical=True))
    malformed("key-usage-trailing-zeros", "key usage with trailing zero bits kept", "der_bad_value",
        Extension(KEY_USAGE, b"\x03\x02\x00\x80", critical=True))
    malformed("eku-empty", "extended key usage that lists nothing", "der_truncated", Extension(EKU, sequence()))
    malformed("san-empty", "alternative names that list nothing", "der_bad_value", Extension(SAN, sequence()))
    malformed("san-text", "alternative names that are text", "der_unexpected_tag", Extension(SAN, b"widget-1.example"))
    malformed("san-unknown-kind", "an alternative name of no known kind", "der_unexpected_tag", Extension(SAN,
        sequence(implicit(9, b"x"))))
    malformed("san-constructed-dns", "a constructed DNS name", "der_unexpected_tag", Extension(SAN,
        sequence(explicit(2, der.text("a", der.IA5)))))
    malformed("san-not-ascii", "a DNS name with a byte above 127", "general_name_invalid",
        san(dns(b"w\xe9dget.example")))
    malformed("san-short-address", "an address of three octets", "general_name_invalid", san(ip(192, 0, 2)))
    malformed("aia-malformed", "authority information access that is no list", "der_unexpected_tag", Extension(AIA,
        der.octets(b"")))
    malformed("policies-empty", "certificate policies that list nothing", "der_truncated", Extension(POLICIES,
        sequence()))
    malformed("policy-twice", "a certificate policy twice", "duplicate_policy", policies("1.2.3.4", "1.2.3.4"))
    malformed("policy-qualifiers-empty", "a policy with an empty list of qualifiers", "der_bad_value",
        Extension(POLICIES, sequence(sequence(der.oid("1.2.3.4"), sequence()))))
    make.begin("What is asked of issuers")
    malformed("critical-aki", "a critical authority key identifier", "extension_must_not_be_critical",
        aki(p256("technician"), critical=True))
    malformed("critical-ski", "a critical subject key identifier", "extension_must_not_be_critical",
        ski(p256("widget"), critical=True))
    malformed("critical-aia", "critical authority information access", "extension_must_not_be_critical", Extension(AIA,
        sequence(sequence(der.oid("1.3.6.1.5.5.7.48.2"), uri("http://ca.example/"))), critical=True))
    malformed("basic-not-critical", "an intermediate whose basic constraints are not critical",
        "extension_must_be_critical", basic(True, critical=False), TECHNICIAN)
    malformed("basic-not-critical-root", "a root whose basic constraints are not critical",
        "extension_must_be_critical", basic(True, critical=False), ROOT)
    malformed("constraints-not-critical", "name constraints that are not critical", "extension_must_be_critical",
        constraints([dns("example")], critical=False), FACTORY)
    malformed("policy-constraints-not-critical", "policy constraints that are not critical",
        "extension_must_be_critical", Extension(CE + "36", sequence(implicit(0, b"\x09"))), FACTORY)
    malformed("inhibit-any-not-critical", "inhibitAnyPolicy that is not critical", "extension_must_be_critical",
        Extension(CE + "54", der.integer(9)), FACTORY)
    make.add("aki-missing", "a subject key identifier, but no authority key identifier",
        "authority_key_identifier_missing", LEAF, base.without(LEAF, AKI), base=base.without(LEAF, AKI, SKI))
    make.add("aki-missing-ca", "an intermediate without authority key identifier", "authority_key_identifier_missing",
        FACTORY, base.without(FACTORY, AKI))
    make.add("ski-missing-root", "a root without the key identifier that its subordinate points to",
        "subject_key_identifier_missing", ROOT, base.without(ROOT, SKI))
    make.add("ski-missing-ca", "an intermediate without the key identifier that the device points to",
        "subject_key_identifier_missing", TECHNICIAN, base.without(TECHNICIAN, SKI))
    malformed("aki-empty", "an authority key identifier that says nothing", "authority_key_identifier_incomplete",
        Extension(AKI, sequence()))
    malformed("aki-issuer-alone", "an authority key identifier with an issuer and no serial number",
        "authority_key_identifier_incomplete", aki(p256("technician"), explicit(1, directory(name("Factory-Y")))))


def roles(make: Recipes) -> None:
    make.begin("Who may sign, and what")
    base = make.base
    make.add("device-signs-device", "a device's certificate signs another device", "not_a_ca", TECHNICIAN,
        base.extend(TECHNICIAN, basic(False)))
    make.add("no-basic-constraints", "an intermediate without basic constraints", "not_a_ca", TECHNICIAN,
        base.without(TECHNICIAN, BASIC))
    make.add("root-no-ca", "a root that is no CA", "not_a_ca", ROOT, base.extend(ROOT, basic(False)))
    make.add("root-no-basic-constraints", "a root without basic constraints", "not_a_ca", ROOT, base.without(ROOT,
        BASIC))
    for position, who in ((TECHNICIAN, "an intermediate"), (ROOT, "a root")):
        make.add(f"no-cert-sign-{position}", f"{who} whose key usage lacks keyCertSign", "key_usage_not_allowed",
            position, base.extend(position, key_usage(CRL_SIGN)))
    make.add("no-digital-signature", "a device whose key usage lacks digitalSignature", "key_usage_not_allowed", LEAF,
        base.extend(LEAF, key_usage(2)))
    make.add("ca-as-device", "a CA presented as a device", "ca_used_as_end_entity", LEAF, base.extend(LEAF,
        basic(True)))
    make.add("cert-sign-device", "a device that may sign certificates", "ca_used_as_end_entity", LEAF,
        base.extend(LEAF, key_usage(DIGITAL_SIGNATURE, KEY_CERT_SIGN)))
    encoded = base.encode()
    make.add("root-as-device", "the root presented as a device", "ca_used_as_end_entity", LEAF, encoded[-1:],
        anchors=encoded[-1:])
    make.add("intermediate-as-device", "Technician-Z presented as a device", "ca_used_as_end_entity", LEAF,
        encoded[1:3], anchors=encoded[-1:])
    make.add("path-len-root", "two intermediates under a root that allows one", "path_len_exceeded", TECHNICIAN,
        base.extend(ROOT, basic(True, 1)), base=base.extend(ROOT, basic(True, 2)))
    make.add("path-len-factory", "an intermediate under one that allows none", "path_len_exceeded", TECHNICIAN,
        base.extend(FACTORY, basic(True, 0)), base=base.extend(FACTORY, basic(True, 1)))
    make.add("path-len-widened", "a path length that a CA further down widens", "path_len_exceeded", TECHNICIAN,
        base.extend(ROOT, basic(True, 1)).extend(FACTORY, basic(True, 9)), base=base.extend(FACTORY, basic(True, 9)))
    make.add("max-intermediates", "two intermediates under a policy that allows one", "max_intermediates_exceeded",
        TECHNICIAN, base, max_intermediates=1)

    make.begin("Purpose")
    for slug, what, usage in (
        ("server-only", "a device for serverAuth alone", eku(SERVER_AUTH)),
        ("mail-only", "a device for emailProtection alone", eku("1.3.6.1.5.5.7.3.4")),
        ("any-purpose", "a device for anyExtendedKeyUsage", eku(EKU + ".0")),
        ("private-purpose", "a device for a purpose of somebody's own", eku("1.3.6.1.4.1.55738.666.8")),
    ):
        make.add(slug, what, "extended_key_usage_not_allowed", LEAF, base.extend(LEAF, usage))
    make.add("ca-for-servers", "an intermediate limited to serverAuth", "extended_key_usage_not_allowed", TECHNICIAN,
        base.extend(TECHNICIAN, eku(SERVER_AUTH)), base=base.extend(TECHNICIAN, eku(SERVER_AUTH, CLIENT_AUTH)))
    make.add("root-for-servers", "a root limited to serverAuth", "extended_key_usage_not_allowed", ROOT,
        base.extend(ROOT, eku(SERVER_AUTH)), base=base.extend(ROOT, eku(EKU + ".0")))
    make.add("no-purpose", "a device without extended key usage, where the policy wants one",
        "extended_key_usage_missing", LEAF, base.without(LEAF, EKU), require_extended_key_usage=True)


def names(make: Recipes) -> None:
    make.begin("Chaining")
    base = make.base
    good = base.encode()
    root = good[-1:]
    make.add("intermediate-missing", "Technician-Z's certificate is not presented", "unknown_issuer", LEAF, [good[0],
        good[2]], anchors=root)
    make.add("upper-intermediate-missing", "Factory-Y's certificate is not presented", "unknown_issuer", TECHNICIAN,
        good[:2], anchors=root)
    make.add("stranger", "a chain of another company", "unknown_issuer", FACTORY, base.change(FACTORY,
        issuer=name("Company-W Root")).encode()[:3], anchors=root)
    make.add("self-signed-device", "a device that signed its own certificate in its own name", "unknown_issuer", LEAF,
        base.change(LEAF, issuer=name("widget-1")) .without(LEAF, AKI, SKI) .signed(LEAF,
        signer=p256("widget")) .encode()[:3], anchors=root)
    make.add("nobody-trusted", "nobody is trusted", "unknown_issuer", FACTORY, good[:3], anchors=[])
    make.add("issuer-longer", "the issuer's name has a letter more", "unknown_issuer", LEAF, base.change(LEAF,
        issuer=name("Technician-ZZ")))
    make.add("issuer-other-attribute", "the issuer's name is an organization instead of a common name",
        "unknown_issuer", LEAF, base.change(LEAF, issuer=sequence(organization("Technician-Z"))))
    make.add("issuer-accent", "the issuer's name differs in the case of a letter outside of ASCII", "unknown_issuer",
        LEAF, base.change(LEAF, issuer=name("TÉCHNICIAN")).change(TECHNICIAN, subject=name("téchnician")),
        base=base.change(LEAF, issuer=name("TÉCHNICIAN")).change(TECHNICIAN, subject=name("TéCHNICIAN".replace("é",
        "É"))))
    for slug, what, value, tag in (
        ("name-not-utf8", "a name that is not UTF-8", b"widget-\xe9", der.UTF8),
        ("name-latin-1", "a PrintableString with a letter of Latin-1", b"widget-\xe9", der.PRINTABLE),
        ("name-half-a-letter", "a BMPString of an odd number of bytes", b"\0w\0", der.BMP),
        ("name-of-no-type", "a name with a tag of its own", b"widget-1", 0x8C),
    ):
        make.add(slug, what, "der_bad_value", LEAF, base.change(LEAF, subject=sequence(der.set_of(sequence(
            der.oid("2.5.4.3"), der.element(tag, value))))))
    for slug, what, code, malformed, well in (
        ("other-name-without-value", "an other name without a value", "der_truncated",
            explicit(0, der.oid("1.2.3")), other_name()),
        ("registered-id-not-minimal", "a registered id with a leading zero", "der_bad_value",
            implicit(8, b"\x2a\x80\x03"), implicit(8, b"\x2a\x03")),
    ):
        make.add(slug, what, code, LEAF, base.extend(LEAF, san(malformed)), base=base.extend(LEAF, san(well)))
    make.add("no-chain", "no certificate at all", "empty_chain", None, [], anchors=root)
    make.add("eleven", "eleven certificates", "too_many_certificates", None, [*good[:3], *root * 8], anchors=root)
    padding_extension = Extension("1.3.6.1.4.1.55738.666.9", b"\x04\x82\x80\x00" + bytes(0x8000))
    make.add("too-large", "more than 32 KiB of certificates", "chain_too_large", None, base.extend(LEAF,
        padding_extension))

    def look_alikes() -> list[bytes]:
        twins = [forge.ca("S", p256(f"twin-{number}"), "S", p256("s")) for number in range(8)]
        leaf = base.tbs[LEAF].without(AKI, SKI)
        signed = [forge.sign(replace(leaf, issuer=name("S")), p256("s"))]
        return signed + [forge.sign(twin, p256("nobody")) for twin in twins]

    anchor = forge.sign(forge.ca("S", p256("anchor"), "S", p256("anchor")), p256("anchor"))
    make.add("look-alikes", "eight CAs of the anchor's name, none of which it signed", "budget_exceeded", None,
        look_alikes(), anchors=[anchor])


def name_constraints(make: Recipes) -> None:
    inside = san(dns("widget-1.factory-y.example"))
    base = honest(CLIENT_AUTH, inside)
    make.begin("Name constraints", base)

    def constrain(
        slug: str,
        what: str,
        code: str,
        extension: Extension,
        *names: bytes,
        near: Extension | None = None,
        subject: bytes | None = None,
        position: int = LEAF,
    ) -> None:
        """The device has `names`; Factory-Y has the constraints `extension`, in the accepted case those of `near`."""
        leaf = base.extend(LEAF, san(*names)) if names else base
        if subject is not None:
            leaf = leaf.change(LEAF, subject=subject)
        if names == (b"",):
            leaf = leaf.without(LEAF, SAN)
        accepted = leaf.extend(FACTORY, near) if near is not None else leaf
        make.add(slug, what, code, position, leaf.extend(FACTORY, extension), base=accepted)

    own, other = "factory-y.example", "factory-w.example"
    constrain("dns-not-permitted", "a DNS name outside of the permitted subtree", "name_not_permitted",
        constraints([dns(other)]), near=constraints([dns(own)]))
    constrain("dns-excluded", "a DNS name inside of an excluded subtree", "name_excluded", constraints([], [dns(own)]),
        near=constraints([], [dns(other)]))
    constrain("dns-excluded-second", "the second of two DNS names is excluded", "name_excluded", constraints([],
        [dns(other)]), dns(f"a.{own}"), dns(f"a.{other}"), near=constraints([], [dns("nobody.example")]))
    constrain("dns-permitted-and-excluded", "a DNS name both permitted and excluded", "name_excluded",
        constraints([dns("example")], [dns(own)]), near=constraints([dns("example")], [dns(other)]))
    constrain("dns-excluded-case", "an excluded DNS name in other letters", "name_excluded", constraints([],
        [dns(own.upper())]))
    constrain("dns-not-a-label", "a DNS name that only ends like the permitted one", "name_not_permitted",
        constraints([dns(own)]), dns(f"evil{own}"), near=constraints([dns("example")]))
    constrain("dns-everything-excluded", "every DNS name is excluded", "name_excluded", constraints([], [dns("")]),
        near=constraints([dns("")]))
    constrain("wildcard-over-excluded", "a wildcard that could stand for an excluded name (CVE-2025-61727)",
        "name_excluded", constraints([], [dns(f"host.{own}")]), dns(f"*.{own}"), near=constraints([],
        [dns(f"deep.host.{own}")]))
    constrain("wildcard-over-permitted", "a wildcard wider than the permitted name", "name_not_permitted",
        constraints([dns(f"host.{own}")]), dns(f"*.{own}"), near=constraints([dns(own)]))
    constrain("dns-malformed", "a DNS name that begins with a period, under a constraint", "general_name_invalid",
        constraints([dns(own)]), dns(f".{own}"))
    constrain("ip-not-permitted", "an address outside of the permitted network", "name_not_permitted",
        constraints([ip(192, 0, 2, 0, 255, 255, 255, 0)]), ip(192, 0, 3, 1), near=constraints([ip(192, 0, 2, 0, 255,
        255, 254, 0)]))
    constrain("ip-excluded", "an address inside of an excluded network", "name_excluded", constraints([], [ip(192, 0,
        2, 0, 255, 255, 255, 0)]), ip(192, 0, 2, 1), near=constraints([], [ip(192, 0, 3, 0, 255, 255, 255, 0)]))
    constrain("ip6-under-ip4", "an IPv6 address where IPv4 alone is permitted", "name_not_permitted",
        constraints([ip(0, 0, 0, 0, 0, 0, 0, 0)]), ip(*[0x20, 1, 0xD, 0xB8], *[0] * 11, 1),
        near=constraints([ip(*[0] * 32)]))
    constrain("mail-not-permitted", "a mailbox at a host below the permitted one", "name_not_permitted",
        constraints([email(own)]), email(f"a@mail.{own}"), near=constraints([email("." + own)]))
    constrain("mail-excluded", "an excluded mailbox", "name_excluded", constraints([], [email(f"root@{own}")]),
        email(f"root@{own}"), near=constraints([], [email(f"ROOT@{own}")]))
    constrain("mail-malformed", "a mailbox without a host, under a constraint", "general_name_invalid",
        constraints([email(own)]), email("root"))
    constrain("mail-two-hosts", "a mailbox with two @, under a constraint", "general_name_invalid",
        constraints([email(own)]), email(f"a@{other}@{own}"), near=constraints([uri(own)]))
    constrain("mail-in-subject", "an excluded mailbox in the subject", "name_excluded", constraints([], [email(own)]),
        subject=sequence(der.set_of(forge.attribute("1.2.840.113549.1.9.1", f"root@{own}", der.IA5)),
        der.set_of(forge.attribute("2.5.4.3", "widget-1"))))
    constrain("uri-not-permitted", "a URI whose host is not the permitted one", "name_not_permitted",
        constraints([uri(own)]), uri(f"spiffe://host.{own}/w"), near=constraints([uri("." + own)]))
    constrain("uri-excluded", "a URI whose host is excluded", "name_excluded", constraints([], [uri(own)]),
        uri(f"https://user@{own}:8443/w"), near=constraints([], [uri(other)]))
    constrain("uri-without-host", "a URI without a host, under a constraint", "general_name_invalid",
        constraints([uri(own)]), uri("urn:uuid:1"))
    constrain("uri-address", "a URI whose host is an address, under a constraint", "general_name_invalid",
        constraints([uri(own)]), uri("https://192.0.2.1/"))
    subject = name("widget-1", organization("Factory-Y"))
    technician = base.change(LEAF, subject=subject, issuer=name("Technician-Z",
        organization("Factory-Y"))).change(TECHNICIAN, subject=name("Technician-Z", organization("Factory-Y")))
    own_tree, other_tree = (directory(sequence(organization(one))) for one in ("Factory-Y", "Factory-W"))
    make.add("directory-not-permitted", "a CA's subject outside of the permitted subtree", "name_not_permitted",
        TECHNICIAN, technician.extend(FACTORY, constraints([other_tree])), base=technician.extend(FACTORY,
        constraints([own_tree])))
    make.add("directory-excluded", "a CA's subject inside of an excluded subtree", "name_excluded", TECHNICIAN,
        technician.extend(FACTORY, constraints([], [own_tree])), base=technician.extend(FACTORY, constraints([],
        [other_tree])))
    folded = directory(sequence(organization("  FACTORY-y ", der.PRINTABLE)))
    make.add("directory-excluded-folded", "an excluded subject in other letters and another string type",
        "name_excluded", TECHNICIAN, technician.extend(FACTORY, constraints([], [folded])))
    wide = directory(sequence(organization("Factory-Y", der.BMP)))
    make.add("directory-excluded-bmp", "an excluded subtree written in a string type that is not folded",
        "name_excluded", TECHNICIAN, technician.extend(FACTORY, constraints([], [wide])))
    constrain("other-name", "a name of a kind that is not understood, under a constraint",
        "name_constraint_unsupported", constraints([], [other_name()]), other_name(), near=constraints([],
        [dns(other)]))
    constrain("registered-id", "a registered ID, under a constraint", "name_constraint_unsupported",
        constraints([implicit(8, b"\x2a\x03")]), implicit(8, b"\x2a\x03"), near=constraints([], [dns(other)]))
    constrain("common-name-host", "a device without alternative names whose common name is an excluded host",
        "name_excluded", constraints([], [dns(other)]), b"", near=constraints([], [dns("nobody.example")]),
        subject=name(f"w.{other}"))
    constrain("common-name-host-beside-others", "a common name that is an excluded host, beside a name that is not",
        "name_excluded", constraints([], [dns(other)]), dns(own), near=constraints([], [dns("nobody.example")]),
        subject=name(f"w.{other}"))
    constrain("common-name-address-beside-others", "a device whose common name is an excluded address, beside another",
        "name_excluded", constraints([], [ip(192, 0, 2, 0, 255, 255, 255, 0)]), ip(198, 51, 100, 7),
        near=constraints([], [ip(192, 0, 3, 0, 255, 255, 255, 0)]), subject=name("192.0.2.7"))
    constrain("common-name-address", "a device without alternative names whose common name is an excluded address",
        "name_excluded", constraints([], [ip(192, 0, 2, 0, 255, 255, 255, 0)]), b"", near=constraints([], [ip(192, 0,
        3, 0, 255, 255, 255, 0)]), subject=name("192.0.2.7"))
    make.add("intermediate-not-permitted", "an intermediate's DNS name outside of what the root permits",
        "name_not_permitted", TECHNICIAN, base.extend(ROOT, constraints([dns(own)])).extend(TECHNICIAN,
        san(dns(other))), base=base.extend(ROOT, constraints([dns(own)])).extend(TECHNICIAN, san(dns(own))))
    make.add("two-levels", "permitted by Technician-Z, and not by Factory-Y", "name_not_permitted", LEAF,
        base.extend(FACTORY, constraints([dns(other)])).extend(TECHNICIAN, constraints([dns(own)])),
        base=base.extend(TECHNICIAN, constraints([dns(own)])))
    make.add("in-a-device", "name constraints in a device", "name_constraints_not_allowed", LEAF, base.extend(LEAF,
        constraints([dns(own)])))

    def malformed(slug: str, what: str, code: str, extension: Extension) -> None:
        make.add(slug, what, code, FACTORY, base.extend(FACTORY, extension))

    malformed("constraint-wildcard", "a DNS constraint with an asterisk", "name_constraint_invalid",
        constraints([dns(f"*.{own}")]))
    malformed("constraint-leading-period", "a DNS constraint with a leading period", "name_constraint_invalid",
        constraints([dns(f".{own}")]))
    malformed("constraint-mask", "an address constraint whose mask has a hole", "name_constraint_invalid",
        constraints([ip(192, 0, 2, 0, 255, 0, 255, 0)]))
    malformed("constraint-address", "an address constraint without a mask", "name_constraint_invalid",
        constraints([ip(192, 0, 2, 0)]))
    malformed("constraint-mail", "a mailbox constraint without a local part", "name_constraint_invalid",
        constraints([email(f"@{own}")]))
    malformed("constraint-uri", "a URI constraint that is a whole URI", "name_constraint_invalid",
        constraints([uri(f"https://{own}/")]))
    malformed("constraints-nothing", "name constraints that hold nothing", "name_constraints_empty",
        Extension(NAME_CONSTRAINTS, sequence(), critical=True))
    malformed("constraints-empty-list", "name constraints with an empty list", "name_constraints_empty",
        Extension(NAME_CONSTRAINTS, sequence(explicit(0)), critical=True))
    malformed("constraints-minimum", "a subtree with a minimum", "der_trailing_data", Extension(NAME_CONSTRAINTS,
        sequence(explicit(0, sequence(dns(own), implicit(0, b"\x01")))), critical=True))
    flood = [dns(f"{number:x}.example") for number in range(700)]
    make.add("flood", "700 names under 700 constraints", "budget_exceeded", None, base.extend(LEAF,
        san(*flood)).extend(FACTORY, constraints([], [dns(f"{number:x}.test") for number in range(700)])),
        base=base.extend(LEAF, san(*flood[:50])).extend(FACTORY, constraints([],
        [dns(f"{number:x}.test") for number in range(700)])))


def certificate_policies(make: Recipes) -> None:
    gold, silver, any_policy = "1.3.6.1.4.1.55738.1", "1.3.6.1.4.1.55738.2", POLICIES + ".0"
    base = honest().extend(LEAF, policies(gold)).extend(TECHNICIAN, policies(gold)).extend(FACTORY, policies(gold))
    make.begin("Certificate policies", base, certificate_policies=(gold,))
    make.add("none", "a device under no policy, where one is wanted", "policy_not_valid", LEAF, base.without(LEAF,
        POLICIES))
    make.add("another", "a device under another policy", "policy_not_valid", LEAF, base.extend(LEAF, policies(silver)))
    make.add("broken-above", "an intermediate under no policy", "policy_not_valid", TECHNICIAN,
        base.without(TECHNICIAN, POLICIES))
    make.add("not-wanted", "a path whose policy is not one of those wanted", "policy_not_valid", LEAF, base,
        certificate_policies=(silver,))
    make.add("nothing-acceptable", "no policy is acceptable", "policy_not_valid", LEAF, base, certificate_policies=())
    make.add("any-inhibited", "anyPolicy in an intermediate, inhibited by the policy", "policy_not_valid", TECHNICIAN,
        base.extend(TECHNICIAN, policies(any_policy)), base=base.extend(TECHNICIAN, policies(any_policy)),
        inhibit_any_policy=True)
    make.add("any-inhibited-above", "anyPolicy in a device, inhibited by Factory-Y", "policy_not_valid", LEAF,
        base.extend(LEAF, policies(any_policy)).extend(FACTORY, inhibit_any(1)), base=base.extend(LEAF,
        policies(any_policy)).extend(FACTORY, inhibit_any(2)))
    mapped = (base.extend(FACTORY, mappings((gold, silver))) .extend(TECHNICIAN, policies(silver)) .extend(LEAF,
        policies(silver)))
    make.add("mapping-inhibited", "a mapped policy, inhibited by the policy", "policy_not_valid", TECHNICIAN, mapped,
        base=mapped, inhibit_policy_mapping=True)
    make.add("mapping-inhibited-above", "a mapped policy, inhibited by the CA above the one that maps",
        "policy_not_valid", LEAF, base.extend(FACTORY, policy_constraints(None, 0)) .extend(TECHNICIAN, mappings((gold,
        silver))) .extend(LEAF, policies(silver)), base=base.extend(TECHNICIAN, mappings((gold, silver))).extend(LEAF,
        policies(silver)))
    make.add("mapped-away", "a policy that was mapped to another", "policy_not_valid", TECHNICIAN, base.extend(FACTORY,
        mappings((gold, silver))))
    make.add("mapping-from-any", "a mapping from anyPolicy", "policy_mapping_any_policy", FACTORY, base.extend(FACTORY,
        mappings((any_policy, gold))))
    make.add("mapping-to-any", "a mapping to anyPolicy", "policy_mapping_any_policy", FACTORY, base.extend(FACTORY,
        mappings((gold, any_policy))))
    make.add("constraints-empty", "policy constraints that say nothing", "der_bad_value", FACTORY, base.extend(FACTORY,
        Extension(CE + "36", sequence(), critical=True)))
    plain = honest()
    make.begin("Certificate policies", plain)
    make.add("asked-for-by-a-ca", "no policies under a CA that requires one", "policy_not_valid", TECHNICIAN,
        plain.extend(FACTORY, policy_constraints(0)), base=plain.extend(FACTORY, policy_constraints(3)))
    make.add("asked-for-by-the-root", "no policies under a root that requires one", "policy_not_valid", FACTORY,
        plain.extend(ROOT, policy_constraints(0)))
    make.add("any-explicit", "no policies where some policy is required", "policy_not_valid", FACTORY, plain,
        require_explicit_policy=True)
    make.add("mapping-malformed", "a policy mapped to nothing", "der_truncated", FACTORY, plain.extend(FACTORY,
        Extension(CE + "33", sequence(sequence(der.oid(gold))), critical=True)))


def revocation(make: Recipes) -> None:
    serials = (0x101, 0x102, 0x103)
    base = honest()
    for position, serial in enumerate(serials):
        base = base.change(position, serial=der.integer(serial))
    technician, factory, root = p256("technician"), p256("factory"), p256("root")
    of_technician, of_factory, of_root = (crl("Technician-Z", technician), crl("Factory-Y", factory),
        crl("Company-X Root", root))
    fresh = (of_technician, of_factory, of_root)
    make.begin("Revocation", base, crls=fresh)

    def lists(
        slug: str, what: str, code: str, position: int, *crls: bytes, chain: Chain | None = None, **policy: Any
    ) -> None:
        make.add(slug, what, code, position, chain or base, crls=crls, **policy)

    revoked = [crl(issuer, key, Revoked(serial, 1)) for issuer, key, serial in zip(("Technician-Z", "Factory-Y",
        "Company-X Root"), (technician, factory, root), serials, strict=True)]
    lists("device", "the device is revoked", "certificate_revoked", LEAF, revoked[0], of_factory, of_root)
    lists("intermediate", "Technician-Z is revoked", "certificate_revoked", TECHNICIAN, of_technician, revoked[1],
        of_root)
    lists("upper-intermediate", "Factory-Y is revoked", "certificate_revoked", FACTORY, of_technician, of_factory,
        revoked[2])
    lists("on-hold", "the device is on hold", "certificate_revoked", LEAF, crl("Technician-Z", technician,
        Revoked(serials[0], 6)), of_factory, of_root)
    lists("in-one-of-two-lists", "the device is in one of two lists of its issuer", "certificate_revoked", LEAF,
        *fresh, revoked[0])
    lists("no-lists", "no list at all", "crl_missing", FACTORY)
    lists("list-missing", "no list of the device's issuer", "crl_missing", LEAF, of_factory, of_root)
    lists("list-of-another", "a list of another CA with the device's serial number", "crl_missing", LEAF,
        crl("Technician-W", technician, Revoked(serials[0])), of_factory, of_root)
    lists("stale", "the list of the device's issuer is stale", "crl_expired", LEAF, crl("Technician-Z", technician,
        next_update=AT - SECOND), of_factory, of_root)
    lists("from-the-future", "the list of the device's issuer is not in force yet", "crl_not_yet_valid", LEAF,
        crl("Technician-Z", technician, this_update=AT + SECOND), of_factory, of_root)
    lists("no-next-update", "a list that does not say when the next one comes", "crl_next_update_missing", LEAF,
        crl("Technician-Z", technician, next_update=None), of_factory, of_root)
    lists("forged", "a list signed by another key", "crl_bad_signature", LEAF, crl("Technician-Z", p256("nobody"),
        extensions=[aki(technician)]), of_factory, of_root)
    lists("by-the-device", "a list that the device signed itself", "crl_bad_signature", LEAF, crl("Technician-Z",
        p256("widget")), of_factory, of_root)
    unsigned = base.extend(TECHNICIAN, key_usage(KEY_CERT_SIGN))
    lists("no-crl-sign", "a list of a CA that may not sign lists", "crl_signer_not_allowed", LEAF, *fresh,
        chain=unsigned)
    lists("no-number", "a list without a number", "crl_number_missing", LEAF, crl("Technician-Z", technician,
        number=None), of_factory, of_root)
    lists("critical-number", "a list with a critical number", "crl_number_critical", LEAF, crl("Technician-Z",
        technician, extensions=[Extension(CRL_NUMBER, der.integer(7), critical=True)]), of_factory, of_root)
    private = Extension("1.3.6.1.4.1.55738.666.7", b"\x05\x00", critical=True)
    lists("unknown-extension", "a list with a critical extension that nobody knows", "crl_unknown_critical_extension",
        LEAF, crl("Technician-Z", technician, extensions=[private]), of_factory, of_root)
    lists("unknown-entry-extension", "a list with an entry that nobody understands", "crl_unknown_critical_extension",
        LEAF, crl("Technician-Z", technician, Revoked(0x999, extensions=(private,))), of_factory, of_root)
    only_users, only_cas, only_attributes = (idp(implicit(number, b"\xff")) for number in (1, 2, 5))
    lists("only-cas", "the only list of the device's issuer is for CAs", "crl_scope_mismatch", LEAF,
        crl("Technician-Z", technician, extensions=[only_cas]), of_factory, of_root)
    lists("only-users", "the only list of an intermediate's issuer is for end entities", "crl_scope_mismatch",
        TECHNICIAN, of_technician, crl("Factory-Y", factory, extensions=[only_users]), of_root)
    lists("only-attributes", "a list for attribute certificates", "crl_scope_mismatch", LEAF, crl("Technician-Z",
        technician, extensions=[only_attributes]), of_factory, of_root)
    here, there = (full_name(uri(f"http://ca.example/{number}.crl")) for number in (1, 2))
    with_point = base.extend(LEAF, points(here))
    lists("another-point", "a list of another distribution point than the device's", "crl_scope_mismatch", LEAF,
        crl("Technician-Z", technician, extensions=[idp(there)]), of_factory, of_root, chain=with_point)
    lists("point-without-one", "a list of one distribution point, for a device that names none", "crl_scope_mismatch",
        LEAF, crl("Technician-Z", technician, extensions=[idp(here)]), of_factory, of_root)
    some = idp(implicit(3, der.named_bits(1, 2)[2:]))
    lists("some-reasons", "a list for some reasons only", "crl_reasons_incomplete", LEAF, crl("Technician-Z",
        technician, extensions=[some]), of_factory, of_root)
    delta = Extension(DELTA, der.integer(7), critical=True)
    lists("delta-alone", "a delta without its complete list", "crl_delta_base_missing", LEAF, crl("Technician-Z",
        technician, number=8, extensions=[delta]), of_factory, of_root)
    lists("delta-on-a-later-list", "a delta on a later list than the one given", "crl_delta_base_missing", LEAF,
        *fresh, crl("Technician-Z", technician, number=9, extensions=[Extension(DELTA, der.integer(8),
        critical=True)]))
    lists("revoked-in-the-delta", "the device is revoked in the delta alone", "certificate_revoked", LEAF, *fresh,
        crl("Technician-Z", technician, Revoked(serials[0], 1), number=8, extensions=[delta]))
    lists("indirect-own", "the device is in its own issuer's indirect list", "certificate_revoked", LEAF,
        crl("Technician-Z", technician, Revoked(serials[0]), extensions=[idp(implicit(4, b"\xff"))]), of_factory,
        of_root)
    listed_above = base.extend(LEAF, points(explicit(2, directory(name("Factory-Y")))))
    lists("indirect", "the device is in the indirect list that it names, Factory-Y's", "certificate_revoked", LEAF,
        crl("Factory-Y", factory, Revoked(serials[0], issuer=name("Technician-Z")), extensions=[idp(implicit(4,
        b"\xff"))]), of_root, chain=listed_above)
    lists("certificate-issuer-in-direct-list", "a list that is not indirect names another issuer",
        "crl_scope_mismatch", LEAF, crl("Technician-Z", technician, Revoked(0x999, issuer=name("Factory-Y"))),
        of_factory, of_root)
    separate = forge.Tbs(subject=name("Technician-Z"), key=p256("crl-signer"), issuer=name("Factory-Y"),
        serial=der.integer(0x110), extensions=(key_usage(CRL_SIGN), ski(p256("crl-signer")), aki(factory)))
    by_separate = crl("Technician-Z", p256("crl-signer"))
    *good, anchor = base.encode()

    def with_signer(slug: str, what: str, code: str, tbs: forge.Tbs, *crls: bytes, signer: Key = factory) -> None:
        make.add(slug, what, code, LEAF, [*good, forge.sign(tbs, signer)], anchors=[anchor], crls=crls)

    with_signer("separate-key-revoked", "the certificate of the separate CRL key is revoked", "crl_signer_not_trusted",
        separate, by_separate, crl("Factory-Y", factory, Revoked(0x110)), of_root)
    with_signer("separate-key-forged", "the certificate of the separate CRL key is forged", "crl_signer_not_trusted",
        separate, by_separate, of_factory, of_root, signer=p256("nobody"))
    too_many = base.extend(LEAF, points(*[here] * 65))
    lists("many-points", "65 distribution points", "too_many_distribution_points", LEAF, *fresh, chain=too_many)


def closures(make: Recipes) -> None:
    make.begin("Closures")
    chain = honest()
    who = ("the device", "Technician-Z", "Factory-Y", "the root")
    for position, (one, encoded) in enumerate(zip(who, chain.encode(), strict=True)):
        certificate = x509.load_der_x509_certificate(encoded)
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        closed = frozenset({hashlib.sha256(spki).hexdigest()})
        make.add(f"key-{position}", f"the key of {one} is closed", "key_closed", position, chain, closed_keys=closed)
        closed = frozenset({hashlib.sha256(encoded).hexdigest()})
        make.add(f"certificate-{position}", f"the certificate of {one} is closed", "certificate_closed", position,
            chain, closed_certificates=closed)


def servers(make: Recipes) -> None:
    host = "www.example.com"
    base = honest(SERVER_AUTH, san(dns(host))).change(LEAF, subject=name(host))
    make.begin("Servers", base, purpose="SERVER_AUTH", server_name=host)
    make.add("another-name", "the server is called by another name", "server_name_mismatch", LEAF, base,
        server_name="mail.example.com")
    make.add("no-alternative-name", "a server whose name is its common name alone", "server_name_mismatch", LEAF,
        base.without(LEAF, SAN))
    make.add("below-its-name", "a server called by a name below its own", "server_name_mismatch", LEAF, base,
        server_name=f"a.{host}")
    make.add("address", "a server called by an address", "server_name_mismatch", LEAF, base, server_name="192.0.2.1")
    wild = base.extend(LEAF, san(dns("*.example.com"))).change(LEAF, subject=name("*.example.com"))
    make.add("wildcard-two-labels", "a wildcard for a name two labels below", "server_name_mismatch", LEAF, wild,
        base=wild, server_name="a.www.example.com")
    make.add("wildcard-apex", "a wildcard for the name above it", "server_name_mismatch", LEAF, wild, base=wild,
        server_name="example.com")
    for slug, what, pattern in (
        ("wildcard-partial", "a wildcard that is part of a label", "w*.example.com"),
        ("wildcard-inner", "a wildcard that is not the first label", "www.*.com"),
        ("wildcard-top", "a wildcard for a whole top-level domain", "*.com"),
        ("wildcard-alone", "a wildcard for everything", "*"),
    ):
        make.add(slug, what, "server_name_mismatch", LEAF, base.extend(LEAF, san(dns(pattern))))
    make.add("client-only", "a server for clientAuth alone", "extended_key_usage_not_allowed", LEAF, base.extend(LEAF,
        eku(CLIENT_AUTH)))
    make.add("any-purpose-server", "a server for serverAuth and for anything", "extended_key_usage_not_allowed", LEAF,
        base.extend(LEAF, eku(SERVER_AUTH, EKU + ".0")))
    make.add("no-purpose-server", "a server without extended key usage", "extended_key_usage_missing", LEAF,
        base.without(LEAF, EKU))
    make.add("critical-purpose", "a server with critical extended key usage", "extension_must_not_be_critical", LEAF,
        base.extend(LEAF, eku(SERVER_AUTH, critical=True)))
    make.add("critical-san", "a server with a subject and critical alternative names",
        "extension_must_not_be_critical", LEAF, base.extend(LEAF, san(dns(host), critical=True)))
    make.add("common-name-case", "a server's common name in other letters than its alternative name",
        "common_name_not_in_subject_alt_name", LEAF, base.change(LEAF, subject=name("WWW.example.com")))
    make.add("common-name-hex", "a server's common name is its address in hexadecimal",
        "common_name_not_in_subject_alt_name", LEAF, base.extend(LEAF, san(dns(host), ip(192, 0, 2, 1))).change(LEAF,
        subject=name("0xC0000201")))
    make.add("root-with-purpose", "a web root with extended key usage", "anchor_extended_key_usage", ROOT,
        base.extend(ROOT, eku(SERVER_AUTH)))
    root = p256("root")
    make.add("root-aki", "a web root whose authority key identifier names issuer and serial number",
        "authority_key_identifier_not_own", ROOT, base.extend(ROOT, aki(root, explicit(1,
        directory(name("Company-X Root"))), implicit(2, b"\x07"))), base=base.extend(ROOT, aki(root)))


# fmt: on


def all_cases() -> list[Case]:
    """Every case, in the order of the table."""
    make = Recipes()
    groups = (
        encoding,
        fields,
        validity,
        keys,
        extensions,
        roles,
        names,
        name_constraints,
        certificate_policies,
        revocation,
        closures,
        servers,
    )
    for group in groups:
        group(make)
    return make.cases


@dataclass(frozen=True)
class DeviceCase:
    """A device whose chain is good and whose name is no device id."""

    slug: str
    what: str
    code: str
    certificate: bytes


def device_cases() -> Iterator[DeviceCase]:
    def device(slug: str, what: str, code: str, subject: bytes) -> DeviceCase:
        return DeviceCase(slug, what, code, honest().change(LEAF, subject=subject).encode()[LEAF])

    common = forge.attribute("2.5.4.3", "widget-1")
    yield device("no-common-name", "no common name", "common_name_missing", sequence(organization("X")))
    yield device(
        "two-common-names",
        "two common names",
        "common_name_ambiguous",
        sequence(der.set_of(common), der.set_of(common)),
    )
    yield device(
        "shared-rdn",
        "a common name that shares its RDN",
        "common_name_ambiguous",
        sequence(der.set_of(common, forge.attribute("2.5.4.10", "Factory-Y"))),
    )
    yield device(
        "bmp-common-name", "a common name that is a BMPString", "common_name_invalid", name("widget-1", tag=der.BMP)
    )
    for slug, what, text in (
        ("nul", "a common name with a NUL", "widget\0-1"),
        ("line-feed", "a common name with a line feed", "widget\n-1"),
        ("escape", "a common name with a terminal's escape", "\x1b[2Jwidget"),
        ("bidi", "a common name that turns the direction of writing", "widget\u202e1"),
        ("accent", "a common name outside of ASCII", "wídget-1"),
        ("wildcard", "a common name with MQTT's wildcard", "widget-#"),
        ("level", "a common name with MQTT's level separator", "a/widget"),
        ("plus", "a common name with a plus", "widget+1"),
        ("space", "a common name with a space", "widget 1"),
        ("dollar", "a common name that begins with a dollar", "$widget"),
        ("empty", "an empty common name", ""),
    ):
        yield device(slug, what, "common_name_invalid", name(text))
    yield device("long", "a common name of 65 characters", "common_name_too_long", name("w" * 65))
    yield device(
        "reserved", "a common name kept for possession challenges", "common_name_reserved", name("HFPOP1-" + "A" * 52)
    )
