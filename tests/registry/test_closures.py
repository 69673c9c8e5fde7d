"""Keys and certificates that are closed: previewed, closed, opened, revoked for ever; no anchors meanwhile."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from holdfast._holdfast import Certificate
from holdfast.registry import open_registry
from holdfast.registry.closures import ClosureState, Kind, Named
from holdfast.registry.devices import Claim, Pin
from holdfast.registry.paths import path_of

from ..support.pki import DAY, NOW, Ca
from .acts import dump, last_act, recorded
from .test_cas import WHO, code_of, proven

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.registry import Registry


@dataclass
class House:
    """Company-X with two factories; devices of theirs are claimed as a worker would claim them."""

    registry: Registry
    root: Ca = field(default_factory=Ca.root)
    devices: int = 0

    def __post_init__(self) -> None:
        proven(self.registry, self.root)
        self.factory, self.sibling = self.root.intermediate("Factory-Y"), self.root.intermediate("Factory-S")
        self.technician = self.factory.intermediate("Technician-Z")

    def claim(self, device_id: str, *above: Ca) -> None:
        keys = [key_of(one) for one in above]
        leaf = hashlib.sha256(device_id.encode()).digest()
        pin = Pin(device_id=device_id, issuer_spki_sha256=keys[0], leaf_spki_sha256=leaf)
        chain = [one.der for one in above]
        epoch = self.registry.cas.trust().epoch
        one = Claim(pin=pin, fingerprint=leaf[::-1], path=path_of(chain), epoch=epoch, before=None)
        assert self.registry.devices.claim([one], at=NOW, chains=[chain]) == [None]


def key_of(ca: Ca) -> bytes:
    return bytes.fromhex(Certificate(ca.der).spki_sha256)


def fingerprint_of(ca: Ca) -> str:
    return Certificate(ca.der).fingerprint


@pytest.fixture
def house(registry: Registry) -> House:
    house = House(registry)
    house.claim("a-1", house.technician, house.factory, house.root)
    house.claim("a-2", house.technician, house.factory, house.root)
    house.claim("f-1", house.factory, house.root)
    house.claim("s-1", house.sibling, house.root)
    return house


def close(house: House, ca: Ca, *, revoke: bool = False) -> int:
    named = house.registry.closures.find(fingerprint_of(ca))
    return house.registry.closures.close([named], actor=WHO, at=NOW, revoke=revoke)


def test_a_key_is_found_by_its_hash_or_a_certificate_s_however_it_is_written(house: House) -> None:
    closures, factory = house.registry.closures, house.factory
    key = Named(Kind.KEY, key_of(factory), "CN=Factory-Y")
    colons = ":".join(fingerprint_of(factory)[at : at + 2] for at in range(0, 64, 2)).upper()
    assert closures.find(fingerprint_of(factory)) == closures.find(colons) == closures.find(key.sha256.hex()) == key
    assert closures.find(colons).subject == key.subject
    assert closures.find(fingerprint_of(factory), Kind.CERTIFICATE).sha256.hex() == fingerprint_of(factory)
    assert closures.find(fingerprint_of(house.root)).subject == "CN=Company-X Root"
    assert closures.find(hashlib.sha256(b"a-1").hexdigest()).subject == "CN=a-1"
    assert code_of(lambda: closures.find("beef")) == "bad_hash"
    assert code_of(lambda: closures.find("0" * 64)) == "unknown_branch"


def test_a_hash_that_nobody_has_come_by_is_closed_as_whatever_it_may_be(house: House) -> None:
    """Nobody can tell a key's hash from a certificate's: the new signer's devices stay out by either."""
    closures, new = house.registry.closures, Certificate(house.root.intermediate("Technician-N").der)
    for text in (new.fingerprint, new.spki_sha256):
        assert code_of(lambda: closures.find(text)) == "unknown_branch"  # noqa: B023
        both = closures.find_or_take(text)
        assert both == [Named(kind, bytes.fromhex(text)) for kind in Kind]
        closures.close(both, actor=WHO, at=NOW)
    assert bytes.fromhex(new.fingerprint) in closures.closed()[Kind.CERTIFICATE]
    assert bytes.fromhex(new.spki_sha256) in closures.closed()[Kind.KEY]
    one = closures.find_or_take("0" * 64, Kind.CERTIFICATE)
    assert one == [Named(Kind.CERTIFICATE, bytes(32))]
    assert closures.open(Named(Kind.KEY, bytes.fromhex(new.fingerprint)), actor=WHO, at=NOW) == [
        Named(kind, bytes.fromhex(new.fingerprint)) for kind in Kind
    ]
    known = Certificate(house.factory.der)
    assert closures.find_or_take(known.fingerprint) == [Named.of(known)]
    assert closures.find_or_take(known.fingerprint, Kind.CERTIFICATE) == [Named.of(known, Kind.CERTIFICATE)]
    assert code_of(lambda: closures.find_or_take(known.spki_sha256, Kind.CERTIFICATE)) == "unknown_branch"


