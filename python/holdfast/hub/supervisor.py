"""The supervisor: keeps the sockets, is the only writer of the registry, starts workers and ends them.

Workers are started by exec, never by fork: Rust threads and SQLite do not survive it. What other processes write into
the registry (`holdfast ca …`) is noticed by looking at its data version a few times a second.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import fields, replace
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

from holdfast._holdfast import Gate
from holdfast.errors import HoldfastError
from holdfast.files import make_directory, take_all_descriptors
from holdfast.hub import messages, status
from holdfast.hub.identity import read_identity
from holdfast.hub.listeners import DESCRIPTORS_KEPT, SILENT_SECONDS, check_free, open_listeners
from holdfast.hub.log import report_unhandled
from holdfast.hub.pages import Pages
from holdfast.hub.post import Post
from holdfast.hub.process import WorkerProcess
from holdfast.hub.rekeys import Rekeys
from holdfast.hub.tickets import TicketKeys
from holdfast.hub.vitals import SILENT_SECONDS_MAX, Present, Vitals
from holdfast.inbox import open_inbox
from holdfast.registry import open_registry
from holdfast.registry.closures import Kind
from holdfast.registry.devices import Claim, Pin
from holdfast.registry.paths import NO_KEY

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from structlog.typing import FilteringBoundLogger

    from holdfast.hub.identity import Identity
    from holdfast.inbox import Inbox
    from holdfast.registry import Registry
    from holdfast.registry.cas import Trust
    from holdfast.settings import Settings

POLL_SECONDS = 0.2
SILENT_LOOKS_MAX = round(SILENT_SECONDS_MAX / POLL_SECONDS)
"""A hung worker is told by looks at the registry, and not by the clock: a supervisor that was stopped, or busy, has not
listened either."""
SLOW_SECONDS = 1.0
SLOW_LOOKS = round(SLOW_SECONDS / POLL_SECONDS)
"""From when on it is said that something keeps a worker from its work (X05)."""
START_SECONDS_MAX = 60.0
START_LOOKS_MAX = round(START_SECONDS_MAX / POLL_SECONDS)
"""Until a worker is heard for the first time an interpreter is to be started, on a machine that may be busy."""
INTRODUCTION_BYTES_MAX = 4 * 1024 * 1024
"""Of what a worker is to know before it serves, so much may be on its way."""
INTRODUCTION_POLL_SECONDS = 0.01
UNREAD_BYTES_MAX = 64 * 1024 * 1024
"""What a worker that does not read may cost; whoever is introduced has room for all that is told meanwhile."""
CLOCK_FLOOR_SECONDS = 60.0
"""How often what has ended is forgotten, and the passing of time is made durable: what a clock that was turned back
while the hub was down can hide."""
LEASE_SECONDS = 5.0
"""How long a hub goes on that cannot read what its operators decide (trust.md §5.2)."""
LEASE_RENEWED_SECONDS = 1.0
APPLY_LOOKS_MAX = round(1.0 / POLL_SECONDS)
"""How long a worker may take to apply trust before it is killed: a second (trust.md §5.2), by looks as well."""
RELOADED = {"certificate", "private_key", "limits", "drain_seconds", "resumption"}
"""Settings that a running hub takes over; the others need another start."""
LOCK_SECONDS_MAX = 0.25
"""How long a write waits for another process's. Nothing else is done meanwhile, so it is far less than a lease, and
than what a worker may take to apply trust; whoever was to be written down is asked to come again."""
FINISH_SECONDS = 5.0
"""The same for what is left when all workers have ended: nobody has to wait for anything else."""
CHAINS_KEPT_MAX = 1_024
"""Paths that wait for a registry that cannot be written, as many as a worker always remembers. A CA that may make CAs
can make any number; who comes by one beyond is `path_unknown` until its worker has forgotten it, and says it again."""
RESTART_SECONDS_MAX = 2.0
KILL_SECONDS = 2.0
"""How much longer than `drain_seconds` a worker gets before it is killed."""


def serve(settings: Settings, log: FilteringBoundLogger, *, again: Callable[[], Settings]) -> int:
    """Run the hub until SIGTERM or SIGINT; answers the exit status. `again` reads the settings anew, for SIGHUP.

    Everything that can be wrong is looked for before anything is changed.

    Raises:
        ConfigurationError: of settings, files, addresses, the registry.
        RegistrationError: `unknown_tenant`: others have CAs here, and this one is not there.
        ConflictError: `address_in_use`, `already_running`, `registry_busy`.
    """
    os.umask(0o077)  # whatever this process and its workers write is their owner's alone
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # nor do they leave keys on a disk when they crash
    take_all_descriptors()
    identity = read_identity(settings.certificate, settings.private_key)
    limits = _limits(settings, identity)
    check_free(settings.mqtt_host, settings.mqtt_port)
    if settings.metrics_port:
        check_free(settings.metrics_host, settings.metrics_port)
    with ExitStack() as stack:
        # A second hub in this place ends here, before the kernel accepts anybody for it.
        stack.enter_context(status.locked(settings.state_dir))
        listeners = open_listeners(
            settings.mqtt_host, settings.mqtt_port, settings.workers, silent_seconds=SILENT_SECONDS
        )
        for listener in listeners:
            stack.enter_context(listener)
        watched = None
        if settings.metrics_port:
            (watched,) = open_listeners(settings.metrics_host, settings.metrics_port, 1)
            stack.enter_context(watched)
        registry = stack.enter_context(
            open_registry(settings.registry_file, hub=settings.hub, tenant=settings.tenant, at=_now(), create=True)
        )
        registry.database.check_tenant(settings.tenant)
        inbox = stack.enter_context(
            open_inbox(settings.inbox_file, hub=settings.hub, tenant=settings.tenant, create=True)
        )
        registry.database.wait_at_most(LOCK_SECONDS_MAX)
        inbox.database.wait_at_most(LOCK_SECONDS_MAX)
        make_directory(settings.telemetry_dir)
        (settings.state_dir / status.FILE).unlink(missing_ok=True)
        supervisor = Supervisor(
            settings=settings,
            identity=identity,
            limits=limits,
            listeners=listeners,
            watched=watched,
            registry=registry,
            inbox=inbox,
            log=log,
            again=again,
        )
        return asyncio.run(supervisor.run())


class Supervisor:
    """One hub."""

    def __init__(
        self,
        *,
        settings: Settings,
        identity: Identity,
        limits: dict[str, int],
        listeners: Sequence[socket.socket],
        watched: socket.socket | None,
        registry: Registry,
        inbox: Inbox,
        log: FilteringBoundLogger,
        again: Callable[[], Settings],
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._limits = limits
        self._listeners = listeners
        self._watched = watched
        self._registry = registry
        self._log = log
        self._again = again
        self._trust = registry.cas.trust()
        # Whoever comes is told of all pins that there are; those that come or change are told to all.
        self._act = registry.devices.latest_act()
        self._workers: dict[int, WorkerProcess] = {}
        self._post = Post(
            inbox,
            log,
            tell=self._tell,
            workers=self._workers.keys,
            end=self._end_worker,
            clock=lambda: int(_now().timestamp()),
        )
        self._applied: dict[int, int] = {}
        """The epoch that each worker has applied last."""
        self._ready: set[int] = set()
        self._introduced: set[int] = set()
        """Workers that were told all that there is."""
        self._admitting: set[int] = set()
        """Workers that were told to serve, and so may let somebody in."""
        self._heard: set[int] = set()
        """Workers that have said something."""
        self._silent = Counter[int]()
        """Looks at the registry since each worker was heard, or started."""
        self._behind: dict[int, tuple[int, int]] = {}
        """An epoch that a worker was to apply and had not at the last look, and at how many."""
        self._claims: list[tuple[WorkerProcess, messages.Claim, int]] = []
        """Worker (its successor knows nothing of it), claim, the epoch that it was judged under."""
        self._chains: list[list[bytes]] = []
        self._commit_pending = False
        self._rekeys = Rekeys(self._tell)
        self._placed: list[tuple[int, bytes]] = []
        self._pins_untold = False
        """Whether there are pins of our own making that could not be read."""
        self._tickets = TicketKeys(at=time.monotonic())
        self._kernel_off = False
        self._read_at = self._leased_at = time.monotonic()
        self._vitals = Vitals(self._present)
        self._stopping = asyncio.Event()
        self._status = 0

    async def run(self) -> int:
        """Serve until told to stop; answers the exit status."""
        loop = asyncio.get_running_loop()
        report_unhandled(self._log)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        if self._identity.not_after < _now():
            self._log.warning("hub_certificate_expired", not_after=self._identity.not_after.isoformat())
        self._post.begin()
        watches = [loop.create_task(self._watch_registry()), loop.create_task(self._keep_clock())]
        workers = [loop.create_task(self._keep_worker(number)) for number in range(self._settings.workers)]
        for task in (*watches, *workers):
            task.add_done_callback(self._on_task_done)
        pages = Pages(self._vitals.pages(), hub=self._settings.hub)
        server = await pages.serve(self._watched) if self._watched else None
        await self._stopping.wait()
        self._log.info("stopping", drain_seconds=self._settings.drain_seconds)
        self._tell_all(messages.Drain())
        _, late = await asyncio.wait(workers, timeout=self._settings.drain_seconds + KILL_SECONDS)
        for worker in self._workers.values():
            worker.kill()
        if late:
            await asyncio.wait(late)
        for task in watches:
            task.cancel()
        if server:
            server.close()
        self._post.finish(FINISH_SECONDS)
        self._log.info("stopped")
        return self._status

    # ── workers ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _keep_worker(self, number: int) -> None:
        """Run worker `number`, and another in its place whenever it ends, until the hub stops."""
        pause = 0.0
        while not self._stopping.is_set():
            began = time.monotonic()
            status = await self._run_worker(number)
            if self._stopping.is_set():
                return
            self._vitals.ended(number)
            # At once after a long life; a worker that cannot live is tried again ever more slowly.
            pause = (
                0.0 if time.monotonic() - began > RESTART_SECONDS_MAX else min(2 * pause + 0.25, RESTART_SECONDS_MAX)
            )
            self._log.error("worker_ended", worker=number, status=status, restart_seconds=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run_worker(self, number: int) -> int | None:
        """Run worker `number` until it ends; answers its exit status, `None` when it could not be started."""
        listeners = [self._listeners[number]]
        try:
            worker = await WorkerProcess.start(listeners, lambda message: self._receive(number, message))
        except OSError as error:  # no descriptor, no memory, no process: the other workers may have theirs
            self._log.error(
                "worker_failed", worker=number, code="worker_not_started", reason=error.strerror or str(error)
            )
            return None
        self._heard.discard(number)
        self._silent[number] = 0
        self._workers[number] = worker
        if self._stopping.is_set():
            worker.kill()  # it is too late to be told to drain, and has nobody
        else:
            try:
                await self._introduce(number, worker)
            except HoldfastError as error:  # the next may find out more
                self._log.error("worker_failed", worker=number, code=error.code, reason=error.message)
                worker.kill()
        status = await worker.wait()
        del self._workers[number]
        self._post.disconnect(number)
        self._applied.pop(number, None)
        self._ready.discard(number)
        self._introduced.discard(number)
        self._admitting.discard(number)
        self._behind.pop(number, None)
        self._rekeys.gone(number)
        self._publish()
        return status

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        """None of the supervisor's own tasks may end before the hub does: without it, nobody is let in."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._status = 1
            self._stopping.set()
            self._log.critical("supervisor_failed", exc_info=error)

    async def _introduce(self, number: int, worker: WorkerProcess) -> None:
        """Tell a new worker all that it must know before it serves; see `_on_trust_applied`.

        A million devices take seconds, in which whatever else is to be told to it or to others is told in between: what
        is told of a device is how it is now, and so is what comes later.
        """
        worker.send(
            messages.Start(
                number=number,
                workers=self._settings.workers,
                certificate_chain=list(self._identity.certificate_chain),
                private_key=self._identity.private_key,
                limits=self._limits,
                telemetry_file=str(self._settings.telemetry_dir / f"worker-{number}.db"),
                drain_seconds=self._settings.drain_seconds,
                tenant=f"{self._settings.hub}/{self._settings.tenant}",
                listener=f"mqtt/{self._settings.mqtt_host}/{self._settings.mqtt_port}",
                ticket_keys=self._ticket_keys(),
                listeners=[self._listeners[number].fileno()],
            )
        )
        pins = (_pins_message(pins) for _, pins in self._registry.devices.changed_since(0))
        for message in chain(pins, self._post.introduction()):
            worker.send(message)
            await asyncio.sleep(0)
            while worker.unsent > INTRODUCTION_BYTES_MAX and not worker.ended:  # noqa: ASYNC110 (one that hangs is ended)
                await asyncio.sleep(INTRODUCTION_POLL_SECONDS)
            if self._stopping.is_set() or worker.ended:
                return
        if self._kernel_off:
            worker.send(messages.KernelOff())
        # Whoever has applied it knows all that came before.
        self._introduced.add(number)
        # Time has passed since trust last changed, and a worker that knows of none believes a clock that was put back.
        floor = datetime.fromtimestamp(self._registry.database.clock_floor(), UTC)
        worker.send(_trust_message(replace(self._trust, clock_floor=floor)))
        self._post.bequeath(number)

    def _receive(self, number: int, message: messages.FromWorker) -> None:
        self._silent[number] = 0
        self._heard.add(number)
        match message:
            case messages.Ready():
                settings = self._settings
                self._ready.add(number)
                self._publish()
                self._log.info(
                    "serving", worker=number, pid=self._workers[number].pid, hub=settings.hub, port=settings.mqtt_port
                )
            case messages.Claims():
                self._commit_soon()
                self._chains += message.chains
                for claim in message.claims:
                    self._hear_claim(number, claim, message.epoch)
            case messages.InboxWork():
                self._hear_inbox_work(number, message)
            case messages.Admitted():
                self._place(number, message.admissions)
            case messages.Live():
                self._rekeys.answered(number, message)
            case messages.TrustApplied():
                self._on_trust_applied(number, message.epoch)
            case messages.Counted():
                self._vitals.counts.hear(number, message)
                if message.counters.get("kernel_doubted") and not self._kernel_off:
                    self._switch_kernels_off()

    def _on_trust_applied(self, number: int, epoch: int) -> None:
        self._log.info("trust_applied", worker=number, epoch=epoch)
        self._applied[number] = epoch
        if number in self._introduced - self._admitting and epoch == self._trust.epoch and not self._stopping.is_set():
            # Not before: from here on a command that shuts somebody out waits for this worker too.
            self._admitting.add(number)
            self._tell(number, messages.Serve())
        self._publish()

    def _tell(self, number: int, message: messages.Message) -> None:
        if worker := self._workers.get(number):
            worker.send(message)

    def _tell_all(self, message: messages.Message) -> None:
        for worker in self._workers.values():
            worker.send(message)

    def _end_worker(self, number: int) -> None:
        if worker := self._workers.get(number):
            worker.kill()

    # ── whom the workers let in ────────────────────────────────────────────────────────────────────────────────────

    def _place(self, number: int, admissions: bytes) -> None:
        """Put admissions of this turn of the loop into one order, and tell it to everybody."""
        if not self._placed:
            asyncio.get_running_loop().call_soon(self._spread_placed)
        self._placed.append((number, admissions))

    def _spread_placed(self) -> None:
        placed, self._placed = self._placed, []
        if placed:
            self._tell_all(messages.Placed(rows=placed))

    def _ticket_keys(self) -> list[bytes]:
        return self._tickets.keys if self._settings.resumption else []

    def _spread_ticket_keys(self) -> None:
        self._tell_all(messages.TicketKeys(keys=self._ticket_keys()))

    def _switch_kernels_off(self) -> None:
        """One processor computes wrongly: which one that was, nobody knows."""
        self._kernel_off = True
        self._tell_all(messages.KernelOff())

    def _commit_soon(self) -> None:
        if not self._commit_pending:
            # Whatever the workers say in this turn of the loop is committed together.
            self._commit_pending = True
            asyncio.get_running_loop().call_soon(self._commit_claims)

    def _hear_inbox_work(self, number: int, work: messages.InboxWork) -> None:
        # Of whom it speaks the others learn first that they are here.
        if work.admissions:
            self._place(number, work.admissions)
        self._spread_placed()
        self._post.work(number, work)

    def _hear_claim(self, number: int, claim: messages.Claim, epoch: int) -> None:
        worker = self._workers[number]

        def decide(code: str | None) -> None:
            if code is None:
                self._commit_soon()
                self._claims.append((worker, claim, epoch))
            else:
                worker.send(messages.Claimed(answers=[(claim.handle, code)]))

        if claim.before is not None and len(self._workers) > 1:
            self._rekeys.hold(claim, self._workers.keys() - {number}, decide)
        else:
            self._claims.append((worker, claim, epoch))

    def _commit_claims(self) -> None:
        """Commit what waits, and answer whoever asked."""
        self._commit_pending = False
        waiting, self._claims = self._claims, []
        if not waiting and not self._chains:
            return
        began = time.monotonic()
        codes = self._commit([_claim(claim, epoch) for _, claim, epoch in waiting])
        self._vitals.committed(codes, time.monotonic() - began)
        answers: dict[WorkerProcess, list[tuple[int, str | None]]] = {}
        for (worker, claim, _), code in zip(waiting, codes, strict=True):
            answers.setdefault(worker, []).append((claim.handle, code))
        for worker, own in answers.items():
            worker.send(messages.Claimed(answers=own))
        try:
            self._spread_pins()
        except HoldfastError as error:
            self._pins_untold = True
            self._log.error("registry_unreadable", code=error.code, reason=error.message)

    def _commit(self, claims: list[Claim]) -> list[str | None]:
        """All claims in one transaction. When it fails nobody is let in, and each may try again.

        A worker says of a path once: it is kept for the next.
        """
        try:
            codes = self._registry.devices.claim(claims, at=_now(), chains=self._chains)
        except HoldfastError as error:
            self._log.error("claims_failed", code=error.code, reason=error.message)
            del self._chains[CHAINS_KEPT_MAX:]
            return ["clock_behind" if error.code == "clock_behind" else "registry_unavailable"] * len(claims)
        self._chains = []
        return codes

    # ── registry ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _watch_registry(self) -> None:
        """Notice what other processes have committed, and tell the workers.

        Raises:
            HoldfastError: the registry cannot be read for longer than `LEASE_SECONDS`: what it says is not known. Or
                it, or the inbox, met an input or output error: what was written is not known.
        """
        seen, self._leased_at = 0, time.monotonic() - LEASE_RENEWED_SECONDS
        while True:
            self._end_silent()
            try:
                version = self._registry.database.data_version()
                if version != seen or self._pins_untold:
                    # In this order: whoever has applied an epoch knows the pins that were moved with it, and no later
                    # commit can come between.
                    trust = self._registry.cas.trust()
                    self._spread_pins()
                    self._spread_trust(trust)
                    self._pins_untold = False
                seen, self._read_at = version, time.monotonic()
                if self._read_at - self._leased_at >= LEASE_RENEWED_SECONDS:
                    self._leased_at = self._read_at
                    self._tell_all(messages.Lease())
            except HoldfastError as error:
                self._log.error("registry_unreadable", code=error.code, reason=error.message)
                if self._registry.database.broken or time.monotonic() - self._read_at > LEASE_SECONDS:
                    raise
            self._post.look()
            self._end_hung()
            await asyncio.sleep(POLL_SECONDS)

    async def _keep_clock(self) -> None:
        """Make it durable that time has passed, and do what is due once in a while."""
        while True:
            await asyncio.sleep(CLOCK_FLOOR_SECONDS)
            with suppress(HoldfastError), self._registry.database.writing(at=int(_now().timestamp())):
                pass
            self._post.purge()
            if self._tickets.rotate(at=time.monotonic()):
                self._spread_ticket_keys()

    def _spread_trust(self, trust: Trust) -> None:
        if trust == replace(self._trust, clock_floor=trust.clock_floor):
            return
        self._trust = trust
        closed = {f"closed_{kind}s": len(hashes) for kind, hashes in trust.closed.items()}
        counts = {"anchors": len(trust.anchors), **closed, "successions": len(trust.successions)}
        self._log.info("trust_changed", epoch=trust.epoch, **counts)
        self._tell_all(_trust_message(trust))

    def _end_silent(self) -> None:
        """A worker that has not applied trust by now might still let somebody in whom nobody trusts."""
        # One that starts has everything to read first, and nobody to let in yet.
        for number in self._admitting:
            applied = self._applied[number]
            epoch, looks = self._behind.pop(number, (self._trust.epoch, 0))
            if applied >= epoch:  # there may be another by now, which it was told of later
                epoch, looks = self._trust.epoch, 0
            if applied < epoch:
                self._behind[number] = epoch, looks + 1
                if looks + 1 == APPLY_LOOKS_MAX:
                    self._log.error("worker_silent", worker=number, epoch=epoch, applied=applied)
                    self._workers[number].kill()

    def _end_hung(self) -> None:
        """A worker that has said nothing at all for so long, or reads nothing, does nothing for its devices either."""
        if self._stopping.is_set():
            return  # there is a bound on that, and whoever stores its last messages says nothing meanwhile
        for number, worker in self._workers.items():
            heard = number in self._heard
            self._silent[number] += 1
            if self._silent[number] == (SILENT_LOOKS_MAX if heard else START_LOOKS_MAX):
                seconds = SILENT_SECONDS_MAX if heard else START_SECONDS_MAX
                self._log.error("worker_silent", worker=number, seconds=seconds)
                worker.kill()
            elif heard and self._silent[number] == SLOW_LOOKS:
                self._log.warning("worker_slow", worker=number, seconds=SLOW_SECONDS)
            elif worker.unsent > UNREAD_BYTES_MAX and not worker.ended:
                self._log.error("worker_silent", worker=number, unread_bytes=worker.unsent)
                worker.kill()

    def _publish(self) -> None:
        """Say which epoch every worker has applied; one that starts does before it serves."""
        epochs = [epoch for number, epoch in self._applied.items() if number in self._admitting]
        epoch = min(epochs, default=self._trust.epoch)
        workers = {number: worker.pid for number, worker in self._workers.items()}
        with suppress(OSError):  # whoever waits for it is told that it did not come
            status.write(self._settings.state_dir, tenant=self._settings.tenant, epoch=epoch, workers=workers)

    def _present(self) -> Present:
        now = time.monotonic()
        return Present(
            workers=self._settings.workers,
            serving=self._ready,
            epoch=self._trust.epoch,
            applied=self._applied,
            anchors=len(self._trust.anchors),
            registry_read_seconds=now - self._read_at,
            lease_seconds=now - self._leased_at,
            lease_seconds_max=self._limits["lease_ms"] / 1000,
            not_after=self._identity.not_after,
            now=_now(),
            stopping=self._stopping.is_set(),
        )

    def _reload(self) -> None:
        """Take over what the settings say now, for new connections; if they cannot be, nothing changes."""
        try:
            settings = self._again()
            identity = read_identity(settings.certificate, settings.private_key)
            limits = _limits(settings, identity)
        except HoldfastError as error:
            self._log.error("reload_failed", code=error.code, reason=error.message)
            return
        changed = {
            one.name for one in fields(settings) if getattr(settings, one.name) != getattr(self._settings, one.name)
        }
        self._identity, self._limits = identity, limits
        self._settings = replace(self._settings, **{name: getattr(settings, name) for name in RELOADED})
        self._tell_all(
            messages.Reload(
                certificate_chain=list(identity.certificate_chain),
                private_key=identity.private_key,
                limits=limits,
                drain_seconds=settings.drain_seconds,
            )
        )
        self._spread_ticket_keys()
        self._log.info("reloaded", changed=sorted(changed & RELOADED), needs_restart=sorted(changed - RELOADED))

    def _spread_pins(self) -> None:
        for act, pins in self._registry.devices.changed_since(self._act):
            # Nobody can have come by the new pins yet.
            self._post.disown([pin.device_id for pin in pins if pin.leaf_spki_sha256 == NO_KEY])
            self._tell_all(_pins_message(pins))
            self._act = act


