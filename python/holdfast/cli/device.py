"""`holdfast device`: look at devices, and send them messages."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.options import (
    REASON,
    UNSEEN,
    YES,
    actor,
    find_issuer,
    now,
    open_registry,
    read_input,
    read_settings,
    settings_options,
    wait_applied,
)
from holdfast.cli.output import emit_record, emit_table, json_option
from holdfast.cli.text import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.inbox import Inbox
    from holdfast.inbox.sessions import Session
    from holdfast.registry.devices import Device
    from holdfast.settings import Settings

DEVICE = click.argument("device_id", type=text, metavar="DEVICE")
EXPIRES_SECONDS_MAX = 2**32 - 1
"""MQTT 5.0 §3.3.2.3.3: four bytes."""
COLUMNS = ("device", "pinned_at", "session", "messages")


def _pairs(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """`name=value`, several times; of a name that comes again the last value counts."""
    for value in values:
        if "=" not in value:
            message = f"'{value}' is not NAME=VALUE"
            raise click.BadParameter(message)
    return {name: value for name, _, value in (pair.partition("=") for pair in values)}


@click.group()
def device() -> None:
    """Look at devices, send them messages, and say who vouches for them.

    A device is known once it was let in. The hub may be running meanwhile; it notices within a fraction of a second.
    """


@device.command()
@DEVICE
@click.option("--payload", help="The message, as text.")
@click.option("--file", type=click.Path(path_type=Path), help="The message, from this file (`-`: standard input).")
@click.option("--property", "properties", multiple=True, callback=_pairs, metavar="NAME=VALUE", help="Repeatable.")
@click.option("--content-type", help="What the message is: application/json.")
@click.option("--correlation-id", help="What it is an answer to, or what the answer is to say.")
@click.option("--message-id", help="Its name; one is made up where none is given.")
@click.option(
    "--expires", type=click.IntRange(1, EXPIRES_SECONDS_MAX), metavar="SECONDS", help="How long it is worth delivering."
)
@settings_options
@json_option
def send(
    device_id: str,
    payload: str | None,
    file: Path | None,
    properties: dict[str, str],
    content_type: str | None,
    correlation_id: str | None,
    message_id: str | None,
    expires: int | None,
    *,
    as_json: bool,
    **given: Any,  # noqa: ANN401 (click's options)
) -> None:
    """Queue a message for DEVICE.

    It is delivered in its turn, now or when the device comes back, and kept until the device has acknowledged it.
    """
    from holdfast.inbox.messages import NewMessage

    if (payload is None) == (file is None):
        message = "one of --payload and --file is wanted"
        raise click.UsageError(message)
    at = now()
    new = NewMessage(
        message_id=message_id if message_id is not None else str(uuid.uuid4()),
        payload=read_input(file) if file is not None else (payload or "").encode(errors="surrogateescape"),
        content_type=content_type,
        correlation_id=correlation_id,
        expires_at=None if expires is None else (at + timedelta(seconds=expires)).replace(microsecond=0),
        properties=properties,
    )
    settings = read_settings(**given)
    with open_registry(settings) as registry, _inbox(settings) as inbox:
        registry.devices.find(device_id)
        inbox.messages.send(device_id, new, at=at)
        waiting = inbox.messages.queue(device_id, at=int(at.timestamp())).count
    expires_at = new.expires_at.isoformat() if new.expires_at else None
    record = {"device": device_id, "message_id": new.message_id, "expires_at": expires_at, "waiting": waiting}
    emit_record(record, as_json=as_json)


@device.command()
@DEVICE
@settings_options
@json_option
def show(device_id: str, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Show DEVICE: who vouched for it, its session, what waits for it."""
    settings = read_settings(**given)
    at = int(now().timestamp())
    with open_registry(settings) as registry, _inbox(settings) as inbox:
        found = registry.devices.find(device_id)
        # Of its own certificate the fingerprint alone is kept; its common name is the device's id.
        subjects = registry.closures.subjects()
        path = {one: subjects.get(bytes.fromhex(one), f"CN={device_id}") for one in found.path}
        session = inbox.sessions.find(device_id, at=at)
        queue = inbox.messages.queue(device_id, at=at)
    record = _record(found, session, queue.count) | {
        "subscribed_qos": session.inbox_qos if session else None,
        "session_expiry_seconds": session.expiry_seconds if session else None,
        "session_ends_at": _time(session.ends_at) if session and session.ends_at else None,
        "oldest_message_at": queue.oldest.isoformat() if queue.oldest else None,
        "path": list(path) if as_json else [f"{subject} ({one})" for one, subject in path.items()],
    }
    if as_json:
        record["path_subjects"] = list(path.values())
    emit_record(record, as_json=as_json)


