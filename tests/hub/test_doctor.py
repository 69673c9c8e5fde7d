"""`holdfast doctor` finds what is wrong, one fact apart from a hub that is well, and changes nothing."""

from __future__ import annotations

import json
import socket
import sqlite3
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from holdfast.errors import ConfigurationError, HoldfastError, UnreachableError
from holdfast.hub import checkup, status, watcher
from holdfast.registry import open_registry
from holdfast.registry.database import KIND
from holdfast.settings import Settings, load

from ..support.hub import HUB, METRICS_PORT, RunningHub, now, running, wait_for
from ..support.pki import DAY, Ca, server_identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = Ca.root("Company-X Root", ends=now() + 400 * DAY)


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    """A hub that is well, and does not run yet."""
    for hub in running(tmp_path, metrics_port=METRICS_PORT, limits={"connections_count_max": 500}):
        hub.trust(company=ROOT)
        yield hub


def settings(hub: RunningHub) -> Settings:
    return load(hub.directory / "holdfast.toml", {})


def found(hub: RunningHub, check: str) -> list[tuple[str, str, str | None]]:
    """What is not good about it: state, what was found, code."""
    findings = checkup.examine(settings(hub))
    assert all(one.mend for one in findings if one.state is not checkup.State.GOOD)
    odd = [one for one in findings if one.state is not checkup.State.GOOD]
    assert {one.check for one in odd} <= {check}, odd
    return [(one.state.value, one.found, one.code) for one in odd]


def test_a_port_that_another_has_is_found_before_the_start(hub: RunningHub) -> None:
    place = settings(hub)
    with socket.create_server((place.metrics_host, place.metrics_port)):
        ((state, _, code),) = found(hub, "metrics")
    assert (state, code) == ("bad", "address_in_use")
    with socket.create_server((place.mqtt_host, place.mqtt_port)):
        ((state, _, code),) = found(hub, "port")
    assert (state, code) == ("bad", "address_in_use")


def test_a_hub_that_is_well_is_good_before_it_runs_and_while_it_does(hub: RunningHub) -> None:
    assert found(hub, "") == []
    hub.start()
    wait_for(lambda: found(hub, "metrics") == [], "readiness")
    told = hub.command("doctor")
    assert told.returncode == 0
    assert f"a hub runs here, process {hub.process.pid if hub.process else 0}" in told.stdout
    assert "the hub says that it is ready" in told.stdout
    assert "CAs that are proven: 1; devices that are known: 0" in told.stdout
    assert "0 bad, 0 to look at" in told.stdout
    answer = json.loads(hub.command("doctor", "--json").stdout)
    assert {one["check"] for one in answer} == {"settings", *checkup.CHECKS}
    assert {one["state"] for one in answer} == {"good"}


def test_what_is_bad_is_said_with_its_mend_and_exit_1(hub: RunningHub) -> None:
    (hub.directory / "tls.key").chmod(0o640)
    told = hub.command("doctor", check=False)
    assert told.returncode == 1
    assert "✗" in told.stdout
    assert "chmod 600" in told.stdout
    (bad,) = [one for one in json.loads(hub.command("doctor", "--json", check=False).stdout) if one["state"] == "bad"]
    assert (bad["check"], bad["code"]) == ("certificate", "secret_file_exposed")
    (hub.directory / "holdfast.toml").write_text("hubb = 1\n")
    told = hub.command("doctor", "--json", check=False)
    assert (told.returncode, json.loads(told.stdout)[0]["code"]) == (1, "unknown_setting")


