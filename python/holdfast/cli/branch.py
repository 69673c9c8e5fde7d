"""`holdfast branch`: shut out whatever a key or a certificate vouches for, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.closing import agreed, named_record
from holdfast.cli.options import (
    HASH,
    REASON,
    UNSEEN,
    YES,
    actor,
    find_issuer,
    now,
    open_registry,
    read_certificate,
    read_settings,
    settings_options,
    wait_applied,
)
from holdfast.cli.output import emit_record, emit_table, json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.registry import Registry
    from holdfast.registry.closures import Closure, Named
    from holdfast.registry.successions import Succession

BRANCH = click.argument("branch", metavar="BRANCH")
ONE_CERTIFICATE = click.option(
    "--certificate", is_flag=True, help="The one certificate is meant, not whatever has its key."
)
SUCCESSION_COLUMNS = ("state", "old", "old_spki_sha256", "new", "new_spki_sha256", "changed_at", "reason")
COLUMNS = ("state", "kind", "subject", "sha256", "changed_at", "reason")


@click.group()
def branch() -> None:
    """Close and open branches: a signer, and every device that it vouches for.

    BRANCH is a file with a certificate, or the SHA-256 of one that the hub has met, as `openssl x509 -fingerprint
    -sha256` shows it, or of its key (SubjectPublicKeyInfo). A branch is closed by its key: a certificate renewed under
    the same key stays out too.
    """


@branch.command()
@BRANCH
@ONE_CERTIFICATE
@click.option("--unseen", is_flag=True, help="Close a hash that the hub has never met, as a key's and a certificate's.")
@click.option("--descendants", is_flag=True, help="Close every key that has signed below it as well.")
@click.option("--revoke", is_flag=True, help="For ever: nothing opens it again, not even a restored backup.")
@click.option("--preview", is_flag=True, help="Say what would happen, and change nothing.")
@YES
@REASON
@settings_options
@json_option
def close(
    branch: str,
    *,
    certificate: bool,
    unseen: bool,
    descendants: bool,
    revoke: bool,
    preview: bool,
    yes: bool,
    reason: str,
    as_json: bool,
    **given: Any,  # noqa: ANN401 (click's options)
) -> None:
    """Close BRANCH: from the moment this returns nobody is let in by it, and its live sessions are ended.

    Shows first how many devices that are, which of them have another way in, as far as anybody has come by it, and by
    which declared successors they may come.
    """
    settings = read_settings(**given)
    with open_registry(settings) as registry:
        named = _named(registry, branch, certificate=certificate, unseen=unseen)
        question = "Revoke, for ever?" if revoke else "Close?"
        answer = agreed(registry, named, question, descendants=descendants, preview=preview, yes=yes, as_json=as_json)
        if answer is None:
            return
        closing, record = answer
        epoch = registry.closures.close(closing, actor=actor(), at=now(), reason=reason, revoke=revoke)
        states = dict.fromkeys(registry.closures.state(one).value for one in named)
    applied = wait_applied(settings, epoch)
    said = {"state": ", ".join(states), "epoch": epoch, "applied": applied}
    emit_record(record | said, as_json=as_json)


@branch.command(name="open")
@BRANCH
@ONE_CERTIFICATE
@REASON
@settings_options
@json_option
def open_(
    branch: str,
    *,
    certificate: bool,
    reason: str,
    as_json: bool,
    **given: Any,  # noqa: ANN401
) -> None:
    """Open what was closed; what was revoked stays shut out, and so does the key of a CA that is disabled."""
    with open_registry(read_settings(**given)) as registry:
        # Whatever was closed can be opened, whether anybody has come by it or not, and whether its file was there.
        named = _named(registry, branch, certificate=certificate, unseen=True)
        unseen = () if certificate else (_taken(branch),)
        opened = registry.closures.open(*named, *unseen, actor=actor(), at=now(), reason=reason)
        states = dict.fromkeys(registry.closures.state(one).value for one in opened)
    emit_record(named_record(opened) | {"state": ", ".join(states)}, as_json=as_json)


@branch.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@UNSEEN
@click.option("--withdraw", is_flag=True, help="Let no more devices over; those that came by NEW stay.")
@click.option("--preview", is_flag=True, help="Say what would happen, and change nothing.")
@YES
@REASON
@settings_options
@json_option
def succeed(
    old: str,
    new: str,
    *,
    unseen: bool,
    withdraw: bool,
    preview: bool,
    yes: bool,
    reason: str,
    as_json: bool,
    **given: Any,  # noqa: ANN401 (click's options)
) -> None:
    """Declare NEW the successor of OLD: devices that OLD vouched for may come by NEW, and stay with it.

    Each is a file with the CA's certificate, or the SHA-256 of that or of its key. Whoever holds NEW can be any of
    those devices. OLD goes on vouching for those that have not moved; close it when they have, or at once if it is
    stolen.
    """
    with open_registry(read_settings(**given)) as registry:
        # Whatever was declared can be withdrawn, whether anybody has come by it or not.
        before, after = (find_issuer(registry, text, unseen=unseen or withdraw) for text in (old, new))
        if withdraw:
            registry.successions.withdraw(before, after, actor=actor(), at=now(), reason=reason)
            emit_record(_pair_record(before, after) | {"state": "withdrawn"}, as_json=as_json)
            return
        record = _pair_record(before, after) | {"devices": registry.successions.preview(before, after)}
        if preview:
            emit_record(record, as_json=as_json)
            return
        if not yes:
            question = f"Let the {record['devices']} devices of {before} come by {after}?"
            click.confirm(question, abort=True, err=True)
        registry.successions.declare(before, after, actor=actor(), at=now(), reason=reason)
    emit_record(record | {"state": "declared"}, as_json=as_json)


@branch.command()
@settings_options
@json_option
def successions(*, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """List which key was declared the successor of which."""
    with open_registry(read_settings(**given)) as registry:
        records = [_succession_record(one) for one in registry.successions.list()]
    emit_table(records, SUCCESSION_COLUMNS, as_json=as_json, empty="no key was ever declared another's successor")


@branch.command(name="list")
@settings_options
@json_option
def list_(*, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """List what is closed, and what was."""
    with open_registry(read_settings(**given)) as registry:
        records = [_closure_record(one) for one in registry.closures.list()]
    emit_table(records, COLUMNS, as_json=as_json, empty="nothing was ever closed")


def _named(registry: Registry, text: str, *, certificate: bool, unseen: bool) -> Sequence[Named]:
    """What a file or a hash names: the key, or the certificate; of an unseen hash nobody knows which."""
    from holdfast.registry.closures import Kind, Named

    kind = Kind.CERTIFICATE if certificate else Kind.KEY
    if not HASH.fullmatch(text):
        return [Named.of(read_certificate(text), kind)]
    if unseen:
        return registry.closures.find_or_take(text, kind if certificate else None)
    return [registry.closures.find(text, kind)]


def _taken(text: str) -> Named:
    """What a hash, or the certificate's of a file, was taken for that the registry had not met."""
    from holdfast.registry.closures import Kind, Named, sha256_of

    return Named(Kind.KEY, sha256_of(text if HASH.fullmatch(text) else read_certificate(text).fingerprint))


def _closure_record(one: Closure) -> dict[str, object]:
    changed_at = one.changed_at.isoformat()
    return {"state": one.state.value, **named_record([one.named]), "changed_at": changed_at, "reason": one.reason}


def _pair_record(old: Named, new: Named) -> dict[str, object]:
    return {
        "old": old.subject or None,
        "old_spki_sha256": old.sha256.hex(),
        "new": new.subject or None,
        "new_spki_sha256": new.sha256.hex(),
    }


def _succession_record(one: Succession) -> dict[str, object]:
    changed_at = one.changed_at.isoformat()
    return {"state": one.state.value, **_pair_record(one.old, one.new), "changed_at": changed_at, "reason": one.reason}
