"""`holdfast fleet` without a hub: fleets in directories, what they are good for elsewhere, and what is not a fleet."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store

from holdfast._holdfast import FleetRun, fleet_codes, fleet_kinds
from holdfast.errors import ConfigurationError
from holdfast.fleet.chart import report_svg
from holdfast.fleet.plan import Crowd, Plan
from holdfast.fleet.processes import Processes
from holdfast.fleet.report import merge, quantile_us

from .command import Command

if TYPE_CHECKING:
    from pathlib import Path

fleet = Command("fleet")
answer, refusal = fleet.answer, fleet.refusal


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_fleet_that_cannot_be_leaves_nothing(tmp_path: Path) -> None:
    assert refusal("make", "new/f", "--prefix", "a b#") == "bad_fleet"
    assert list(tmp_path.iterdir()) == []
    assert answer("make", "new/f", "--devices", "1")["devices"] == 1


def test_what_is_no_fleet_is_named() -> None:
    assert "nope" in fleet("show", "nope").stderr


def test_a_fleet_is_made_and_any_other_program_can_use_it(tmp_path: Path) -> None:
    made = answer("make", "f", "--devices", "12", "--ca", "Root", "--ca", "Factory 1", "--prefix", "pump")
    assert (made["devices"], made["first_device"], made["last_device"]) == (12, "pump-00", "pump-11")
    assert made["authorities"] == ["Root", "Factory 1"]
    assert answer("show", "f")["devices"] == 12
    exported = answer("export", "f", "7", "--out", "seven")
    leaf, *above = x509.load_pem_x509_certificates((tmp_path / exported["certificate"]).read_bytes())
    root = x509.load_pem_x509_certificate((tmp_path / "f" / "root.pem").read_bytes())
    verified = PolicyBuilder().store(Store([root])).build_client_verifier().verify(leaf, above)
    assert [one.subject.rfc4514_string() for one in verified.chain] == ["CN=pump-07", "CN=Factory 1", "CN=Root"]
    key = load_pem_private_key((tmp_path / exported["private_key"]).read_bytes(), None)
    assert key.public_key() == leaf.public_key()
    issuer = load_pem_private_key((tmp_path / "f" / "keys" / "1-factory-1.key").read_bytes(), None)
    assert issuer.public_key() == above[0].public_key()
    intermediates = x509.load_pem_x509_certificates((tmp_path / "f" / "intermediates.pem").read_bytes())
    assert intermediates == above


def test_files_are_not_named_by_a_directory() -> None:
    answer("make", "f", "--devices", "1")
    assert fleet("export", "f", "0", "--out", ".").returncode == 2


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    answer("make", "f", "--devices", "1")
    answer("export", "f", "0", "--out", "zero")
    secrets = [tmp_path / "f" / "devices.pack", tmp_path / "zero.key", *(tmp_path / "f" / "keys").iterdir()]
    assert len(secrets) == 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_a_process_that_dies_without_a_word_is_said(tmp_path: Path) -> None:
    answer("make", "f", "--devices", "1")
    plan = Plan(address="127.0.0.1", port=1, server_name="hub", crowds=(Crowd(name="c", first=0, count=1),))
    with Processes(plan, tmp_path / "f" / "devices.pack", issuer_key=None, processes=1) as processes:
        processes._parts[0].process.kill()
        with pytest.raises(ConfigurationError) as raised:
            processes.stop()
            processes.last()
    assert raised.value.code == "fleet_process_failed"


def test_a_seed_gives_the_same_keys(tmp_path: Path) -> None:
    keys = []
    for number, seed in enumerate(["a", "a", "b"]):
        answer("make", f"f{number}", "--devices", "3", "--seed", seed)
        answer("export", f"f{number}", "2", "--out", f"device{number}")
        keys.append((tmp_path / f"device{number}.key").read_bytes())
    assert keys[0] == keys[1] != keys[2]


def test_what_cannot_be_is_said_by_code() -> None:
    answer("make", "f", "--devices", "3")
    assert refusal("make", "f", status=6) == "file_exists"
    assert refusal("make", "g", "--prefix", "a/b") == "bad_fleet"
    assert refusal("make", "h", *["--ca", "x"] * 17) == "bad_fleet"
    assert refusal("show", "nowhere") == "fleet_file_failed"
    assert refusal("export", "f", "3") == "no_such_device"
    assert refusal("connect", "127.0.0.1", "f", "--devices", "2:2") == "no_such_device"
    assert refusal("connect", "127.0.0.1:x", "f") == "bad_target"
    assert refusal("connect", "127.0.0.1:70000", "f") == "bad_target"
    assert refusal("connect", "192.0.2.1", "f") == "target_not_local"
    assert refusal("connect", "nowhere.invalid", "f", status=4) == "target_unknown"
    assert refusal("connect", "127.0.0.1:1", "f", "--report", "no/such/r.json") == "unwritable_file"
    assert refusal("misbehave", "127.0.0.1", "f", "politely") == "unknown_misbehaviour"
    assert refusal("misbehave", "127.0.0.1", "f", "garbage", "--each", "4") == "no_such_device"
    assert fleet("connect", "127.0.0.1", "f", "--devices", "x").returncode == 2


def test_a_file_that_is_cut_off_is_no_fleet(tmp_path: Path) -> None:
    answer("make", "f", "--devices", "3")
    pack = tmp_path / "f" / "devices.pack"
    pack.write_bytes(pack.read_bytes()[:-1])
    assert refusal("show", "f") == "bad_fleet_file"
    assert refusal("connect", "127.0.0.1", "f") == "bad_fleet_file"


def test_kinds_have_names_and_catalogue_cases() -> None:
    listed = answer("kinds")
    assert len(listed) == len(fleet_kinds()) > 40
    assert all(one["kind"] and one["catalogue"] and one["what_it_does"] for one in listed)
    assert len({one["kind"] for one in listed}) == len(listed)


def test_nobody_there_is_reported_and_exits_4() -> None:
    answer("make", "f", "--devices", "500")
    finished = fleet("connect", "127.0.0.1:1", "f", "--rate", "100", "--json")
    report = json.loads(finished.stdout)
    (outcomes,) = [one["outcomes"] for one in report["crowds"][0]["rounds"]]
    assert finished.returncode == 4
    assert json.loads(finished.stderr)["error"] == "target_unreachable"
    assert outcomes.pop("connection_refused") >= 50
    assert set(outcomes) <= {"interrupted"}
    assert report["crowds"][0]["rounds"][0]["started"] < 500, "it gave up before all had tried"


def test_a_plan_that_cannot_be_is_refused_by_code(tmp_path: Path) -> None:
    answer("make", "f", "--devices", "3")
    pack = str(tmp_path / "f" / "devices.pack")

    def code(**odd: Any) -> str:
        crowd = Crowd(name="c", first=0, count=3)
        plan = Plan(address="127.0.0.1", port=1, server_name="hub", crowds=(crowd,)).record() | odd
        for field in set(odd) & set(plan["crowds"][0]):
            plan["crowds"][0][field] = odd[field]
        with pytest.raises(ConfigurationError) as raised:
            FleetRun(pack, plan).join()
        return raised.value.code

    for odd in ({"tls": "1.1"}, {"rate": -1.0}, {"concurrency": 0}, {"stay": "none"}, {"address": "hub"}):
        assert code(**odd) == "bad_fleet", odd
    assert code(patience_seconds=-1.0) == code(server_name="no name") == "bad_fleet"
    assert code(first=1) == "no_such_device"
    assert code(misbehaviour="x") == "unknown_misbehaviour"
    assert code(misbehaviour="expired") == "ca_key_missing"


def test_every_code_of_fleet_is_provoked_here_or_said_why_not() -> None:
    provoked = {
        "bad_fleet", "bad_fleet_file", "ca_key_missing", "fleet_file_failed", "no_such_device", "unknown_misbehaviour",
    }  # fmt: skip
    # A key that is none is tested beside it; neither a random source nor a poll fails on demand.
    assert set(fleet_codes()) == provoked | {"bad_key", "key_failed", "no_poll"}


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    answer("make", "f", "--devices", "1")
    crowd = Crowd(name="c", first=0, count=1, misbehaviour="expired")
    plan = Plan(address="127.0.0.1", port=1, server_name="hub", crowds=(crowd,))
    with pytest.raises(ConfigurationError) as raised:
        FleetRun(str(tmp_path / "f" / "devices.pack"), plan.record(), issuer_key=b"none").join()
    assert raised.value.code == "bad_key"


def test_shares_are_the_whole() -> None:
    crowd = Crowd(name="c", first=10, count=101, rate=30.0, concurrency=7)
    plan = Plan(address="127.0.0.1", port=1, server_name="hub", crowds=(crowd,))
    for processes in (1, 2, 3, 8, 200):
        parts = [share.crowds[0] for share in plan.shares(processes)]
        numbers = [number for part in parts for number in range(part.first, part.first + part.count)]
        assert numbers == list(range(10, 111))
        assert sum(part.rate for part in parts) == pytest.approx(30.0)
        assert sum(part.concurrency for part in parts) >= 7
    held = Plan(
        address="127.0.0.1", port=1, server_name="h", crowds=(Crowd(name="c", first=0, count=45_000, stay="all"),)
    )
    assert held.processes_needed(20_000) == 3
    assert plan.processes_needed(20_000) == 1


def test_figures_of_several_processes_add_up() -> None:
    def part(ends: list[tuple[int, int]], outcomes: dict[str, int]) -> dict[str, Any]:
        histogram = {
            "count": sum(count for _, count in ends),
            "sum_us": sum(end * count for end, count in ends),
            "max_us": max(end for end, _ in ends),
            "buckets": ends,
        }
        one = {"outcomes": outcomes, "total": histogram, "elapsed_us": histogram["max_us"]}
        crowd = {"rounds": [one], "seconds": [{"connected": 1}] * len(ends)}
        return {"elapsed_seconds": 1.0, "cpu_seconds": 0.5, "crowds": [crowd]}

    merged = merge([part([(10, 1), (20, 98)], {"connected": 99}), part([(20, 1), (500, 1)], {"reset": 2})])
    (crowd,) = merged["crowds"]
    (one,) = crowd["rounds"]
    assert merged["cpu_seconds"] == 1.0
    assert one["outcomes"] == {"connected": 99, "reset": 2}
    assert (one["total"]["count"], one["total"]["max_us"], one["elapsed_us"]) == (101, 500, 500)
    assert [quantile_us(one["total"], share) for share in (0.001, 0.5, 0.99, 0.999)] == [10, 20, 20, 500]
    assert crowd["seconds"] == [{"connected": 2}, {"connected": 2}]


def test_a_report_is_drawn_as_well_formed_svg(tmp_path: Path) -> None:
    answer("make", "f", "--devices", "3")
    fleet("connect", "127.0.0.1:1", "f", "--report", "r.json", "--plot", "r.svg")
    drawn = ET.fromstring((tmp_path / "r.svg").read_text())  # noqa: S314 (our own)
    assert drawn.tag.endswith("svg")
    assert report_svg(json.loads((tmp_path / "r.json").read_text())) == (tmp_path / "r.svg").read_text()
