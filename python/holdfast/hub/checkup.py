"""Everything that can be wrong with a hub, looked at without changing anything: `holdfast doctor`."""

from __future__ import annotations

import enum
import os
import platform
import resource
import shutil
import stat
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from holdfast import database
from holdfast._holdfast import Gate
from holdfast.errors import HoldfastError
from holdfast.hub import status, watcher
from holdfast.hub.identity import Identity, read_identity
from holdfast.hub.listeners import DESCRIPTORS_KEPT, check_free
from holdfast.inbox.database import KIND as INBOX
from holdfast.registry import open_registry
from holdfast.registry.database import KIND as REGISTRY
from holdfast.registry.moves import State as CaState
from holdfast.settings import cores_count, is_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from holdfast.registry import Registry
    from holdfast.registry.cas import Ca
    from holdfast.settings import Settings

CERTIFICATE_SOON = timedelta(days=14)
CA_SOON = timedelta(days=60)
DISK_BYTES_MIN = 1 << 30
FAULTS_SHOWN_MAX = 5
SYNCOOKIES = Path("/proc/sys/net/ipv4/tcp_syncookies")


class State(enum.Enum):
    """How it is."""

    GOOD = "good"
    WARNING = "warning"
    """The hub runs, and somebody should look."""
    BAD = "bad"
    """The hub does not start, or lets nobody in."""


Found = tuple[State, str, str]
"""What one look has found, and what mends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check has found, and what mends it; `code` where `docs/codes.md` has more."""

    check: str
    state: State
    found: str
    mend: str = ""
    code: str | None = None


def examine(settings: Settings) -> list[Finding]:
    """All findings, in the order in which a hub would stumble over them."""
    return [finding for name, check in CHECKS.items() for finding in _run(name, check, settings)]


def of_error(check: str, error: HoldfastError) -> Finding:
    """What an error says of the hub."""
    mend = error.hint or f"docs/codes.md says what mends {error.code}"
    return Finding(check=check, state=State.BAD, found=error.message, mend=mend, code=error.code)


def _run(name: str, check: Callable[[Settings], Iterator[Found]], settings: Settings) -> list[Finding]:
    findings = []
    try:
        for state, found, mend in check(settings):
            findings.append(Finding(check=name, state=state, found=found, mend=mend))
    except HoldfastError as error:
        findings.append(of_error(name, error))
    return findings


def _good(found: str) -> Found:
    return State.GOOD, found, ""


def _certificate(settings: Settings) -> Iterator[Found]:
    identity = read_identity(settings.certificate, settings.private_key)
    Gate.check(certificate_chain=identity.certificate_chain, private_key=identity.private_key, limits={})
    yield _dates(identity)
    yield from _chain(identity)
    names = _names(identity)
    if any(_covers(name, settings.hub) for name in names):
        yield _good(f"names {settings.hub}")
    else:
        known = ", ".join(names) or "nothing"
        mend = f"Get one whose subject alternative names include {settings.hub}, or set `hub` to what devices call it"
        yield State.BAD, f"names {known}; devices that connect to {settings.hub} refuse it", mend


def _dates(identity: Identity) -> Found:
    certificate = x509.load_der_x509_certificate(identity.certificate_chain[0])
    now, ends = _now(), identity.not_after
    if now < certificate.not_valid_before_utc:
        return State.BAD, f"begins at {_day(certificate.not_valid_before_utc)}", "Set the clock, or wait"
    if ends < now:
        return State.BAD, f"ended at {_day(ends)}", "Renew it, then kill -HUP the hub"
    if ends - now < CERTIFICATE_SOON:
        return State.WARNING, f"ends at {_day(ends)}, in {(ends - now).days} days", "Renew it, then kill -HUP the hub"
    return _good(f"good until {_day(ends)}")


def _chain(identity: Identity) -> Iterator[Found]:
    """Each by the next, so that a device that knows the root alone can follow (RFC 8446 §4.4.2)."""
    mend = "Put the hub's own certificate first in `certificate`, then each one's issuer"
    chain = [x509.load_der_x509_certificate(der) for der in identity.certificate_chain]
    names = [certificate.subject.rfc4514_string() or "(no subject)" for certificate in chain]
    if _is_ca(chain[0]) and len(chain) > 1:
        yield State.WARNING, f"the first certificate, {names[0]}, is a CA's", mend
    for place, (certificate, issuer) in enumerate(pairwise(chain)):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            found = f"certificate {place}, {names[place]}, was not issued by the next, {names[place + 1]}"
            yield State.WARNING, found, mend


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _limits(settings: Settings) -> Iterator[Found]:
    try:
        identity = read_identity(settings.certificate, settings.private_key)
        own: dict[str, Any] = {
            "certificate_chain": identity.certificate_chain,
            "private_key": identity.private_key,
        }
        Gate.check(**own, limits={})
    except HoldfastError:
        return  # `certificate` says what is wrong with it, and without one limits cannot be asked about
    Gate.check(**own, limits=dict(settings.limits))
    yield _good(f"{len(settings.limits)} of them are set")


