"""Device identities: claimed once, pinned, re-keyed only under the pinned issuer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from holdfast.errors import ConflictError, RegistrationError
from holdfast.registry import open_registry
from holdfast.registry.devices import Claim, Pin
from holdfast.registry.paths import path_of
from holdfast.registry.schema import certificates

from ..support.pki import DAY, NOW, Ca
from .acts import dump, last_act, recorded
from .test_cas import proven

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.registry import Registry

ROOT = Ca.root()
CHAIN = [ROOT.intermediate("Factory-Y").der, ROOT.der]
ISSUER, LEAF, OTHER = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32


def claim(
    device_id: str = "widget-1",
    *,
    issuer: bytes = ISSUER,
    leaf: bytes = LEAF,
    epoch: int = 1,
    before: bytes | None = None,
) -> Claim:
    """Of a worker that knows the identity to be pinned to `ISSUER` and the key `before`, or to nothing."""
    pin = Pin(device_id=device_id, issuer_spki_sha256=issuer, leaf_spki_sha256=leaf)
    known = None if before is None else (ISSUER, before)
    return Claim(pin=pin, fingerprint=b"\x04" * 32, path=path_of(CHAIN), epoch=epoch, before=known)


def commit(registry: Registry, *claims: Claim) -> list[str | None]:
    return registry.devices.claim(claims, at=NOW, chains=[CHAIN])


@pytest.fixture(autouse=True)
def _tenant(registry: Registry) -> None:
    proven(registry, Ca.root())


def pins(registry: Registry, since: int = 0) -> list[Pin]:
    return [pin for _, portion in registry.devices.changed_since(since) for pin in portion]


def test_a_first_claim_is_pinned_with_its_act(registry: Registry) -> None:
    assert commit(registry, claim()) == [None]
    assert pins(registry) == [claim().pin]
    act = last_act(registry)
    assert (act["action"], act["subject"], act["actor"]) == ("device.pinned", "widget-1", "hub")
    assert act["details"] == {
        "fingerprint": "04" * 32,
        "issuer_spki_sha256": "01" * 32,
        "leaf_spki_sha256": "02" * 32,
        "path": path_of(CHAIN).hex(),
    }


def test_e04_an_identity_stays_with_the_key_that_first_vouched_for_it(registry: Registry) -> None:
    commit(registry, claim())
    before = dump(registry)
    answers = commit(
        registry,
        claim(), claim(issuer=OTHER), claim(issuer=OTHER, before=LEAF), claim(leaf=OTHER), claim("Widget-1"),
    )  # fmt: skip
    assert answers == [None, "identity_pinned", "identity_pinned", "claim_lost", "identity_case_conflict"]
    assert dump(registry) == before


def test_a_new_key_of_the_pinned_issuer_replaces_the_old_one(registry: Registry) -> None:
    commit(registry, claim())
    (seen, _) = next(registry.devices.changed_since(0))
    assert commit(registry, claim(leaf=OTHER, before=LEAF)) == [None]
    assert pins(registry, seen) == pins(registry) == [claim(leaf=OTHER).pin]
    assert last_act(registry)["action"] == "device.rekeyed"


def test_e06_of_several_claims_for_one_identity_one_wins(registry: Registry) -> None:
    answers = commit(registry, *(claim(leaf=bytes([number]) * 32) for number in range(10, 20)))
    assert answers == [None, *["claim_lost"] * 9]
    assert pins(registry) == [claim(leaf=b"\x0a" * 32).pin]


def test_t14_a_claim_judged_before_trust_moved_is_not_committed(registry: Registry) -> None:
    registry.cas.disable("company-x", actor="alice", at=NOW)
    before = dump(registry)
    assert registry.devices.claim([claim(epoch=1), claim("widget-2", epoch=3)], at=NOW) == ["trust_moved"] * 2
    assert dump(registry) == before
    assert commit(registry, claim(epoch=2)) == [None]


def test_r03_a_clock_that_was_turned_back_pins_nobody(registry: Registry) -> None:
    before = dump(registry)
    with pytest.raises(ConflictError) as caught:
        registry.devices.claim([claim()], at=NOW - DAY, chains=[CHAIN])
    assert caught.value.code == "clock_behind"
    assert dump(registry) == before


def test_tenants_have_their_own_devices(tmp_path: Path, registry: Registry) -> None:
    commit(registry, claim())
    with open_registry(tmp_path / "registry.db", hub="hub.test", tenant="second", at=NOW, create=False) as second:
        assert commit(second, claim(issuer=OTHER)) == ["trust_moved"]  # no such tenant yet
        second.cas.add("q", Ca.root().pem, actor="bob", at=NOW)
        assert commit(second, claim(issuer=OTHER)) == [None]
        assert pins(second) == [claim(issuer=OTHER).pin]
    assert pins(registry) == [claim().pin]


def test_a_device_is_found_by_its_exact_id(registry: Registry) -> None:
    commit(registry, claim())
    found = registry.devices.find("widget-1")
    assert (found.pin, found.pinned_at) == (claim().pin, NOW)
    assert "".join(found.path) == "04" * 32 + path_of(CHAIN).hex()
    hints = {"Widget-1": "There is 'widget-1'", "widget-2": "A device is known once it was let in"}
    for other, hint in hints.items():
        with pytest.raises(RegistrationError) as caught:
            registry.devices.find(other)
        assert (caught.value.code, caught.value.hint) == ("unknown_device", hint)


def test_all_devices_are_read_in_order_however_many(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.registry.devices.ROWS_AT_ONCE", 3)
    assert list(registry.devices.all()) == []
    commit(registry, *(claim(f"Widget-{number}") for number in (5, 1, 3, 0, 2, 4)))
    assert [one.pin.device_id for one in registry.devices.all()] == [f"Widget-{number}" for number in range(6)]


def test_what_changed_is_read_in_portions_in_order(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.registry.devices.ROWS_AT_ONCE", 3)
    claims = [claim(f"widget-{number}") for number in range(8)]
    commit(registry, *claims)
    portions = list(registry.devices.changed_since(0))
    assert [len(portion) for _, portion in portions] == [3, 3, 2]
    assert [pin for _, portion in portions for pin in portion] == [one.pin for one in claims]
    assert list(registry.devices.changed_since(portions[-1][0])) == []
    commit(registry, replace(claims[0], pin=replace(claims[0].pin, leaf_spki_sha256=OTHER), before=(ISSUER, LEAF)))
    assert [pin.device_id for pin in pins(registry, portions[-1][0])] == ["widget-0"]


def test_a_path_is_recorded_once_and_nobody_is_pinned_to_one_that_nobody_knows(registry: Registry) -> None:
    assert registry.devices.claim([claim()], at=NOW) == ["path_unknown"]
    assert pins(registry) == []
    commit(registry, claim())
    commit(registry, claim("widget-2"))
    assert [what for what, _ in recorded(registry)].count("path.met") == 1
    found = {row["certificate"] for row in registry.database.rows(select(certificates))}
    assert found == set(CHAIN)
