"""`holdfast authority`: act as a CA, on the machine that holds its key."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from holdfast.cli.options import file_base, now, read_bounded
from holdfast.cli.output import emit_record, json_option, progress
from holdfast.errors import IssuanceError
from holdfast.files import BYTE_ORDER_MARK, NewFiles, Readers, read_file, read_secret_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryptography.x509 import Name

    from holdfast._holdfast import Certificate
    from holdfast.authority import Extras, Issuer, KeyAlgorithm, Request

# `holdfast.authority` brings `cryptography` with it: each command imports it for itself, and `--help` stays quick.

PATH: Final = click.Path(path_type=Path)
DAYS: Final = click.IntRange(1, 36500)
PATH_LEN: Final = click.IntRange(0, 255)
# The values of `holdfast.authority.KeyAlgorithm`; a test compares them.
KEY_ALGORITHMS: Final = ("ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096")
DEVICES_FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""A million ids."""
# On Windows these would lead elsewhere or nowhere; elsewhere only '/' would, which no id has.
UNFIT_FOR_FILE_NAMES: Final = set('\\:*?"<>|') if os.name == "nt" else set[str]()

Decorated = Any
"""A command with its options; click has no type for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passphrase:
    """Where the passphrase of a CA's key comes from. Never from an argument: any process here can read those."""

    file: Path | None
    variable: str | None
    ask: bool

    def __post_init__(self) -> None:
        if sum([self.file is not None, self.variable is not None, self.ask]) > 1:
            message = "--passphrase-file, --passphrase-env and --ask-passphrase exclude each other"
            raise click.UsageError(message)

    def read(self, *, confirm: bool = False) -> bytes | None:
        """The passphrase, or `None` where none was spoken of; `confirm` asks twice."""
        if self.ask:
            return self.prompt(confirm=confirm)
        if self.variable is not None:
            if (value := os.environ.get(self.variable)) is None:
                message = f"there is no environment variable {self.variable}"
                raise IssuanceError("passphrase_needed", message)
            return os.fsencode(value)
        if self.file is not None:
            return read_secret_file(self.file).rstrip(b"\r\n")
        return None

    @staticmethod
    def prompt(*, confirm: bool = False) -> bytes:
        """Ask at the terminal."""
        text: str = click.prompt("Passphrase of the CA's key", hide_input=True, confirmation_prompt=confirm, err=True)
        return text.encode()


def passphrase_options(command: Decorated) -> Decorated:
    """The options of a `Passphrase`, which the command gets as `passphrase`."""

    @click.option("--passphrase-file", type=PATH, help="The CA's key is encrypted with the passphrase in this file.")
    @click.option("--passphrase-env", metavar="NAME", help="… with the passphrase in this environment variable.")
    @click.option("--ask-passphrase", is_flag=True, help="… with a passphrase that is asked for.")
    @functools.wraps(command)
    def with_passphrase(
        *, passphrase_file: Path | None, passphrase_env: str | None, ask_passphrase: bool, **others: object
    ) -> None:
        passphrase = Passphrase(file=passphrase_file, variable=passphrase_env, ask=ask_passphrase)
        command(passphrase=passphrase, **others)

    return with_passphrase


def issuer_options(command: Decorated) -> Decorated:
    """The options that name a CA and its key, which the command gets as `issuer`."""

    @click.option("--ca", required=True, type=PATH, help="The CA's certificate, and those above it but the root.")
    @click.option("--key", type=PATH, help="Its private key. [default: the same name with .key]")
    @passphrase_options
    @functools.wraps(command)
    def with_issuer(*, ca: Path, key: Path | None, passphrase: Passphrase, **others: object) -> None:
        command(issuer=_load_issuer(ca, key or ca.with_suffix(".key"), passphrase), **others)

    return with_issuer


def subject_options(command: Decorated) -> Decorated:
    """The two ways to name a CA."""
    name = click.option("--name", help="The CA's name: the one common name of its subject.")
    subject = click.option(
        "--subject", metavar="DN", help="The whole subject instead: 'CN=Factory-Y,O=Company-X,C=DE'."
    )
    return name(subject(command))


