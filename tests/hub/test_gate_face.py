"""The compiled gate and log as the worker calls them: what is no argument is refused with its code."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from holdfast._holdfast import Device, Gate, InboxMessage, KeptWill, TelemetryWriter
from holdfast.errors import ConfigurationError, HoldfastError, LocalProtocolError
from holdfast.hub import messages
from holdfast.hub.log import LEVELS
from holdfast.hub.supervisor import Supervisor

from ..house.repository import ROOT as REPOSITORY
from ..support.pki import DER, Ca, serialization

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CA = Ca.root()
KEY = CA.key.private_bytes(DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


# What trust.md (§1.4, §1.8, §5.2) and the design (I7) bound.
CEILINGS = {
    "connect_bytes_max": 131_072,
    "drain_bytes_max": 65_536,
    "drain_deadline_ms": 1_000,
    "handshake_bytes_max": 32_768,
    "handshake_deadline_ms": 10_000,
    "lease_ms": 5_000,
}


def code_of(call: Callable[[], object], kind: type[HoldfastError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


@pytest.fixture
def telemetry(tmp_path: Path) -> Iterator[TelemetryWriter]:
    writer = TelemetryWriter(str(tmp_path / "worker-0.db"))
    yield writer
    writer.close()


@pytest.mark.parametrize("how", ["made", "checked"])
def test_a_gate_is_made_of_what_can_serve(telemetry: TelemetryWriter, how: str) -> None:
    def gate(chain: list[bytes], key: bytes, **limits: int) -> object:
        if how == "checked":
            return Gate.check(certificate_chain=chain, private_key=key, limits=limits)
        return Gate(certificate_chain=chain, private_key=key, limits=limits, telemetry=telemetry)

    gate([CA.der], KEY)
    gate([CA.der], KEY, **Gate.default_limits())
    assert code_of(lambda: gate([CA.der], KEY, speed_max=1), ConfigurationError) == "unknown_limit"
    assert code_of(lambda: gate([CA.der], KEY, filters_count_max=0), ConfigurationError) == "bad_limit"
    gate([CA.der], KEY, strips_count_max=0)  # aws-lc-rs decides all
    for name, most in CEILINGS.items():
        gate([CA.der], KEY, **{name: most})
        for beyond in (0, most + 1, 2**64 - 1):
            with pytest.raises(
                ConfigurationError, match=f"^limit {name} .*must not be above {most}|must be above 0"
            ) as caught:
                gate([CA.der], KEY, **{name: beyond})
            assert caught.value.code == "bad_limit"
    for chain, key in (([], KEY), ([b"x"], KEY), ([CA.der], b"x"), ([Ca.root().der], KEY)):
        assert code_of(lambda chain=chain, key=key: gate(chain, key), ConfigurationError) == "unusable_tls_certificate"


def test_i07_what_may_not_be_loosened_is_documented_and_no_default_is_beyond_it() -> None:
    page = (REPOSITORY / "docs" / "operator.md").read_text()
    section = page.partition("Some limits have a ceiling")[2].partition("\n\n")[0]
    assert dict(re.findall(r"`(\w+)` ([\d,]*\d)", section)) == {name: f"{most:,}" for name, most in CEILINGS.items()}
    defaults = Gate.default_limits()
    assert all(defaults[name] <= most for name, most in CEILINGS.items())


@pytest.mark.parametrize("bad", ["", "ab", "g" * 64, "a" * 63, "a" * 65, "é" * 32])
def test_a_device_has_hashes(bad: str) -> None:
    assert code_of(lambda: Device("w", bad, "a" * 64), LocalProtocolError) == "bad_hash"
    assert code_of(lambda: Device("w", "a" * 64, bad), LocalProtocolError) == "bad_hash"
    assert Device("w", "A" * 64, "b" * 64).issuer_spki_sha256 == "a" * 64


MESSAGE = {
    "key": 1,
    "packet_id": 1,
    "redelivered": False,
    "expires_at": None,
    "system_properties": "{}",
    "properties": '{"a":null,"b":"c"}',
    "payload": b"",
}
WILL = {
    "delay_seconds": 0,
    "due_at": None,
    "anchor": "a" * 64,
    "vouchers": b"\x01" * 64,
    "not_after": 0,
    "expires_in_seconds": None,
    "system_properties": "{}",
    "properties": "{}",
    "payload": b"",
}


def test_a_message_has_a_packet_identifier_and_properties() -> None:
    def message(**values: object) -> InboxMessage:
        return InboxMessage(**{**MESSAGE, **values})  # type: ignore[arg-type]

    assert (message().key, message(packet_id=65_535).key) == (1, 1)
    assert code_of(lambda: message(packet_id=0), LocalProtocolError) == "bad_packet_id"
    for bad in ("", "{", "[]", "null", '{"a":1}', '{"a":{}}'):
        assert code_of(lambda bad=bad: message(properties=bad), LocalProtocolError) == "bad_properties"
        assert code_of(lambda bad=bad: message(system_properties=bad), LocalProtocolError) == "bad_properties"


def test_a_will_has_an_anchor_and_properties() -> None:
    def will(**values: object) -> KeptWill:
        return KeptWill(**{**WILL, **values})  # type: ignore[arg-type]

    kept = will(due_at=7, expires_in_seconds=9, properties='{"a":null}', payload=b"bye")
    assert (kept.anchor, kept.due_at, kept.expires_in_seconds) == ("a" * 64, 7, 9)
    assert (kept.properties, kept.payload) == ('{"a":null}', b"bye")
    assert kept.vouchers == WILL["vouchers"]
    assert code_of(lambda: will(anchor="a"), LocalProtocolError) == "bad_hash"
    assert code_of(lambda: will(vouchers=b"a" * 33), LocalProtocolError) == "bad_hash"
    assert code_of(lambda: will(properties="[]"), LocalProtocolError) == "bad_properties"


def test_admissions_are_such_as_a_gate_gives(telemetry: TelemetryWriter) -> None:
    gate = Gate(certificate_chain=[CA.der], private_key=KEY, limits={}, telemetry=telemetry)
    gate.share_identities()
    assert gate.take_admissions() == b""
    nobody = (1).to_bytes(8) + (1).to_bytes(2) + b"w\0"
    assert gate.fence([(True, b""), (False, nobody), (False, 2 * nobody)]) == []
    for bad in (nobody[:-1], nobody + b"\0", nobody[:-1] + b"\1", nobody[:-1] + b"\4", nobody.replace(b"w", b"\xff")):
        told = [(True, nobody), (False, bad)]
        assert code_of(lambda told=told: gate.fence(told), LocalProtocolError) == "bad_admissions"


def test_every_level_of_a_line_is_one_of_the_logs() -> None:
    assert LEVELS.keys() == {"info", "warning", "critical"}


def test_a_kernel_that_is_switched_off_is_off_in_its_whole_process(tmp_path: Path) -> None:
    """In a process of its own: it does not come back."""
    program = f"""
