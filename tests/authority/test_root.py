"""Self-made roots."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from holdfast import LocalProtocolError
from holdfast.authority import KeyAlgorithm, generate_key, load_issuer, make_root, parse_subject, subject_named

from .papers import AT, DAY, accepted, below, device_request, extension, issue, parsed, refused, root

BACKDATE = timedelta(minutes=5)


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_the_engine_takes_a_root_of_every_algorithm_as_anchor(algorithm: KeyAlgorithm) -> None:
    made = root(algorithm=algorithm)
    made.certificate.check_anchor(AT)
    made.certificate.check_issued_by(made.certificate)
    assert made.certificate.public_key_algorithm == algorithm.value
    (device,) = issue(made, device_request())
    assert accepted(made, device.chain) == "widget-1"


def test_a_root_says_that_it_is_a_ca_and_nothing_more() -> None:
    made = root(path_len=2)
    assert made.certificate.subject == made.certificate.issuer == "CN=Company-X Root"
    assert extension(made, x509.BasicConstraints).critical
    assert (made.certificate.is_ca, made.certificate.path_len, made.path_len) == (True, 2, 2)
    usage = extension(made, x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    assert {type(one.value) for one in parsed(made).extensions} == {
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.SubjectKeyIdentifier,
    }


def test_a_root_without_a_path_length_has_none() -> None:
    assert root().certificate.path_len is None


def test_a_root_lasts_as_long_as_asked_and_begins_a_little_before() -> None:
    made = root(at=AT.replace(microsecond=999_999), validity=30 * DAY)
    assert made.certificate.not_before == AT - BACKDATE
    assert made.certificate.not_after == AT + 30 * DAY


def test_a_root_may_outlast_the_two_digit_years() -> None:
    """Dates from 2050 on are GeneralizedTime, RFC 5280 §4.1.2.5."""
    made = root(validity=36500 * DAY)
    assert made.certificate.not_after == AT + 36500 * DAY
    assert accepted(made, issue(made, device_request())[0].chain) == "widget-1"


@pytest.mark.parametrize("validity", [timedelta(0), -DAY, timedelta.max])
def test_refuses_a_validity_that_no_certificate_can_have(validity: timedelta) -> None:
    refused("validity_out_of_range", lambda: root(validity=validity))


def test_accepts_a_validity_of_one_second() -> None:
    assert root(validity=timedelta(seconds=1)).certificate.not_after == AT + timedelta(seconds=1)


def test_refuses_a_time_without_a_zone() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        root(at=datetime(2030, 1, 1))  # noqa: DTZ001 (the point)
    assert caught.value.code == "naive_datetime"


def test_serial_numbers_are_positive_random_and_of_at_most_20_octets() -> None:
    serials = [x509.load_der_x509_certificate(root().certificate.der).serial_number for _ in range(64)]
    assert len(set(serials)) == 64
    assert all(0 < serial < 1 << 159 for serial in serials)
    assert max(serials) > 1 << 150


def test_a_whole_subject_may_be_given() -> None:
    subject = parse_subject("CN=Company-X Root,O=Company\\, X,C=DE")
    made = make_root(subject=subject, key=generate_key(), at=AT)
    assert made.certificate.subject == "CN=Company-X Root,O=Company\\, X,C=DE"
    assert accepted(made, issue(below(made, "Factory-Y"), device_request())[0].chain) == "widget-1"


@pytest.mark.parametrize("text", ["", "Company-X", "CN=", "C=Germany", "CN=a\nb", "CN=\u202eevil", "CN=" + "x" * 65])
def test_refuses_a_subject_that_is_none(text: str) -> None:
    refused("subject_invalid", lambda: parse_subject(text))


@pytest.mark.parametrize("name", ["", "x" * 65, "a\x00b", "a\x1b[31mb"])
def test_refuses_a_name_that_cannot_be_shown(name: str) -> None:
    refused("subject_invalid", lambda: subject_named(name))


def test_accepts_a_name_of_64_characters() -> None:
    assert root("x" * 64).certificate.subject == "CN=" + "x" * 64


@pytest.mark.parametrize("name", ["HFPOP1-", "HFPOP1-" + "A" * 52, "hfpop1-x", " HFPOP1-x"])
def test_o04_refuses_to_name_a_ca_like_a_possession_code(name: str) -> None:
    refused("common_name_reserved", lambda: subject_named(name))
    refused("common_name_reserved", lambda: parse_subject(f"O={name.strip()},CN=Company-X"))
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    refused("common_name_reserved", lambda: make_root(subject=subject, key=generate_key(), at=AT))


def test_accepts_a_name_that_only_contains_the_prefix() -> None:
    assert root("not HFPOP1-x").certificate.subject == "CN=not HFPOP1-x"


def test_s08_refuses_a_root_with_a_weak_key() -> None:
    key = rsa.generate_private_key(65537, 1024)
    refused("weak_public_key", lambda: make_root(subject=subject_named("Company-X"), key=key, at=AT))


def test_a_root_reads_its_own_file() -> None:
    made = root(path_len=1)
    again = load_issuer(certificates=made.pem, key=made.key, at=AT)
    assert [one.der for one in again.chain] == [one.der for one in made.chain]
    assert again.path_len == 1
    assert again.presented == ()


def test_an_issuer_does_not_show_its_key() -> None:
    made = root()
    assert "key" not in repr(made).replace("<Certificate", "")
