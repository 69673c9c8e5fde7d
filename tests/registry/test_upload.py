"""Uploaded files: one certificate, and never a key, in whatever it is wrapped."""

from __future__ import annotations

import base64
import itertools
import json
import random
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.utils import CryptographyDeprecationWarning

from holdfast.errors import HoldfastError, LimitExceededError, PossessionError, RegistrationError
from holdfast.registry.upload import UPLOAD_BYTES_MAX, holds_private_key, read_ca_certificate, read_proof

from ..support.pki import DER, PEM, Ca
from .acts import dump

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.registry import Registry

ROOT = Ca.root()
PLAIN = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"secret")


def refused(upload: bytes) -> str:
    with pytest.raises(HoldfastError) as caught:
        read_ca_certificate(upload)
    return caught.value.code


def keys() -> Iterator[tuple[str, bytes]]:
    """One key in every form in which keys are kept."""
    kinds: dict[str, Any] = {
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "p521": ec.generate_private_key(ec.SECP521R1()),
        "rsa": rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ed448": ed448.Ed448PrivateKey.generate(),
        "x25519": x25519.X25519PrivateKey.generate(),
        "dsa": dsa.generate_private_key(2048),
    }
    forms = serialization.PrivateFormat
    for (kind, key), encoding, form, lock in itertools.product(
        kinds.items(), (PEM, DER), (forms.PKCS8, forms.TraditionalOpenSSL, forms.OpenSSH), (PLAIN, LOCKED)
    ):
        try:
            yield f"{kind} {form} {encoding} {type(lock).__name__}", key.private_bytes(encoding, form, lock)
        except (ValueError, TypeError, UnsupportedAlgorithm, CryptographyDeprecationWarning):
            continue  # not every key has every form
    for lock in (PLAIN, LOCKED):
        packed = pkcs12.serialize_key_and_certificates(b"x", ROOT.key, ROOT.certificate, None, lock)
        yield f"PKCS12 {type(lock).__name__}", packed
    numbers = kinds["p256"].private_numbers()
    octets = {"x": numbers.public_numbers.x, "y": numbers.public_numbers.y, "d": numbers.private_value}
    jwk = {name: base64.urlsafe_b64encode(value.to_bytes(32, "big")).decode() for name, value in octets.items()}
    yield "JWK", json.dumps({"kty": "EC", "crv": "P-256", **jwk}).encode()
    yield "JWK, secret first", json.dumps({**dict(reversed(jwk.items())), "kty": "EC"}).encode()
    yield "JKS", b"\xfe\xed\xfe\xed\x00\x00\x00\x02" + bytes(60)
    yield "PuTTY", b"PuTTY-User-Key-File-3: ecdsa-sha2-nistp256\nEncryption: none\n"


KEYS = dict(keys())


@pytest.mark.parametrize("form", KEYS)
def test_f01_a_key_is_refused_in_every_form_and_wrapping(form: str) -> None:
    key = KEYS[form]
    wrapped = {
        "alone": key,
        "before": key + b"\n" + ROOT.pem,
        "behind": ROOT.pem + b"\n" + key,
        "behind der": ROOT.der + key,
        "base64": base64.b64encode(key),
        "base64 in lines": base64.encodebytes(key),
        "base64 twice": base64.b64encode(base64.b64encode(key)),
        "labelled as a certificate": b"-----BEGIN CERTIFICATE-----\n"
        + base64.encodebytes(key)
        + b"-----END CERTIFICATE-----\n",
    }
    if key.isascii():
        wrapped["utf-16"] = key.decode().encode("utf-16")
    for how, upload in wrapped.items():
        assert refused(upload) == "private_key_in_upload", how


def test_f01_nothing_of_a_refused_key_is_kept_anywhere(tmp_path: Path, registry: Registry) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    pem = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, PLAIN)
    der = key.private_bytes(DER, serialization.PrivateFormat.PKCS8, PLAIN)
    before = dump(registry)
    for upload in (pem, der, ROOT.pem + pem, ROOT.der + der):
        with pytest.raises(RegistrationError) as caught:
            registry.cas.add("leak", upload, actor="alice", at=ROOT.certificate.not_valid_before_utc)
        assert pem[40:60].decode() not in str(caught.value)
    assert dump(registry) == before
    canaries = (secret, secret.hex().encode(), pem[40:80], base64.b64encode(secret)[:40])
    for path in tmp_path.iterdir():
        assert not any(canary in path.read_bytes() for canary in canaries)


