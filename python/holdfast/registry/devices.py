"""The identities of a tenant and the keys that they are pinned to. `trust.md` §3.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from holdfast.registry.schema import devices, tenants

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from holdfast.registry.database import Database, Transaction

ACTOR = "hub"
"""Who claims: the hub, on the strength of the path that it has judged."""
ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A device, and the keys that its identity is pinned to (SHA-256 of their SPKI)."""

    device_id: str
    issuer_spki_sha256: bytes
    leaf_spki_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A first admission, or one with a new key of the pinned issuer, as a worker asks for it."""

    pin: Pin
    path: bytes
    """SHA-256 of each certificate, end entity first, concatenated; the anchor apart."""
    anchor: bytes
    """SHA-256 of the anchor."""
    epoch: int
    """The tenant's epoch when the path was judged."""
    rekeyed: bool


class Devices:
    """The devices of `tenant`."""

    def __init__(self, database: Database, *, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    def claim(self, claims: Sequence[Claim], *, at: datetime) -> list[str | None]:
        """Commit `claims` together, each with its act; answers for each `None`, or the code of its refusal.

        Codes: `identity_pinned`, `identity_case_conflict`, `claim_lost` (another key of the same issuer was quicker),
        `trust_moved` (judge again), `clock_behind`.

        Cost: one durable commit for all of them.
        """
        with self._database.writing(at=int(at.timestamp())) as transaction:
            if transaction.seconds_behind() > 0:
                return ["clock_behind"] * len(claims)
            rows = transaction.rows(select(tenants.c.epoch).where(tenants.c.tenant == self._tenant))
            epoch = rows[0]["epoch"] if rows else None
            return [self._claim_one(transaction, claim) if claim.epoch == epoch else "trust_moved" for claim in claims]

    def changed_since(self, act: int) -> Iterator[tuple[int, list[Pin]]]:
        """Pins that came or changed after `act`, in portions, each with the act to ask from next time."""
        while True:
            rows = self._database.rows(
                select(devices.c.device_id, devices.c.issuer_spki_sha256, devices.c.leaf_spki_sha256, devices.c.act)
                .where(devices.c.tenant == self._tenant, devices.c.act > act)
                .order_by(devices.c.act)
                .limit(ROWS_AT_ONCE)
            )
            if not rows:
                return
            act = rows[-1]["act"]
            yield act, [Pin(**{name: row[name] for name in Pin.__slots__}) for row in rows]

    def _claim_one(self, transaction: Transaction, claim: Claim) -> str | None:
        pin = claim.pin
        this = (devices.c.tenant == self._tenant) & (devices.c.folded_id == fold(pin.device_id))
        rows = transaction.rows(select(devices).where(this))
        if not rows:
            row = {"tenant": self._tenant, "folded_id": fold(pin.device_id), "device_id": pin.device_id}
            transaction.change(insert(devices).values(row | self._values(transaction, claim, "device.pinned")))
            return None
        (found,) = rows
        if found["device_id"] != pin.device_id:
            return "identity_case_conflict"
        if found["issuer_spki_sha256"] != pin.issuer_spki_sha256:
            return "identity_pinned"
        if found["leaf_spki_sha256"] == pin.leaf_spki_sha256:
            return None
        if not claim.rekeyed:
            return "claim_lost"
        transaction.change(update(devices).where(this).values(self._values(transaction, claim, "device.rekeyed")))
        return None

    def _values(self, transaction: Transaction, claim: Claim, action: str) -> dict[str, object]:
        """What a device's row says of `claim`, once its act is written."""
        keys = {
            "issuer_spki_sha256": claim.pin.issuer_spki_sha256,
            "leaf_spki_sha256": claim.pin.leaf_spki_sha256,
            "path": claim.path,
            "anchor": claim.anchor,
        }
        details = {name: value.hex() for name, value in keys.items()}
        return {**keys, "act": transaction.act(self._tenant, ACTOR, action, claim.pin.device_id, **details)}


def fold(device_id: str) -> str:
    """The form in which two spellings of one id are the same (ids are ASCII)."""
    return device_id.lower()
