"""How a backup of the registry comes back: nothing that shuts out is undone by it. `trust.md` §5.1.

What only grows is merged: closures and successions (the stricter word counts), certificates and paths that were met,
devices, acts, the clock's floor, epochs. Pins are the backup's where it has them, but of a device that its owner has
taken from its issuer since. CAs are the backup's, but none of them is trusted that is not trusted now: one that is
disabled here stays so, one that was deleted has its proof to give anew, for disabled it would close a key that is
open. Open challenges do not come back, for they may have been answered since (I5).
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from holdfast.errors import ConfigurationError
from holdfast.registry.closures import ClosureState, Kind
from holdfast.registry.devices import fold
from holdfast.registry.moves import State
from holdfast.registry.paths import known
from holdfast.registry.schema import (
    acts,
    cas,
    certificates,
    closures,
    deployment,
    devices,
    paths,
    successions,
    tenants,
)
from holdfast.registry.successions import SuccessionState, declared, reached

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from holdfast.registry.database import Database, Transaction

EPOCH_MAX = 1 << 62
"""The database counts up to 2^63 - 1; at a thousand changes a second this lasts a hundred million years."""
STRICTNESS = [ClosureState.OPEN.value, ClosureState.CLOSED.value, ClosureState.REVOKED.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What has come back, and what has not as it was."""

    devices: int
    """Pins that the backup has."""
    cas: int
    disabled: Sequence[str]
    """CAs that are trusted in the backup and disabled now: they come back disabled."""
    unproven: Sequence[str]
    """CAs that are trusted in the backup and not registered, or not proven, now: they come back unproven."""
    removed: Sequence[str]
    """CAs that the backup does not have."""
    epochs: Mapping[str, int]
    """Of each tenant, above all that either has known."""


def check_mergeable(backup: Database) -> None:
    """Refuse what no registry could have come to, before there is one that would have to.

    Raises:
        ConfigurationError: `backup_damaged`.
    """
    for row in backup.rows(select(tenants).where(tenants.c.epoch > EPOCH_MAX)):
        message = f"the backup's epoch of tenant '{row['tenant']}' is {row['epoch']}: nobody could raise it"
        raise ConfigurationError("backup_damaged", message)


def merge(database: Database, backup: Database, *, actor: str, at: datetime, made_at: datetime) -> Merged:
    """Bring `backup`, made at `made_at`, back into `database`: one transaction, with an act for each tenant.

    A registry in which nothing was ever done takes the backup of any deployment of its hub.

    Raises:
        ConfigurationError: `other_deployment`, and those of both databases.

    Cost: every row of the backup crosses into Python; other writers wait meanwhile.
    """
    with database.writing(at=int(at.timestamp())) as transaction:
        untrusted, moved = _untrusted(transaction), _moved_since(transaction, backup)
        disabled_before = _disabled(transaction)
        _merge_deployment(transaction, backup)
        epochs = _merge_tenants(transaction, backup)
        act_numbers = _merge_acts(transaction, backup)
        _merge_closures(transaction, backup)
        _merge_successions(transaction, backup)
        path_ids = _merge_paths(transaction, backup)
        count = _merge_devices(transaction, backup, act_numbers, path_ids, keeping=moved)
        names, changed, removed = _replace_cas(transaction, backup, untrusted)
        _keep_closed(transaction, disabled_before)
        for tenant, epoch in epochs.items():
            transaction.act(
                tenant,
                actor,
                "registry.restored",
                made_at.astimezone(UTC).isoformat(),
                epoch=epoch,
                cas=sorted(name for of, name in names if of == tenant),
                disabled=sorted(name for of, name in changed[State.DISABLED] if of == tenant),
                unproven=sorted(name for of, name in changed[State.SUBMITTED] if of == tenant),
                removed=sorted(name for of, name in removed if of == tenant),
            )
    return Merged(
        devices=count,
        cas=len(names),
        disabled=sorted(name for _, name in changed[State.DISABLED]),
        unproven=sorted(name for _, name in changed[State.SUBMITTED]),
        removed=sorted(name for _, name in removed),
        epochs=epochs,
    )


def _merge_deployment(transaction: Transaction, backup: Database) -> None:
    (mine,) = transaction.rows(select(deployment))
    (theirs,) = backup.rows(select(deployment))
    (done,) = transaction.rows(select(func.count().label("acts")).select_from(acts))
    if mine["id"] != theirs["id"] and done["acts"]:
        message = f"the backup is of deployment {theirs['id']}, this registry of {mine['id']}"
        hint = "To give up what is here, move the state directory away, and restore into an empty one"
        raise ConfigurationError("other_deployment", message, hint=hint)
    floor = max(mine["clock_floor"], theirs["clock_floor"])
    transaction.become(id=theirs["id"], created_at=theirs["created_at"], clock_floor=floor)