key_algorithm_option = click.option(
    "--key-algorithm", type=click.Choice(KEY_ALGORITHMS), default=KEY_ALGORITHMS[0], show_default=True
)
ignore_option = click.option(
    "--ignore-extensions", is_flag=True, help="Sign even if the request asks for more than it gets, and say what."
)


@click.group()
def authority() -> None:
    """Act as a CA, on the machine that holds its key: only requests and certificates travel.

    A tree of CAs is made from the top: `root` makes the first, each other CA makes a `request`, and the one above signs
    it. Devices make requests too, many at once, and are issued certificates. `prove` answers a hub that wants to know
    whether you hold a CA's key.

    A .pem file holds a certificate and those above it but the root, as devices present it. Nothing is ever overwritten,
    and what fails leaves nothing behind.
    """
    # `cryptography` warns of names that are too long; what is to be refused of them is refused here, with a code.
    warnings.filterwarnings("ignore", message="Attribute's length must be")


@authority.command()
@subject_options
@click.option("--out", "base", required=True, type=file_base, metavar="BASE", help="Write BASE.key and BASE.pem.")
@key_algorithm_option
@click.option("--days", type=DAYS, default=7300, show_default=True)
@click.option("--path-len", type=PATH_LEN, help="How many CAs may follow below one another. [default: no limit]")
@passphrase_options
@json_option
def root(
    *,
    name: str | None,
    subject: str | None,
    base: Path,
    key_algorithm: str,
    days: int,
    path_len: int | None,
    passphrase: Passphrase,
    as_json: bool,
) -> None:
    """Make a self-signed root CA and its key."""
    from holdfast.authority import generate_key, key_to_pem, make_root

    key_file, certificate_file = _beside(base, ".key"), _beside(base, ".pem")
    own_subject = _subject(name, subject)
    with NewFiles(base.parent) as files:
        files.check_absent([key_file.name, certificate_file.name])
        key = generate_key(_algorithm(key_algorithm))
        made = make_root(subject=own_subject, key=key, at=now(), validity=timedelta(days=days), path_len=path_len)
        files.add(key_file.name, key_to_pem(key, passphrase.read(confirm=True)), Readers.OWNER)
        files.add(certificate_file.name, made.pem, Readers.EVERYBODY)
    record = {**_record(made.certificate), "certificate": str(certificate_file), "key": str(key_file)}
    emit_record(record, as_json=as_json)


@authority.command()
@subject_options
@click.option("--device", "devices", multiple=True, metavar="ID", help="A request for this device instead; repeatable.")
@click.option("--devices-from", type=PATH, metavar="FILE", help="… for each device in FILE, one id a line, - is stdin.")
@click.option("--out", required=True, metavar="BASE|DIR", help="BASE.key and BASE.csr, or DIR/ID.key, .csr.")
@key_algorithm_option
@passphrase_options
@json_option
def request(
    *,
    name: str | None,
    subject: str | None,
    devices: Sequence[str],
    devices_from: Path | None,
    out: str,
    key_algorithm: str,
    passphrase: Passphrase,
    as_json: bool,
) -> None:
    """Make a key and a request for its certificate: for an intermediate CA, or for devices."""
    for_devices = bool(devices) or devices_from is not None
    if for_devices == (name is not None or subject is not None):
        message = "either a CA is named (--name, --subject) or devices are (--device, --devices-from)"
        raise click.UsageError(message)
    if for_devices:
        if passphrase != Passphrase(file=None, variable=None, ask=False):
            message = "a passphrase goes with a CA's key: nobody types it at a device"
            raise click.UsageError(message)
        record = _request_devices(_device_ids(devices, devices_from), Path(out), key_algorithm, as_json=as_json)
    else:
        record = _request_ca(_subject(name, subject), file_base(out), key_algorithm, passphrase)
    emit_record(record, as_json=as_json)


