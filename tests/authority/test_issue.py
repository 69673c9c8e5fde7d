"""Devices: one common name, one identity; for their own requests, or with a key that the factory makes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.authority import (
    DeviceIds,
    Extras,
    KeyAlgorithm,
    check_device_id,
    generate_key,
    issue_devices,
    make_request,
    read_request,
    request_by_holder,
    subject_named,
)
from holdfast.authority.profile import Profile

from .papers import (
    AT,
    DAY,
    accepted,
    below,
    ca_extension,
    ca_request,
    csr,
    device_request,
    extension,
    issue,
    name_of,
    parsed,
    refused,
    root,
    usage_extension,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.authority import Issuer, Request


def test_a_device_is_a_tls_client_and_nothing_more(technician: Issuer) -> None:
    (device,) = issue(technician, device_request())
    assert device.certificate.device_id == "widget-1"
    assert device.certificate.subject == "CN=widget-1"
    basic = extension(device, x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, False, None)
    usage = extension(device, x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not any([usage.value.key_cert_sign, usage.value.crl_sign, usage.value.key_encipherment])
    assert [*extension(device, x509.ExtendedKeyUsage).value] == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert {type(one.value) for one in parsed(device).extensions} == {
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.ExtendedKeyUsage,
        x509.SubjectKeyIdentifier,
        x509.AuthorityKeyIdentifier,
    }


def test_a_device_gets_its_chain_without_the_root(company: Issuer, factory: Issuer, technician: Issuer) -> None:
    for issuer, above in ((company, []), (factory, [factory]), (technician, [technician, factory])):
        (device,) = issue(issuer, device_request())
        assert device.chain == (device.certificate.der, *(one.certificate.der for one in above))
        assert [one.subject for one in x509.load_pem_x509_certificates(device.pem)] == [
            name_of("widget-1"),
            *(parsed(one).subject for one in above),
        ]
        assert accepted(company, device.chain) == "widget-1"


def test_the_certificate_is_for_the_key_that_asked(technician: Issuer) -> None:
    key = generate_key(KeyAlgorithm.ECDSA_P384)
    (device,) = issue(technician, device_request(key=key))
    assert parsed(device).public_key() == key.public_key()


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_the_factory_may_make_the_key(technician: Issuer, company: Issuer, algorithm: KeyAlgorithm) -> None:
    key = generate_key(algorithm)
    (device,) = issue(technician, request_by_holder(device_id="widget-1", key=key))
    assert parsed(device).public_key() == key.public_key()
    assert accepted(company, device.chain) == "widget-1"


def test_other_attributes_of_the_subject_are_kept(technician: Issuer, company: Issuer) -> None:
    """The identity is the common name alone; IEEE 802.1AR puts a serial number beside it."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Company-X"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "4711"),
            *name_of("widget-1"),
        ]
    )
    (device,) = issue(technician, read_request(csr(subject)))
    assert parsed(device).subject == subject
    assert accepted(company, device.chain) == "widget-1"


def test_requests_are_read_a_few_at_a_time(technician: Issuer) -> None:
    """Streaming: of endless requests, only some have been read when the first certificate is there."""
    read = 0

    def endless() -> Iterator[Request]:
        nonlocal read
        while True:
            read += 1
            yield request_by_holder(device_id=f"widget-{read}", key=generate_key())

    issued = issue_devices(technician, endless(), at=AT)
    ids = [next(issued).certificate.device_id for _ in range(300)]
    assert ids == [f"widget-{number}" for number in range(1, 301)]
    assert read < 600


def test_no_requests_no_certificates(technician: Issuer) -> None:
    assert issue(technician) == []


