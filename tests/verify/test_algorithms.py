"""Every kind of key and signature that a chain may use, and what each refuses (S04, S06, S07)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast import Policy, TrustStore, VerificationError, Verifier
from holdfast._holdfast import Certificate

from ..support import der, forge
from ..support.der import explicit, sequence
from ..support.forge import AT, Key, name

SHA256, SHA384, SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()
KEYS = {
    "ecdsa-p256": lambda: forge.p256("kinds"),
    "ecdsa-p256-sha512": lambda: forge.ecdsa(ec.SECP256R1(), SHA512, 4),
    "ecdsa-p384": lambda: forge.ecdsa(ec.SECP384R1(), SHA384, 3),
    "ecdsa-p384-sha512": lambda: forge.ecdsa(ec.SECP384R1(), SHA512, 4),
    "ecdsa-p521": lambda: forge.ecdsa(ec.SECP521R1(), SHA512, 4),
    "ecdsa-p521-sha256": lambda: forge.ecdsa(ec.SECP521R1(), SHA256, 2),
    "ed25519": forge.ed25519_key,
    "rsa-sha256": lambda: forge.rsa_pkcs1(SHA256, 11),
    "rsa-sha512": lambda: forge.rsa_pkcs1(SHA512, 13, 3072),
    "rsa-pss-sha256": lambda: forge.rsa_pss(SHA256, forge.pss_parameters(1, 1, 32)),
    "rsa-pss-sha384": lambda: forge.rsa_pss(SHA384, forge.pss_parameters(2, 2, 48)),
    "rsa-pss-sha512": lambda: forge.rsa_pss(SHA512, forge.pss_parameters(3, 3, 64)),
    "ml-dsa-44": lambda: forge.ml_dsa(44),
    "ml-dsa-65": lambda: forge.ml_dsa(65),
    "ml-dsa-87": lambda: forge.ml_dsa(87),
}
EVERYTHING = Policy(key_algorithms=Policy().key_algorithms | {"ml-dsa"})


def chain_of(issuer: Key, **odd: Any) -> tuple[list[bytes], list[bytes]]:
    """root → widget-1, the root's key being `issuer`; the leaf's outer part may be odd."""
    root = forge.ca("R", issuer, "R", issuer)
    leaf = replace(forge.honest().tbs[0].without(forge.AKI, forge.SKI), issuer=name("R"))
    return [forge.sign(leaf, issuer, **odd)], [forge.sign(root, issuer)]


def refusal(chain: list[bytes], anchors: list[bytes], policy: Policy = EVERYTHING) -> tuple[str, int | None]:
    with pytest.raises(VerificationError) as caught:
        Verifier(TrustStore(anchors), policy).verify(chain, AT)
    return caught.value.code, caught.value.position


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_signs_and_a_changed_bit_does_not(kind: str) -> None:
    key = KEYS[kind]()
    chain, anchors = chain_of(key)
    assert Verifier(TrustStore(anchors), EVERYTHING).verify(chain, AT).common_name == "widget-1"
    renamed = chain[0].replace(b"widget-1", b"widget-2")
    assert refusal([renamed], anchors) == ("bad_signature", 0)
    shown = Certificate(anchors[0]).public_key_algorithm
    assert shown == kind.rpartition("-sha")[0] or shown == kind or shown.startswith("rsa-")
    Certificate(anchors[0]).verify_signature(b"message", key_signature(key, b"message"))


def key_signature(key: Key, message: bytes) -> bytes:
    """What `Certificate.verify_signature` takes: the curve's own hash, PKCS #1 with SHA-256, the others as they are."""
    private = key.private
    if isinstance(private, ec.EllipticCurvePrivateKey):
        digest = {256: SHA256, 384: SHA384, 521: SHA512}[private.curve.key_size]
        return private.sign(message, ec.ECDSA(digest))
    if hasattr(private, "private_numbers"):
        from cryptography.hazmat.primitives.asymmetric import padding

        return bytes(private.sign(message, padding.PKCS1v15(), SHA256))
    return key.sign(message)


def test_ml_dsa_is_there_for_the_asking() -> None:
    chain, anchors = chain_of(forge.ml_dsa(44))
    assert refusal(chain, anchors, Policy()) == ("key_algorithm_not_allowed", 1)


