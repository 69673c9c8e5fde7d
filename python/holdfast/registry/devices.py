"""The identities of a tenant and the keys that they are pinned to. `trust.md` §3.2."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from holdfast.database import ROWS_AT_ONCE
from holdfast.errors import RegistrationError
from holdfast.registry import paths, schema
from holdfast.registry.paths import NO_KEY
from holdfast.registry.schema import acts, devices, tenants
from holdfast.registry.successions import declared

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement

    from holdfast.registry.closures import Closures, Named
    from holdfast.registry.database import Database, Transaction

PIN = ("device_id", "issuer_spki_sha256", "leaf_spki_sha256", "pending")
"""Columns that say how a device is pinned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A device, and the keys that its identity is pinned to (SHA-256 of their SPKI)."""

    device_id: str
    issuer_spki_sha256: bytes
    leaf_spki_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A first admission, or one with a new key of the pinned issuer or of its successor, as a worker asks for it."""

    pin: Pin
    fingerprint: bytes
    """SHA-256 of the device's certificate."""
    path: bytes
    """SHA-256 of each CA certificate, the device's issuer first, the anchor last, concatenated."""
    epoch: int
    """The tenant's epoch when the path was judged."""
    before: tuple[bytes, bytes] | None
    """Issuer's key and own that the worker knows the identity to be pinned to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An identity, and who vouched for it."""

    pin: Pin
    path: tuple[str, ...]
    """Fingerprints of the certificates that were admitted first with these keys, end entity first, the anchor last.

    Empty while its owner has pinned it anew and it has not come yet: then its own key is `NO_KEY`.
    """
    pinned_at: datetime


class Devices:
    """The devices of `tenant`."""

    def __init__(self, database: Database, closures: Closures, *, tenant: str) -> None:
        self._database = database
        self._closures = closures
        self._tenant = tenant

    def claim(
        self, claims: Sequence[Claim], *, at: datetime, chains: Sequence[Sequence[bytes]] = ()
    ) -> list[str | None]:
        """Commit `claims` together, each with its act; answers for each `None`, or the code of its refusal.

        `chains` are the paths that were met for the first time: CA certificates (DER), issuer first, anchor last.
        Codes: `identity_pinned`, `identity_case_conflict`, `claim_lost` (another was quicker),
        `trust_moved` (judge again), `path_unknown` (nobody has said of which certificates it is).

        Raises:
            ConflictError: `clock_behind`; nothing is learnt of `chains`.

        Cost: one durable commit, and a handful of statements however many there are.
        """
        with self._database.writing(at=int(at.timestamp())) as transaction:
            transaction.check_clock()
            rows = transaction.rows(select(tenants.c.epoch).where(tenants.c.tenant == self._tenant))
            epoch = rows[0]["epoch"] if rows else None
            if epoch is not None:
                paths.learn(transaction, self._tenant, chains)
            path_ids = paths.known(transaction, self._tenant, (claim.path for claim in claims))
            known = self._known(transaction, claims)
            pairs = declared(transaction, self._tenant)
            changes: dict[str, list[Claim]] = {"device.pinned": [], "device.rekeyed": [], "device.succeeded": []}
            answers: list[str | None] = []
            for claim in claims:
                folded = fold(claim.pin.device_id)
                before = known.get(folded)
                answer = _judge(claim, before, epoch, pairs)
                if answer is None and claim.path not in path_ids:
                    answer = "path_unknown"
                if answer is None and before != claim.pin:
                    changes[_action(claim, before)].append(claim)
                    known[folded] = claim.pin
                answers.append(answer)
            for action, changed in changes.items():
                self._record(transaction, action, changed, path_ids)
            return answers

    def repin(self, device_id: str, issuer: Named, *, actor: str, at: datetime, reason: str = "") -> int:
        """Pin `device_id` to another issuing key, or to the same one anew; answers the epoch from which on it holds.

        Its own key is open until a device comes by that issuer, or by a successor of that, and then that device's.
        Whoever is connected is ended.

        Raises:
            RegistrationError: `unknown_device`, `key_closed`.
            ConflictError: `clock_behind`.
        """
        with self._database.writing(at=int(at.timestamp())) as transaction:
            transaction.check_clock()
            self._closures.check_key(transaction, issuer.sha256)
            before = _exactly(device_id, transaction.rows(select(devices).where(self._is(device_id))))
            keys = {"issuer_spki_sha256": issuer.sha256.hex(), "before": before["issuer_spki_sha256"].hex()}
            act = transaction.act(
                self._tenant, actor, "device.repinned", device_id, **keys, of=issuer.subject, reason=reason
            )
            values = {"issuer_spki_sha256": issuer.sha256, "pending": 1, "act": act}
            transaction.change(update(devices).where(self._is(device_id)).values(values))
            transaction.raise_epoch(self._tenant)
            return transaction.epoch(self._tenant)

    def changed_since(self, act: int) -> Iterator[tuple[int, list[Pin]]]:
        """Pins that came or changed after `act`, in portions, each with the act to ask from next time."""
        while True:
            rows = self._database.tuples(
                select(devices.c.act, *(devices.c[name] for name in PIN))
                .where(devices.c.tenant == self._tenant, devices.c.act > act)
                .order_by(devices.c.act)
                .limit(ROWS_AT_ONCE)
            )
            if not rows:
                return
            act = rows[-1].act
            yield act, [_pin(*pin) for _, *pin in rows]

    def latest_act(self) -> int:
        """The act by which a pin came or changed last; 0: none ever did."""
        (row,) = self._database.rows(
            select(func.coalesce(func.max(devices.c.act), 0).label("act")).where(devices.c.tenant == self._tenant)
        )
        return int(row["act"])

    def find(self, device_id: str) -> Device:
        """The device with this id, exactly.

        Raises:
            RegistrationError: `unknown_device`.
        """
        return _device(_exactly(device_id, self._database.rows(self._select().where(self._is(device_id)))))

    def all(self) -> Iterator[Device]:
        """All of them, in the order of their folded ids."""
        after = ""
        while True:
            statement = self._select().where(devices.c.folded_id > after).order_by(devices.c.folded_id)
            rows = self._database.rows(statement.limit(ROWS_AT_ONCE))
            if not rows:
                return
            after = rows[-1]["folded_id"]
            yield from map(_device, rows)

    def _is(self, device_id: str) -> ColumnElement[bool]:
        return (devices.c.tenant == self._tenant) & (devices.c.folded_id == fold(device_id))

    def _select(self) -> Any:  # noqa: ANN401 (SQLAlchemy's Select is generic in a way that mypy cannot follow here)
        pinned_at = acts.c.at.label("pinned_at")
        return (
            select(devices, schema.paths.c.certificates, pinned_at)
            .join(acts, acts.c.seq == devices.c.act)
            .join(schema.paths, schema.paths.c.path_id == devices.c.path_id)
            .where(devices.c.tenant == self._tenant)
        )

    def _known(self, transaction: Transaction, claims: Sequence[Claim]) -> dict[str, Pin]:
        """The pins of those of the claimed ids that have one, by folded id."""
        known: dict[str, Pin] = {}
        for some in paths.in_portions(fold(claim.pin.device_id) for claim in claims):
            rows = transaction.rows(
                select(devices).where(devices.c.tenant == self._tenant, devices.c.folded_id.in_(some))
            )
            known |= {row["folded_id"]: _pin(*(row[name] for name in PIN)) for row in rows}
        return known

    def _record(
        self, transaction: Transaction, action: str, claims: Sequence[Claim], path_ids: Mapping[bytes, int]
    ) -> None:
        """Write the act of every claim, and what it makes of its device's row."""
        keys = [
            {
                "issuer_spki_sha256": claim.pin.issuer_spki_sha256,
                "leaf_spki_sha256": claim.pin.leaf_spki_sha256,
                "fingerprint": claim.fingerprint,
            }
            for claim in claims
        ]
        details = [
            (claim.pin.device_id, {name: value.hex() for name, value in own.items()} | {"path": claim.path.hex()})
            for claim, own in zip(claims, keys, strict=True)
        ]
        numbers = transaction.acts(self._tenant, paths.ACTOR, action, details)
        rows = [
            {"tenant": self._tenant, "folded_id": fold(claim.pin.device_id), "device_id": claim.pin.device_id}
            | {**own, "path_id": path_ids[claim.path], "pending": 0, "act": number}
            for claim, own, number in zip(claims, keys, numbers, strict=True)
        ]
        if action == "device.pinned":
            transaction.insert_all(devices, rows)
            return
        for claim, row in zip(claims, rows, strict=True):
            transaction.change(update(devices).where(self._is(claim.pin.device_id)).values(row))


