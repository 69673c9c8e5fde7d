"""The compiled half of holdfast. Private: import from `holdfast` instead.

Bytes: `bytes` are borrowed, anything writable is copied. Fingerprints and key hashes are SHA-256: lower-case hexadecimal
as `str`, the 32 octets as `bytes`. Times are timezone-aware datetimes; as `int`, seconds since 1970. A certificate or chain
that is refused is `holdfast.VerificationError`, what nothing can be run with `ConfigurationError`, each with a stable code.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, final

from typing_extensions import Buffer, disjoint_base

__all__ = [
    "POSSESSION_PREFIX",
    "Certificate",
    "Columns",
    "Device",
    "Explanation",
    "Finding",
    "FleetChain",
    "FleetDevices",
    "FleetRun",
    "Gate",
    "InboxMessage",
    "KeptSession",
    "KeptWill",
    "Outcome",
    "Request",
    "TelemetryWriter",
    "TrustStore",
    "VerifiedPath",
    "Verifier",
    "__version__",
    "chain_offsets",
    "check_device_id",
    "codes",
    "connection_codes",
    "fleet_codes",
    "fleet_kinds",
    "kernel",
    "mends",
]
__version__: Final[str]

# ── judging chains (bindings/verifier.rs) ──────────────────────────────────────────────────────────────────────────

@final
class TrustStore:
    """Trust anchors: certificates that a path may end at, each once, in whatever order (RFC 5280 §6.1.1 (d)).

    Immutable, and shared by every verifier made with it. A verdict costs the same under one anchor and under a hundred
    thousand.
    """
    def __new__(cls, anchors: Sequence[bytes]) -> TrustStore:
        """`anchors` are DER, one certificate each; none at all is allowed, and nothing is accepted then.

        Raises `VerificationError` with the parser's code; `position` is the index of the anchor that cannot be read.
        """
    @classmethod
    def from_pem(cls, pem: bytes) -> TrustStore:
        """Every certificate in a PEM text; what stands between blocks is ignored (RFC 7468 §2).

        Raises as `TrustStore` does, and `ConfigurationError`: `bad_pem`, `unexpected_pem_block`, `no_certificate`.
        """
    def __len__(self) -> int: ...
    @property
    def fingerprints(self) -> list[str]:
        """SHA-256 of each, hexadecimal, in the order of `anchors`."""
    @property
    def anchors(self) -> list[bytes]:
        """DER of each."""

@final
class Verifier:
    """Judges chains under one store and one policy: path building, then validation (RFC 5280 §6.1), then status (§6.3).

    `policy` is a `holdfast.Policy`, read once. `threads`: 0 takes every core for large batches. Thread-safe; the
    interpreter is released while chains are judged. `at` is an aware datetime, counted in whole seconds; `None` is now.
    """
    def __new__(cls, store: TrustStore, policy: object, *, threads: int = 0) -> Verifier:
        """Raises `ConfigurationError` where the policy means nothing: `invalid_policy`, `invalid_policy_oid`,
        `invalid_server_name`, `server_name_missing`, `unexpected_server_name`, `unknown_key_algorithm`, `bad_hash`,
        `bad_crl`. Cost: revocation lists are read here, once.
        """
    def verify(self, chain: Sequence[bytes], at: datetime | None = None) -> VerifiedPath:
        """The path by which `chain` is accepted. `chain` is DER, one certificate each: the end entity first, the others
        in any order, the anchor there or not.

        Raises `VerificationError` with code, position (0 = end entity) and hint of the most telling refusal;
        `LocalProtocolError` (`naive_datetime`). Work is bounded by the policy, whatever is presented.
        """
    def verify_many(self, chains: Sequence[Sequence[bytes]], at: datetime | None = None) -> list[Outcome]:
        """One outcome a chain, in their order; each chain as `verify` takes it.

        A chain that is refused is an outcome. Raises `LimitExceededError` (`batch_too_large`) and `LocalProtocolError`
        (`naive_datetime`). Cost: one crossing; signatures of end entities on P-256 are verified many at a time.
        """
    def verify_packed(self, buffer: Buffer, offsets: Buffer, at: datetime | None = None) -> Columns:
        """Chain i is `buffer[offsets[i]:offsets[i + 1]]`: its certificates, DER, one after another, end entity first.

        `offsets` holds one more int64 or int32 than there are chains, ascending. Of a writable buffer a copy is judged.
        Raises `LocalProtocolError` (`bad_offsets`), `LimitExceededError` (`batch_too_large`).
        """
    def explain(self, chain: Sequence[bytes], at: datetime | None = None) -> Explanation:
        """The verdict of `verify` with what each rule found. Cost: about two verdicts."""

@final
class Columns:
    """What came of many chains: one entry a chain in every column, numbers little-endian.

    Where `ok` is 0, `codes`, `positions` and `messages` say why and the others are zero or empty; where it is 1, those
    are 65535, -1 and empty.
    """
    def __len__(self) -> int: ...
    @property
    def ok(self) -> bytes:
        """uint8, 1 or 0."""
    @property
    def codes(self) -> bytes:
        """uint16, an index in `codes()`."""
    @property
    def positions(self) -> bytes:
        """int16; -1 where no certificate is at fault."""
    @property
    def not_after(self) -> bytes:
        """int64, seconds since 1970; the earliest in the path."""
    @property
    def fingerprints(self) -> bytes:
        """32 octets, SHA-256 of the end entity."""
    @property
    def anchor_fingerprints(self) -> bytes:
        """32 octets."""
    @property
    def common_name_offsets(self) -> bytes:
        """int64, one more than chains, into `common_names`."""
    @property
    def common_names(self) -> bytes:
        """UTF-8, one after another, as `Certificate.sole_common_name`; not yet checked to be a device id. Empty where that
        raises."""
    @property
    def message_offsets(self) -> bytes: ...
    @property
    def messages(self) -> bytes: ...

@final
class Explanation:
    """What came of one chain, and why."""
    @property
    def outcome(self) -> Outcome: ...
    @property
    def presented(self) -> list[int]:
        """The path that the verdict is about, as indices in the chain, end entity first, completed by names alone.

        Where a certificate cannot be read there is no path: all that was presented, in that order.
        """
    @property
    def anchor(self) -> int | None:
        """Index in the store's anchors, if it got that far."""
    @property
    def findings(self) -> list[Finding]:
        """In the order of positions and rules; the anchor's position is the number of those presented."""