def _request_ca(subject: Name, base: Path, key_algorithm: str, passphrase: Passphrase) -> dict[str, object]:
    from holdfast.authority import Profile, generate_key, key_to_pem, make_request

    key_file, request_file = _beside(base, ".key"), _beside(base, ".csr")
    with NewFiles(base.parent) as files:
        files.check_absent([key_file.name, request_file.name])
        key = generate_key(_algorithm(key_algorithm))
        pem = make_request(subject=subject, key=key, profile=Profile.CA)
        files.add(key_file.name, key_to_pem(key, passphrase.read(confirm=True)), Readers.OWNER)
        files.add(request_file.name, pem, Readers.EVERYBODY)
    return {"subject": subject.rfc4514_string(), "request": str(request_file), "key": str(key_file)}


def _request_devices(
    device_ids: Sequence[str], directory: Path, key_algorithm: str, *, as_json: bool
) -> dict[str, object]:
    from holdfast.authority import Profile, generate_key, key_to_pem, make_request, subject_named

    algorithm = _algorithm(key_algorithm)
    with NewFiles(directory) as files, progress("making keys and requests", len(device_ids)) as advance:
        files.check_absent(_file_name(one, end) for one in device_ids for end in (".key", ".csr"))
        for device_id in device_ids:
            key = generate_key(algorithm)
            pem = make_request(subject=subject_named(device_id), key=key, profile=Profile.DEVICE)
            files.add(_file_name(device_id, ".key"), key_to_pem(key), Readers.OWNER)
            files.add(_file_name(device_id, ".csr"), pem, Readers.EVERYBODY)
            advance()
    record: dict[str, object] = {"devices": len(device_ids), "directory": str(directory)}
    if as_json:
        record["devices"] = [
            {"device_id": one, "request": str(directory / f"{one}.csr"), "key": str(directory / f"{one}.key")}
            for one in device_ids
        ]
    return record


@authority.command()
@issuer_options
@click.option("--csr", required=True, type=PATH, help="The intermediate's request.")
@click.option("--out", required=True, type=PATH, metavar="FILE", help="Write the certificate and those above it here.")
@click.option(
    "--path-len",
    type=PATH_LEN,
    default=0,
    show_default=True,
    help="How many CAs may follow below the new one; 0: it signs devices only.",
)
@click.option("--days", type=DAYS, help="[default: 3650, or as long as the CA lasts]")
@ignore_option
@json_option
def sign(
    *, issuer: Issuer, csr: Path, out: Path, path_len: int, days: int | None, ignore_extensions: bool, as_json: bool
) -> None:
    """Sign an intermediate CA's request. More days than the CA itself lasts are refused."""
    from holdfast.authority import sign_intermediate
    from holdfast.authority.verdict import about

    asked = _read_request(csr)
    with NewFiles(out.parent) as files, about(csr):
        files.check_absent([out.name])
        issued = sign_intermediate(
            issuer,
            asked,
            at=now(),
            path_len=path_len,
            validity=_validity(days),
            extras=_extras(ignore_extensions=ignore_extensions),
        )
        files.add(out.name, issued.pem, Readers.EVERYBODY)
    record = {**_record(issued.certificate, issued.ignored), "certificate": str(out)}
    emit_record(record, as_json=as_json)