def _names(identity: Identity) -> list[str]:
    extensions = x509.load_der_x509_certificate(identity.certificate_chain[0]).extensions
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def _covers(name: str, hub: str) -> bool:
    """RFC 9525 §6.3: letter by letter but for case, or one whole label at the left."""
    name = name.lower()
    return name == hub or (name.startswith("*.") and not is_address(hub) and hub.partition(".")[2] == name[2:])


def _state_dir(settings: Settings) -> Iterator[Found]:
    directory = settings.state_dir
    if not directory.exists():
        yield _good(f"{directory} is made at the first start")
        return
    exposed = [path for path in (directory, *sorted(directory.rglob("*"))) if _is_exposed(path)]
    for path in exposed[:FAULTS_SHOWN_MAX]:
        yield State.BAD, f"others than its owner can use {path}", f"chmod go= {path}"
    if len(exposed) > FAULTS_SHOWN_MAX:
        yield State.BAD, f"and {len(exposed) - FAULTS_SHOWN_MAX} more", f"chmod -R go= {directory}"
    owner = directory.stat().st_uid
    if owner != os.geteuid():
        yield State.WARNING, f"{directory} is of uid {owner}, this is uid {os.geteuid()}", "Run the hub as its owner"
    free = shutil.disk_usage(directory).free
    if free < DISK_BYTES_MIN:
        yield State.WARNING, f"{free >> 20} MiB are free", "Make room: what cannot be stored is not acknowledged"
    elif not exposed:
        yield _good(f"{directory} is its owner's alone; {free >> 30} GiB free")


def _is_exposed(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.lstat().st_mode) & 0o077) and not path.is_symlink()
    except FileNotFoundError:  # a side file of a database that went meanwhile
        return False


def _database(kind: database.Kind, path: Path) -> Iterator[Found]:
    if not path.exists():
        yield _good(f"{path} is made at the first start")
        return
    examined = database.examine(kind, path)
    for fault in examined.faults[:FAULTS_SHOWN_MAX]:
        yield State.BAD, f"{path}: {fault}", "Restore it from the last backup"
    if examined.revision != kind.revision:
        if examined.revision is not None:
            kind.check_known(examined.revision)
        mend = "The next start of the hub brings it there; make a backup first"
        yield State.WARNING, f"{path} has schema {examined.revision}, this version writes {kind.revision}", mend
    elif not examined.faults:
        yield _good(f"{path} is whole, schema {examined.revision}")


def _registry(settings: Settings) -> Iterator[Found]:
    yield from _database(REGISTRY, settings.registry_file)


def _inbox(settings: Settings) -> Iterator[Found]:
    yield from _database(INBOX, settings.inbox_file)


def _trust(settings: Settings) -> Iterator[Found]:
    path = settings.registry_file
    revision = database.find_revision(REGISTRY, path) if path.exists() else None
    if revision is None:
        yield State.WARNING, "nobody can be let in before a CA is registered", "holdfast ca add, then ca prove"
        return
    if revision != REGISTRY.revision:  # opening it would bring it to ours
        found = f"who can be let in is not known before the registry has schema {REGISTRY.revision}"
        yield State.WARNING, found, "See what is said of the registry"
        return
    with open_registry(path, hub=settings.hub, tenant=settings.tenant, at=_now(), create=False) as registry:
        yield _clock(registry)
        registry.database.check_tenant(settings.tenant)
        others = [one for one in registry.database.tenants_with_cas() if one != settings.tenant]
        yield from _tenants(settings, others)
        proven = [ca for ca in registry.cas.list() if ca.state is CaState.PROVEN]
        for ca in proven:
            yield from _ca(ca)
            if closed_by := registry.closures.closed_by(ca.certificate):
                yield State.WARNING, f"CA {ca.name} is closed: {', '.join(closed_by)}", "holdfast branch list says why"
        devices = sum(1 for _ in registry.devices.all())
        if proven:
            yield _good(f"CAs that are proven: {len(proven)}; devices that are known: {devices}")
        else:
            yield State.WARNING, f"no CA is proven; devices that are known: {devices}", "holdfast ca add, then ca prove"


