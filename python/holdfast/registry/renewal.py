"""Whether the proof of one CA certificate also speaks for another of the same key. `trust.md` §4.4."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast._holdfast import Certificate


def carries_over(proven: Certificate, renewed: Certificate) -> bool:
    """Equal key and subject, and nothing wider: path length, names, extended key usage, policies.

    Whatever narrows is compared octet by octet: a change there that is in truth narrower asks for a new proof, which
    costs its owner a minute and an impostor the key. Who has signed it, and so chosen its days, is the caller's to ask.
    """
    same = proven.spki == renewed.spki and proven.subject_der == renewed.subject_der
    return same and _path_len_no_wider(proven, renewed) and _narrowing(proven) == _narrowing(renewed)


def _path_len_no_wider(proven: Certificate, renewed: Certificate) -> bool:
    if proven.path_len is None:
        return True
    return renewed.path_len is not None and renewed.path_len <= proven.path_len


def _narrowing(certificate: Certificate) -> dict[str, bytes]:
    """The contents of every extension that bounds what may stand below, by object identifier."""
    from cryptography import x509  # a renewal is rare, and this import is slow

    bounds = (
        x509.ExtendedKeyUsage,
        x509.NameConstraints,
        x509.CertificatePolicies,
        x509.PolicyConstraints,
        x509.InhibitAnyPolicy,
    )
    policy_mappings = x509.ObjectIdentifier("2.5.29.33")
    extensions = x509.load_der_x509_certificate(certificate.der).extensions
    return {
        extension.oid.dotted_string: extension.value.public_bytes()
        for extension in extensions
        if isinstance(extension.value, bounds) or extension.oid == policy_mappings
    }
