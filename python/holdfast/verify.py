"""Judging chains: the store, the policy, the verifier, and a batcher for callers that come one at a time."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast._holdfast import Outcome, TrustStore, VerifiedPath, Verifier
from holdfast.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Batcher", "Outcome", "Policy", "Purpose", "TrustStore", "VerifiedPath", "Verifier"]


class Purpose(enum.Enum):
    """What the end entity is used for, RFC 5280 §4.2.1.12."""

    CLIENT_AUTH = "client_auth"
    SERVER_AUTH = "server_auth"
    """Needs `server_name`; not supported yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a path must be. Everything not implemented yet is refused when a `Verifier` is made, as `unsupported_…`.

    Each leniency is off unless asked for; what it lets in is said beside it.
    """

    purpose: Purpose = Purpose.CLIENT_AUTH
    server_name: str | None = None
    """The DNS name or address to match, for `SERVER_AUTH`. Not supported yet."""
    max_intermediates: int = 8
    """Intermediates between end entity and anchor; self-issued ones are not counted."""
    key_algorithms: frozenset[str] = frozenset({"ecdsa-p256", "ecdsa-p384", "rsa"})
    """Kinds of keys that may occur. RSA is 2048 to 4096 bits."""
    crls: tuple[bytes, ...] | None = None
    """Revocation lists. Not supported yet."""
    certificate_policies: tuple[str, ...] | None = None
    """Policies of which one must be valid. Not supported yet."""
    chain_certificates_count_max: int = 10
    """Certificates in one chain."""
    chain_bytes_max: int = 32 * 1024
    """Bytes of DER in one chain."""
    lenient_v1_leaf: bool = False
    """End entities of version 1, as `openssl x509 -req` without extensions makes them."""
    lenient_ca_leaf: bool = False
    """End entities that are CAs or may sign certificates."""
    lenient_not_before_skew_seconds: int = 0
    """How far an end entity's `not_before` may lie ahead; 300 at most. Never moves `not_after`."""


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
            VerificationError: with the code and position that `Verifier.verify` gives.
            TypeError: `chain` is not a sequence of bytes.
        """
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((tuple(memoryview(der).tobytes() for der in chain), answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        outcome = await answer
        if (path := outcome.path) is None:
            raise VerificationError(str(outcome.code), str(outcome.message), outcome.position)
        return path

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    outcomes = await asyncio.to_thread(self._verifier.verify_many, [chain for chain, _ in batch])
                except Exception as error:  # noqa: BLE001 (whatever it is, it is the callers' answer)
                    for _, answer in batch:
                        if not answer.done():
                            answer.set_exception(error)
                    continue
                for (_, answer), outcome in zip(batch, outcomes, strict=True):
                    if not answer.done():
                        answer.set_result(outcome)
        finally:
            self._running = None