def _limits(settings: Settings, identity: Identity) -> dict[str, int]:
    """The limits that workers get: the operator's, and no more connections than there are descriptors.

    Raises:
        ConfigurationError: `unknown_limit`, `bad_limit`, `unusable_tls_certificate`.
    """
    limits = {**Gate.default_limits(), **settings.limits}
    Gate.check(certificate_chain=identity.certificate_chain, private_key=identity.private_key, limits=limits)
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = max(descriptors - DESCRIPTORS_KEPT, 1)
    return limits | {"connections_count_max": min(limits["connections_count_max"], room)}


def _claim(claim: messages.Claim, epoch: int) -> Claim:
    pin = Pin(
        device_id=claim.device_id,
        issuer_spki_sha256=claim.issuer_spki_sha256,
        leaf_spki_sha256=claim.leaf_spki_sha256,
    )
    return Claim(pin=pin, fingerprint=claim.fingerprint, path=claim.path, epoch=epoch, before=claim.before)


def _trust_message(trust: Trust) -> messages.Trust:
    return messages.Trust(
        epoch=trust.epoch,
        anchors=list(trust.anchors),
        closed_keys=list(trust.closed[Kind.KEY]),
        closed_certificates=list(trust.closed[Kind.CERTIFICATE]),
        successions=list(trust.successions),
        clock_floor=int(trust.clock_floor.timestamp()),
    )


def _pins_message(pins: Sequence[Pin]) -> messages.Pins:
    return messages.Pins(rows=[(pin.device_id, pin.issuer_spki_sha256, pin.leaf_spki_sha256) for pin in pins])


def _now() -> datetime:
    return datetime.now(UTC)