@authority.command()
@issuer_options
@click.option(
    "--csr", "csrs", multiple=True, type=PATH, help="A device's request, or a directory of .csr files; repeatable."
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="ID",
    help="Make the key, too; with --csr: the id it must be. Repeatable.",
)
@click.option("--devices-from", type=PATH, metavar="FILE", help="The same for each id in FILE, one a line, - is stdin.")
@click.option(
    "--out", required=True, type=PATH, metavar="DIR", help="Write DIR/ID.pem, and DIR/ID.key where it is made."
)
@key_algorithm_option
@click.option("--days", type=DAYS, help="[default: 1825, or as long as the CA lasts]")
@ignore_option
@json_option
def issue(
    *,
    issuer: Issuer,
    csrs: Sequence[Path],
    devices: Sequence[str],
    devices_from: Path | None,
    out: Path,
    key_algorithm: str,
    days: int | None,
    ignore_extensions: bool,
    as_json: bool,
) -> None:
    """Issue certificates to devices: for their requests, or, at the factory, with keys made here.

    A device's id is the one common name of its certificate. All are issued, or, if one is refused, none.
    """
    from holdfast.authority import issue_devices

    device_ids = _device_ids(devices, devices_from) if devices or devices_from else []
    paths = list(_request_files(csrs))
    if not paths and not device_ids:
        message = "neither requests (--csr) nor devices (--device, --devices-from) are named"
        raise click.UsageError(message)
    keys: dict[str, bytes] = {}
    requests = _read_requests(paths, device_ids) if paths else _make_keys(device_ids, key_algorithm, keys)
    extras, records = _extras(ignore_extensions=ignore_extensions), []
    with NewFiles(out) as files, progress("issuing", len(paths or device_ids)) as advance:
        endings = (".pem",) if paths else (".pem", ".key")
        files.check_absent(_file_name(device_id, ending) for device_id in device_ids for ending in endings)
        for issued in issue_devices(issuer, requests, at=now(), validity=_validity(days), extras=extras):
            device_id = issued.certificate.device_id
            record = {
                **_record(issued.certificate, issued.ignored),
                "device_id": device_id,
                "certificate": str(out / f"{device_id}.pem"),
            }
            if (key := keys.pop(device_id, None)) is not None:
                record["key"] = str(out / f"{device_id}.key")
                files.add(_file_name(device_id, ".key"), key, Readers.OWNER)
            files.add(_file_name(device_id, ".pem"), issued.pem, Readers.EVERYBODY)
            records.append(record)
            advance()
    if len(records) == 1 and not as_json:
        emit_record(records[0], as_json=False)
        return
    answer = {
        "devices": records if as_json else len(records),
        "directory": str(out),
        **{name: records[0][name] for name in ("issuer", "not_before", "not_after")},
        "ignored_extensions": sorted({one for record in records for one in record["ignored_extensions"]}),
    }
    emit_record(answer, as_json=as_json)


@authority.command()
@issuer_options
@click.option("--hub", required=True, help="The hub that you want to prove it to.")
@click.option("--tenant", required=True, help="The tenant there.")
@click.option("--challenge", "challenge_file", required=True, type=PATH, help="What `holdfast ca challenge` wrote.")
@click.option(
    "--method",
    type=click.Choice(["certificate", "signature"]),
    default="certificate",
    show_default=True,
    help="Issue a certificate for the hub's code, or sign what is challenged: hub, tenant, certificate, until when.",
)
@click.option("--out", required=True, type=PATH, metavar="FILE", help="Write the proof here.")
@json_option
def prove(
    *, issuer: Issuer, hub: str, tenant: str, challenge_file: Path, method: str, out: Path, as_json: bool
) -> None:
    """Prove to a hub that you hold the CA's key: to the hub and tenant that you name, and to no other."""
    from holdfast.authority import prove_by_certificate, prove_by_signature
    from holdfast.possession import DOCUMENT_BYTES_MAX, Challenge, SignatureProof, signed_message

    challenge = Challenge.from_json(read_file(challenge_file, bytes_max=DOCUMENT_BYTES_MAX))
    certificate, at = issuer.certificate, now()
    challenge.check_meant_for(
        hub=hub,
        tenant=tenant,
        certificate_sha256=certificate.fingerprint,
        spki_sha256=certificate.spki_sha256,
        at=at,
    )
    with NewFiles(out.parent) as files:
        files.check_absent([out.name])
        if method == "certificate":
            proof = prove_by_certificate(issuer, code=challenge.code, not_after=challenge.expires_at, at=at).pem
        else:
            made = prove_by_signature(issuer, message=signed_message(challenge))
            answer = SignatureProof(
                challenge_id=challenge.challenge_id, algorithm=made.algorithm, signature=made.octets
            )
            proof = answer.to_json().encode()
        files.add(out.name, proof, Readers.EVERYBODY)
    record = {
        "hub": challenge.hub,
        "tenant": challenge.tenant,
        "ca": challenge.ca,
        "subject": certificate.subject,
        "method": method,
        "expires_at": challenge.expires_at.isoformat(),
        "proof": str(out),
    }
    emit_record(record, as_json=as_json)


# ── what the commands are made of ──────────────────────────────────────────────────────────────────────────────────


def _request_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Every file named, and the .csr files of every directory named."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.glob("*.csr"))
        if not found:
            message = f"there is no .csr file in {path}"
            raise IssuanceError("no_request", message)
        yield from found