@final
class Finding:
    """What one rule says of one certificate of the path."""
    @property
    def position(self) -> int: ...
    @property
    def rule(self) -> str:
        """A few words: `in date`, `path length` …"""
    @property
    def section(self) -> str: ...
    @property
    def wanted(self) -> str: ...
    @property
    def code(self) -> str | None:
        """`None`: the rule is kept."""
    @property
    def found(self) -> str | None: ...
    @property
    def mend(self) -> str | None: ...
    @property
    def refusing(self) -> bool:
        """Whether it is the one that the outcome names."""

@final
class Outcome:
    """What came of one chain: `path`, or else `code`, `message` and perhaps `position`. Only `verify…` makes one."""
    @property
    def ok(self) -> bool:
        """Whether there is a `path`."""
    @property
    def code(self) -> str | None:
        """One of `codes()`; docs/codes.md has the mend of each. `None` where it holds; the same for the two below."""
    @property
    def position(self) -> int | None:
        """Index in the path tried, 0 = end entity; `None` also where no certificate is at fault."""
    @property
    def message(self) -> str | None:
        """What was found and what was wanted; may improve."""
    @property
    def path(self) -> VerifiedPath | None: ...

@final
class VerifiedPath:
    """A path that was found to be valid, end entity to anchor, at the time that was asked about (RFC 5280 §6.1.6)."""
    @property
    def common_name(self) -> str | None:
        """The end entity's, as `Certificate.sole_common_name`; not yet checked to be a device id. `None` where that
        raises."""
    @property
    def fingerprints(self) -> tuple[str, ...]:
        """End entity first; the anchor is not among them."""
    @property
    def anchor_fingerprint(self) -> str:
        """SHA-256 of the anchor, hexadecimal."""
    @property
    def not_after(self) -> datetime:
        """The earliest in the path, anchor included."""

