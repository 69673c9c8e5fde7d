"""What our engine refuses, and what `cryptography` cannot read, as the CA says it that was about to sign."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from holdfast.errors import IssuanceError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterator

UNREADABLE: Final = (
    TypeError,
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""All the ways in which `cryptography` says so."""


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn the engine's refusal of `what` into an `IssuanceError` of the same code."""
    try:
        yield
    except VerificationError as error:
        message = f"{what}: {error.message}"
        raise IssuanceError(error.code, message) from error


@contextmanager
def about(what: object) -> Iterator[None]:
    """Say at the beginning of a refusal what it is about: one request of many, one file."""
    try:
        yield
    except IssuanceError as error:
        message = f"{what}: {error.message}"
        raise IssuanceError(error.code, message, hint=error.hint) from error