def test_certificates_of_all_kinds_are_not_taken_for_keys() -> None:
    """Public keys, signatures and serial numbers look much like keys; a thousand certificates must pass."""
    for kind in (ec.SECP256R1(), ec.SECP384R1()):
        for _ in range(250):
            ca = Ca.root(key=ec.generate_private_key(kind))
            assert not holds_private_key(ca.der)
            assert not holds_private_key(ca.pem)
    assert not holds_private_key(Ca.root(key=rsa.generate_private_key(65537, 4096)).der)


def test_pem_and_der_are_told_by_content() -> None:
    for upload in (ROOT.pem, ROOT.der, b"\n\n" + ROOT.pem + b"\n", ROOT.pem.replace(b"\n", b"\r\n")):
        assert read_ca_certificate(upload).der == ROOT.der


def test_d19_a_file_says_one_thing(tmp_path: Path) -> None:
    pem = ROOT.pem
    trusted = pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE")
    crl = b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"
    cases = {
        "several_certificates": [pem + pem, pem + Ca.root().pem],
        "unexpected_pem_block": [pem + crl, crl + pem, trusted, crl],
        "text_outside_pem": [b"subject=CN=X\n" + pem, pem + b"and so on", pem + b"\x00", ROOT.der + pem],
        "bad_pem": [
            pem.replace(b"-----END", b"----END"),
            pem[:-30],
            pem.replace(b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN CERTIFICATE-----\nProc-Type: 4\n\n"),
            pem.replace(b"END CERTIFICATE", b"END X509 CRL"),
            b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n",
        ],
        "der_trailing_data": [ROOT.der + b"\x00", ROOT.der + ROOT.der],
        "der_truncated": [ROOT.der[:-1], ROOT.der[:1]],
        "empty_upload": [b"", b"  \n"],
        "not_a_certificate": [b"hello", b"\xff\xfe" + "hello".encode("utf-16-le"), b"[]", b"\x00" * 10],
    }
    for code, uploads in cases.items():
        for upload in uploads:
            assert refused(upload) == code, upload[:60]
    text = tmp_path / "root.der"
    text.write_bytes(ROOT.der)
    described = subprocess.run(
        ["openssl", "x509", "-in", text, "-inform", "DER", "-text"], capture_output=True, check=True
    )
    assert refused(described.stdout) == "text_outside_pem"


def test_f03_an_upload_is_bounded() -> None:
    padded = ROOT.pem + b"\n" * (UPLOAD_BYTES_MAX - len(ROOT.pem))
    assert read_ca_certificate(padded).der == ROOT.der
    with pytest.raises(LimitExceededError) as caught:
        read_ca_certificate(padded + b"\n")
    assert caught.value.code == "upload_too_large"


@pytest.mark.parametrize(
    "evil",
    [
        b"-----BEGIN" * 6_553,
        b"-----BEGIN CERTIFICATE-----\n" + b"A\n" * 32_000,
        b"A" * 65_536,
        b"A " * 32_768,
        b"AAAA " * 13_107,
        b"\x02\x01\x00\x30\x82" * 13_107,
        b'"kty":' * 10_922,
        b'"d":' * 16_384,
        b"\x30\x82" * 32_768,
    ],
)
def test_d18_the_worst_uploads_take_linear_time(evil: bytes) -> None:
    """Twice the input, about twice the steps: counted as regular expression calls by the suite's time-out alone."""
    with pytest.raises(HoldfastError):
        read_ca_certificate(evil[:UPLOAD_BYTES_MAX])


def test_random_and_mutated_uploads_are_refused_with_a_code_and_never_crash() -> None:
    dice = random.Random(20261124)
    for _ in range(2_000):
        upload = bytearray(dice.choice((ROOT.der, ROOT.pem, dice.randbytes(200))))
        for _ in range(dice.randrange(1, 4)):
            upload[dice.randrange(len(upload))] = dice.randrange(256)
        try:
            read_ca_certificate(bytes(upload))
        except (RegistrationError, LimitExceededError) as error:
            assert error.code.islower()


def test_a_proof_is_a_certificate_or_our_own_json() -> None:
    verification = ROOT.verification("HFPOP1-" + "A" * 52)
    assert read_proof(verification).kind.value == "issuance"
    for bad in (b"{}", b'{"format": 1}', b"{", b"{" * 60_000, b'{"format": "holdfast-possession-proof"}'):
        with pytest.raises(PossessionError) as caught:
            read_proof(bad)
        assert caught.value.code == "bad_proof"
    with pytest.raises(RegistrationError):
        read_proof(b"not a proof")