def codes() -> list[str]:
    """Every code that judging a chain can end in."""

def kernel() -> dict[str, Any]:
    """What the batch kernel of this process did: `backend` (`ifma`, `portable`, `none`), `on`, how many signatures were
    `decided`, `sampled`, `rejects_rechecked`, `undecided`, `plain` (because it was off), and `batches`: how many of 1, 2,
    3-4, 5-8 … signatures."""

def chain_offsets(buffer: Buffer, *, certificates: int | None = None, last: bool = True) -> bytes:
    """Where chains begin among certificates that stand one after another: offsets (int64) for `verify_packed`.

    A chain has `certificates` of them, or goes on while each bears the name of the issuer of the one before it. Unless
    this is the `last` of the stream, what follows the last offset is not complete: put it before what comes next.
    """

def mends() -> list[tuple[str, str, str]]:
    """Every such code, the section its rule is written in, and what would mend it."""

# ── one certificate (bindings/certificate.rs) ──────────────────────────────────────────────────────────────────────

POSSESSION_PREFIX: Final[str]
"""How common names that answer a possession challenge begin (trust.md §4.1)."""

def check_device_id(device_id: str) -> None:
    """Raise `VerificationError` (`common_name_…`) unless this may be a device's identity."""

@final
class Certificate:
    """One certificate, parsed as strictly as in a chain. Raises `VerificationError` for anything else."""
    def __new__(cls, der: bytes) -> Certificate: ...
    @property
    def der(self) -> bytes: ...
    @property
    def subject(self) -> str:
        """RFC 4514, unprintable characters escaped."""
    @property
    def issuer(self) -> str: ...
    @property
    def subject_der(self) -> bytes: ...
    @property
    def sole_common_name(self) -> str:
        """The only common name of the subject, exactly as written; not yet checked to be a device id. Raises where there is
        none, more than one, one that shares its RDN, or one that is neither a PrintableString nor a UTF8String."""
    @property
    def device_id(self) -> str:
        """The identity that this certificate gives a device (trust.md §3.1); raises where it gives none."""
    @property
    def serial_number(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def spki(self) -> bytes: ...
    @property
    def spki_sha256(self) -> str: ...
    @property
    def public_key_algorithm(self) -> str:
        """`ecdsa-p256`, `ed25519`, `rsa-2048`, `ml-dsa-44` …"""
    @property
    def not_before(self) -> datetime: ...
    @property
    def not_after(self) -> datetime: ...
    @property
    def is_ca(self) -> bool: ...
    @property
    def path_len(self) -> int | None: ...
    @property
    def signature_algorithm(self) -> str:
        """`ecdsa-sha256`, `rsa-pss-sha256` …; raises for one that is weak or unknown."""
    @property
    def extensions(self) -> list[tuple[str, bool, str]]:
        """Name, whether critical, and what it says, for people."""
    @property
    def self_issued(self) -> bool: ...
    def check_anchor(self, at: datetime) -> None:
        """Raise with the rule that would refuse every path under this certificate as an anchor (trust.md §4.5)."""
    def check_in_date(self, at: datetime) -> None: ...
    def check_issued_by(self, issuer: Certificate) -> None:
        """Raise unless `issuer`'s name and key made this certificate; aws-lc-rs decides."""
    def verify_signature(self, message: bytes, signature: bytes) -> None:
        """Raise `bad_signature` unless this certificate's key signed `message` (ECDSA with the curve's hash; RSA PKCS #1 v1.5 with SHA-256, or PSS for keys that allow nothing else; Ed25519; ML-DSA)."""

# ── connections (bindings/gate.rs) ─────────────────────────────────────────────────────────────────────────────────

@final
class Gate:
    """All connections of one worker. Every method is for the loop's thread, returns what must be done, and never blocks.

    A handle names one connection and is never reused. A call with a handle that is gone does nothing.
    """
    def __new__(
        cls,
        *,
        certificate_chain: Sequence[bytes],
        private_key: bytes,
        limits: Mapping[str, int],
        telemetry: TelemetryWriter,
        tenant: str = "",
        listener: str = "",
    ) -> Gate:
        """`certificate_chain` DER, end entity first; `private_key` PKCS #8, SEC 1 or PKCS #1 DER.

        Tickets of one `tenant` and `listener` are taken back by the same alone.

        `limits` are those of `Gate.default_limits()` that are to be other than there. What devices publish goes to
        `telemetry` without crossing into Python.
        """
    @staticmethod
    def check(*, certificate_chain: Sequence[bytes], private_key: bytes, limits: Mapping[str, int]) -> None:
        """Raise where no gate could be made of these."""
    @staticmethod
    def default_limits() -> dict[str, int]: ...
    def replace_trust(
        self,
        *,
        epoch: int,
        anchors: Sequence[bytes],
        clock_floor: datetime,
        closed_keys: Sequence[bytes],
        closed_certificates: Sequence[bytes],
        successions: Sequence[tuple[bytes, bytes]],
    ) -> list[Request]:
        """Replace the anchors (proven, enabled CAs), what is closed (SHA-256 of SPKI, of certificates), which key succeeds which.

        When the epoch moves, live sessions are ended whose path no longer leads to an anchor, or by something closed.
        It renews the lease.
        """
    def set_ticket_keys(self, keys: Sequence[bytes]) -> None:
        """Seal tickets with the first of these keys of 32 octets, take back those of all; none: no resumption."""
    def renew_lease(self) -> None:
        """What operators decide is known: admissions are good for another `lease_ms`."""
    def reconfigure(self, *, certificate_chain: Sequence[bytes], private_key: bytes, limits: Mapping[str, int]) -> None:
        """Show and apply these to connections that come from here on."""
    def share_identities(self) -> None:
        """Other workers serve the same identities: keep `take_admissions` filled, and let `fence` decide."""
    def take_admissions(self) -> bytes:
        """Whom it has admitted since the last call, in order, as the other workers' `fence` reads it."""
    def fence(self, placed: Sequence[tuple[bool, bytes]]) -> list[Request]:
        """What all workers' `take_admissions` gave, in the order that counts, ours or not: of two sessions the later stays.

        Raises `LocalProtocolError` (`bad_admissions`).
        """
    def switch_kernel_off(self) -> None:
        """Another worker's signature kernel computed wrongly: aws-lc-rs decides all in this process from here on, for good.

        At the next tick whoever came in by the kernel's word is ended.
        """
    def is_live_with_other_key(self, device: Device) -> bool:
        """Whether the device has a live session under another leaf key than this."""
    def load_devices(self, devices: Sequence[Device]) -> list[Request]:
        """Amend the pins: known devices are admitted without a claim. Whoever is live by another key than the pinned is ended."""
    def load_sessions(self, sessions: Sequence[tuple[str, KeptSession | None]]) -> list[Request]:
        """What others keep of the sessions of these (pinned) devices; of those that are connected here ours is kept again."""
    def inherit_wills(self, wills: Sequence[tuple[str, KeptWill]]) -> list[Request]:
        """Wills of devices whose connection ended with the process that had it: publish them when they are due."""
    def listen(self) -> None:
        """Accept connections from the socket that is this process's standard input, of which it takes a copy.

        What is accepted inherits the listening socket's options. Connections are accepted, read, written and closed in
        here, in `turn`; what the other methods have for them is sent before they return.
        """
    def stop_listening(self) -> None: ...
    def abort(self) -> list[Request]:
        """Let go of every connection at once, whatever was still to be said."""
    def fileno(self) -> int:
        """Readable when `turn` has something to do."""
    def turn(self) -> list[Request]:
        """Serve whoever is ready: connected devices first, then strangers, as many as `handshakes_a_turn`.

        Cost: at most 256 reads, 16 of strangers, 2 accepted connections and those strangers, up to 16 times over while
        somebody waits; the interpreter is released throughout.
        """
    def claimed(self, handle: int, code: str | None) -> list[Request]:
        """The writer's answer to `Request.Claim`: `None` when committed, else the code of the refusal."""
    def kept(self, handle: int, code: str | None) -> list[Request]:
        """The answer to a `Request.Keep` that somebody waits for: `None` when durable, else why it is not."""
    def waiting(self, devices: Sequence[str]) -> list[Request]:
        """Messages are kept for these devices that nobody has asked for."""
    def deliver_messages(self, handle: int, messages: Sequence[InboxMessage], more: bool) -> list[Request]:
        """The answer to `Request.Fetch`, in order; `more`: others are kept behind these."""
    def stored(self) -> list[Request]:
        """`telemetry.fileno()` is readable: acknowledge what is durable, and take what waits."""
    def judged(self) -> list[Request]:
        """`judged_fileno()` is readable: a batch was judged on its own thread."""
    def judged_fileno(self) -> int: ...
    def tick(self) -> list[Request]:
        """What deadlines ask for; call a few times a second."""
    def drain(self, count_max: int) -> list[Request]:
        """Admit nobody any more and end sessions that are idle, so many at the most; repeat until `connections` is 0."""
    @property
    def connections(self) -> int: ...
    @property
    def sessions(self) -> int: ...
    def take_lines(self) -> str:
        """What is to be written into the log: JSON objects, a line each, in the form of the hub's other lines.

        Text from a peer is escaped and cut to 256 characters; refusals beyond a quota are only counted.
        """
    @property
    def half_open(self) -> int:
        """Connections that are not admitted yet."""
    @property
    def half_packets_bytes(self) -> int:
        """Memory of packets that devices have begun and not ended."""
    @property
    def tickets(self) -> int:
        """Tickets that are taken back, those of other workers included."""
    @property
    def batches(self) -> list[int]:
        """How many batches of 1, 2, 3-4, 5-8 … chains were judged; the last counts all that were larger."""
    @property
    def counters(self) -> dict[str, int]:
        """What was counted, by name; like the two below never by anything that a peer claims (I15)."""
    @property
    def refused(self) -> dict[str, int]:
        """How many were turned away, by code."""
    @property
    def closed(self) -> dict[str, int]:
        """How many live sessions have ended, by reason."""

@final
class Device:
    """Who vouched for a device first: what its identity is pinned to (trust.md §3.2)."""
    def __new__(cls, device_id: str, issuer_spki_sha256: str, leaf_spki_sha256: str) -> Device: ...
    @property
    def device_id(self) -> str: ...
    @property
    def issuer_spki_sha256(self) -> str: ...
    @property
    def leaf_spki_sha256(self) -> str: ...

@final
class KeptSession:
    """What is kept of a device's MQTT session between its connections."""
    def __new__(cls, *, inbox_qos: int | None, expiry_seconds: int | None, ends_at: int | None) -> KeptSession: ...
    @property
    def inbox_qos(self) -> int | None:
        """Of its subscription to its inbox; `None`: it has none."""
    @property
    def expiry_seconds(self) -> int | None:
        """How long it outlives a connection; `None`: for ever."""
    @property
    def ends_at(self) -> int | None:
        """Seconds since the epoch; `None` while its device is connected, or when nothing ends it."""

@final
class KeptWill:
    """A will, with all that decides whether it may still be published. Properties are JSON objects of texts and nulls."""
    def __new__(
        cls,
        *,
        delay_seconds: int,
        due_at: int | None,
        anchor: str,
        vouchers: bytes,
        not_after: int,
        expires_in_seconds: int | None,
        system_properties: str,
        properties: str,
        payload: bytes,
    ) -> KeptWill: ...
    @property
    def delay_seconds(self) -> int: ...
    @property
    def due_at(self) -> int | None:
        """Seconds since the epoch; `None` while its device is connected."""
    @property
    def anchor(self) -> str: ...
    @property
    def vouchers(self) -> bytes:
        """SHA-256 of each certificate and each key on its path, one after another."""
    @property
    def not_after(self) -> int: ...
    @property
    def expires_in_seconds(self) -> int | None: ...
    @property
    def system_properties(self) -> str: ...
    @property
    def properties(self) -> str: ...
    @property
    def payload(self) -> bytes: ...

@final
class InboxMessage:
    """A message that is kept for a device. Properties are JSON objects of texts and nulls; `expires_at` is seconds since the epoch."""
    def __new__(
        cls,
        *,
        key: int,
        packet_id: int,
        redelivered: bool,
        expires_at: int | None,
        system_properties: str,
        properties: str,
        payload: bytes,
    ) -> InboxMessage: ...
    @property
    def key(self) -> int:
        """By which `Request.Complete` calls it."""

@disjoint_base
class Request:
    """Something the loop must do now, in the order given."""

    @final
    class Tick(Request):
        """Call `Gate.tick` after so many milliseconds: chains wait for company, but not for long."""

        __match_args__: Final = ("after_ms",)
        def __new__(cls, after_ms: int) -> Request.Tick: ...
        @property
        def after_ms(self) -> int: ...

    @final
    class Turn(Request):
        """Somebody waits of whom `Gate.fileno` says nothing: call `Gate.turn` in the loop's next turn, behind all else."""

        __match_args__: Final = ()
        def __new__(cls) -> Request.Turn: ...

    @final
    class Path(Request):
        """Somebody is good by a path that is new here: record its CA certificates (DER, issuer first, anchor last)."""

        __match_args__: Final = ("chain",)
        def __new__(cls, chain: list[bytes]) -> Request.Path: ...
        @property
        def chain(self) -> list[bytes]: ...

    @final
    class Claim(Request):
        """An identity was never seen, or shows a new key: commit it durably (with its act), then call `Gate.claimed`."""

        __match_args__: Final = (
            "handle",
            "device",
            "fingerprint",
            "path",
            "before",
        )
        def __new__(
            cls,
            handle: int,
            device: Device,
            fingerprint: bytes,
            path: bytes,
            before: Device | None,
        ) -> Request.Claim: ...
        @property
        def handle(self) -> int: ...
        @property
        def device(self) -> Device: ...
        @property
        def fingerprint(self) -> bytes:
            """SHA-256 of the device's certificate."""
        @property
        def path(self) -> bytes:
            """SHA-256 of each CA certificate, the device's issuer first, the anchor last, concatenated."""
        @property
        def before(self) -> Device | None:
            """What the identity is pinned to, as this worker knows."""

    @final
    class Keep(Request):
        """Keep what has become of a device's session; where `handle` is not 0, call `Gate.kept` when that is durable."""

        __match_args__: Final = (
            "handle",
            "device_id",
            "session",
        )
        def __new__(cls, handle: int, device_id: str, session: KeptSession | None) -> Request.Keep: ...
        @property
        def handle(self) -> int: ...
        @property
        def device_id(self) -> str: ...
        @property
        def session(self) -> KeptSession | None: ...

    @final
    class KeepWill(Request):
        """Keep a device's will for the case that nobody here lives to publish it; `None`: it is published, or never will be."""

        __match_args__: Final = (
            "device_id",
            "will",
        )
        def __new__(cls, device_id: str, will: KeptWill | None) -> Request.KeepWill: ...
        @property
        def device_id(self) -> str: ...
        @property
        def will(self) -> KeptWill | None: ...

    @final
    class Fetch(Request):
        """Ask for messages behind `after`, so many at the most, of so many bytes, but at least one; then `Gate.deliver_messages`."""

        __match_args__: Final = (
            "handle",
            "device_id",
            "after",
            "count_max",
            "bytes_max",
        )
        def __new__(cls, handle: int, device_id: str, after: int, count_max: int, bytes_max: int) -> Request.Fetch: ...
        @property
        def handle(self) -> int: ...
        @property
        def device_id(self) -> str: ...
        @property
        def after(self) -> int: ...
        @property
        def count_max(self) -> int: ...
        @property
        def bytes_max(self) -> int: ...

    @final
    class Complete(Request):
        """A message that was kept for a device is done with."""

        __match_args__: Final = (
            "device_id",
            "message",
        )
        def __new__(cls, device_id: str, message: int) -> Request.Complete: ...
        @property
        def device_id(self) -> str: ...
        @property
        def message(self) -> int: ...

    @final
    class Log(Request):
        """There are lines for the log: `Gate.take_lines`, once for as many as there are by then."""

        __match_args__: Final = ()
        def __new__(cls) -> Request.Log: ...

def connection_codes() -> list[str]:
    """Every code with which a connection can be refused."""

# ── telemetry (bindings/stream.rs) ─────────────────────────────────────────────────────────────────────────────────

@final
class TelemetryWriter:
    """The telemetry file of one worker, written by one native thread that syncs many messages at once.

    `fileno()` becomes readable when messages are durable, or the store has failed; watch it with `loop.add_reader`.
    """
    def __new__(cls, path: str) -> TelemetryWriter: ...
    def fileno(self) -> int: ...
    @property
    def failure(self) -> str | None:
        """Why nothing more will ever be durable, once the store has failed; `fileno()` becomes readable then, too."""
    @property
    def waits_for(self) -> Literal["lock", "space"] | None:
        """What must pass before more is durable: another program has held the log for 5 s and more; the disk is full."""
    @property
    def queued(self) -> int: ...
    def close(self) -> None:
        """Store what is queued, if there is room for it and nobody holds the log, then end the thread."""

# ── pretend devices (bindings/fleet.rs) ────────────────────────────────────────────────────────────────────────────

@final
class FleetChain:
    """The CAs of a new supply chain, the root first, each of which signed the next; the last signs devices.

    All keys are P-256, and the same `seed` gives the same keys: they protect nothing. Aware datetimes.
    """
    def __new__(
        cls, names: Sequence[str], *, not_before: datetime, not_after: datetime, seed: bytes | None = None
    ) -> FleetChain: ...
    @property
    def certificates(self) -> list[bytes]:
        """DER, the root first."""
    @property
    def private_keys(self) -> list[bytes]:
        """PKCS #8 DER, in the same order."""
    def make_devices(self, path: str, *, prefix: str, count: int, threads: int = 1) -> None:
        """Write `count` devices `{prefix}-{number}` into the new file `path`, mode 0600. Cost: about 30 µs each."""

@final
class FleetDevices:
    """The devices of a file that `FleetChain.make_devices` wrote, counted from 0."""
    def __new__(cls, path: str) -> FleetDevices: ...
    def __len__(self) -> int: ...
    @property
    def authority_names(self) -> list[str]: ...
    def device_id(self, number: int) -> str: ...
    def chain(self, number: int) -> list[bytes]:
        """What the device presents, DER, end entity first, without the root."""
    def private_key(self, number: int) -> bytes:
        """PKCS #8 DER."""

@final
class FleetRun:
    """One process's share of a run, begun when it is made, on threads that never hold the interpreter.

    `plan` is what `holdfast.fleet.plan.Plan.record` writes.
    """
    def __new__(cls, path: str, plan: dict[str, Any], *, issuer_key: bytes | None = None) -> FleetRun: ...
    @property
    def finished(self) -> bool: ...
    def snapshot(self) -> dict[str, Any]:
        """What was counted and measured, as of a tenth of a second ago; whole once the run has finished."""
    def stop(self) -> None:
        """Let all devices leave; the run has finished a few seconds later."""
    def join(self) -> None:
        """Wait for the end; raises what ended a thread before its time."""

def fleet_kinds() -> list[tuple[str, str, str, str]]:
    """Every way to misbehave: name, catalogue ids, what a hub should do about it, what it does."""

def fleet_codes() -> list[str]:
    """Every code with which making or running a fleet can fail."""
