"""`holdfast ca`: register CAs with the hub, and prove that their keys are held."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.closing import agreed
from holdfast.cli.options import (
    REASON,
    YES,
    actor,
    noticed,
    now,
    open_registry,
    read_input,
    read_settings,
    settings_options,
    wait_applied,
)
from holdfast.cli.output import emit_record, emit_table, json_option
from holdfast.cli.text import text
from holdfast.files import NewFiles, Readers

if TYPE_CHECKING:
    from holdfast.possession import Challenge
    from holdfast.registry import Registry
    from holdfast.registry.cas import Ca

NAME = click.argument("name", type=text)
ETAG = click.option("--etag", help="Only if the CA is still the one with this etag.")
COLUMNS = ("name", "state", "closed_by", "subject", "not_after", "proof", "fingerprint")


@click.group()
def ca() -> None:
    """Register CAs with the hub, and prove that you hold their keys.

    A CA lets nobody in until possession of its key is proven: `ca add`, `ca challenge`, then `holdfast authority prove`
    where the key is, then `ca prove`. The hub may be running meanwhile; it notices within a fraction of a second.
    """


@ca.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", type=text, required=True, help="What the CA is to be called here.")
@settings_options
@json_option
def add(file: Path, name: str, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401 (click's options)
    """Register the CA certificate in FILE (PEM or DER, `-` for standard input).

    A file that is or hides a private key is refused, and nothing of it is kept.
    """
    upload = read_input(file)
    with open_registry(read_settings(**given), create=True) as registry:
        added = registry.cas.add(name, upload, actor=actor(), at=now())
        record = _record(registry, added)
    emit_record(record, as_json=as_json)


@ca.command()
@NAME
@click.option("--out", type=click.Path(path_type=Path), help="Write the challenge into this new file.")
@ETAG
@settings_options
@json_option
def challenge(name: str, out: Path | None, etag: str | None, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Ask for a challenge to whoever holds the key of NAME.

    It is good once, for an hour, for this hub, tenant and certificate. Asking again makes earlier ones void. Without
    `--out` the challenge goes to standard output.
    """
    settings = read_settings(**given)
    if out is None:
        with open_registry(settings) as registry:
            click.echo(registry.cas.challenge(name, actor=actor(), at=now(), etag=etag).to_json(), nl=False)
        return
    # A challenge that could not be written must not have made the one before it void.
    with NewFiles(out.parent) as files:
        files.check_absent([out.name])
        with open_registry(settings) as registry:
            issued = registry.cas.challenge(name, actor=actor(), at=now(), etag=etag)
        files.add(out.name, issued.to_json().encode(), Readers.EVERYBODY)
    emit_record(_challenge_record(issued, out), as_json=as_json)


