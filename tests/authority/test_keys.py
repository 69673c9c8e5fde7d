"""Private keys: what is read, what is refused, and how they are kept."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from holdfast import IssuanceError
from holdfast.authority import KeyAlgorithm, PrivateKey, generate_key, key_to_pem, read_key
from holdfast.authority.keys import PASSPHRASE_ROUNDS
from holdfast.authority.pem import to_pem

from .papers import DER, PEM, refused

if TYPE_CHECKING:
    from pathlib import Path

PKCS8 = serialization.PrivateFormat.PKCS8
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
PLAIN = serialization.NoEncryption()
PASSPHRASE = "correct horse, Batterie, Größe".encode()


def same(one: PrivateKey, other: PrivateKey) -> bool:
    return one.private_numbers() == other.private_numbers()


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_a_key_is_of_the_algorithm_asked_for_and_is_read_back(algorithm: KeyAlgorithm) -> None:
    key = generate_key(algorithm)
    found = f"rsa-{key.key_size}" if isinstance(key, rsa.RSAPrivateKey) else f"ecdsa-p{key.curve.key_size}"
    assert found == algorithm.value
    assert same(read_key(key_to_pem(key)), key)


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.ECDSA_P384, KeyAlgorithm.RSA_2048])
@pytest.mark.parametrize("encoding", [PEM, DER])
@pytest.mark.parametrize("form", [PKCS8, TRADITIONAL])
def test_reads_the_forms_that_other_tools_write(
    algorithm: KeyAlgorithm, encoding: serialization.Encoding, form: serialization.PrivateFormat
) -> None:
    key = generate_key(algorithm)
    assert same(read_key(key.private_bytes(encoding, form, PLAIN)), key)


def test_reads_what_openssl_ecparam_writes_before_a_key() -> None:
    key = generate_key()
    parameters = to_pem("EC PARAMETERS", [bytes.fromhex("06082a8648ce3d030107")])
    assert same(read_key(parameters + key.private_bytes(PEM, TRADITIONAL, PLAIN)), key)


# ── passphrases ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return generate_key()


@pytest.fixture(scope="module")
def locked(key: PrivateKey) -> bytes:
    return key_to_pem(key, PASSPHRASE)


def test_an_encrypted_key_opens_with_its_passphrase_alone(key: PrivateKey, locked: bytes) -> None:
    assert locked.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert same(read_key(locked, PASSPHRASE), key)
    refused("passphrase_needed", lambda: read_key(locked))
    for wrong in (b"", PASSPHRASE + b" ", PASSPHRASE[:-1]):
        refused("wrong_passphrase", lambda: read_key(locked, wrong))  # noqa: B023 (called here)


def test_a_wrong_passphrase_is_told_apart_even_where_its_padding_looks_right(key: PrivateKey) -> None:
    """One in 256 decrypts to padding that could be: with few rounds, many are tried."""
    weak = key.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"right"))
    for number in range(1000):
        refused("wrong_passphrase", lambda: read_key(weak, b"wrong %d" % number))  # noqa: B023 (called here)


def test_a_passphrase_for_a_key_that_has_none_is_refused(key: PrivateKey) -> None:
    refused("key_not_encrypted", lambda: read_key(key_to_pem(key), PASSPHRASE))


def test_refuses_to_encrypt_with_nothing(key: PrivateKey) -> None:
    refused("empty_passphrase", lambda: key_to_pem(key, b""))


def test_two_encryptions_of_one_key_share_nothing(key: PrivateKey, locked: bytes) -> None:
    assert locked != key_to_pem(key, PASSPHRASE)


def test_openssl_opens_an_encrypted_key_and_sees_its_strength(locked: bytes, tmp_path: Path) -> None:
    file = tmp_path / "ca.key"
    file.write_bytes(locked)
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    opened = subprocess.run(
        ["openssl", "pkey", "-in", file, "-passin", f"file:{tmp_path}/passphrase", "-noout", "-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Key is valid" in opened.stdout + opened.stderr
    shown = subprocess.run(["openssl", "asn1parse", "-in", file], capture_output=True, text=True, check=True).stdout
    for wanted in ("PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", f"{PASSPHRASE_ROUNDS:06X}"):
        assert wanted in shown
    assert PASSPHRASE_ROUNDS >= 600_000


# ── what is no key ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_refuses_a_file_without_a_key(key: PrivateKey) -> None:
    public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for data in (b"", b"hello", public, b"\xff\xfe-\x00"):
        refused("no_private_key", lambda: read_key(data))  # noqa: B023 (called here)


def test_refuses_two_keys_in_one_file(key: PrivateKey) -> None:
    refused("several_private_keys", lambda: read_key(key_to_pem(key) + key_to_pem(generate_key())))


@pytest.mark.parametrize(
    "other",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        dsa.generate_private_key(2048),
    ],
)
def test_refuses_a_key_that_does_not_sign_here(
    other: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey,
) -> None:
    refused("unsupported_private_key", lambda: read_key(other.private_bytes(PEM, PKCS8, PLAIN)))


def test_refuses_a_key_whose_public_half_is_another_ones(key: PrivateKey) -> None:
    other = generate_key()
    point = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    own, posing = (one.public_key().public_bytes(*point) for one in (other, key))
    der = other.private_bytes(DER, PKCS8, PLAIN).replace(own, posing)
    refused("bad_private_key", lambda: read_key(der))


def test_refuses_a_key_cut_anywhere(key: PrivateKey) -> None:
    for whole in (key.private_bytes(DER, PKCS8, PLAIN), key.private_bytes(DER, TRADITIONAL, PLAIN)):
        for end in range(1, len(whole)):
            refused("bad_private_key", lambda: read_key(whole[:end]))  # noqa: B023 (called here)
        refused("bad_private_key", lambda: read_key(whole + b"\x00"))  # noqa: B023 (called here)


def test_refuses_a_pem_key_cut_anywhere(key: PrivateKey) -> None:
    whole = key_to_pem(key).rstrip()
    for end in range(len(whole)):
        with pytest.raises(IssuanceError) as caught:
            read_key(whole[:end])
        assert caught.value.code in {"bad_pem", "no_private_key"}


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for given_bytes in (data, b"\x30" + data, to_pem("PRIVATE KEY", [data])):
        with pytest.raises(IssuanceError):
            read_key(given_bytes)


def test_no_refusal_shows_a_key(key: PrivateKey) -> None:
    """F05: the message, the hint and the chain of causes hold nothing of the secret."""
    whole = key.private_bytes(DER, PKCS8, PLAIN)
    secret = key.private_numbers()
    assert isinstance(secret, ec.EllipticCurvePrivateNumbers)
    with pytest.raises(IssuanceError) as caught:
        read_key(whole[:-1])
    shown = f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"
    for form in (f"{secret.private_value:x}", str(secret.private_value), whole[-20:-1].hex()):
        assert form not in shown