def _action(claim: Claim, before: Pin | None) -> str:
    if before is None:
        return "device.pinned"
    same_issuer = before.issuer_spki_sha256 == claim.pin.issuer_spki_sha256
    return "device.rekeyed" if same_issuer else "device.succeeded"


def _judge(
    claim: Claim, known: Pin | None, epoch: int | None, successions: Collection[tuple[bytes, bytes]]
) -> str | None:
    if claim.epoch != epoch:
        return "trust_moved"
    if known is None:
        return None
    if known.device_id != claim.pin.device_id:
        return "identity_case_conflict"
    issuers = (known.issuer_spki_sha256, claim.pin.issuer_spki_sha256)
    if issuers[0] != issuers[1] and issuers not in successions:
        return "identity_pinned"
    # Whoever was quicker has it; the other is told, and may ask again.
    unmoved = claim.before == (known.issuer_spki_sha256, known.leaf_spki_sha256)
    return None if known == claim.pin or unmoved else "claim_lost"


def _pin(device_id: str, issuer: bytes, leaf: bytes, pending: int) -> Pin:
    """Of the columns that `PIN` names."""
    return Pin(device_id=device_id, issuer_spki_sha256=issuer, leaf_spki_sha256=NO_KEY if pending else leaf)


def _device(row: Mapping[str, Any]) -> Device:
    path = [] if row["pending"] else [row["fingerprint"], *paths.fingerprints(row["certificates"])]
    return Device(
        pin=_pin(*(row[name] for name in PIN)),
        path=tuple(one.hex() for one in path),
        pinned_at=datetime.fromtimestamp(row["pinned_at"], UTC),
    )


def _exactly(device_id: str, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row of this id, letter by letter, if it is there."""
    if not rows or rows[0]["device_id"] != device_id:
        hint = f"There is '{rows[0]['device_id']}'" if rows else "A device is known once it was let in"
        raise RegistrationError("unknown_device", f"there is no device '{device_id[:128]}'", hint=hint)
    return rows[0]


def fold(device_id: str) -> str:
    """The form in which two spellings of one id are the same (ids are ASCII)."""
    return device_id.lower()
