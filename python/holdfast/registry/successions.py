"""Issuing keys that an owner has declared the successors of others: how a signer's key is changed. `trust.md` §3.2.

Whoever is pinned to the old key may come by the new one, and is pinned to that from then on: there is no way back, and
none round in a circle. A pair is what is said, no more: what a successor's successor may do is declared for itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from holdfast.errors import ConflictError
from holdfast.registry.closures import Kind, Named
from holdfast.registry.paths import keep
from holdfast.registry.schema import devices, successions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.registry.closures import Closures, Preview
    from holdfast.registry.database import Database, Transaction


class SuccessionState(StrEnum):
    """Where a succession stands."""

    DECLARED = "declared"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """That devices of `old` may come by `new`, or might once."""

    old: Named
    new: Named
    state: SuccessionState
    reason: str
    changed_at: datetime


class Successions:
    """The successions of `tenant`. Every change has an actor, a time and an act; none shuts anybody out."""

    def __init__(self, database: Database, closures: Closures, *, tenant: str) -> None:
        self._database = database
        self._closures = closures
        self._tenant = tenant

    def list(self) -> Sequence[Succession]:
        """All there ever were, the latest first."""
        rows = self._database.rows(
            select(successions).where(successions.c.tenant == self._tenant).order_by(successions.c.changed_at.desc())
        )
        subjects = self._closures.subjects()
        return [
            Succession(
                old=Named(Kind.KEY, row["old_spki_sha256"], subjects.get(row["old_spki_sha256"], "")),
                new=Named(Kind.KEY, row["new_spki_sha256"], subjects.get(row["new_spki_sha256"], "")),
                state=SuccessionState(row["state"]),
                reason=row["reason"],
                changed_at=datetime.fromtimestamp(row["changed_at"], UTC),
            )
            for row in rows
        ]

    def preview(self, old: Named, new: Named) -> int:
        """How many devices `declare` would let over; changes nothing.

        Raises:
            RegistrationError: `key_closed`.
            ConflictError: `succession_circle`.

        Cost: a look at every device.
        """
        self._check(self._database, old, new)
        count = select(func.count().label("devices")).select_from(devices)
        own = (devices.c.tenant == self._tenant) & (devices.c.issuer_spki_sha256 == old.sha256)
        return int(self._database.rows(count.where(own))[0]["devices"])

    def of(self, key: Named) -> Sequence[Named]:
        """The declared successors of this key."""
        found = [one for one in self.list() if one.state is SuccessionState.DECLARED]
        return [one.new for one in found if one.old.sha256 == key.sha256]

    def ways(self, preview: Preview) -> Sequence[tuple[Named, int]]:
        """Declared successors that stay open, by which devices may come that a closure would hit; how many by each."""
        shut = {one.sha256 for one in preview.closing} | self._closures.closed()[Kind.KEY]
        counts: Counter[bytes] = Counter()
        for old, new in declared(self._database, self._tenant):
            if new not in shut:
                counts[new] += preview.pinned.get(old, 0)
        subjects = self._closures.subjects()
        return [(Named(Kind.KEY, key, subjects.get(key, "")), count) for key, count in counts.items() if count]

    def declare(self, old: Named, new: Named, *, actor: str, at: datetime, reason: str = "") -> None:
        """Let devices that are pinned to `old` come by `new`. What is declared already stays so.

        Raises:
            RegistrationError: `key_closed`: nobody could come by `new`; `unknown_tenant`.
            ConflictError: `succession_circle`, `clock_behind`.
        """
        with self._database.writing(at=int(at.timestamp())) as transaction:
            transaction.check_clock()
            transaction.check_tenant(self._tenant)
            self._check(transaction, old, new)
            if (old.sha256, new.sha256) not in declared(transaction, self._tenant):
                self._put(transaction, old, new, SuccessionState.DECLARED, actor=actor, reason=reason)

    def withdraw(self, old: Named, new: Named, *, actor: str, at: datetime, reason: str = "") -> None:
        """Let nobody else come by `new` who is pinned to `old`; whoever has, stays.

        Raises:
            ConflictError: `not_declared`.
        """
        with self._database.writing(at=int(at.timestamp())) as transaction:
            if (old.sha256, new.sha256) not in declared(transaction, self._tenant):
                message = "no such succession is declared"
                raise ConflictError("not_declared", message, hint="`holdfast branch successions` shows all pairs")
            self._put(transaction, old, new, SuccessionState.WITHDRAWN, actor=actor, reason=reason)

    def _check(self, source: Database | Transaction, old: Named, new: Named) -> None:
        self._closures.check_key(source, new.sha256)
        if old.sha256 in reached(declared(source, self._tenant), new.sha256):
            message = "the old key succeeds the new one, or is it: either would take the other's devices"
            raise ConflictError("succession_circle", message, hint="`holdfast branch successions` shows all pairs")

    def _put(
        self, transaction: Transaction, old: Named, new: Named, state: SuccessionState, *, actor: str, reason: str
    ) -> None:
        pair = {"tenant": self._tenant, "old_spki_sha256": old.sha256, "new_spki_sha256": new.sha256}
        values = {"state": state.value, "reason": reason, "changed_at": transaction.at}
        put = upsert(successions).values(pair | values)
        transaction.change(put.on_conflict_do_update(index_elements=list(pair), set_=values))
        for one in (old, new):
            if one.certificate:
                keep(transaction, self._tenant, one.certificate)
        details = {"new_spki_sha256": new.sha256.hex(), "of": old.subject, "to": new.subject, "reason": reason}
        transaction.act(self._tenant, actor, f"succession.{state.value}", old.sha256.hex(), **details)


def declared(source: Database | Transaction, tenant: str) -> frozenset[tuple[bytes, bytes]]:
    """Pairs of SPKI hashes: whoever is pinned to the first may come by the second."""
    own = (successions.c.tenant == tenant) & (successions.c.state == SuccessionState.DECLARED.value)
    rows = source.rows(select(successions).where(own))
    return frozenset((row["old_spki_sha256"], row["new_spki_sha256"]) for row in rows)


def reached(pairs: Iterable[tuple[bytes, bytes]], key: bytes) -> set[bytes]:
    """`key`, and whatever devices could move to from it."""
    found: set[bytes] = set()
    ahead = {key}
    while ahead:
        found |= ahead
        ahead = {new for old, new in pairs if old in ahead} - found
    return found