def _merge_tenants(transaction: Transaction, backup: Database) -> dict[str, int]:
    epochs: dict[str, int] = {}
    for row in [*transaction.rows(select(tenants)), *backup.rows(select(tenants))]:
        epochs[row["tenant"]] = max(epochs.get(row["tenant"], 0), row["epoch"] + 1)
    put = upsert(tenants)
    put = put.on_conflict_do_update(index_elements=["tenant"], set_={"epoch": put.excluded.epoch})
    if epochs:
        transaction.change(put, [{"tenant": tenant, "epoch": epoch} for tenant, epoch in epochs.items()])
    return epochs


def _merge_acts(transaction: Transaction, backup: Database) -> dict[int, int]:
    """Acts that are here keep their numbers; answers those of the backup's that have others here.

    From the first act on whose number another has, the backup's stand behind what is here, in their order: a life that
    nobody had the record of any more when this one began. What has come back before is found by what it says.
    """
    moved: dict[int, int] = {}
    parted: int | None = None
    for rows in backup.portions(acts):
        if parted is None:
            span = acts.c.seq.between(rows[0]["seq"], rows[-1]["seq"])
            mine = {row["seq"]: row for row in transaction.rows(select(acts).where(span))}
            parted = next((row["seq"] for row in rows if mine.get(row["seq"], row) != row), None)
            common = [row for row in rows if parted is None or row["seq"] < parted]
            transaction.insert_all(acts, [row for row in common if row["seq"] not in mine])
        if parted is not None:
            _append_acts(transaction, [row for row in rows if row["seq"] >= parted], parted, moved)
    return moved


def _append_acts(
    transaction: Transaction, rows: Sequence[Mapping[str, Any]], parted: int, moved: dict[int, int]
) -> None:
    """Find or append `rows`, and put their numbers into `moved`: of two that are equal each has its own."""
    names = [column.name for column in acts.c if not column.primary_key]
    times = [row["at"] for row in rows]
    same_time = select(acts).where(acts.c.seq >= parted, acts.c.at.between(min(times), max(times)))
    found, taken = defaultdict[tuple[Any, ...], list[int]](list), set(moved.values())
    for row in transaction.rows(same_time.order_by(acts.c.seq.desc())):
        if row["seq"] not in taken:
            found[_key(row, names)].append(row["seq"])
    for row in rows:
        if known_numbers := found[_key(row, names)]:
            moved[row["seq"]] = known_numbers.pop()
        else:
            values = {name: row[name] for name in names}
            (numbered,) = transaction.rows(insert(acts).values(values).returning(acts.c.seq))
            moved[row["seq"]] = numbered["seq"]


def _merge_closures(transaction: Transaction, backup: Database) -> None:
    keys = ("tenant", "kind", "sha256")
    mine = {tuple(row[key] for key in keys): row["state"] for row in transaction.rows(select(closures))}
    put = upsert(closures)
    changed = {name: put.excluded[name] for name in ("state", "reason", "changed_at")}
    put = put.on_conflict_do_update(index_elements=list(keys), set_=changed)
    for rows in backup.portions(closures):
        stricter = [row for row in rows if _strictness(row["state"]) > _strictness(mine.get(_key(row, keys)))]
        if stricter:
            transaction.change(put, stricter)


