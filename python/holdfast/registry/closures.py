"""What a tenant has closed: keys, and single certificates, that may stand in no path. `trust.md` §5.1.

A closure names a key by the SHA-256 of its SPKI, so that a renewed certificate does not open what was closed; a subject
never. Closing is undone by opening, unless it was a revocation: that grows only, and outlives every restore. The key of
a CA that is disabled is closed for as long as that is: it has no row here, and only enabling the CA undoes it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert

from holdfast._holdfast import Certificate
from holdfast.errors import ConflictError, RegistrationError
from holdfast.registry.moves import State
from holdfast.registry.paths import HASH_BYTES, fingerprints, in_portions, keep
from holdfast.registry.schema import cas, certificates, closures, devices, paths
from holdfast.registry.ways import Ways

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Column

    from holdfast.registry.database import Database, Transaction


class Kind(StrEnum):
    """What a closure names."""

    KEY = "key"
    CERTIFICATE = "certificate"


class ClosureState(StrEnum):
    """Where a closure stands."""

    CLOSED = "closed"
    OPEN = "open"
    REVOKED = "revoked"
    DISABLED = "disabled"
    """Closed by a CA of this key that is disabled. Never a row's."""


@dataclass(frozen=True, slots=True)
class Named:
    """A key, or a certificate."""

    kind: Kind
    sha256: bytes
    subject: str = field(default="", compare=False)
    """Whose it is, as far as the registry knows; RFC 4514."""
    certificate: Certificate | None = field(default=None, compare=False, repr=False)
    """By which it was named, where it was."""

    @classmethod
    def of(cls, certificate: Certificate, kind: Kind = Kind.KEY) -> Named:
        """The key of `certificate`, or that one alone."""
        sha256 = certificate.spki_sha256 if kind is Kind.KEY else certificate.fingerprint
        return cls(kind, bytes.fromhex(sha256), certificate.subject, certificate)

    def __str__(self) -> str:
        """For people."""
        return f"{self.subject} ({self.sha256.hex()})" if self.subject else self.sha256.hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """Something that was closed, and where it stands now."""

    named: Named
    state: ClosureState
    reason: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What closing would do."""

    closing: Sequence[Named]
    """What would be closed: what was named, and with descendants every key below it too."""
    devices: int
    """Devices that can come in now by what would be closed."""
    pinned: Mapping[bytes, int]
    """How many of them are pinned to which key."""
    surviving: Sequence[str]
    """Those among them for whose issuer a way up is known that stays open: they come, if they present it."""
    unmet: int
    """Devices that were pinned to a key of which no certificate was met: nobody knows below whom they will come."""
    registered: Sequence[str]
    """CAs of the registry that could be anchors no more."""


@dataclass(frozen=True, slots=True)
class _Path:
    fingerprints: tuple[bytes, ...]
    keys: tuple[bytes, ...]


class Closures:
    """The closures of `tenant`. Every change has an actor, a time and an act; what shuts out raises the epoch."""

    def __init__(self, database: Database, *, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    def list(self) -> Sequence[Closure]:
        """All there ever were, and every CA that is disabled, the latest first."""
        rows = self._database.rows(select(closures).where(closures.c.tenant == self._tenant))
        disabled = self._disabled(self._database)
        keys = {row["spki_sha256"] for row in disabled}
        subjects = self.subjects()
        found = [
            Closure(
                named=Named(Kind(row["kind"]), row["sha256"], subjects.get(row["sha256"], "")),
                state=ClosureState(row["state"]),
                reason=row["reason"],
                changed_at=datetime.fromtimestamp(row["changed_at"], UTC),
            )
            for row in rows
            if row["state"] != ClosureState.OPEN.value or row["kind"] != Kind.KEY.value or row["sha256"] not in keys
        ]
        found += [
            Closure(
                named=Named(Kind.KEY, row["spki_sha256"], subjects.get(row["spki_sha256"], "")),
                state=ClosureState.DISABLED,
                reason=f"CA '{row['name']}' is disabled",
                changed_at=datetime.fromtimestamp(row["updated_at"], UTC),
            )
            for row in disabled
        ]
        return sorted(found, key=lambda one: one.changed_at, reverse=True)

    def find(self, text: str, kind: Kind = Kind.KEY) -> Named:
        """The key (or, for `Kind.CERTIFICATE`, the certificate) that `text` names.

        `text` is SHA-256 of a certificate or of a key, in hexadecimal, colons and case as one likes. A certificate's
        names its key.

        Raises:
            RegistrationError: `bad_hash`, `unknown_branch`.
        """
        if found := self._find(sha256_of(text), kind):
            return found
        hint = "Name the certificate's file; or `--unseen` closes the hash, whichever of the two it is of"
        raise _unknown(kind, hint)

    def find_or_take(self, text: str, kind: Kind | None = None) -> Sequence[Named]:
        """What `text` names, as in `find`; a hash that the registry has never met is taken for what `kind` says.

        Where `kind` does not say it, for both: nobody can tell a key's hash from a certificate's, and whoever closes
        only the wrong one has closed nothing.

        Raises:
            RegistrationError: `bad_hash`, `unknown_branch`: it is no certificate's.
        """
        sha256 = sha256_of(text)
        found = self._find(sha256, kind or Kind.KEY)
        if found is None and kind is Kind.CERTIFICATE and self._find(sha256, Kind.KEY):
            raise _unknown(kind, "It is a key's: leave `--certificate` away")
        return [found] if found else [Named(one, sha256) for one in ([kind] if kind else Kind)]

    def _find(self, sha256: bytes, kind: Kind) -> Named | None:
        leaf = select(devices.c.fingerprint, devices.c.leaf_spki_sha256, devices.c.device_id).where(
            devices.c.tenant == self._tenant,
            (devices.c.leaf_spki_sha256 == sha256) | (devices.c.fingerprint == sha256),
        )
        leaves = [
            (row["fingerprint"], row["leaf_spki_sha256"], f"CN={row['device_id']}") for row in self._database.rows(leaf)
        ]
        return _find(sha256, kind, [*self._issuers(), *leaves])

    def find_issuer(self, text: str, *, unseen: bool = False) -> Named:
        """The key of a CA that `text` names, as in `find`; with `unseen` the key whose hash `text` is.

        Raises:
            RegistrationError: `bad_hash`, `unknown_branch`.
        """
        sha256 = sha256_of(text)
        if found := _find(sha256, Kind.KEY, self._issuers()):
            return found
        if unseen:
            return Named(Kind.KEY, sha256)
        hint = "Name the certificate's file; `--unseen` takes the hash for that of the key (SPKI), not of a certificate"
        raise _unknown(Kind.KEY, hint)

    def preview(self, *named: Named, at: datetime, descendants: bool = False) -> Preview:
        """What `close` would do; changes nothing.

        Whoever can come in by what is to be closed counts, by whichever path it came first.
        """
        ways, known = self._ways(), self._paths()
        below = [key for one in named for key in self._below(one, ways, known)] if descendants else []
        closing = list(dict.fromkeys([*named, *below]))
        already = self._closed(self._database)
        after = {kind: already[kind] | {one.sha256 for one in closing if one.kind is kind} for kind in Kind}
        before = ways.open_to(already[Kind.KEY], already[Kind.CERTIFICATE])
        going = before & (ways.of(after[Kind.KEY]) | after[Kind.CERTIFICATE])
        unmet = after[Kind.KEY] - already[Kind.KEY] - set(ways.keys())
        hit = unmet.union(ways.keys(ways.below(going, within=before)))
        open_to = set(ways.keys(ways.open_to(after[Kind.KEY], after[Kind.CERTIFICATE], at=at)))
        leaves, own = ([one.sha256 for one in closing if one.kind is kind] for kind in (Kind.KEY, Kind.CERTIFICATE))
        # A device's certificate that is named by its file may be a later one than that which is known.
        owners = [key_of(one.certificate) for one in closing if one.kind is Kind.CERTIFICATE and one.certificate]
        affected = (
            self._devices(devices.c.path_id, [number for number, path in known.items() if path.keys[0] in hit])
            | self._devices(devices.c.leaf_spki_sha256, [*leaves, *owners])
            | self._devices(devices.c.fingerprint, own)
        )
        # Whom its owner has pinned anew has not come by any path yet: those of the issuer that was named count.
        pending = self._devices(devices.c.pending, [1])
        affected = {name: row for name, row in affected.items() if name not in pending} | {
            name: row for name, row in pending.items() if row["issuer_spki_sha256"] in hit
        }
        surviving = [
            row["device_id"]
            for name, row in sorted(affected.items())
            if row["issuer_spki_sha256"] in open_to
            and (
                name in pending
                or not (
                    row["leaf_spki_sha256"] in {*after[Kind.KEY], *owners}
                    or row["fingerprint"] in after[Kind.CERTIFICATE]
                )
            )
        ]
        registered = [
            row["name"]
            for row in self._database.rows(
                select(cas.c.name, cas.c.spki_sha256, cas.c.fingerprint).where(
                    cas.c.tenant == self._tenant, cas.c.state == State.PROVEN.value
                )
            )
            if row["spki_sha256"] in after[Kind.KEY] or row["fingerprint"] in after[Kind.CERTIFICATE]
        ]
        met = hit | already[Kind.KEY] | set(ways.keys())
        return Preview(
            closing=closing,
            devices=len(affected),
            pinned=Counter(row["issuer_spki_sha256"] for row in affected.values()),
            surviving=surviving,
            unmet=sum(row["issuer_spki_sha256"] not in met for row in pending.values()),
            registered=registered,
        )

    def close(
        self,
        closing: Iterable[Named],
        *,
        actor: str,
        at: datetime,
        reason: str = "",
        revoke: bool = False,
    ) -> int:
        """Close each of `closing`, for ever if `revoke` says so; answers the epoch from which on it holds.

        What is closed already stays closed, and a revocation stays one; another reason is taken down.

        Raises:
            RegistrationError: `unknown_tenant`.
        """
        state = ClosureState.REVOKED if revoke else ClosureState.CLOSED
        with self._database.writing(at=int(at.timestamp())) as transaction:
            transaction.check_tenant(self._tenant)
            for named in closing:
                before, why = self._row(transaction, named)
                after = before if before in {state, ClosureState.REVOKED} else state
                if after is before and reason in {"", why}:
                    continue
                self._put(transaction, named, after, reason)
                details = {"kind": named.kind, "of": named.subject, "reason": reason}
                transaction.act(self._tenant, actor, f"branch.{after.value}", named.sha256.hex(), **details)
                if after is not before:
                    transaction.raise_epoch(self._tenant)
            return transaction.epoch(self._tenant)

    def open(self, *named: Named, actor: str, at: datetime, reason: str = "") -> Sequence[Named]:
        """Undo what of `named` is closed, and answer what that was.

        With a key goes what is closed under its hash as a certificate: whoever took it unseen has closed both.

        Raises:
            ConflictError: `not_closed`, `ca_disabled`, `revoked_for_ever`, `clock_behind`: nothing was opened.
        """
        with self._database.writing(at=int(at.timestamp())) as transaction:
            transaction.check_clock()
            before = {one: self._row(transaction, one)[0] for one in named}
            shut = [one for one, state in before.items() if state not in {None, ClosureState.OPEN}]
            unseen = [Named(Kind.CERTIFICATE, one.sha256) for one in shut if one.kind is Kind.KEY]
            before |= {one: self._row(transaction, one)[0] for one in unseen}
            opened = [one for one, state in before.items() if state is ClosureState.CLOSED]
            # Of what stands for one branch a part that stays shut shuts it out.
            if ClosureState.REVOKED in before.values():
                raise ConflictError("revoked_for_ever", f"this {named[0].kind.value} was revoked: that is never undone")
            if not opened and (names := self._disabled_of(transaction, *named)):
                message = f"this key is closed by nothing but that CA '{names[0]}' is disabled"
                raise ConflictError("ca_disabled", message, hint=f"`holdfast ca enable {names[0]}`")
            if not opened:
                raise ConflictError("not_closed", f"this {named[0].kind.value} is not closed")
            for one in opened:
                self._put(transaction, one, ClosureState.OPEN, reason)
                details = {"kind": one.kind, "of": one.subject, "reason": reason}
                transaction.act(self._tenant, actor, "branch.opened", one.sha256.hex(), **details)
        return opened

    def state(self, named: Named) -> ClosureState:
        """Where this stands now."""
        state = self._row(self._database, named)[0] or ClosureState.OPEN
        shut = state is ClosureState.OPEN and self._disabled_of(self._database, named)
        return ClosureState.DISABLED if shut else state

    def closed_by(self, certificate: Certificate) -> Sequence[str]:
        """By which commands this CA's certificate or its key is closed now; none: it is open."""
        found = []
        for kind in Kind:
            state, _ = self._row(self._database, Named.of(certificate, kind))
            if state not in {None, ClosureState.OPEN}:
                words = ["branch close"] + ["--certificate"] * (kind is Kind.CERTIFICATE)
                found.append(" ".join(words + ["--revoke"] * (state is ClosureState.REVOKED)))
        return found + [f"ca disable {name}" for name in self._disabled_of(self._database, Named.of(certificate))]

    def closed(self) -> Mapping[Kind, frozenset[bytes]]:
        """What may stand in no path now."""
        return {kind: frozenset(hashes) for kind, hashes in self._closed(self._database).items()}

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _closed(self, source: Database | Transaction) -> dict[Kind, set[bytes]]:
        """What may stand in no path, with the keys of CAs that are disabled."""
        # In this order: when a CA goes that is disabled, a closure takes its place; whoever reads in between sees both.
        disabled = {row["spki_sha256"] for row in self._disabled(source)}
        found = self._rows_closed(source)
        found[Kind.KEY] |= disabled
        return found

    def _rows_closed(self, source: Database | Transaction) -> dict[Kind, set[bytes]]:
        found: dict[Kind, set[bytes]] = {kind: set() for kind in Kind}
        for row in source.rows(
            select(closures).where(closures.c.tenant == self._tenant, closures.c.state != ClosureState.OPEN.value)
        ):
            found[Kind(row["kind"])].add(row["sha256"])
        return found

    def check(self, transaction: Transaction, certificate: Certificate) -> None:
        """Refuse what would make a closed key or certificate an anchor.

        Raises:
            RegistrationError: `key_closed`, `certificate_closed`.
        """
        _refuse(certificate, self._closed(transaction))

    def check_enabled(self, transaction: Transaction, certificate: Certificate) -> None:
        """As `check`, for a CA that is enabled again. Another of its key may be disabled still: each is its own word.

        Raises:
            RegistrationError: `key_closed`, `certificate_closed`.
        """
        _refuse(certificate, self._rows_closed(transaction))

    def outlive(self, transaction: Transaction, named: Named, *, actor: str, reason: str) -> None:
        """Keep a key closed whose CA was disabled, and is no more."""
        if self._row(transaction, named)[0] in {None, ClosureState.OPEN}:
            self._put(transaction, named, ClosureState.CLOSED, reason)
            details = {"kind": named.kind, "of": named.subject, "reason": reason}
            transaction.act(self._tenant, actor, "branch.closed", named.sha256.hex(), **details)

    def check_key(self, source: Database | Transaction, spki_sha256: bytes) -> None:
        """Refuse a closed key for what nobody could come by.

        Raises:
            RegistrationError: `key_closed`.
        """
        if spki_sha256 in self._closed(source)[Kind.KEY]:
            raise RegistrationError("key_closed", "this key is closed", hint=HINT)

    def _disabled(self, source: Database | Transaction) -> Sequence[Mapping[str, Any]]:
        """CAs that are disabled: name, key, since when."""
        return source.rows(
            select(cas.c.name, cas.c.spki_sha256, cas.c.updated_at)
            .where(cas.c.tenant == self._tenant, cas.c.state == State.DISABLED.value)
            .order_by(cas.c.name)
        )

    def _disabled_of(self, source: Database | Transaction, *named: Named) -> Sequence[str]:
        """The names of those whose key is one of `named`."""
        keys = {one.sha256 for one in named if one.kind is Kind.KEY}
        return [row["name"] for row in self._disabled(source) if row["spki_sha256"] in keys]

    def _row(self, source: Database | Transaction, named: Named) -> tuple[ClosureState | None, str]:
        """State and reason."""
        rows = source.rows(
            select(closures.c.state, closures.c.reason).where(
                closures.c.tenant == self._tenant,
                closures.c.kind == named.kind.value,
                closures.c.sha256 == named.sha256,
            )
        )
        return (ClosureState(rows[0]["state"]), rows[0]["reason"]) if rows else (None, "")

    def _put(self, transaction: Transaction, named: Named, state: ClosureState, reason: str) -> None:
        key = {"tenant": self._tenant, "kind": named.kind.value, "sha256": named.sha256}
        values = {"state": state.value, "reason": reason, "changed_at": transaction.at}
        put = upsert(closures).values(key | values).on_conflict_do_update(index_elements=list(key), set_=values)
        transaction.change(put)
        if named.certificate and named.certificate.is_ca:
            keep(transaction, self._tenant, named.certificate)

    def _certificates(self) -> Sequence[Mapping[str, Any]]:
        """Every CA certificate that is registered, has stood in a path, or was named by its file."""
        found: list[Mapping[str, Any]] = []
        for table in (cas, certificates):
            columns = (table.c.fingerprint, table.c.spki_sha256, table.c.certificate)
            found += self._database.rows(select(*columns).where(table.c.tenant == self._tenant))
        return found

    def _issuers(self) -> Sequence[tuple[bytes, bytes, str]]:
        """Of every CA certificate: fingerprint, key, subject."""
        return [(row["fingerprint"], row["spki_sha256"], _subject(row)) for row in self._certificates()]

    def subjects(self) -> Mapping[bytes, str]:
        """Whose a CA's key or certificate is, by its hash."""
        known: dict[bytes, str] = {}
        for row in self._certificates():
            known[row["fingerprint"]] = known[row["spki_sha256"]] = _subject(row)
        return known

    def _paths(self) -> Mapping[int, _Path]:
        keys = {row["fingerprint"]: row["spki_sha256"] for row in self._certificates()}
        found = {}
        for row in self._database.rows(select(paths).where(paths.c.tenant == self._tenant)):
            names = tuple(fingerprints(row["certificates"]))
            found[row["path_id"]] = _Path(names, tuple(keys[name] for name in names))
        return found

    def _devices(self, column: Column[Any], values: Iterable[object]) -> dict[str, Mapping[str, Any]]:
        """The devices of which `column` is one of `values`, by folded id."""
        columns = (
            devices.c.folded_id,
            devices.c.device_id,
            devices.c.issuer_spki_sha256,
            devices.c.leaf_spki_sha256,
            devices.c.fingerprint,
        )
        found: dict[str, Mapping[str, Any]] = {}
        for some in in_portions(values):
            rows = self._database.rows(select(*columns).where(devices.c.tenant == self._tenant, column.in_(some)))
            found |= {row["folded_id"]: row for row in rows}
        return found

    def _ways(self) -> Ways:
        found = {row["fingerprint"]: Certificate(row["certificate"]) for row in self._certificates()}
        rows = self._database.rows(select(paths.c.certificates).where(paths.c.tenant == self._tenant))
        return Ways(found, (fingerprints(row["certificates"]) for row in rows), self._anchors())

    def _below(self, named: Named, ways: Ways, known: Mapping[int, _Path]) -> Sequence[Named]:
        """Every issuing key that was met below the key that is named; of a certificate, that came by that one."""
        if named.kind is Kind.KEY:
            below = ways.keys(ways.below(ways.of({named.sha256})))
        else:
            through = [path for path in known.values() if named.sha256 in path.fingerprints]
            below = [key for path in through for key in path.keys[: path.fingerprints.index(named.sha256)]]
        subjects = self.subjects()
        return [Named(Kind.KEY, key, subjects.get(key, "")) for key in dict.fromkeys(below) if key != named.sha256]

    def _anchors(self) -> set[bytes]:
        proven = select(cas.c.fingerprint).where(cas.c.tenant == self._tenant, cas.c.state == State.PROVEN.value)
        return {row["fingerprint"] for row in self._database.rows(proven)}