# ── identities ─────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD = [
    "a",
    "widget-1",
    "x" * 64,
    "urn:dev:mac:0024befffe804ff1",
    "a$",
    "A.b_c~d!e*f(g)h'i,j;k=l@m%n?o:p",
    "\\",
    "..",
    "-x",
]
BAD = [
    ("common_name_invalid", ""),
    ("common_name_invalid", "widget 1"),
    ("common_name_invalid", "widget#1"),
    ("common_name_invalid", "widget+1"),
    ("common_name_invalid", "widget/1"),
    ("common_name_invalid", "../widget"),
    ("common_name_invalid", "$widget"),
    ("common_name_invalid", "widget\n1"),
    ("common_name_invalid", "widget\x7f"),
    ("common_name_invalid", "widget\x00"),
    ("common_name_invalid", "wídget"),
    ("common_name_invalid", "\ud800"),
    ("common_name_too_long", "x" * 65),
    ("common_name_too_long", "x" * 1000),
    ("common_name_reserved", "HFPOP1-" + "A" * 52),
    ("common_name_reserved", "hfpop1-x"),
]


@pytest.mark.parametrize("device_id", GOOD)
def test_accepts_a_device_id_that_the_hub_accepts(technician: Issuer, company: Issuer, device_id: str) -> None:
    check_device_id(device_id)
    (device,) = issue(technician, device_request(device_id))
    assert device.certificate.device_id == accepted(company, device.chain) == device_id


@pytest.mark.parametrize(("code", "device_id"), BAD)
def test_e02_refuses_a_device_id_that_the_hub_refuses(code: str, device_id: str) -> None:
    refused(code, lambda: check_device_id(device_id))


def attribute(oid: x509.ObjectIdentifier, value: str, kind: str = "UTF8String") -> x509.NameAttribute:
    return x509.NameAttribute(oid, value, _type=x509.name._ASN1Type[kind])


@pytest.mark.parametrize(
    ("code", "subject"),
    [
        ("common_name_invalid", name_of("widget 1")),
        ("common_name_invalid", name_of("widget/1")),
        ("common_name_invalid", name_of("$widget")),
        ("common_name_invalid", name_of("wídget")),
        ("common_name_invalid", x509.Name([attribute(NameOID.COMMON_NAME, "widget-1", "BMPString")])),
        ("common_name_reserved", name_of("HFPOP1-" + "A" * 52)),
        ("common_name_missing", x509.Name([])),
        ("common_name_missing", x509.Name([attribute(NameOID.SERIAL_NUMBER, "widget-1")])),
        ("common_name_ambiguous", name_of("widget-1", "widget-2")),
        ("common_name_ambiguous", name_of("widget-1", "widget-1")),
        (
            "common_name_ambiguous",
            x509.Name(
                [
                    x509.RelativeDistinguishedName(
                        [attribute(NameOID.COMMON_NAME, "widget-1"), attribute(NameOID.ORGANIZATION_NAME, "x")]
                    )
                ]
            ),
        ),
        ("subject_invalid", name_of("widget\n1")),
        ("subject_invalid", name_of("widget\x00")),
        ("subject_invalid", x509.Name([attribute(NameOID.ORGANIZATION_NAME, "\x1b[2J"), *name_of("widget-1")])),
    ],
)
def test_d08_refuses_a_request_whose_subject_is_no_devices(technician: Issuer, code: str, subject: x509.Name) -> None:
    refused(code, lambda: issue(technician, read_request(csr(subject))))


@pytest.mark.filterwarnings("ignore:Attribute's length must be")
def test_d08_refuses_a_request_whose_common_name_is_too_long(technician: Issuer) -> None:
    for length in (64, 65):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * length, _validate=False)])
        request = read_request(csr(subject))
        if length == 64:
            assert issue(technician, request)[0].certificate.device_id == "x" * 64
        else:
            refused("common_name_too_long", lambda: issue(technician, request))  # noqa: B023 (called here)


def test_accepts_a_common_name_as_printable_string(technician: Issuer) -> None:
    subject = x509.Name([attribute(NameOID.COMMON_NAME, "widget-1", "PrintableString")])
    (device,) = issue(technician, read_request(csr(subject)))
    assert device.certificate.device_id == "widget-1"


@pytest.mark.parametrize("second", ["widget-1", "WIDGET-1"])
def test_e02_refuses_two_spellings_of_one_id(technician: Issuer, second: str) -> None:
    refused("duplicate_device_id", lambda: issue(technician, device_request("widget-1"), device_request(second)))
    ids = DeviceIds()
    ids.add("widget-1")
    refused("duplicate_device_id", lambda: ids.add(second))
    ids.add("widget-2")