def test_the_preview_counts_the_branch_and_nothing_else(house: House) -> None:
    closures = house.registry.closures
    before = dump(house.registry)
    preview = closures.preview(closures.find(fingerprint_of(house.factory)), at=NOW)
    assert (preview.devices, preview.surviving, preview.registered) == (3, [], [])
    assert closures.preview(closures.find(fingerprint_of(house.technician)), at=NOW).devices == 2
    own = hashlib.sha256(b"a-1").digest()
    assert closures.preview(closures.find(own.hex()), at=NOW).devices == 1
    certificate = closures.preview(closures.find(own[::-1].hex(), Kind.CERTIFICATE), at=NOW)
    assert (certificate.devices, certificate.surviving) == (1, [])
    whole = closures.preview(closures.find(fingerprint_of(house.root)), at=NOW)
    assert (whole.devices, whole.registered) == (4, ["company-x"])
    below = closures.preview(closures.find(fingerprint_of(house.factory)), descendants=True, at=NOW)
    assert [one.subject for one in below.closing] == ["CN=Factory-Y", "CN=Technician-Z"]
    assert dump(house.registry) == before


def meet(house: House, *chain: Ca) -> None:
    """A device that is known comes by a path that nobody has come by: its worker says of which certificates it is."""
    assert house.registry.devices.claim([], at=NOW, chains=[[one.der for one in chain]]) == []


def test_who_has_another_way_in_is_named(house: House) -> None:
    cross = house.sibling.intermediate("Technician-Z", key=house.technician.key)
    house.claim("a-3", cross, house.sibling, house.root)
    closures = house.registry.closures
    factory = closures.find(fingerprint_of(house.factory))
    assert closures.preview(factory, at=NOW).surviving == ["a-1", "a-2", "a-3"]
    assert closures.preview(factory, at=NOW, descendants=True).surviving == []
    one = closures.find(fingerprint_of(house.technician), Kind.CERTIFICATE)
    assert closures.preview(one, at=NOW).surviving == ["a-1", "a-2", "a-3"]
    assert closures.preview(closures.find(fingerprint_of(house.technician)), at=NOW).surviving == []
    house.registry.cas.disable("company-x", actor=WHO, at=NOW)
    preview = closures.preview(factory, at=NOW)
    assert (preview.devices, preview.surviving) == (0, []), "nobody can come in any more"


def test_r01_a_device_counts_wherever_it_may_come_from_and_not_only_where_it_came_first(house: House) -> None:
    """root ─▶ factory ─▶ technician ─▶ a-1, a-2, and later root ─▶ sibling ─▶ technician."""
    closures, sibling = house.registry.closures, Named.of(Certificate(house.sibling.der))
    assert closures.preview(sibling, at=NOW).devices == 1
    cross = house.sibling.intermediate("Technician-Z", key=house.technician.key, ends=NOW + DAY)
    meet(house, cross, house.sibling, house.root)
    preview = closures.preview(sibling, at=NOW)
    assert (preview.devices, preview.surviving) == (3, ["a-1", "a-2"])
    factory = Named.of(Certificate(house.factory.der))
    assert closures.preview(factory, at=NOW).surviving == ["a-1", "a-2"]
    assert closures.preview(factory, at=NOW + 2 * DAY).surviving == [], "that way has ended"
    close(house, house.factory)
    preview = closures.preview(sibling, at=NOW)
    assert (preview.devices, preview.surviving) == (3, []), "they came by the other, and that is closed"


