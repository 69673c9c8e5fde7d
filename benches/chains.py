"""Chains for benches: device ← Technician-Z ← Factory-Y ← root, all P-256, every device with a key of its own.

They carry what the web's CAs write (key identifiers, key usage, names), so that every peer accepts them.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.support.pki import Ca, Key, p256

CA_USAGE = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
DEVICE_USAGE = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
Extensions = list[tuple[x509.ExtensionType, bool]]


def fleet(count: int, *, technicians: int = 1) -> tuple[bytes, list[list[bytes]]]:
    """The root, and the chains of `count` distinct devices, DER, end entity first, the root left out.

    Several `technicians` have signed them in turn.
    """
    keys = [p256() for _ in range(2)]
    root = Ca.root("Company-X Root", key=keys[0], extensions=_ca(keys[0], keys[0]))
    factory = root.intermediate("Factory-Y", key=keys[1], extensions=_ca(keys[1], keys[0]))
    issuers = []
    for number in range(technicians):
        key = p256()
        issuers.append((factory.intermediate(f"Technician-{number}", key=key, extensions=_ca(key, keys[1])), key))

    def chain(number: int) -> list[bytes]:
        technician, key = issuers[number % technicians]
        return technician.device(f"widget-{number}", extensions=_device(f"widget-{number}", key)).der

    return root.der, [chain(number) for number in range(count)]


def _ca(key: Key, issuer: Key) -> Extensions:
    return [
        (x509.BasicConstraints(True, None), True),
        (CA_USAGE, True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), False),
    ]


def _device(device_id: str, issuer: Key) -> Extensions:
    return [
        (x509.BasicConstraints(False, None), True),
        (DEVICE_USAGE, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), False),
        (x509.SubjectAlternativeName([x509.DNSName(f"{device_id}.test")]), False),
    ]