def sha256_of(text: str) -> bytes:
    """What `text` says in hexadecimal, colons and case as one likes.

    Raises:
        RegistrationError: `bad_hash`.
    """
    try:
        sha256 = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        sha256 = b""
    if len(sha256) != HASH_BYTES:
        message = f"{text[:80]!r} is not a SHA-256: 64 hexadecimal digits are wanted"
        raise RegistrationError("bad_hash", message)
    return sha256


def key_of(certificate: Certificate) -> bytes:
    """SHA-256 of its key."""
    return bytes.fromhex(certificate.spki_sha256)


def _find(sha256: bytes, kind: Kind, known: Iterable[tuple[bytes, bytes, str]]) -> Named | None:
    """Which of `known` (fingerprint, key, subject) the hash is of."""
    for fingerprint, key, subject in known:
        if kind is Kind.CERTIFICATE and sha256 == fingerprint:
            return Named(kind, fingerprint, subject)
        if kind is Kind.KEY and sha256 in {fingerprint, key}:
            return Named(kind, key, subject)
    return None


def _unknown(kind: Kind, hint: str) -> RegistrationError:
    message = f"no {kind.value} with this hash was registered or has vouched for a device"
    return RegistrationError("unknown_branch", message, hint=hint)


HINT = "Use another key; `holdfast branch list` says why, and when, this one was closed"


def _refuse(certificate: Certificate, closed: Mapping[Kind, set[bytes]]) -> None:
    if key_of(certificate) in closed[Kind.KEY]:
        raise RegistrationError("key_closed", "this key is closed", hint=HINT)
    if bytes.fromhex(certificate.fingerprint) in closed[Kind.CERTIFICATE]:
        raise RegistrationError("certificate_closed", "this certificate is closed", hint=HINT)


def _subject(row: Mapping[str, Any]) -> str:
    return Certificate(row["certificate"]).subject