from holdfast._holdfast import Gate, TelemetryWriter, kernel
telemetry = TelemetryWriter({str(tmp_path / "worker-0.db")!r})
gate = Gate(certificate_chain=[{CA.der!r}], private_key={KEY!r}, limits={{}}, telemetry=telemetry)
gate.tick()
print(kernel()["on"], gate.counters.get("kernel_doubted", 0))
gate.switch_kernel_off()
gate.tick()
print(kernel()["on"], gate.counters["kernel_doubted"], "kernel_doubted" in gate.take_lines())
telemetry.close()
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "0", "False", "1", "True"]


@pytest.mark.parametrize("judge", ["verify(chain)", "verify_many([chain])", "explain(chain)"])
def test_whoever_judges_first_tells_that_the_kernel_went_off(judge: str, tmp_path: Path) -> None:
    """Once, to the logger `holdfast`, in a process of its own."""
    program = f"""
from holdfast import TrustStore, Policy, Verifier
from holdfast._holdfast import Gate, TelemetryWriter
telemetry = TelemetryWriter({str(tmp_path / "worker-0.db")!r})
gate = Gate(certificate_chain=[{CA.der!r}], private_key={KEY!r}, limits={{}}, telemetry=telemetry)
verifier, chain = Verifier(TrustStore([{CA.der!r}]), Policy()), {CA.device("widget").der!r}
verifier.{judge}
gate.switch_kernel_off()
verifier.{judge}
verifier.{judge}
telemetry.close()
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stderr.splitlines() == [
        "the signature kernel computed wrongly on this machine and is off; aws-lc-rs decides all"
    ]


class Told:
    """In place of a worker's process."""

    def __init__(self) -> None:
        self.told: list[messages.Message] = []

    def send(self, message: messages.Message) -> None:
        self.told.append(message)


def test_one_kernel_that_computes_wrongly_is_the_end_of_all_workers_kernels() -> None:
    supervisor = object.__new__(Supervisor)
    workers = [Told(), Told()]
    vitals = SimpleNamespace(counts=SimpleNamespace(hear=lambda *_: None))
    vars(supervisor).update(_workers=dict(enumerate(workers)), _vitals=vitals)
    vars(supervisor).update(_kernel_off=False, _silent={}, _heard=set())

    def counted(**counters: int) -> messages.Counted:
        return messages.Counted(counters=counters, refused={}, closed={}, batches=[], cpu_microseconds=0, gauges={})

    supervisor._receive(1, counted(admitted=7))
    assert [worker.told for worker in workers] == [[], []]
    for _ in range(3):
        supervisor._receive(1, counted(kernel_doubted=1))
    assert [worker.told for worker in workers] == [[messages.KernelOff()]] * 2


def test_calls_with_a_handle_of_nobody_do_nothing(telemetry: TelemetryWriter) -> None:
    empty = Gate(certificate_chain=[CA.der], private_key=KEY, limits={}, telemetry=telemetry)
    for handle in (0, 1, 2**63, 2**64 - 1):
        assert empty.claimed(handle, None) == empty.kept(handle, None) == empty.deliver_messages(handle, [], True) == []
    assert empty.turn() == empty.stored() == empty.judged() == empty.tick() == empty.drain(1) == []
    empty.stop_listening()
    assert empty.abort() == []
    assert (empty.connections, empty.sessions, sum(empty.batches)) == (0, 0, 0)
