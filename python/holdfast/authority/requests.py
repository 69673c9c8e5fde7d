"""Certification requests: made on the holder's own machine, and read where they are signed. RFC 2986, RFC 4211 §4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from holdfast.authority import pem
from holdfast.authority.keys import PublicKey, signature_hash
from holdfast.authority.names import check_subject, subject_named
from holdfast.authority.verdict import UNREADABLE
from holdfast.errors import IssuanceError

if TYPE_CHECKING:
    from holdfast.authority.keys import PrivateKey
    from holdfast.authority.profile import Profile

_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks for a certificate, having shown to hold which key, and what else was asked for."""

    subject: x509.Name
    public_key: PublicKey
    extensions: x509.Extensions
    """What was asked for: compared with what is given, never copied."""


def make_request(*, subject: x509.Name, key: PrivateKey, profile: Profile) -> bytes:
    """A request in PEM, signed by the key it is about.

    Raises:
        IssuanceError: `subject_invalid`, `common_name_reserved`.
    """
    check_subject(subject)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension, critical in profile.extensions():
        builder = builder.add_extension(extension, critical)
    request = builder.sign(key, signature_hash(key))
    return request.public_bytes(serialization.Encoding.PEM)


def read_request(data: bytes) -> Request:
    """A request in PEM or DER whose own signature holds: its sender has the key (RFC 4211 §4.1).

    Raises:
        IssuanceError: `bad_pem`, `no_request`, `several_requests`, `unexpected_pem_block`, `bad_request`,
            `bad_request_signature`, `unsupported_public_key`, `unsupported_signature_algorithm`.
    """
    der = pem.read_request(data)
    try:
        request = x509.load_der_x509_csr(der)
        subject, extensions = request.subject, request.extensions
    except UNREADABLE as error:
        message = "the certification request cannot be read"
        raise IssuanceError("bad_request", message) from error
    public_key = _public_key(request)
    _check_signature(request)
    return Request(subject=subject, public_key=public_key, extensions=extensions)


def _public_key(request: x509.CertificateSigningRequest) -> PublicKey:
    """Kinds of keys that could never be issued are told apart here; sizes and curves are the engine's to judge."""
    try:
        key = request.public_key()
    except UNREADABLE:
        key = None
    if not isinstance(key, PublicKey):
        message = "the request's key is neither ECDSA on P-256 or P-384 nor RSA"
        raise IssuanceError("unsupported_public_key", message)
    return key


def _check_signature(request: x509.CertificateSigningRequest) -> None:
    try:
        supported = isinstance(request.signature_hash_algorithm, _HASHES)
        holds = supported and request.is_signature_valid
    except UNREADABLE:
        supported = holds = False
    if not supported:
        message = "the request is not signed by ECDSA or RSA with SHA-256, SHA-384 or SHA-512"
        raise IssuanceError("unsupported_signature_algorithm", message)
    if not holds:
        message = "the request's own signature does not verify: whoever sent it has not shown to hold the key"
        raise IssuanceError("bad_request_signature", message)


def request_by_holder(*, device_id: str, key: PrivateKey) -> Request:
    """The request of whoever holds `key` here, where the factory makes the device's key: nothing to prove.

    Raises:
        IssuanceError: `subject_invalid`, `common_name_reserved`.
    """
    return Request(subject=subject_named(device_id), public_key=key.public_key(), extensions=x509.Extensions([]))
