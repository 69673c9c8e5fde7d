"""What the tests of the authority are made of: CAs at a fixed time, and requests that say anything at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast import IssuanceError, TrustStore, Verifier
from holdfast._holdfast import Certificate
from holdfast.authority import (
    Issued,
    Issuer,
    KeyAlgorithm,
    PrivateKey,
    Profile,
    Request,
    generate_key,
    issue_devices,
    load_issuer,
    make_request,
    make_root,
    read_request,
    sign_intermediate,
    subject_named,
)
from holdfast.verify import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = timedelta(days=1)
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
P256 = KeyAlgorithm.ECDSA_P256
KEY_USES = [
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
]


def root(name: str = "Company-X Root", algorithm: KeyAlgorithm = P256, **options: Any) -> Issuer:
    return make_root(subject=subject_named(name), key=generate_key(algorithm), at=options.pop("at", AT), **options)


def below(issuer: Issuer, name: str, algorithm: KeyAlgorithm = P256, **options: Any) -> Issuer:
    key = generate_key(algorithm)
    issued = sign_intermediate(issuer, ca_request(name, key), at=AT, **options)
    return load_issuer(certificates=issued.pem, key=key, at=AT)


def ca_request(name: str = "Factory-Y", key: PrivateKey | None = None) -> Request:
    return read_request(make_request(subject=subject_named(name), key=key or generate_key(), profile=Profile.CA))


def device_request(device_id: str = "widget-1", key: PrivateKey | None = None) -> Request:
    pem = make_request(subject=subject_named(device_id), key=key or generate_key(), profile=Profile.DEVICE)
    return read_request(pem)


def issue(issuer: Issuer, *requests: Request, **options: Any) -> list[Issued]:
    return list(issue_devices(issuer, requests, at=options.pop("at", AT), **options))


def name_of(*common_names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one) for one in common_names])


def csr(
    subject: x509.Name | str = "widget-1",
    *extensions: tuple[x509.ExtensionType, bool],
    key: Any = None,
    digest: Any = None,
) -> bytes:
    """A request in PEM that says whatever is asked."""
    builder = x509.CertificateSigningRequestBuilder()
    builder = builder.subject_name(name_of(subject) if isinstance(subject, str) else subject)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key or ec.generate_private_key(ec.SECP256R1()), digest or hashes.SHA256()).public_bytes(PEM)


def certificate(
    subject: str,
    key: PrivateKey,
    issuer: x509.Name,
    issuer_key: PrivateKey,
    *extensions: tuple[x509.ExtensionType, bool],
    begins: datetime = AT - DAY,
    ends: datetime = AT + 365 * DAY,
) -> bytes:
    """DER of a certificate by `cryptography` alone, for what the authority would not make."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(DER)


def ca_extension(path_len: int | None = None) -> tuple[x509.ExtensionType, bool]:
    return x509.BasicConstraints(ca=True, path_length=path_len), True


def usage_extension(*uses: str) -> tuple[x509.ExtensionType, bool]:
    return x509.KeyUsage(**{name: name in uses for name in KEY_USES}), True


def pem_of(*elements: bytes) -> bytes:
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(PEM) for der in elements)


def parsed(one: Issued | Issuer | Certificate) -> x509.Certificate:
    own = one if isinstance(one, Certificate) else one.certificate
    return x509.load_der_x509_certificate(own.der)


def extension(one: Issued | Issuer, kind: type[Any]) -> x509.Extension[Any]:
    return parsed(one).extensions.get_extension_for_class(kind)


def accepted(anchor: Issuer | bytes, chain: Sequence[bytes], at: datetime = AT) -> str | None:
    """The device that our engine sees in `chain` when it trusts only `anchor`."""
    der = anchor if isinstance(anchor, bytes) else anchor.chain[-1].der
    return Verifier(TrustStore([der]), Policy()).verify(chain, at).common_name


def refused(code: str, call: Callable[[], object]) -> IssuanceError:
    """What `call` says when it refuses with `code`."""
    with pytest.raises(IssuanceError) as caught:
        call()
    assert caught.value.code == code, caught.value
    return caught.value
