"""The CAs of a tenant: how they are added, challenged, proven, disabled, and what of them workers are told."""

from __future__ import annotations

import base64
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from holdfast._holdfast import POSSESSION_PREFIX, Certificate
from holdfast.errors import (
    ConflictError,
    LimitExceededError,
    PossessionError,
    RegistrationError,
    VerificationError,
)
from holdfast.possession import Challenge, Proof, ProofKind
from holdfast.registry.closures import Named
from holdfast.registry.moves import Move, State, move
from holdfast.registry.renewal import carries_over
from holdfast.registry.schema import cas, challenges, tenants
from holdfast.registry.successions import declared
from holdfast.registry.upload import read_ca_certificate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.registry.closures import Closures, Kind
    from holdfast.registry.database import Database, Transaction

CHALLENGE_TTL = timedelta(hours=1)
"""I5: a proof is good within one hour."""
CHALLENGE_ATTEMPTS_MAX = 10
UNPROVEN_COUNT_MAX = 100
"""CAs of a tenant that nobody has proven yet: what uploads alone may pile up (O12)."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ca:
    """A registered CA."""

    tenant: str
    name: str
    state: State
    etag: str
    certificate: Certificate
    created_at: datetime
    updated_at: datetime
    proof: ProofKind | None
    proven_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom a tenant trusts now."""

    epoch: int
    """Rises with each change after which somebody who was admitted might no longer be."""
    anchors: tuple[bytes, ...]
    """DER of every CA that is proven and enabled."""
    closed: Mapping[Kind, frozenset[bytes]]
    """SHA-256 of keys and certificates that may stand in no path."""
    successions: frozenset[tuple[bytes, bytes]]
    """Issuing keys (SHA-256): whoever is pinned to the first may come by the second."""
    clock_floor: datetime
    """The highest time that the registry has seen; an earlier clock admits nobody."""


