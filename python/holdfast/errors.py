"""One tree of errors: a class for how the caller reacts, a code for what went wrong.

Codes are stable lower-case slugs; messages may improve. The full table, each code with its mend, is `docs/codes.md`.
"""

from __future__ import annotations

from typing import Any, ClassVar


class HoldfastError(Exception):
    """Root of everything that holdfast raises on purpose.

    `code` is the stable slug, `message` says what was found and what was wanted, `hint` (or `None`) what would mend it.
    """

    exit_status: ClassVar[int] = 1
    """The command line's exit: 1 the answer is no, 3 bad input, 4 unreachable, 5 not authorised, 6 conflict."""

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.code})" + (f". {self.hint}" if self.hint else "")

    def __reduce__(self) -> tuple[Any, ...]:
        # Made again without `__init__`, which wants more than `args`: a process pool that cannot read an error breaks.
        return type(self).__new__, (type(self), *self.args), self.__dict__


class VerificationError(HoldfastError):
    """A chain, or one certificate, that is not what was asked for.

    `position` is the index in the path tried (0 = end entity), `None` when no certificate is at fault.
    """

    def __init__(self, code: str, message: str, position: int | None = None, *, hint: str | None = None) -> None:
        super().__init__(code, message, hint=hint)
        self.position = position


class PossessionError(HoldfastError):
    """An answer to a challenge that does not prove possession of the key."""


class RegistrationError(HoldfastError):
    """Something offered for registration that is refused: a key, an unusable certificate, an unknown name."""

    exit_status = 3


class IssuanceError(HoldfastError):
    """A request, a name, a key or an issuer that a CA does not sign, or does not sign with."""

    exit_status = 3


class ConflictError(HoldfastError):
    """A move that the present state does not allow: it exists already, or another process holds it."""

    exit_status = 6


class LimitExceededError(HoldfastError):
    """Input larger than a stated bound."""

    exit_status = 3


class LocalProtocolError(HoldfastError):
    """We were asked to do what the protocol does not allow now."""

    exit_status = 3


class RemoteProtocolError(HoldfastError):
    """The peer did what its protocol does not allow."""


class ConfigurationError(HoldfastError):
    """Settings, files or an environment that holdfast cannot run with."""

    exit_status = 3


class UnreachableError(HoldfastError):
    """A service that does not answer."""

    exit_status = 4


class AuthorizationError(HoldfastError):
    """The caller may not do this. Nothing raises it yet: its exit status is promised (design §5)."""

    exit_status = 5
