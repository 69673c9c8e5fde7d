"""The ways by which devices were admitted: each once, with the certificates of the CAs that stood in it."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert

from holdfast._holdfast import Certificate
from holdfast.registry.schema import certificates, paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from holdfast.registry.database import Transaction

T = TypeVar("T")
ACTOR = "hub"
"""Who records a path: the hub, on the strength of having judged it."""
HASH_BYTES = 32
NO_KEY = bytes(HASH_BYTES)
"""What no key has for its hash: a device's own, since its owner said by whom it is to come, until it has come."""
PARAMETERS_AT_ONCE = 500
"""What one statement may name; SQLite takes 999 at the least."""


def path_of(chain: Iterable[bytes]) -> bytes:
    """The name of a path: SHA-256 of each CA certificate (DER), the device's issuer first, the anchor last."""
    return b"".join(hashlib.sha256(der).digest() for der in chain)


def fingerprints(path: bytes) -> list[bytes]:
    """The certificates that `path` names."""
    return [path[begin : begin + HASH_BYTES] for begin in range(0, len(path), HASH_BYTES)]


def learn(transaction: Transaction, tenant: str, chains: Iterable[Sequence[bytes]]) -> None:
    """Record those of `chains` (DER, issuer first, anchor last) that nobody has come by yet, each with its act."""
    named = {path_of(chain): chain for chain in chains}
    for path in named.keys() - known(transaction, tenant, named).keys():
        for der in named[path]:
            keep(transaction, tenant, Certificate(der))
        transaction.insert_all(paths, [{"tenant": tenant, "certificates": path}])
        subject = Certificate(named[path][0]).subject
        transaction.act(tenant, ACTOR, "path.met", subject, path=path.hex())


def keep(transaction: Transaction, tenant: str, certificate: Certificate) -> None:
    """Record whose a CA's fingerprint and key are. It grants nothing: workers are never told of it."""
    row = {
        "tenant": tenant,
        "fingerprint": bytes.fromhex(certificate.fingerprint),
        "spki_sha256": bytes.fromhex(certificate.spki_sha256),
        "certificate": certificate.der,
    }
    transaction.change(upsert(certificates).values(row).on_conflict_do_nothing())


def known(transaction: Transaction, tenant: str, names: Iterable[bytes]) -> Mapping[bytes, int]:
    """The numbers of those of the named paths that are recorded."""
    found: dict[bytes, int] = {}
    for some in in_portions(dict.fromkeys(names)):
        rows = transaction.rows(select(paths).where(paths.c.tenant == tenant, paths.c.certificates.in_(some)))
        found |= {row["certificates"]: row["path_id"] for row in rows}
    return found


def in_portions(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """`values` in as many lists as one statement each can name."""
    left = iter(values)
    while some := list(islice(left, PARAMETERS_AT_ONCE)):
        yield some
