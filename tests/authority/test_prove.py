"""Proofs of possession, by the key that was challenged and for the challenge alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from holdfast import VerificationError
from holdfast._holdfast import Certificate
from holdfast.authority import Issuer, KeyAlgorithm, load_issuer, prove_by_certificate, prove_by_signature

from .papers import AT, DAY, below, extension, parsed, pem_of, refused, root

CODE = "HFPOP1-" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRST"
MESSAGE = b"holdfast CA possession v1\nhub: hub.example\n"
HOUR = timedelta(hours=1)


def certificate(issuer: Issuer, **options: object) -> x509.Certificate:
    arguments = {"code": CODE, "not_after": AT + HOUR, "at": AT, **options}
    return parsed(prove_by_certificate(issuer, **arguments))  # type: ignore[arg-type]


# ── by certificate ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_a_verification_certificate_is_the_code_signed_by_the_challenged_key(algorithm: KeyAlgorithm) -> None:
    ca = root(algorithm=algorithm)
    proof = prove_by_certificate(ca, code=CODE, not_after=AT + HOUR, at=AT)
    assert proof.certificate.subject == f"CN={CODE}"
    assert proof.certificate.sole_common_name == CODE
    assert proof.chain == (proof.certificate.der,)
    proof.certificate.check_issued_by(ca.certificate)
    proof.certificate.check_in_date(AT)


def test_an_intermediate_proves_by_its_own_key_and_not_by_those_above(company: Issuer, factory: Issuer) -> None:
    proof = prove_by_certificate(factory, code=CODE, not_after=AT + HOUR, at=AT)
    proof.certificate.check_issued_by(factory.certificate)
    with pytest.raises(VerificationError):
        proof.certificate.check_issued_by(company.certificate)
    assert len(proof.chain) == 1


def test_o06_a_verification_certificate_is_no_ca_and_lasts_no_longer_than_the_challenge(company: Issuer) -> None:
    made = certificate(company)
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert not made.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert made.not_valid_before_utc == AT - timedelta(minutes=5)
    assert made.not_valid_after_utc == AT + HOUR


def test_o06_a_verification_certificate_never_lasts_more_than_a_day(company: Issuer) -> None:
    made = certificate(company, not_after=AT + 30 * DAY)
    assert made.not_valid_after_utc - made.not_valid_before_utc == DAY


def test_a_verification_certificate_ends_with_its_ca() -> None:
    assert certificate(root(validity=timedelta(minutes=3))).not_valid_after_utc == AT + timedelta(minutes=3)


def test_a_verification_certificate_is_never_a_device(company: Issuer) -> None:
    proof = prove_by_certificate(company, code=CODE, not_after=AT + HOUR, at=AT)
    with pytest.raises(VerificationError) as caught:
        _ = proof.certificate.device_id
    assert caught.value.code == "common_name_reserved"


def test_the_key_of_a_verification_certificate_is_new_each_time(company: Issuer) -> None:
    assert certificate(company).public_key() != certificate(company).public_key()


def test_refuses_to_prove_what_is_over(company: Issuer) -> None:
    for late in (AT, AT - 30 * DAY):
        refused("validity_out_of_range", lambda: certificate(company, not_after=late))  # noqa: B023 (called here)
    refused("expired", lambda: certificate(company, at=company.not_after + DAY, not_after=company.not_after + 2 * DAY))
    assert certificate(company, not_after=AT + timedelta(seconds=1)).not_valid_after_utc == AT + timedelta(seconds=1)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "Factory-Y",
        "widget-1",
        "hfpop1-" + CODE[7:],
        " " + CODE,
        CODE + "\n",
        "HFPOP1-a b",
        "HFPOP1-é",
        "HFPOP1-a/b",
        CODE + "A" * 6,
    ],
)
def test_o04_refuses_to_sign_what_is_no_code(company: Issuer, code: str) -> None:
    refused("bad_possession_code", lambda: certificate(company, code=code))


# ── by signature ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("algorithm", "named"),
    [
        (KeyAlgorithm.ECDSA_P256, "ecdsa-p256-sha256"),
        (KeyAlgorithm.ECDSA_P384, "ecdsa-p384-sha384"),
        (KeyAlgorithm.RSA_2048, "rsa-pkcs1-sha256"),
        (KeyAlgorithm.RSA_4096, "rsa-pkcs1-sha256"),
    ],
)
def test_the_engine_verifies_a_signature_of_every_algorithm(algorithm: KeyAlgorithm, named: str) -> None:
    ca = root(algorithm=algorithm)
    signature = prove_by_signature(ca, message=MESSAGE)
    assert signature.algorithm == named
    ca.certificate.verify_signature(MESSAGE, signature.octets)
    with pytest.raises(VerificationError) as caught:
        ca.certificate.verify_signature(MESSAGE + b" ", signature.octets)
    assert caught.value.code == "bad_signature"


def test_o03_a_signature_is_by_the_cas_own_key(company: Issuer, factory: Issuer) -> None:
    signature = prove_by_signature(factory, message=MESSAGE)
    factory.certificate.verify_signature(MESSAGE, signature.octets)
    for other in (company, below(company, "Factory-Y")):
        with pytest.raises(VerificationError):
            other.certificate.verify_signature(MESSAGE, signature.octets)


@given(st.binary(max_size=200))
def test_o06_the_ca_signs_no_text_of_another_kind(data: bytes) -> None:
    """Whatever somebody makes it sign begins with these words: no DER, no TLS, JWS or SSH structure does."""
    for message in (data, b" " + MESSAGE, MESSAGE[:-1].split(b"\n")[0], b"\x30" + MESSAGE, MESSAGE[1:]):
        if not message.startswith(MESSAGE[:26]):
            refused("bad_possession_message", lambda: prove_by_signature(CA, message=message))  # noqa: B023


CA = root()


def test_neither_proof_is_made_with_a_key_that_only_poses(company: Issuer) -> None:
    """The CA file and the key file are checked against each other first; what slips through is caught by the result."""
    from .test_sign import TokenKey

    posing = load_issuer(certificates=company.pem, key=TokenKey(company.key, root().key), at=AT)
    refused("bad_signature", lambda: certificate(posing))
    refused("bad_signature", lambda: prove_by_signature(posing, message=MESSAGE))


def test_a_proof_needs_no_more_than_the_cas_own_certificate(technician: Issuer) -> None:
    alone = load_issuer(certificates=pem_of(technician.certificate.der), key=technician.key, at=AT)
    made = prove_by_certificate(alone, code=CODE, not_after=AT + HOUR, at=AT)
    assert isinstance(made.certificate, Certificate)
    assert extension(made, x509.AuthorityKeyIdentifier).value.key_identifier is not None