def pss_key(parameters: bytes, key_parameters: bytes | None, digest: hashes.HashAlgorithm = SHA256) -> Key:
    """An RSA key whose certificate says that it makes PSS signatures only."""
    key = forge.rsa_pss(digest, parameters)
    algorithm = sequence(der.oid("1.2.840.113549.1.1.10"), key_parameters or b"")
    key.spki = sequence(algorithm, der.inside(key.spki)[1][2])
    return key


def test_s07_a_key_for_pss_alone_signs_pss_with_its_own_hash_alone() -> None:
    sha256, sha384 = forge.pss_parameters(1, 1, 32), forge.pss_parameters(2, 2, 48)
    for own in (None, sha256):
        chain, anchors = chain_of(pss_key(sha256, own))
        assert Verifier(TrustStore(anchors), Policy()).verify(chain, AT).common_name == "widget-1"
    chain, anchors = chain_of(pss_key(sha384, sha256, SHA384))
    assert refusal(chain, anchors) == ("signature_key_mismatch", 0)
    pkcs1 = forge.rsa_pkcs1(SHA256, 11)
    pkcs1.spki = pss_key(sha256, None).spki
    chain, anchors = chain_of(pkcs1)
    assert refusal(chain, anchors) == ("signature_key_mismatch", 0)
    chain, anchors = chain_of(pss_key(sha256, forge.pss_parameters(1, 2, 32)))
    assert refusal(chain, anchors) == ("unsupported_public_key", 1)


def test_s07_the_salt_is_as_long_as_the_parameters_say() -> None:
    chain, anchors = chain_of(forge.rsa_pss(SHA256, forge.pss_parameters(1, 1, 32), salt=20))
    assert refusal(chain, anchors) == ("bad_signature", 0)


@pytest.mark.parametrize("exponent", [3, 65537])
def test_s06_forged_padding_is_refused(exponent: int) -> None:
    """PKCS #1 v1.5 with garbage after the hash, without NULL, and with the hash at the end of too short a padding."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(exponent, 2048)
    numbers = private.private_numbers()
    modulus, secret = numbers.public_numbers.n, numbers.d
    identifier = sequence(der.oid("1.2.840.113549.1.1.11"), der.element(der.NULL))
    key = Key(private, identifier, [])
    root = forge.ca("R", key, "R", key)
    leaf = replace(forge.honest().tbs[0].without(forge.AKI, forge.SKI), issuer=name("R"))
    digest = hashes.Hash(SHA256)
    digest.update(leaf.encode(identifier))
    hashed = digest.finalize()
    sha256 = der.oid("2.16.840.1.101.3.4.2.1")
    info = sequence(sequence(sha256, der.element(der.NULL)), der.octets(hashed))
    bare = sequence(sequence(sha256), der.octets(hashed))
    ber = b"\x30\x81" + info[1:]

    def padded(tail: bytes, ones: int | None = None) -> bytes:
        ones = 256 - 3 - len(tail) if ones is None else ones
        return (b"\x00\x01" + b"\xff" * ones + b"\x00" + tail).ljust(256, b"\x42")

    blocks = {
        "honest": padded(info),
        "garbage after the hash": padded(info, 8),
        "without NULL": padded(bare),
        "BER": padded(ber),
        "type 2": b"\x00\x02" + padded(info)[2:],
    }
    anchor = forge.sign(root, key, signature=b"\x07" * 256)
    verifier = Verifier(TrustStore([anchor]), Policy())
    for what, block in blocks.items():
        signature = pow(int.from_bytes(block), secret, modulus).to_bytes(256)
        (outcome,) = verifier.verify_many([[forge.sign(leaf, key, signature=signature)]], AT)
        assert (what, outcome.code) == (what, None if what == "honest" else "bad_signature")


def test_s04_swapped_parameters_are_refused_in_every_place() -> None:
    from ..damaged.recipes import explicit_p256

    base = forge.honest()
    point = der.inside(forge.p256("widget").spki)[1][2]
    for position in range(4):
        key = base.tbs[position].key
        swapped = sequence(sequence(der.oid("1.2.840.10045.2.1"), explicit_p256(b"\x04" + b"\x09" * 64)), point)
        *chain, root = base.change(position, spki=swapped, key=key).encode()
        assert refusal(chain, [root]) == ("explicit_curve_parameters", position)
    assert explicit(0, b"") == b"\xa0\x00"
