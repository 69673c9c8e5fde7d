"""Judging chains: the store, the policy, the verifier, and a batcher for callers that come one at a time."""

from __future__ import annotations

import asyncio
import enum
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast._holdfast import Columns, Outcome, TrustStore, VerifiedPath, Verifier, mends
from holdfast.errors import ConfigurationError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Batcher",
    "Columns",
    "Outcome",
    "Policy",
    "Purpose",
    "RevocationDepth",
    "TrustStore",
    "VerifiedPath",
    "Verifier",
]


class Purpose(enum.Enum):
    """What the end entity is used for, RFC 5280 §4.2.1.12."""

    CLIENT_AUTH = "client_auth"
    """A device."""
    SERVER_AUTH = "server_auth"
    """A server under the name it was called by: RFC 9525, and what the web PKI's Baseline Requirements add."""


class RevocationDepth(enum.Enum):
    """Whose status is asked when there are `Policy.crls`."""

    END_ENTITY = "end_entity"
    PATH = "path"
    """Every certificate's but the anchor's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a path must be. It is read when a `Verifier` is made, which refuses one that means nothing.

    Each leniency is off unless asked for; what it lets in is said beside it.
    """

    purpose: Purpose = Purpose.CLIENT_AUTH
    server_name: str | None = None
    """The DNS name (ASCII form) or address that a `SERVER_AUTH` end entity must show; refused for other purposes."""
    max_intermediates: int = 8
    """Intermediates between end entity and anchor; self-issued ones are not counted."""
    key_algorithms: frozenset[str] = frozenset({"ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa"})
    """Kinds of keys that may occur. RSA is 2048 to 4096 bits, PKCS #1 v1.5 or PSS. `"ml-dsa"` (RFC 9881) is there for
    the asking."""
    require_extended_key_usage: bool = False
    """Whether an end entity must name its purpose; by RFC 5280 one that names none may be used for anything."""
    crls: tuple[bytes, ...] | None = None
    """Revocation lists, DER or PEM, one each: the only ones asked, and read once for each verifier (a million entries
    take about 40 MB). `None` asks nothing; with `()` every status is unknown. A list must be in date; deltas count
    beside the complete list they build on, indirect lists where a certificate's distribution point names them."""
    revocation_depth: RevocationDepth = RevocationDepth.PATH
    """Whose status is asked."""
    closed_keys: frozenset[str] = frozenset()
    """SHA-256 (hexadecimal) of keys, as `SubjectPublicKeyInfo`, that may stand in no path: an anchor's, an
    intermediate's or a device's, in whatever certificate. What `holdfast branch close` closes."""
    closed_certificates: frozenset[str] = frozenset()
    """SHA-256 (hexadecimal) of certificates that may stand in no path."""
    certificate_policies: tuple[str, ...] | None = None
    """Policies (dotted decimal) of which one must be valid along the whole path; `None` takes any or none."""
    require_explicit_policy: bool = False
    """Whether some policy must be valid along the whole path even where no certificate asks for it."""
    inhibit_policy_mapping: bool = False
    """Whether policies that CAs map to others count for nothing."""
    inhibit_any_policy: bool = False
    """Whether anyPolicy in a certificate counts for nothing."""
    chain_certificates_count_max: int | None = None
    """Certificates in one chain; by default 10 from a client, and 64 from a server, whose chain may be a bag."""
    chain_bytes_max: int = 32 * 1024
    """Bytes of DER in one chain."""
    recheck_every_signature: bool = False
    """Whether every signature that the batch kernel accepts is verified again by aws-lc-rs, at several times the cost;
    otherwise one in 64, small batches together."""
    lenient_v1_leaf: bool = False
    """End entities of version 1, as `openssl x509 -req` without extensions makes them."""
    lenient_ca_leaf: bool = False
    """End entities that are CAs or may sign certificates."""
    lenient_issuance: bool = False
    """What RFC 5280 asks of *issuers* (§4, §5) and not of validation (§6): complete key identifiers, criticality of
    extensions, positive serial numbers of at most 20 octets, UTCTime through 2049, no unique identifiers, numbered
    revocation lists; and the Baseline Requirements for servers."""
    lenient_not_before_skew_seconds: int = 0
    """How far an end entity's `not_before` may lie ahead; 300 at most. Never moves `not_after`."""
    lenient_unknown_revocation_status: bool = False
    """Certificates whose status no list tells, or only lists that cannot be used."""
    lenient_stale_crls: bool = False
    """Lists past their next update: what was revoked since is let in."""

    def __post_init__(self) -> None:
        """Refuse here what is easily mistaken; the other fields are read when a `Verifier` is made.

        Raises:
            ConfigurationError: `invalid_policy`.
        """
        for name, kind in (("purpose", Purpose), ("revocation_depth", RevocationDepth)):
            if not isinstance(value := getattr(self, name), kind):
                wanted = ", ".join(map(str, kind))
                message = f"Policy.{name}: {value!r} is none of {wanted}"
                raise ConfigurationError("invalid_policy", message)
        if self.lenient_not_before_skew_seconds < 0:
            message = f"Policy.lenient_not_before_skew_seconds: {self.lenient_not_before_skew_seconds} is below 0"
            raise ConfigurationError("invalid_policy", message)


@functools.cache
def _hints() -> dict[str, str]:
    """What would mend each code."""
    return {code: mend for code, _, mend in mends()}


class Batcher:
    """Gathers chains from many callers of one event loop into few crossings.

    While one batch is judged (in a thread, with the interpreter released) the next one gathers, so that batches grow
    with the load and a lone chain never waits. Not for use from several loops or threads.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._waiting: list[tuple[tuple[bytes, ...], asyncio.Future[Outcome]]] = []
        self._running: asyncio.Task[None] | None = None

    async def verify(self, chain: Sequence[bytes]) -> VerifiedPath:
        """Judge `chain` (DER, end entity first) at the present time.

        Raises:
            VerificationError: with the code, position and hint that `Verifier.verify` gives.
            TypeError: `chain` is not a sequence of bytes.
        """
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((tuple(memoryview(der).tobytes() for der in chain), answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        outcome = await answer
        if (path := outcome.path) is None:
            code = str(outcome.code)
            raise VerificationError(code, str(outcome.message), outcome.position, hint=_hints().get(code))
        return path

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    outcomes = await asyncio.to_thread(self._verifier.verify_many, [chain for chain, _ in batch])
                except (asyncio.CancelledError, GeneratorExit):
                    # Somebody ends the loop's tasks: nobody will judge those either that wait for the next batch.
                    for _, answer in (*batch, *self._waiting):
                        answer.cancel()
                    self._waiting = []
                    raise
                except BaseException as error:  # noqa: BLE001 (a panic is one, too: it is the callers' answer)
                    for _, answer in batch:
                        if not answer.done():
                            answer.set_exception(error)
                    continue
                for (_, answer), outcome in zip(batch, outcomes, strict=True):
                    if not answer.done():
                        answer.set_result(outcome)
        finally:
            self._running = None
