"""What every error can do: say itself, be copied, and cross from one process to another."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest

from holdfast import errors

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.HoldfastError)]


def pickled(error: errors.HoldfastError) -> errors.HoldfastError:
    again: errors.HoldfastError = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    return again


@pytest.mark.parametrize("again", [pickled, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_crosses_processes_whole(
    kind: type[errors.HoldfastError], again: Callable[[errors.HoldfastError], errors.HoldfastError]
) -> None:
    """A process pool pickles what its workers raise, and is broken by what cannot be read again."""
    error = kind("a_code", "a message", hint="a hint")
    if isinstance(error, errors.VerificationError):
        error.position = 3
    error.add_note("a note")
    found = again(error)
    assert type(found) is kind
    assert (str(found), found.args, vars(found)) == (str(error), error.args, vars(error))


def test_every_class_is_tried() -> None:
    assert {errors.HoldfastError, errors.VerificationError, errors.AuthorizationError} < set(CLASSES)