@ca.command()
@NAME
@click.option("--certificate", type=click.Path(path_type=Path), help="The verification certificate.")
@click.option("--signature", type=click.Path(path_type=Path), help="The signature that `authority prove` wrote.")
@settings_options
@json_option
def prove(name: str, certificate: Path | None, signature: Path | None, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Answer the challenge of NAME: from here on the devices under it are let in."""
    from holdfast.registry.upload import read_proof

    if (certificate is None) == (signature is None):
        message = "one of --certificate and --signature is wanted"
        raise click.UsageError(message)
    proof = read_proof(read_input(certificate or signature or Path("-")))
    settings = read_settings(**given)
    with open_registry(settings) as registry:
        proven = registry.cas.prove(
            name, proof, actor=actor(), at=now(), issuance_alone=settings.lenient_issuance_proof
        )
        record = _record(registry, proven)
    emit_record(record | {"applied": noticed(settings)}, as_json=as_json)


@ca.command(name="list")
@settings_options
@json_option
def list_(*, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """List all CAs."""
    with open_registry(read_settings(**given)) as registry:
        records = [_record(registry, one) for one in registry.cas.list()]
    emit_table(records, COLUMNS, as_json=as_json, empty="no CA is registered")


@ca.command()
@NAME
@settings_options
@json_option
def show(name: str, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Show one CA."""
    with open_registry(read_settings(**given)) as registry:
        emit_record(_record(registry, registry.cas.find(name)), as_json=as_json)


@ca.command()
@NAME
@ETAG
@click.option("--preview", is_flag=True, help="Say what would happen, and change nothing.")
@YES
@REASON
@settings_options
@json_option
def disable(
    name: str,
    etag: str | None,
    *,
    preview: bool,
    yes: bool,
    reason: str,
    as_json: bool,
    **given: Any,  # noqa: ANN401 (click's options)
) -> None:
    """Stop trusting NAME: from the moment this returns nobody is let in by its key, and its live sessions are ended.

    The key is closed in whatever certificate it stands, a renewed one and one below another CA too, until `ca enable`.
    Shows first how many devices that is, as `branch close` does. To give up one certificate of a key that stays in use,
    `ca delete` it, or `branch close --certificate`.
    """
    from holdfast.registry.closures import Named
    from holdfast.registry.moves import Move, move

    settings = read_settings(**given)
    with open_registry(settings) as registry:
        seen = registry.cas.find(name)
        move(seen.state, Move.DISABLE, name)
        named = [Named.of(seen.certificate)]
        said = agreed(registry, named, "Disable?", preview=preview, yes=yes, as_json=as_json)
        if said is None:
            return
        _, record = said
        disabled = registry.cas.disable(name, actor=actor(), at=now(), etag=etag or seen.etag, reason=reason)
        record |= _record(registry, disabled)
        epoch = registry.cas.trust().epoch
    emit_record(record | {"applied": wait_applied(settings, epoch)}, as_json=as_json)


@ca.command()
@NAME
@ETAG
@settings_options
@json_option
def enable(name: str, etag: str | None, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Trust NAME again; its proof still holds. Its key opens, unless another CA of that key is disabled."""
    settings = read_settings(**given)
    with open_registry(settings) as registry:
        record = _record(registry, registry.cas.enable(name, actor=actor(), at=now(), etag=etag))
    emit_record(record | {"applied": noticed(settings)}, as_json=as_json)


@ca.command()
@NAME
@ETAG
@click.option("--yes", is_flag=True, help="Do not ask, even if devices are being let in under this CA.")
@settings_options
@json_option
def delete(name: str, etag: str | None, *, yes: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Forget NAME. To trust it again it must be added and proven anew.

    Its key is not closed by this, and may vouch for devices below another CA; if NAME is disabled, its key stays closed
    until `branch open`.
    """
    settings = read_settings(**given)
    with open_registry(settings) as registry:
        found = registry.cas.find(name)
        if found.proof is not None and not yes:
            click.confirm(f"CA '{name}' is {found.state.value}; delete it?", abort=True, err=True)
        registry.cas.delete(name, actor=actor(), at=now(), etag=etag or found.etag)
        closed_by = registry.closures.closed_by(found.certificate)
        epoch = registry.cas.trust().epoch
    said = {"name": name, "state": "deleted", "closed_by": closed_by, "applied": wait_applied(settings, epoch)}
    emit_record(said, as_json=as_json)


def _record(registry: Registry, one: Ca) -> dict[str, object]:
    certificate = one.certificate
    return {
        "name": one.name,
        "state": one.state.value,
        "closed_by": list(registry.closures.closed_by(certificate)),
        "subject": certificate.subject,
        "fingerprint": certificate.fingerprint,
        "spki_sha256": certificate.spki_sha256,
        "public_key": certificate.public_key_algorithm,
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "path_len": certificate.path_len,
        "proof": one.proof.value if one.proof else None,
        "proven_at": one.proven_at.isoformat() if one.proven_at else None,
        "created_at": one.created_at.isoformat(),
        "updated_at": one.updated_at.isoformat(),
        "etag": one.etag,
        "tenant": one.tenant,
    }


def _challenge_record(issued: Challenge, out: Path) -> dict[str, object]:
    return {
        "ca": issued.ca,
        "hub": issued.hub,
        "tenant": issued.tenant,
        "code": issued.code,
        "expires_at": issued.expires_at.isoformat(),
        "challenge": str(out),
    }
