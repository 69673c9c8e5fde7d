"""The compiled gate and log as the worker calls them: what is no argument is refused with its code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from holdfast._holdfast import Device, Gate, Request, TelemetryWriter
from holdfast.errors import ConfigurationError, HoldfastError, LocalProtocolError

from ..support.pki import DER, Ca, key_pem, p256, serialization

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CA = Ca.root()
KEY = CA.key.private_bytes(DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def code_of(call: Callable[[], object], kind: type[HoldfastError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


def gate(chain: list[bytes], key: bytes, **limits: int) -> Gate:
    return Gate(certificate_chain=chain, private_key=key, limits=limits)


def test_a_gate_is_made_of_what_can_serve() -> None:
    assert gate([CA.der], KEY).connections == 0
    assert code_of(lambda: gate([CA.der], KEY, speed_max=1), ConfigurationError) == "unknown_limit"
    assert code_of(lambda: gate([CA.der], KEY, filters_count_max=0), ConfigurationError) == "bad_limit"
    for chain, key in (([], KEY), ([b"x"], KEY), ([CA.der], b"x"), ([Ca.root().der], KEY)):
        assert code_of(lambda chain=chain, key=key: gate(chain, key), ConfigurationError) == "unusable_tls_certificate"


def test_every_limit_can_be_named() -> None:
    defaults = Gate.default_limits()
    assert gate([CA.der], KEY, **defaults).connections == 0
    assert all(value > 0 for value in defaults.values())


@pytest.mark.parametrize("bad", ["", "ab", "g" * 64, "a" * 63, "a" * 65, "é" * 32])
def test_a_device_has_hashes(bad: str) -> None:
    assert code_of(lambda: Device("w", bad, "a" * 64), LocalProtocolError) == "bad_hash"
    assert code_of(lambda: Device("w", "a" * 64, bad), LocalProtocolError) == "bad_hash"
    assert Device("w", "A" * 64, "b" * 64).issuer_spki_sha256 == "a" * 64


def test_only_messages_are_stored(tmp_path: Path) -> None:
    writer = TelemetryWriter(str(tmp_path / "worker-0.db"))
    close = Request.Close(1)
    assert code_of(lambda: writer.append(close, datetime.now(UTC)), LocalProtocolError) == "not_a_message"  # type: ignore[arg-type]
    writer.close()


def test_calls_with_a_handle_of_nobody_do_nothing() -> None:
    empty = gate([CA.der], KEY)
    for handle in (0, 1, 2**63, 2**64 - 1):
        assert empty.receive(handle, b"x") == []
        assert empty.end_of_stream(handle) == empty.lost(handle) == empty.claimed(handle, None) == []
        assert empty.stored(handle, 1) == []
    assert key_pem(p256())