def test_an_anchor_that_was_registered_later_is_another_way_in(house: House) -> None:
    closures, root = house.registry.closures, Named.of(Certificate(house.root.der))
    proven(house.registry, house.factory, "factory-y")
    preview = closures.preview(root, at=NOW)
    assert (preview.devices, preview.surviving) == (4, ["a-1", "a-2", "f-1"])
    below = closures.preview(root, at=NOW, descendants=True)
    assert (below.devices, below.surviving, below.registered) == (4, [], ["company-x", "factory-y"])
    assert closures.preview(Named.of(Certificate(house.factory.der)), at=NOW).surviving == []


def test_a_way_in_counts_that_is_made_of_parts_of_others(house: House) -> None:
    """root ─▶ factory ─▶ technician; other ─▶ factory, by which only factory's own devices have come."""
    other = Ca.root("Company-Q Root")
    proven(house.registry, other, "company-q")
    cross = other.intermediate("FACTORY-y", key=house.factory.key)
    closures, root = house.registry.closures, Named.of(Certificate(house.root.der))
    assert closures.preview(root, at=NOW).surviving == []
    meet(house, cross, other)
    # Names are compared whatever their case.
    assert closures.preview(root, at=NOW).surviving == ["a-1", "a-2", "f-1"]
    preview = closures.preview(Named.of(Certificate(other.der)), at=NOW)
    assert (preview.devices, preview.surviving) == (3, ["a-1", "a-2", "f-1"])
    assert closures.preview(Named.of(Certificate(cross.der), Kind.CERTIFICATE), at=NOW).devices == 3


def test_the_same_name_on_another_key_is_no_way_in(house: House) -> None:
    other = Ca.root("Company-Q Root")
    proven(house.registry, other, "company-q")
    meet(house, other.intermediate("Factory-Y"), other)
    closures = house.registry.closures
    assert closures.preview(Named.of(Certificate(house.root.der)), at=NOW).surviving == []
    assert closures.preview(Named.of(Certificate(other.der)), at=NOW).devices == 0


def test_whom_nobody_can_place_is_said_beside_the_count(house: House) -> None:
    """a-1 is repinned to a key of which no certificate was met: it may come below any CA."""
    closures, root = house.registry.closures, Named.of(Certificate(house.root.der))
    new = house.factory.intermediate("Technician-N")
    house.registry.devices.repin("a-1", Named.of(Certificate(new.der)), actor=WHO, at=NOW)
    preview = closures.preview(root, at=NOW)
    assert (preview.devices, preview.unmet) == (3, 1)
    preview = closures.preview(Named.of(Certificate(new.der)), at=NOW)
    assert (preview.devices, preview.unmet) == (1, 0)
    meet(house, new, house.factory, house.root)
    preview = closures.preview(root, at=NOW)
    assert (preview.devices, preview.unmet) == (4, 0)


def test_a_device_s_renewed_certificate_is_its_device_s(house: House) -> None:
    device = house.technician.device("a-9")
    certificate = Certificate(device.der[0])
    pin = Pin(
        device_id="a-9",
        issuer_spki_sha256=key_of(house.technician),
        leaf_spki_sha256=bytes.fromhex(certificate.spki_sha256),
    )
    chain = [one.der for one in (house.technician, house.factory, house.root)]
    epoch = house.registry.cas.trust().epoch
    claim = Claim(pin=pin, fingerprint=bytes(32), path=path_of(chain), epoch=epoch, before=None)
    assert house.registry.devices.claim([claim], at=NOW) == [None]
    preview = house.registry.closures.preview(Named.of(certificate, Kind.CERTIFICATE), at=NOW)
    assert (preview.devices, preview.surviving) == (1, [])