@pytest.mark.parametrize("name", ["Technician-Z", "factory-y"])
def test_refuses_a_device_that_would_pass_for_a_ca_above(technician: Issuer, name: str) -> None:
    refused("subject_taken", lambda: issue(technician, device_request(name)))


# ── requests that ask for more ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "asks", [ca_extension(), ca_extension(0), usage_extension("digital_signature", "key_cert_sign")]
)
@pytest.mark.parametrize("extras", Extras)
def test_e09_refuses_to_make_a_ca_of_a_device(
    technician: Issuer, asks: tuple[x509.ExtensionType, bool], extras: Extras
) -> None:
    refused("request_asks_for_ca", lambda: issue(technician, read_request(csr("widget-1", asks)), extras=extras))


def test_e09_refuses_a_cas_request(technician: Issuer) -> None:
    refused("request_asks_for_ca", lambda: issue(technician, ca_request("widget-1")))


CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
BOTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
SAN = x509.SubjectAlternativeName([x509.DNSName("widget-2")])


@pytest.mark.parametrize(
    "asks",
    [
        [],
        [(x509.BasicConstraints(ca=False, path_length=None), True)],
        [usage_extension("digital_signature"), (CLIENT, False)],
    ],
)
def test_accepts_a_request_that_asks_for_no_more_than_it_gets(
    technician: Issuer, asks: list[tuple[x509.ExtensionType, bool]]
) -> None:
    assert issue(technician, read_request(csr("widget-1", *asks)))[0].ignored == ()


@pytest.mark.parametrize(
    ("asks", "named"),
    [
        ((BOTH, False), "ExtendedKeyUsage (2.5.29.37)"),
        ((SAN, False), "SubjectAlternativeName (2.5.29.17)"),
        (usage_extension("digital_signature", "key_encipherment"), "KeyUsage (2.5.29.15)"),
    ],
)
def test_e09_refuses_extensions_that_are_not_granted_or_leaves_them_out_and_says_so(
    technician: Issuer, asks: tuple[x509.ExtensionType, bool], named: str
) -> None:
    request = read_request(csr("widget-1", asks))
    assert named in refused("extension_not_granted", lambda: issue(technician, request)).message
    (device,) = issue(technician, request, extras=Extras.IGNORE)
    assert device.ignored == (named,)
    assert asks[0] not in [one.value for one in parsed(device).extensions]
    assert [*extension(device, x509.ExtendedKeyUsage).value] == [ExtendedKeyUsageOID.CLIENT_AUTH]


# ── validity ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_device_lasts_as_asked_and_never_longer_than_its_chain() -> None:
    top = root(validity=3000 * DAY)
    lowest = below(top, "Factory-Y", validity=2000 * DAY)
    assert issue(lowest, device_request())[0].certificate.not_after == AT + 1825 * DAY
    assert issue(lowest, device_request(), validity=DAY)[0].certificate.not_after == AT + DAY
    assert issue(lowest, device_request(), validity=2000 * DAY)[0].certificate.not_after == AT + 2000 * DAY
    second = timedelta(seconds=1)
    refused("validity_exceeds_issuer", lambda: issue(lowest, device_request(), validity=2000 * DAY + second))
    refused("validity_out_of_range", lambda: issue(lowest, device_request(), validity=-second))
    short = below(top, "Factory-W", validity=10 * DAY)
    assert issue(short, device_request())[0].certificate.not_after == AT + 10 * DAY


def test_one_refusal_among_many_stops_at_its_batch(technician: Issuer) -> None:
    """Nothing of the batch in which the refusal stands comes out; what came before has been issued."""
    requests = [device_request(f"widget-{number}") for number in range(130)]
    bad = read_request(csr("widget 131"))
    issued = issue_devices(technician, [*requests, bad], at=AT)
    assert [next(issued).certificate.device_id for _ in range(128)] == [f"widget-{number}" for number in range(128)]
    refused("common_name_invalid", lambda: next(issued))


def test_an_own_request_is_no_more_than_it_says() -> None:
    request = read_request(make_request(subject=subject_named("widget-1"), key=generate_key(), profile=Profile.DEVICE))
    assert {type(one.value) for one in request.extensions} == {
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.ExtendedKeyUsage,
    }