def _tenants(settings: Settings, others: Sequence[str]) -> Iterator[Found]:
    """One process serves one tenant, and one process holds a state directory."""
    served = status.served(settings.state_dir)
    if served not in {None, settings.tenant}:
        found = f"the hub that runs here serves the tenant '{served}', not '{settings.tenant}'"
        yield State.WARNING, found, "Name that one (`tenant`, --tenant), or the state directory of the other's hub"
    elif others:
        found = f"a hub serves one tenant, this one '{settings.tenant}'; here are CAs of {', '.join(others)} as well"
        yield State.WARNING, found, "Give each tenant a hub with a state directory of its own, or delete its CAs here"


def _clock(registry: Registry) -> Found:
    behind = registry.cas.trust().clock_floor - _now()
    if behind > timedelta(0):
        found = f"{behind.total_seconds():.0f} s behind the latest time that the registry has seen: nobody is let in"
        return State.BAD, found, "Set the system's clock"
    return _good("the clock is not behind what the registry has seen")


def _ca(ca: Ca) -> Iterator[Found]:
    ends, mend = ca.certificate.not_after, f"Renew {ca.name} under the same key, and holdfast ca add it: no new proof"
    if ends < _now():
        yield State.BAD, f"CA {ca.name} ended at {_day(ends)}: nobody is let in by it", mend
    elif ends - _now() < CA_SOON:
        yield State.WARNING, f"CA {ca.name} ends at {_day(ends)}, in {(ends - _now()).days} days", mend


def _port(settings: Settings) -> Iterator[Found]:
    if _reads(SYNCOOKIES) == "0":
        found = "the system answers no SYN by a cookie: a crowd of silent dials keeps others out"
        yield State.WARNING, found, "sysctl -w net.ipv4.tcp_syncookies=1"
    if status.runs(settings.state_dir):
        yield _good(f"a hub runs here, process {_pid(settings)}")
        return
    check_free(settings.mqtt_host, settings.mqtt_port)
    yield _good(f"no hub runs here; {settings.mqtt_host}:{settings.mqtt_port} is free")


def _reads(file: Path) -> str | None:
    """What a file of the system says, where there is such."""
    try:
        return file.read_text().strip()
    except OSError:
        return None


def _descriptors(settings: Settings) -> Iterator[Found]:
    wanted = (Gate.default_limits() | dict(settings.limits))["connections_count_max"] + DESCRIPTORS_KEPT
    allowed = _descriptors_allowed(settings)
    if allowed < wanted:
        found = f"a worker may have {allowed} descriptors; connections_count_max asks for {wanted}"
        yield State.WARNING, found, f"LimitNOFILE={wanted} in the systemd unit, or ulimit -n {wanted}"
    else:
        yield _good(f"a worker may have {allowed} descriptors, {wanted} are asked for")


def _descriptors_allowed(settings: Settings) -> int:
    """Of the hub that runs, where the system tells, else of this process: what a hub started here would get."""
    pid = _pid(settings) if status.runs(settings.state_dir) else None
    try:
        if pid is not None and sys.platform == "linux":
            return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    except (OSError, ValueError):  # another user's, or gone
        pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _pid(settings: Settings) -> int | None:
    pid = status.read(settings.state_dir).get("pid")
    return pid if isinstance(pid, int) else None


def _processor(settings: Settings) -> Iterator[Found]:
    cores = cores_count()
    if settings.workers > cores:
        mend = f"workers = {cores}: more of them only take turns"
        yield State.WARNING, f"{settings.workers} workers on {cores} cores", mend
    else:
        yield _good(f"{settings.workers} workers on {cores} cores")
    if platform.machine() == "x86_64" and sys.platform == "linux":
        flags = set(Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split())
        wide = "avx512ifma" in flags
        yield _good("the processor has AVX-512 IFMA" if wide else "the processor has no AVX-512 IFMA")


def _pages(settings: Settings) -> Iterator[Found]:
    if not settings.metrics_port:
        yield _good("off; metrics_port = 9464 in the settings turns them on")
        return
    if not status.runs(settings.state_dir):
        check_free(settings.metrics_host, settings.metrics_port)
        yield _good(f"on, once the hub runs; {settings.metrics_host}:{settings.metrics_port} is free")
        return
    answer, why = watcher.fetch(settings, "/readyz")
    if answer == HTTPStatus.OK:
        yield _good("the hub says that it is ready")
    else:
        yield State.BAD, f"the hub is not ready: {why.strip()}", "Its log says more; docs/operator.md has the events"


CHECKS: Mapping[str, Callable[[Settings], Iterator[Found]]] = {
    "certificate": _certificate,
    "limits": _limits,
    "state": _state_dir,
    "registry": _registry,
    "inbox": _inbox,
    "trust": _trust,
    "port": _port,
    "descriptors": _descriptors,
    "processor": _processor,
    "metrics": _pages,
}


def _now() -> datetime:
    return datetime.now(UTC)


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
