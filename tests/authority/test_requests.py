"""Requests: made where the key is, and read where nobody is to be believed."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from holdfast import IssuanceError
from holdfast.authority import KeyAlgorithm, Profile, generate_key, make_request, read_request, subject_named
from holdfast.authority.pem import to_pem

from .papers import AT, DER, PEM, ca_extension, csr, name_of, refused, usage_extension

CODES = {
    "bad_pem",
    "bad_request",
    "bad_request_signature",
    "no_request",
    "unexpected_pem_block",
    "unsupported_public_key",
    "unsupported_signature_algorithm",
}


def der_of(pem: bytes) -> bytes:
    return x509.load_pem_x509_csr(pem).public_bytes(DER)


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
@pytest.mark.parametrize("profile", Profile)
def test_what_is_made_is_read(algorithm: KeyAlgorithm, profile: Profile) -> None:
    key = generate_key(algorithm)
    pem = make_request(subject=subject_named("Factory-Y"), key=key, profile=profile)
    for data in (pem, der_of(pem), b"Certificate Request:\n" + pem):
        request = read_request(data)
        assert request.subject == name_of("Factory-Y")
        assert request.public_key == key.public_key()
        assert profile.not_granted(request.extensions) == []


def test_a_request_says_what_it_is_for() -> None:
    """So that a device's is never signed as a CA's by mistake, nor the reverse."""
    asked = {
        profile: read_request(make_request(subject=name_of("x"), key=generate_key(), profile=profile)).extensions
        for profile in Profile
    }
    for profile in Profile:
        assert asked[profile].get_extension_for_class(x509.BasicConstraints).value.ca is (profile is Profile.CA)
    refused("request_asks_for_device", lambda: Profile.CA.not_granted(asked[Profile.DEVICE]))
    refused("request_asks_for_ca", lambda: Profile.DEVICE.not_granted(asked[Profile.CA]))


@pytest.mark.parametrize("use", ["key_cert_sign", "crl_sign"])
def test_e09_key_usage_alone_asks_to_be_a_ca(use: str) -> None:
    asked = read_request(csr("widget-1", usage_extension("digital_signature", use))).extensions
    refused("request_asks_for_ca", lambda: Profile.DEVICE.not_granted(asked))
    less = read_request(csr("widget-1", usage_extension("digital_signature"))).extensions
    assert Profile.DEVICE.not_granted(less) == []


def test_o04_no_request_asks_for_a_possession_code() -> None:
    for profile in Profile:
        refused(
            "common_name_reserved",
            lambda: make_request(subject=name_of("HFPOP1-x"), key=generate_key(), profile=profile),  # noqa: B023
        )


# ── requests that are none ─────────────────────────────────────────────────────────────────────────────────────────


def test_refuses_a_request_that_another_key_signed() -> None:
    """The signature is genuine, but of the same words about another key: its sender has not shown to hold this one."""
    one, two = (der_of(csr("widget-1", key=generate_key())) for _ in range(2))
    keys = [
        x509.load_der_x509_csr(der).public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        for der in (one, two)
    ]
    refused("bad_request_signature", lambda: read_request(one.replace(*keys)))
    assert read_request(one).subject == name_of("widget-1")


def test_no_flipped_bit_changes_what_a_request_says() -> None:
    """Everything but the number of unused bits in the signature's own BIT STRING breaks it."""
    whole = der_of(csr("widget-1", ca_extension()))
    genuine = read_request(whole)
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            try:
                found = read_request(bytes(flipped))
            except IssuanceError as error:
                assert error.code in CODES
            else:
                assert (found.subject, found.public_key) == (genuine.subject, genuine.public_key)
                assert [*found.extensions] == [*genuine.extensions]
                assert whole[place - 2] == 0x03


def test_refuses_a_request_cut_anywhere_or_followed_by_anything() -> None:
    whole = der_of(csr("widget-1"))
    for end in range(1, len(whole)):
        refused("bad_request", lambda: read_request(whole[:end]))  # noqa: B023 (called here)
    refused("bad_request", lambda: read_request(whole + b"\x00"))
    refused("bad_request", lambda: read_request(to_pem("CERTIFICATE REQUEST", [whole + whole])))


def test_refuses_a_certificate_in_the_place_of_a_request() -> None:
    key = generate_key()
    builder = x509.CertificateBuilder().subject_name(name_of("x")).issuer_name(name_of("x")).serial_number(1)
    made = builder.public_key(key.public_key()).not_valid_before(AT).not_valid_after(AT).sign(key, hashes.SHA256())
    refused("bad_request", lambda: read_request(made.public_bytes(DER)))
    refused("unexpected_pem_block", lambda: read_request(made.public_bytes(PEM)))


def test_refuses_an_extension_asked_for_twice() -> None:
    """Two basic constraints, of which each reader could take another (D04)."""
    once = der_of(csr("widget-1", ca_extension(), (x509.SubjectKeyIdentifier(b"\x55\x1d\x13"), False)))
    twice = once.replace(bytes.fromhex("0603551d0e"), bytes.fromhex("0603551d13"))
    assert once != twice
    refused("bad_request", lambda: read_request(twice))


def test_refuses_an_rsa_key_that_is_none() -> None:
    """Exponent 1: whoever reads it could forge any signature of it."""
    whole = der_of(csr("widget-1", key=rsa.generate_private_key(65537, 2048)))
    one = whole.replace(bytes.fromhex("0203010001"), bytes.fromhex("0203000001"))
    refused("unsupported_public_key", lambda: read_request(one))


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for given_bytes in (data, b"\x30" + data, to_pem("CERTIFICATE REQUEST", [data])):
        with pytest.raises(IssuanceError) as caught:
            read_request(given_bytes)
        assert caught.value.code in CODES