@pytest.mark.parametrize(
    ("names", "ends", "state", "said"),
    [
        ([HUB], 0, "bad", "ended at "),
        ([HUB], 10, "warning", "ends at "),
        (["*.test"], 300, "", ""),
        (["HUB.TEST"], 300, "", ""),
        (["other.test"], 300, "bad", "names other.test; devices that connect to hub.test refuse it"),
        (["*.hub.test", "*"], 300, "bad", "names *.hub.test, *; devices"),
        ([], 300, "bad", "names nothing; devices"),
    ],
)
def test_the_hubs_own_certificate(hub: RunningHub, names: list[str], ends: int, state: str, said: str) -> None:
    server_identity(hub.directory, *map(x509.DNSName, names), ends=now() + ends * DAY - timedelta(hours=1))
    odd = found(hub, "certificate")
    assert [one[0] for one in odd] == [state][: bool(state)]
    assert all(one[1].startswith(said) for one in odd)


def test_a_chain_that_is_none(hub: RunningHub) -> None:
    """Its own behind its issuer's, and one that did not issue it: devices that know the root cannot follow."""
    own = hub.certificate.read_bytes()
    other = ROOT.intermediate("Factory-Y")
    assert found(hub, "certificate") == []
    hub.certificate.write_bytes(own + other.pem + ROOT.pem)
    ((state, said, _),) = found(hub, "certificate")
    assert (state, said.startswith("certificate 0, ")) == ("warning", True)
    assert "was not issued by the next, CN=Factory-Y" in said


def test_a_certificate_that_is_none_and_a_limit_that_is_none_are_told_apart(hub: RunningHub) -> None:
    own, places = hub.certificate.read_bytes(), {b"": "it is empty", b"\x30\x00": "it is DER", b"words": "no PEM block"}
    for contents, said in places.items():
        hub.certificate.write_bytes(contents)
        ((state, told, code),) = found(hub, "certificate")
        assert (state, code, said in told) == ("bad", "bad_tls_certificate", True)
    hub.certificate.write_bytes(own)
    file = hub.directory / "holdfast.toml"
    file.write_text(file.read_text() + "nothing_max = 1\n")
    ((state, told, code),) = found(hub, "limits")
    assert (state, code, "nothing_max" in told) == ("bad", "unknown_limit", True)


def test_files_that_others_can_read(hub: RunningHub) -> None:
    state = settings(hub).state_dir
    state.chmod(0o755)
    settings(hub).registry_file.chmod(0o604)
    assert [one[1] for one in found(hub, "state")] == [
        f"others than its owner can use {state}",
        f"others than its owner can use {settings(hub).registry_file}",
    ]


def test_a_registry_that_is_damaged_foreign_or_of_another_schema(hub: RunningHub) -> None:
    path = settings(hub).registry_file
    whole = path.read_bytes()
    for revision, wanted in (("0001", ("warning", None)), ("0009", ("bad", "registry_newer"))):
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
        connection.close()
        odd = {one.check: one for one in checkup.examine(settings(hub)) if one.state is not checkup.State.GOOD}
        assert odd.keys() == {"registry", "trust"}
        assert (odd["registry"].state.value, odd["registry"].code) == wanted
        # There is a CA, and it is proven: only nobody can say so.
        assert odd["trust"].found == f"who can be let in is not known before the registry has schema {KIND.revision}"
    assert path.read_bytes() != whole
    before = path.read_bytes()
    checkup.examine(settings(hub))
    assert path.read_bytes() == before, "a doctor changes nothing"
    # Every page behind the first: rows and indexes are nonsense.
    path.write_bytes(whole[:4096] + bytes(reversed(whole[4096:])))
    odd = [one for one in checkup.examine(settings(hub)) if one.state is checkup.State.BAD]
    assert odd[0].check == "registry"
    assert odd[0].mend
    path.write_bytes(b"x" * 8192)
    (foreign, *_) = [one for one in checkup.examine(settings(hub)) if one.state is checkup.State.BAD]
    assert (foreign.check, foreign.code) == ("registry", "not_a_registry")


def test_rows_that_refer_to_nothing(hub: RunningHub) -> None:
    with sqlite3.connect(settings(hub).registry_file) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM tenants")
    connection.close()
    bad = [one.found for one in checkup.examine(settings(hub)) if one.state is checkup.State.BAD]
    assert any("refers to nothing in tenants" in one for one in bad)