@device.command(name="list")
@settings_options
@json_option
def list_(*, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """List all devices."""
    settings = read_settings(**given)
    at = int(now().timestamp())
    with open_registry(settings) as registry, _inbox(settings) as inbox:
        counts = inbox.messages.counts(at=at)
        sessions = dict(row for portion in inbox.sessions.all(at=at) for row in portion)
        records = [
            _record(one, sessions.get(one.pin.device_id), counts.get(one.pin.device_id, 0))
            for one in registry.devices.all()
        ]
    emit_table(records, COLUMNS, as_json=as_json, empty="no device was let in yet")


@device.command()
@DEVICE
@click.argument("issuer", metavar="ISSUER")
@UNSEEN
@YES
@REASON
@settings_options
@json_option
def repin(
    device_id: str,
    issuer: str,
    *,
    unseen: bool,
    yes: bool,
    reason: str,
    as_json: bool,
    **given: Any,  # noqa: ANN401 (click's options)
) -> None:
    """Say that ISSUER vouches for DEVICE from here on.

    ISSUER is a file with the CA's certificate, or the SHA-256 of that or of its key. Whoever is connected as DEVICE is
    ended, and the next that comes with a certificate of that issuer's, or of its declared successor's, is the device,
    whichever key it has: close the old one first if it may be in other hands. A whole signer is replaced by
    `holdfast branch succeed`.
    """
    settings = read_settings(**given)
    with open_registry(settings) as registry:
        registry.devices.find(device_id)
        named = find_issuer(registry, issuer, unseen=unseen)
        by = [named, *registry.successions.of(named)]
        if not yes:
            question = f"End {device_id}, and let whoever comes by {' or '.join(map(str, by))} be it?"
            click.confirm(question, abort=True, err=True)
        epoch = registry.devices.repin(device_id, named, actor=actor(), at=now(), reason=reason)
    record = {
        "device": device_id,
        "issuer": named.subject or None,
        "issuer_spki_sha256": named.sha256.hex(),
        "successors": [one.sha256.hex() for one in by[1:]],
        "epoch": epoch,
        "applied": wait_applied(settings, epoch),
    }
    emit_record(record, as_json=as_json)


@contextmanager
def _inbox(settings: Settings) -> Iterator[Inbox]:
    from holdfast.inbox import open_inbox

    with open_inbox(settings.inbox_file, hub=settings.hub, tenant=settings.tenant, create=True) as inbox:
        yield inbox


def _record(found: Device, session: Session | None, waiting: int) -> dict[str, object]:
    return {
        "device": found.pin.device_id,
        "pinned_at": found.pinned_at.isoformat(),
        "session": _session(session),
        "messages": waiting,
        "issuer_spki_sha256": found.pin.issuer_spki_sha256.hex(),
        # None while its owner has pinned it anew and it has not come.
        "leaf_spki_sha256": found.pin.leaf_spki_sha256.hex() if found.path else None,
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _session(session: Session | None) -> str:
    if session is None:
        return "none"
    return "kept" if session.inbox_qos is None else "subscribed"
