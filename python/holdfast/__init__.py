"""holdfast: lets devices in on the strength of one registered CA certificate.

What is importable from here is public. Modules load when a name of theirs is first used, so that `import holdfast`
costs little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast._holdfast import Columns, Outcome, TrustStore, VerifiedPath, Verifier, __version__, codes, kernel
from holdfast.errors import (
    AuthorizationError,
    ConfigurationError,
    ConflictError,
    HoldfastError,
    IssuanceError,
    LimitExceededError,
    LocalProtocolError,
    PossessionError,
    RegistrationError,
    RemoteProtocolError,
    UnreachableError,
    VerificationError,
)

if TYPE_CHECKING:
    from holdfast.verify import Batcher, Policy, Purpose, RevocationDepth

__all__ = [
    "AuthorizationError",
    "Batcher",
    "Columns",
    "ConfigurationError",
    "ConflictError",
    "HoldfastError",
    "IssuanceError",
    "LimitExceededError",
    "LocalProtocolError",
    "Outcome",
    "Policy",
    "PossessionError",
    "Purpose",
    "RegistrationError",
    "RemoteProtocolError",
    "RevocationDepth",
    "TrustStore",
    "UnreachableError",
    "VerificationError",
    "VerifiedPath",
    "Verifier",
    "__version__",
    "codes",
    "kernel",
]


def __getattr__(name: str) -> object:
    if name in {"Batcher", "Policy", "Purpose", "RevocationDepth"}:
        from holdfast import verify

        value: object = getattr(verify, name)
        globals()[name] = value
        return value
    message = f"module 'holdfast' has no attribute '{name}'"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