def _key(row: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def _strictness(state: str | None) -> int:
    return -1 if state is None else STRICTNESS.index(state)


def _merge_successions(transaction: Transaction, backup: Database) -> None:
    """What was withdrawn here stays so, and what would close a circle comes back withdrawn."""
    keys = ("tenant", "old_spki_sha256", "new_spki_sha256")
    mine = {_key(row, keys): row["state"] for row in transaction.rows(select(successions))}
    for rows in backup.portions(successions):
        for row in rows:
            tenant, old, new = key = _key(row, keys)
            if mine.get(key) in {row["state"], SuccessionState.WITHDRAWN.value}:
                continue
            circle = old in reached(declared(transaction, tenant), new)
            values = {**row, "state": SuccessionState.WITHDRAWN.value} if circle else row
            put = upsert(successions).values(values)
            changed = {name: values[name] for name in ("state", "reason", "changed_at")}
            transaction.change(put.on_conflict_do_update(index_elements=list(keys), set_=changed))


def _merge_paths(transaction: Transaction, backup: Database) -> dict[int, int]:
    """Answers which path here is which of the backup's."""
    for rows in backup.portions(certificates):
        transaction.change(upsert(certificates).on_conflict_do_nothing(), rows)
    numbers: dict[int, int] = {}
    for rows in backup.portions(paths):
        named = [{name: row[name] for name in ("tenant", "certificates")} for row in rows]
        transaction.change(upsert(paths).on_conflict_do_nothing(), named)
        for tenant in {row["tenant"] for row in rows}:
            own = [row for row in rows if row["tenant"] == tenant]
            here = known(transaction, tenant, [row["certificates"] for row in own])
            numbers |= {row["path_id"]: here[row["certificates"]] for row in own}
    return numbers


def _merge_devices(
    transaction: Transaction,
    backup: Database,
    act_numbers: Mapping[int, int],
    path_ids: Mapping[int, int],
    *,
    keeping: Collection[tuple[str, str]],
) -> int:
    put = upsert(devices)
    changed = {column.name: put.excluded[column.name] for column in devices.c if not column.primary_key}
    put = put.on_conflict_do_update(index_elements=list(devices.primary_key), set_=changed)
    count = 0
    for rows in backup.portions(devices):
        own = [
            {**row, "act": act_numbers.get(row["act"], row["act"]), "path_id": path_ids[row["path_id"]]}
            for row in rows
            if _key(row, ("tenant", "folded_id")) not in keeping
        ]
        if own:
            transaction.change(put, own)
        count += len(own)
    return count


def _moved_since(transaction: Transaction, backup: Database) -> set[tuple[str, str]]:
    """Devices (tenant, folded id) that an owner's word has taken from their issuer, which the backup does not know.

    Or does not know the end of: what came after such a word is here, if the word is.
    """
    by_word = select(acts).where(acts.c.action.in_(["device.repinned", "device.succeeded"]))
    mine, theirs = (
        {tuple(row.values()): (row["tenant"], fold(row["subject"])) for row in source.rows(by_word)}
        for source in (transaction, backup)
    )
    open_acts = {row["act"] for row in backup.rows(select(devices.c.act).where(devices.c.pending == 1))}
    return {device for act, device in mine.items() if act not in theirs or act[0] in open_acts}


def _untrusted(transaction: Transaction) -> dict[tuple[str, bytes], State]:
    """Certificates (tenant, fingerprint) that were registered here and are no anchors now, and what they may be."""
    registered = {
        (row["tenant"], row["fingerprint"]): State(row["state"])
        for row in transaction.rows(select(cas.c.tenant, cas.c.fingerprint, cas.c.state))
    }
    deleted = {
        (row["tenant"], bytes.fromhex(json.loads(row["details"])["fingerprint"]))
        for row in transaction.rows(select(acts.c.tenant, acts.c.details).where(acts.c.action == "ca.deleted"))
    }
    unproven = dict.fromkeys(deleted, State.SUBMITTED) | registered
    return {
        one: state if state is State.DISABLED else State.SUBMITTED
        for one, state in unproven.items()
        if state is not State.PROVEN
    }


def _disabled(transaction: Transaction) -> dict[tuple[str, bytes], str]:
    """Keys (tenant, SPKI) that are closed by a CA that is disabled, and its name."""
    rows = transaction.rows(select(cas).where(cas.c.state == State.DISABLED.value))
    return {(row["tenant"], row["spki_sha256"]): row["name"] for row in rows}


def _keep_closed(transaction: Transaction, before: Mapping[tuple[str, bytes], str]) -> None:
    """What a CA closed that was disabled stays closed, if it has not come back so."""
    for tenant, key in before.keys() - _disabled(transaction).keys():
        values = {"state": ClosureState.CLOSED.value, "changed_at": transaction.at}
        values["reason"] = f"CA '{before[tenant, key]}' was disabled before a backup was restored"
        put = upsert(closures).values(tenant=tenant, kind=Kind.KEY.value, sha256=key, **values)
        is_open = closures.c.state == ClosureState.OPEN.value
        put = put.on_conflict_do_update(index_elements=["tenant", "kind", "sha256"], set_=values, where=is_open)
        transaction.change(put)


def _replace_cas(
    transaction: Transaction, backup: Database, untrusted: Mapping[tuple[str, bytes], State]
) -> tuple[set[tuple[str, str]], Mapping[State, set[tuple[str, str]]], set[tuple[str, str]]]:
    """Answers (tenant, name) of the CAs that there are now, of those that this has made less of, and that are gone."""
    rows_before = transaction.rows(select(cas))
    before = {(row["tenant"], row["name"]) for row in rows_before}
    proven = {(row["tenant"], row["fingerprint"]) for row in rows_before if row["state"] == State.PROVEN.value}
    transaction.change(delete(cas))
    names, changed = set(), defaultdict[State, set[tuple[str, str]]](set)
    for rows in backup.portions(cas):
        for row in rows:
            state = State(row["state"])
            values = {name: value for name, value in row.items() if name != "id"}
            own = (row["tenant"], row["fingerprint"])
            less = untrusted.get(own)
            # One that was disabled and is gone would close a key that is open; what is to stay closed has a closure.
            if less is not None and (state is State.PROVEN or (state, less) == (State.DISABLED, State.SUBMITTED)):
                state = less
                changed[state].add((row["tenant"], row["name"]))
            elif state is State.DISABLED and own in proven:
                changed[state].add((row["tenant"], row["name"]))
            if state is State.CHALLENGED:
                state = State.SUBMITTED
            if state is State.SUBMITTED:
                values |= {"proof": None, "proven_at": None, "evidence": None}
            values |= {"state": state.value, "etag": secrets.token_hex(8), "updated_at": transaction.at}
            transaction.change(insert(cas).values(values))
            names.add((row["tenant"], row["name"]))
    return names, changed, before - names