class Cas:
    """The CAs of `tenant` in the registry of `hub`. Every change has an actor, a time and an act."""

    def __init__(self, database: Database, closures: Closures, *, hub: str, tenant: str) -> None:
        self._database = database
        self._closures = closures
        self._hub = hub
        self._tenant = tenant

    # ── looking ────────────────────────────────────────────────────────────────────────────────────────────────────

    def list(self) -> Sequence[Ca]:
        """All of them, by name."""
        return [_ca(row) for row in self._database.rows(self._select().order_by(cas.c.name))]

    def find(self, name: str) -> Ca:
        """The CA called `name`.

        Raises:
            RegistrationError: `unknown_ca`.
        """
        return _ca(self._row(self._database, name))

    def trust(self) -> Trust:
        """Whom devices may present now.

        The epoch is read first: whoever has applied it has applied all that was committed with it, and perhaps more.
        """
        epochs = self._database.rows(select(tenants.c.epoch).where(tenants.c.tenant == self._tenant))
        anchors = self._database.rows(
            select(cas.c.certificate)
            .where(cas.c.tenant == self._tenant, cas.c.state == State.PROVEN.value)
            .order_by(cas.c.id)
        )
        return Trust(
            epoch=epochs[0]["epoch"] if epochs else 0,
            anchors=tuple(row["certificate"] for row in anchors),
            closed=self._closures.closed(),
            successions=declared(self._database, self._tenant),
            clock_floor=_time(self._database.clock_floor()),
        )

    # ── registering ────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, name: str, upload: bytes, *, actor: str, at: datetime) -> Ca:
        """Register the CA certificate in `upload` as `name`; it is an anchor only once possession of its key is proven.

        A certificate that renews a proven one (same key and subject, nothing wider) is proven at once.

        Raises:
            RegistrationError: `bad_ca_name`, `key_closed`, `certificate_closed`, what `read_ca_certificate` refuses, or
                the rule that every path under this certificate would break.
            ConflictError: `ca_name_taken`, `ca_already_registered`, `clock_behind`.
            LimitExceededError: `upload_too_large`, `too_many_unproven_cas`.
        """
        if not NAME.fullmatch(name):
            message = f"{name[:80]!r} is not a name for a CA: letters, digits, '.', '_' and '-', at most 64, are wanted"
            raise RegistrationError("bad_ca_name", message)
        certificate = read_ca_certificate(upload)
        _check_usable(certificate, at)
        with self._database.writing(at=_seconds(at)) as transaction:
            transaction.check_clock()
            transaction.make_tenant(self._tenant, actor)
            self._closures.check(transaction, certificate)
            carried = self._carried_proof(transaction, certificate)
            if carried is None:
                self._check_room(transaction)
            row = {
                "tenant": self._tenant,
                "name": name,
                "etag": _new_etag(),
                "state": State.SUBMITTED.value,
                "certificate": certificate.der,
                "fingerprint": bytes.fromhex(certificate.fingerprint),
                "spki_sha256": bytes.fromhex(certificate.spki_sha256),
                "created_at": transaction.at,
                "updated_at": transaction.at,
            }
            if carried is not None:
                row |= {key: carried[key] for key in ("proof", "proven_at", "evidence")}
                row["state"] = State.PROVEN.value
            if transaction.change(upsert(cas).values(row).on_conflict_do_nothing()) == 0:
                raise self._taken(transaction, name, certificate)
            transaction.act(
                self._tenant,
                actor,
                "ca.added",
                name,
                fingerprint=certificate.fingerprint,
                spki_sha256=certificate.spki_sha256,
                certificate_subject=certificate.subject,
                proof_carried_from=carried["name"] if carried else None,
            )
        return self.find(name)

    def challenge(self, name: str, *, actor: str, at: datetime, etag: str | None = None) -> Challenge:
        """Issue a challenge to whoever holds the key of `name`; an earlier one is superseded.

        Raises:
            RegistrationError: `unknown_ca`, `key_closed`, `certificate_closed`.
            ConflictError: `illegal_move`, `etag_mismatch`, `clock_behind`.
        """
        with self._database.writing(at=_seconds(at)) as transaction:
            transaction.check_clock()
            row = self._move(transaction, name, Move.CHALLENGE, etag)
            self._closures.check(transaction, Certificate(row["certificate"]))
            supersede = update(challenges).where(challenges.c.ca_id == row["id"], challenges.c.state == "open")
            transaction.change(supersede.values(state="superseded"))
            challenge = Challenge(
                hub=self._hub,
                tenant=self._tenant,
                ca=name,
                certificate_sha256=row["fingerprint"].hex(),
                spki_sha256=row["spki_sha256"].hex(),
                etag=row["etag"],
                challenge_id=secrets.token_hex(16),
                code=POSSESSION_PREFIX + base64.b32encode(secrets.token_bytes(32)).decode().rstrip("="),
                nonce=secrets.token_hex(32),
                expires_at=at.replace(microsecond=0) + CHALLENGE_TTL,
            )
            transaction.change(
                insert(challenges).values(
                    challenge_id=challenge.challenge_id,
                    tenant=self._tenant,
                    ca_id=row["id"],
                    etag=challenge.etag,
                    certificate_sha256=row["fingerprint"],
                    spki_sha256=row["spki_sha256"],
                    code=challenge.code,
                    nonce=bytes.fromhex(challenge.nonce),
                    expires_at=_seconds(challenge.expires_at),
                    attempts=0,
                    state="open",
                )
            )
            expires_at = challenge.expires_at.isoformat()
            transaction.act(
                self._tenant, actor, "ca.challenged", name, challenge=challenge.challenge_id, expires_at=expires_at
            )
        return challenge

    def prove(self, name: str, proof: Proof, *, actor: str, at: datetime, issuance_alone: bool = False) -> Ca:
        """Judge `proof` as the answer to the open challenge of `name`, and consume the challenge with it.

        A wrong answer counts as an attempt; after `CHALLENGE_ATTEMPTS_MAX` of them the challenge is void. Where several
        tenants share the hub, a proof by issuance is not enough unless `issuance_alone` says so (trust.md §4.3).

        Raises:
            PossessionError: `no_open_challenge`, `challenge_expired`, `signature_required`, or why the proof is none.
            RegistrationError: `unknown_ca`, `key_closed`, `certificate_closed`, or the rule that the CA has come to
                break since it was added.
            ConflictError: `illegal_move`, `etag_mismatch`, `clock_behind`.
        """
        row = self._row(self._database, name)
        move(State(row["state"]), Move.PROVE, name)
        challenge = self._open_challenge(row, name, at)
        if proof.kind is ProofKind.ISSUANCE and not issuance_alone and self._is_shared():
            raise PossessionError(
                "signature_required",
                "several tenants share this hub: that a CA issued a chosen name is not proof enough",
                hint="Prove by signature: `holdfast authority prove --method signature`; if all tenants are yours, "
                "lenient_issuance_proof = true in the settings takes this proof",
            )
        certificate = Certificate(row["certificate"])
        try:
            proof.check(challenge, certificate, at)
        except PossessionError as error:
            self._count_attempt(row, challenge, error.code, actor=actor, at=at)
            raise
        _check_usable(certificate, at)
        with self._database.writing(at=_seconds(at)) as transaction:
            transaction.check_clock()
            self._closures.check(transaction, certificate)
            consume = update(challenges).where(
                challenges.c.challenge_id == challenge.challenge_id,
                challenges.c.state == "open",
                challenges.c.expires_at >= transaction.at,
            )
            if transaction.change(consume.values(state="consumed")) != 1:
                raise _no_open_challenge(name)
            evidence = {"proof": proof.kind.value, "proven_at": transaction.at, "evidence": proof.evidence}
            self._move(transaction, name, Move.PROVE, challenge.etag, **evidence)
            transaction.act(
                self._tenant,
                actor,
                "ca.proven",
                name,
                fingerprint=certificate.fingerprint,
                challenge=challenge.challenge_id,
                proof=proof.kind.value,
            )
        return self.find(name)

    # ── closing and opening ────────────────────────────────────────────────────────────────────────────────────────

    def disable(self, name: str, *, actor: str, at: datetime, etag: str | None = None, reason: str = "") -> Ca:
        """Stop trusting the key of `name`, in whatever certificate it stands; `enable` undoes it.

        Raises:
            RegistrationError: `unknown_ca`.
            ConflictError: `illegal_move`, `etag_mismatch`.
        """
        with self._database.writing(at=_seconds(at)) as transaction:
            row = self._move(transaction, name, Move.DISABLE, etag)
            transaction.raise_epoch(self._tenant)
            fingerprint, spki = row["fingerprint"].hex(), row["spki_sha256"].hex()
            details = {"fingerprint": fingerprint, "spki_sha256": spki, "reason": reason}
            transaction.act(self._tenant, actor, "ca.disabled", name, **details)
        return self.find(name)

    def enable(self, name: str, *, actor: str, at: datetime, etag: str | None = None) -> Ca:
        """Trust `name` again, and open its key, unless another CA of that key is disabled, too.

        Raises:
            RegistrationError: `unknown_ca`, `key_closed`, `certificate_closed`.
            ConflictError: `illegal_move`, `etag_mismatch`, `clock_behind`.
        """
        with self._database.writing(at=_seconds(at)) as transaction:
            transaction.check_clock()
            row = self._move(transaction, name, Move.ENABLE, etag)
            self._closures.check_enabled(transaction, Certificate(row["certificate"]))
            transaction.act(self._tenant, actor, "ca.enabled", name, fingerprint=row["fingerprint"].hex())
        return self.find(name)

    def delete(self, name: str, *, actor: str, at: datetime, etag: str | None = None) -> None:
        """Forget `name` and its challenges. Devices that it vouched for keep their pins.

        If it is disabled its key stays closed, until `Closures.open`.

        Raises:
            RegistrationError: `unknown_ca`.
            ConflictError: `illegal_move`, `etag_mismatch`.
        """
        with self._database.writing(at=_seconds(at)) as transaction:
            row = self._row(transaction, name)
            move(State(row["state"]), Move.DELETE, name)
            _check_etag(row, etag)
            if transaction.change(delete(cas).where(cas.c.id == row["id"], cas.c.etag == row["etag"])) != 1:
                raise _changed(row, row["etag"])
            if State(row["state"]) is State.PROVEN:
                transaction.raise_epoch(self._tenant)
            fingerprint, spki = row["fingerprint"].hex(), row["spki_sha256"].hex()
            transaction.act(self._tenant, actor, "ca.deleted", name, fingerprint=fingerprint, spki_sha256=spki)
            if State(row["state"]) is State.DISABLED:
                key = Named.of(Certificate(row["certificate"]))
                self._closures.outlive(transaction, key, actor=actor, reason=f"CA '{name}' was deleted while disabled")

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _select(self) -> Any:  # noqa: ANN401 (SQLAlchemy's Select is generic in a way that mypy cannot follow here)
        return select(cas).where(cas.c.tenant == self._tenant)

    def _row(self, source: Database | Transaction, name: str) -> Mapping[str, Any]:
        rows = source.rows(self._select().where(cas.c.name == name))
        if not rows:
            raise RegistrationError("unknown_ca", f"there is no CA '{name}'", hint="`holdfast ca list` names them")
        return rows[0]

    def _move(
        self, transaction: Transaction, name: str, wanted: Move, etag: str | None, **values: object
    ) -> Mapping[str, Any]:
        """Move `name`, giving it another etag; answers the row as it has become."""
        row = self._row(transaction, name)
        to = move(State(row["state"]), wanted, name)
        _check_etag(row, etag)
        values |= {"etag": _new_etag(), "updated_at": transaction.at, "state": to.value if to else None}
        as_seen = update(cas).where(cas.c.id == row["id"], cas.c.etag == row["etag"])
        if transaction.change(as_seen.values(values)) != 1:
            raise _changed(row, row["etag"])
        return {**row, **values}

    def _is_shared(self) -> bool:
        """Whether others have CAs here; a tenant without any, which a mistyped name leaves for good, is nobody."""
        return bool(self._database.rows(select(cas.c.id).where(cas.c.tenant != self._tenant).limit(1)))

    def _check_room(self, transaction: Transaction) -> None:
        unproven = self._select().where(cas.c.proof.is_(None))
        count = transaction.rows(select(func.count().label("count")).select_from(unproven.subquery()))[0]["count"]
        if count >= UNPROVEN_COUNT_MAX:
            message = f"{count} CAs wait for their proof; no more than {UNPROVEN_COUNT_MAX} may"
            raise LimitExceededError("too_many_unproven_cas", message, hint="Prove or delete some of them")

    def _carried_proof(self, transaction: Transaction, certificate: Certificate) -> Mapping[str, Any] | None:
        same_key = self._select().where(
            cas.c.spki_sha256 == bytes.fromhex(certificate.spki_sha256), cas.c.state == State.PROVEN.value
        )
        fitting = (
            row for row in transaction.rows(same_key) if carries_over(Certificate(row["certificate"]), certificate)
        )
        found = next(fitting, None)
        # Without a signature by one that is trusted, anybody could have written it, and another end of its days.
        return found if found and self._is_vouched_for(transaction, certificate) else None

    def _is_vouched_for(self, transaction: Transaction, certificate: Certificate) -> bool:
        for row in transaction.rows(self._select().where(cas.c.state == State.PROVEN.value)):
            voucher = Certificate(row["certificate"])
            # Whoever has a closed key may be whom it was closed for.
            with suppress(VerificationError, RegistrationError):
                certificate.check_issued_by(voucher)
                self._closures.check(transaction, voucher)
                return True
        return False

    def _taken(self, transaction: Transaction, name: str, certificate: Certificate) -> ConflictError:
        same = self._select().where(cas.c.fingerprint == bytes.fromhex(certificate.fingerprint))
        for row in transaction.rows(same):
            message = f"this certificate is registered already, as '{row['name']}'"
            return ConflictError("ca_already_registered", message)
        return ConflictError("ca_name_taken", f"there is another CA called '{name}'")

    def _open_challenge(self, row: Mapping[str, Any], name: str, at: datetime) -> Challenge:
        found = self._database.rows(
            select(challenges).where(challenges.c.ca_id == row["id"], challenges.c.state == "open")
        )
        if not found:
            raise _no_open_challenge(name)
        (challenge,) = found
        expires_at = _time(challenge["expires_at"])
        if at > expires_at:
            message = f"the challenge ended at {expires_at.isoformat()}"
            raise PossessionError("challenge_expired", message, hint="Ask for another: `holdfast ca challenge`")
        return Challenge(
            hub=self._hub,
            tenant=self._tenant,
            ca=name,
            certificate_sha256=challenge["certificate_sha256"].hex(),
            spki_sha256=challenge["spki_sha256"].hex(),
            etag=challenge["etag"],
            challenge_id=challenge["challenge_id"],
            code=challenge["code"],
            nonce=challenge["nonce"].hex(),
            expires_at=expires_at,
        )

    def _count_attempt(
        self, row: Mapping[str, Any], challenge: Challenge, code: str, *, actor: str, at: datetime
    ) -> None:
        """A wrong answer, durably counted before anybody hears of it."""
        with self._database.writing(at=_seconds(at)) as transaction:
            this = challenges.c.challenge_id == challenge.challenge_id
            counted = update(challenges).where(this, challenges.c.state == "open")
            if transaction.change(counted.values(attempts=challenges.c.attempts + 1)) != 1:
                return
            (attempts,) = transaction.rows(select(challenges.c.attempts).where(this))
            name, number = row["name"], attempts["attempts"]
            if number >= CHALLENGE_ATTEMPTS_MAX:
                transaction.change(update(challenges).where(this).values(state="void"))
                self._move(transaction, name, Move.VOID, challenge.etag)
            transaction.act(
                self._tenant,
                actor,
                "ca.proof_refused",
                name,
                challenge=challenge.challenge_id,
                code=code,
                attempt=number,
                void=number >= CHALLENGE_ATTEMPTS_MAX,
            )


