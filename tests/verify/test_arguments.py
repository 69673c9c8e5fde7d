"""Wrong arguments from Python are told where they are given, and by their names."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Policy, Purpose
from holdfast.bulk.distributed import VerifyChains
from holdfast.errors import ConfigurationError

from ..support.pki import Ca


@pytest.mark.parametrize(
    "given",
    [
        {"purpose": "server_auth"},
        {"purpose": None},
        {"revocation_depth": "path"},
        {"lenient_not_before_skew_seconds": -1},
    ],
)
def test_a_policy_that_means_nothing_is_refused_as_it_is_made(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy(**given)
    assert caught.value.code == "invalid_policy"
    assert next(iter(given)) in caught.value.message


def test_the_nearest_policies_that_mean_something() -> None:
    assert Policy(purpose=Purpose.SERVER_AUTH, server_name="a.test", lenient_not_before_skew_seconds=0)


def test_anchors_for_other_machines_are_der() -> None:
    """A PEM text is a sequence, too: of numbers, of which `bytes` makes zeros."""
    root = Ca.root()
    for anchors in (root.pem, root.pem.decode(), bytearray(root.der)):
        with pytest.raises(TypeError, match="sequence of DER"):
            VerifyChains(anchors)  # type: ignore[arg-type]