def test_a_clock_that_is_behind(hub: RunningHub) -> None:
    with sqlite3.connect(settings(hub).registry_file) as connection:
        connection.execute("UPDATE deployment SET clock_floor = clock_floor + 1000")
    connection.close()
    ((state, said, _),) = found(hub, "trust")
    assert (state, "behind the latest time" in said) == ("bad", True)


def test_cas_that_end_or_are_none(tmp_path: Path) -> None:
    for hub in running(tmp_path):
        assert [one[:2] for one in found(hub, "trust")] == [
            ("warning", "nobody can be let in before a CA is registered")
        ]
        soon = Ca.root("Soon", ends=now() + 20 * DAY)
        hub.trust(soon=soon)
        ((state, said, _),) = found(hub, "trust")
        assert (state, said.startswith("CA soon ends at ")) == ("warning", True)
        hub.command("ca", "disable", "soon", "--yes")
        assert [one[:2] for one in found(hub, "trust")] == [("warning", "no CA is proven; devices that are known: 0")]
        toml = hub.directory / "holdfast.toml"
        toml.write_text('tenant = "defualt"\n' + toml.read_text())
        assert found(hub, "trust")[-1] == ("bad", "there is no tenant 'defualt'", "unknown_tenant")


def test_a_hub_of_one_tenant_among_cas_of_others(hub: RunningHub) -> None:
    own = settings(hub)
    with open_registry(own.registry_file, hub=HUB, tenant="other", at=now(), create=False) as registry:
        registry.cas.add("root", ROOT.pem, actor="test", at=now())
    ((state, said, _),) = found(hub, "trust")
    assert (state, said) == ("warning", "a hub serves one tenant, this one 'default'; here are CAs of other as well")
    with status.locked(own.state_dir):
        status.write(own.state_dir, tenant="other", epoch=1, workers={})
        odd = [one for one in checkup.examine(own) if one.check == "trust" and one.state is checkup.State.WARNING]
        assert [one.found for one in odd] == ["the hub that runs here serves the tenant 'other', not 'default'"]


def test_a_port_that_is_taken_and_limits_that_are_too_low(hub: RunningHub, tmp_path: Path) -> None:
    toml = hub.directory / "holdfast.toml"
    toml.write_text(toml.read_text().replace("500", "9000000").replace("workers = 1", "workers = 256"))
    odd = {one.check: one for one in checkup.examine(settings(hub)) if one.state is not checkup.State.GOOD}
    assert odd.keys() == {"descriptors", "processor"}
    assert "connections_count_max asks for 9000500" in odd["descriptors"].found
    assert "LimitNOFILE=9000500" in odd["descriptors"].mend
    toml.write_text(toml.read_text().replace("9000000", "500").replace("workers = 256", "workers = 1"))
    hub.start()
    other = tmp_path / "other"
    other.mkdir()
    taken = load(toml, {"state_dir": other})
    (port,) = [one for one in checkup.examine(taken) if one.check == "port"]
    assert port.code == "address_in_use"


def test_a_system_that_a_crowd_of_silent_dials_keeps_others_out_of(
    hub: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = tmp_path / "tcp_syncookies"
    off.write_text("0\n")
    monkeypatch.setattr(checkup, "SYNCOOKIES", off)
    ((state, said, code),) = found(hub, "port")
    assert (state, "silent dials" in said, code) == ("warning", True, None)
    off.unlink()
    assert found(hub, "port") == []


def test_nobody_there_and_nothing_set() -> None:
    for given, kind, code in (
        (Settings(), ConfigurationError, "metrics_off"),
        (Settings(metrics_port=1), UnreachableError, "metrics_unreachable"),
    ):
        with pytest.raises(HoldfastError) as caught:
            watcher.fetch(given, "/metrics")
        assert (type(caught.value), caught.value.code) == (kind, code)