def _check_usable(certificate: Certificate, at: datetime) -> None:
    """Refuse a certificate under which no path could be good, with the rule that would break it (trust.md §4.5)."""
    try:
        certificate.check_anchor(at)
        if certificate.self_issued:
            certificate.check_issued_by(certificate)
    except VerificationError as error:
        message = f"no device could ever connect under this certificate: {error.message}"
        raise RegistrationError(error.code, message) from error


def _check_etag(row: Mapping[str, Any], etag: str | None) -> None:
    if etag is not None and etag != row["etag"]:
        raise _changed(row, etag)


def _changed(row: Mapping[str, Any], etag: str) -> ConflictError:
    message = f"CA '{row['name']}' is no longer the one with etag {etag[:64]!r}"
    return ConflictError("etag_mismatch", message, hint="Look at it again and decide anew")


def _no_open_challenge(name: str) -> PossessionError:
    message = f"CA '{name}' has no open challenge: it was answered, superseded, or never issued"
    return PossessionError("no_open_challenge", message, hint="Ask for another: `holdfast ca challenge`")


def _ca(row: Mapping[str, Any]) -> Ca:
    return Ca(
        tenant=row["tenant"],
        name=row["name"],
        state=State(row["state"]),
        etag=row["etag"],
        certificate=Certificate(row["certificate"]),
        created_at=_time(row["created_at"]),
        updated_at=_time(row["updated_at"]),
        proof=None if row["proof"] is None else ProofKind(row["proof"]),
        proven_at=None if row["proven_at"] is None else _time(row["proven_at"]),
    )


def _new_etag() -> str:
    return secrets.token_hex(8)


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