def test_closing_raises_the_epoch_once_and_says_so(house: House) -> None:
    before = house.registry.cas.trust()
    epoch = close(house, house.factory)
    trust = house.registry.cas.trust()
    assert trust.epoch == epoch == before.epoch + 1
    assert trust.closed == {Kind.KEY: {key_of(house.factory)}, Kind.CERTIFICATE: frozenset()}
    assert trust.anchors == before.anchors
    act = last_act(house.registry)
    assert (act["action"], act["actor"], act["details"]["of"]) == ("branch.closed", WHO, "CN=Factory-Y")
    again = dump(house.registry)
    assert close(house, house.factory) == epoch
    assert {**dump(house.registry), "deployment": 0} == {**again, "deployment": 0}
    assert [one.named.subject for one in house.registry.closures.list()] == ["CN=Factory-Y"]


def test_whoever_has_an_epoch_has_all_that_was_committed_with_it(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command commits between any two of the looks that reading trust takes."""
    path = tmp_path / "registry.db"
    before = house.registry.cas.trust()
    looks, look = [0], house.registry.database.rows
    keys = {key_of(house.factory), key_of(house.root)}
    for interrupted in range(1, 7):

        def rows(*asked: Any, interrupted: int = interrupted) -> Any:
            looks[0] += 1
            if looks[0] == interrupted:
                with open_registry(path, hub="hub.test", tenant="default", at=NOW, create=False) as other:
                    named = other.closures.find(fingerprint_of(house.factory))
                    other.closures.close([named], actor=WHO, at=NOW)
                    other.cas.disable("company-x", actor=WHO, at=NOW)
            return look(*asked)

        monkeypatch.setattr(house.registry.database, "rows", rows)
        looks[0] = 0
        trust = house.registry.cas.trust()
        monkeypatch.undo()
        if trust.epoch > before.epoch:
            assert (trust.anchors, trust.closed[Kind.KEY]) == ((), keys)
        house.registry.closures.open(house.registry.closures.find(fingerprint_of(house.factory)), actor=WHO, at=NOW)
        house.registry.cas.enable("company-x", actor=WHO, at=NOW)
        before = house.registry.cas.trust()


def test_what_was_closed_is_opened_what_was_revoked_is_not(house: House) -> None:
    closures = house.registry.closures
    named = closures.find(fingerprint_of(house.factory))
    assert code_of(lambda: closures.open(named, actor=WHO, at=NOW)) == "not_closed"
    close(house, house.factory)
    assert code_of(lambda: closures.open(named, actor=WHO, at=NOW - DAY)) == "clock_behind"
    before = len(recorded(house.registry))
    twice = named, Named(Kind.KEY, named.sha256)
    assert closures.open(*twice, actor=WHO, at=NOW, reason="it was the other one") == [named]
    assert len(recorded(house.registry)) == before + 1
    assert house.registry.cas.trust().closed[Kind.KEY] == frozenset()
    assert closures.list()[0].state is ClosureState.OPEN
    assert code_of(lambda: closures.open(named, actor=WHO, at=NOW)) == "not_closed"
    close(house, house.factory)
    epoch = close(house, house.factory, revoke=True)
    assert code_of(lambda: closures.open(named, actor=WHO, at=NOW)) == "revoked_for_ever"
    assert close(house, house.factory) == epoch, "a revocation is not weakened to a closure"
    assert closures.list()[0].state is ClosureState.REVOKED


def test_another_reason_is_taken_down_and_moves_nothing(house: House) -> None:
    closures = house.registry.closures
    named = closures.find(fingerprint_of(house.factory))
    again = {"actor": WHO, "at": NOW}
    epoch = closures.close([named], reason="lost", **again)
    assert closures.close([named], reason="stolen", **again) == epoch
    assert (closures.list()[0].reason, last_act(house.registry)["action"]) == ("stolen", "branch.closed")
    before = len(recorded(house.registry))
    closures.close([named], reason="stolen", **again), closures.close([named], **again)
    assert (closures.list()[0].reason, len(recorded(house.registry))) == ("stolen", before)
    epoch = closures.close([named], reason="for good", revoke=True, **again)
    assert closures.close([named], reason="found at a thief's", **again) == epoch
    assert (closures.list()[0].reason, closures.state(named)) == ("found at a thief's", ClosureState.REVOKED)
    act = last_act(house.registry)
    assert (act["action"], act["details"]["reason"]) == ("branch.revoked", "found at a thief's")


def test_a_closed_key_is_no_anchor_in_whatever_certificate(registry: Registry) -> None:
    house = House(registry)
    renewed = Ca.root("Company-X Root", key=house.root.key)
    close(house, house.root)
    cas = registry.cas
    before = [what for what, _ in recorded(registry)]
    assert code_of(lambda: cas.add("renewed", renewed.pem, actor=WHO, at=NOW)) == "key_closed"
    cas.disable("company-x", actor=WHO, at=NOW)
    assert code_of(lambda: cas.enable("company-x", actor=WHO, at=NOW)) == "key_closed"
    assert [what for what, _ in recorded(registry)] == [*before, "ca.disabled"]
    waiting = Ca.root("Company-W Root")
    cas.add("waiting", waiting.pem, actor=WHO, at=NOW)
    one = Named(Kind.CERTIFICATE, bytes.fromhex(fingerprint_of(waiting)))
    registry.closures.close([one], actor=WHO, at=NOW)
    assert code_of(lambda: cas.challenge("waiting", actor=WHO, at=NOW)) == "certificate_closed"


def test_r01_e03_a_ca_that_is_disabled_is_shut_out_in_whatever_certificate(registry: Registry) -> None:
    """root ─▶ factory, both proven; factory renewed, proven │ factory disabled: by root it would still come."""
    house = House(registry)
    factory, renewed = house.factory, house.root.intermediate("Factory-Y", key=house.factory.key)
    proven(registry, factory, "factory-y")
    registry.cas.add("renewed", renewed.pem, actor=WHO, at=NOW)
    house.claim("f-1", factory, house.root)
    before = registry.cas.trust()
    assert set(before.anchors) == {house.root.der, factory.der, renewed.der}
    registry.cas.disable("factory-y", actor=WHO, at=NOW, reason="lost")
    trust = registry.cas.trust()
    assert (trust.epoch, trust.closed[Kind.KEY]) == (before.epoch + 1, {key_of(factory)})
    assert last_act(registry)["details"]["reason"] == "lost"
    closures, named = registry.closures, Named.of(Certificate(factory.der))
    assert closures.closed_by(Certificate(renewed.der)) == ["ca disable factory-y"]
    assert closures.closed_by(Certificate(house.root.der)) == []
    third = house.root.intermediate("Factory-Y", key=factory.key, ends=NOW + DAY)
    assert code_of(lambda: registry.cas.add("third", third.pem, actor=WHO, at=NOW)) == "key_closed"
    assert code_of(lambda: registry.devices.repin("f-1", named, actor=WHO, at=NOW)) == "key_closed"
    (shown,) = closures.list()
    assert (shown.named, shown.state, shown.reason) == (named, ClosureState.DISABLED, "CA 'factory-y' is disabled")
    assert closures.state(named) is ClosureState.DISABLED
    assert code_of(lambda: closures.open(named, actor=WHO, at=NOW)) == "ca_disabled"
    registry.cas.enable("factory-y", actor=WHO, at=NOW)
    after = registry.cas.trust()
    assert (set(after.anchors), after.closed[Kind.KEY]) == (set(before.anchors), frozenset())
    assert (closures.list(), closures.state(named)) == ([], ClosureState.OPEN)


def test_a_key_is_open_once_nothing_closes_it_any_more(registry: Registry) -> None:
    """Two certificates of a key, and the key itself: each is closed for itself, and opened for itself."""
    house = House(registry)
    cas, closures, named = registry.cas, registry.closures, Named.of(Certificate(house.root.der))
    renewed = Ca.root("Company-X Root", key=house.root.key)
    cas.add("renewed", renewed.pem, actor=WHO, at=NOW)
    cas.disable("company-x", actor=WHO, at=NOW), cas.disable("renewed", actor=WHO, at=NOW)
    close(house, house.root)
    assert closures.closed_by(Certificate(renewed.der)) == [
        "branch close",
        "ca disable company-x",
        "ca disable renewed",
    ]
    assert code_of(lambda: cas.enable("renewed", actor=WHO, at=NOW)) == "key_closed"
    assert closures.open(named, actor=WHO, at=NOW) == [named]
    assert closures.state(named) is ClosureState.DISABLED
    assert [one.state for one in closures.list()] == [ClosureState.DISABLED] * 2, "nothing is said to be open"
    cas.enable("renewed", actor=WHO, at=NOW)
    assert closures.closed_by(Certificate(renewed.der)) == ["ca disable company-x"]
    assert registry.cas.trust().closed[Kind.KEY] == {named.sha256}
    cas.enable("company-x", actor=WHO, at=NOW)
    assert registry.cas.trust().closed[Kind.KEY] == frozenset()
    cas.disable("company-x", actor=WHO, at=NOW)
    close(house, house.root, revoke=True)
    assert code_of(lambda: cas.enable("company-x", actor=WHO, at=NOW)) == "key_closed"


def test_r01_what_was_disabled_stays_closed_when_its_ca_is_deleted(registry: Registry) -> None:
    house = House(registry)
    cas, closures, named = registry.cas, registry.closures, Named.of(Certificate(house.root.der))
    cas.disable("company-x", actor=WHO, at=NOW)
    before = cas.trust()
    cas.delete("company-x", actor=WHO, at=NOW)
    assert (cas.trust().closed, cas.trust().epoch) == (before.closed, before.epoch)
    assert [what for what, _ in recorded(registry)[-2:]] == ["ca.deleted", "branch.closed"]
    assert code_of(lambda: cas.add("again", house.root.pem, actor=WHO, at=NOW)) == "key_closed"
    assert closures.list()[0].reason == "CA 'company-x' was deleted while disabled"
    assert closures.open(named, actor=WHO, at=NOW) == [named]
    proven(registry, house.root, "again")
    # What was trusted when it was deleted is closed by nothing; and a revocation stays one.
    cas.delete("again", actor=WHO, at=NOW)
    assert closures.state(named) is ClosureState.OPEN
    proven(registry, house.root, "again")
    close(house, house.root, revoke=True)
    cas.disable("again", actor=WHO, at=NOW), cas.delete("again", actor=WHO, at=NOW)
    assert closures.state(named) is ClosureState.REVOKED


def test_a_key_can_be_closed_before_anything_is_proven_and_makes_no_tenant(tmp_path: Path) -> None:
    with open_registry(tmp_path / "fresh.db", hub="hub.test", tenant="default", at=NOW, create=True) as registry:
        named = registry.closures.find_or_take("ab" * 32)
        assert code_of(lambda: registry.closures.close(named, actor=WHO, at=NOW)) == "unknown_tenant"
        pair = named[0], Named(Kind.KEY, bytes(32))
        assert code_of(lambda: registry.successions.declare(*pair, actor=WHO, at=NOW)) == "unknown_tenant"
        assert recorded(registry) == []
        registry.cas.add("company-x", Ca.root().pem, actor=WHO, at=NOW)
        assert registry.closures.close(named, actor=WHO, at=NOW) == registry.cas.trust().epoch
        assert registry.cas.trust().closed[Kind.KEY] == {bytes.fromhex("ab" * 32)}


def test_tenants_close_for_themselves(tmp_path: Path, house: House) -> None:
    close(house, house.factory)
    with open_registry(tmp_path / "registry.db", hub="hub.test", tenant="second", at=NOW, create=False) as second:
        assert second.closures.list() == []
        assert second.closures.closed()[Kind.KEY] == frozenset()