def _read_requests(paths: Sequence[Path], device_ids: Sequence[str]) -> Iterator[Request]:
    """The requests as they come; where ids are named, they must be exactly those."""
    from holdfast.authority import device_id_of
    from holdfast.authority.verdict import about

    expected, missing = set(device_ids), set(device_ids)
    for path in paths:
        request = _read_request(path)
        if expected:
            with about(path):
                device_id = device_id_of(request.subject)
                if device_id not in expected:
                    message = f"it asks for '{device_id}', which is not among the devices named"
                    raise IssuanceError("device_id_mismatch", message)
                missing.discard(device_id)
        yield request
    if missing:
        message = f"there is no request for '{min(missing)}'"
        raise IssuanceError("device_id_mismatch", message)


def _make_keys(device_ids: Sequence[str], key_algorithm: str, keys: dict[str, bytes]) -> Iterator[Request]:
    """A request for each id by a new key, which goes into `keys` as PEM."""
    from holdfast.authority import generate_key, key_to_pem, request_by_holder

    algorithm = _algorithm(key_algorithm)
    for device_id in device_ids:
        key = generate_key(algorithm)
        keys[device_id] = key_to_pem(key)
        yield request_by_holder(device_id=device_id, key=key)


def _device_ids(devices: Sequence[str], source: Path | None) -> list[str]:
    """The ids named, each checked, none twice."""
    from holdfast.authority import DeviceIds
    from holdfast.authority.verdict import about

    ids, found = DeviceIds(), list(devices)
    for device_id in devices:
        ids.add(device_id)
    if source is not None:
        data = read_bounded(source, bytes_max=DEVICES_FILE_BYTES_MAX)
        for number, line in enumerate(data.removeprefix(BYTE_ORDER_MARK).splitlines(), 1):
            if device_id := line.strip().decode(errors="replace"):
                with about(f"{source}, line {number}"):
                    ids.add(device_id)
                found.append(device_id)
    if not found:
        message = f"there is no device id in {source}"
        raise IssuanceError("no_devices", message)
    return found


def _load_issuer(ca: Path, key_file: Path, passphrase: Passphrase) -> Issuer:
    from holdfast.authority import load_issuer, read_key
    from holdfast.authority.verdict import about

    certificates, key_data, spoken = read_file(ca), read_secret_file(key_file), passphrase.read()
    with about(key_file):
        try:
            key = read_key(key_data, spoken)
        except IssuanceError as error:
            if error.code != "passphrase_needed" or not sys.stdin.isatty():
                raise
            key = read_key(key_data, passphrase.prompt())
    with about(ca):
        return load_issuer(certificates=certificates, key=key, at=now())


def _read_request(path: Path) -> Request:
    from holdfast.authority import read_request
    from holdfast.authority.verdict import about

    data = read_file(path)
    with about(path):
        return read_request(data)


def _subject(name: str | None, subject: str | None) -> Name:
    from holdfast.authority import parse_subject, subject_named

    if (name is None) == (subject is None):
        message = "a CA is named by either --name or --subject"
        raise click.UsageError(message)
    return subject_named(name) if name is not None else parse_subject(subject or "")


def _algorithm(name: str) -> KeyAlgorithm:
    from holdfast.authority import KeyAlgorithm

    return KeyAlgorithm(name)


def _extras(*, ignore_extensions: bool) -> Extras:
    from holdfast.authority import Extras

    return Extras.IGNORE if ignore_extensions else Extras.REFUSE


def _validity(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


def _file_name(device_id: str, ending: str) -> str:
    if UNFIT_FOR_FILE_NAMES.intersection(device_id) or device_id in {".", ".."}:
        message = f"device id {device_id!r} cannot be part of a file's name on this system"
        raise IssuanceError("device_id_not_a_file_name", message)
    return device_id + ending


def _beside(base: Path, ending: str) -> Path:
    # Not `with_suffix`, which would make company.key of company.x.
    return base.with_name(base.name + ending)


def _record(certificate: Certificate, ignored: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "path_len": certificate.path_len,
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "serial_number": certificate.serial_number,
        "fingerprint": certificate.fingerprint,
        "ignored_extensions": list(ignored),
    }
