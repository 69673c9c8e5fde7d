"""A signer's key is replaced: declared successors take devices over, and give none back."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from holdfast._holdfast import Certificate
from holdfast.registry import open_registry
from holdfast.registry.closures import Kind, Named
from holdfast.registry.devices import Claim, Pin
from holdfast.registry.paths import NO_KEY, path_of
from holdfast.registry.successions import SuccessionState

from ..support.pki import DAY, NOW, Ca
from .acts import dump, last_act
from .test_cas import WHO, code_of
from .test_closures import House, close, fingerprint_of, key_of

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.registry import Registry


@pytest.fixture
def house(registry: Registry) -> House:
    house = House(registry)
    house.claim("a-1", house.technician, house.factory, house.root)
    house.claim("a-2", house.technician, house.factory, house.root)
    house.claim("s-1", house.sibling, house.root)
    return house


def named(ca: Ca) -> Named:
    return Named(Kind.KEY, key_of(ca), ca.certificate.subject.rfc4514_string())


def declare(house: House, old: Ca, new: Ca) -> None:
    house.registry.successions.declare(named(old), named(new), actor=WHO, at=NOW, reason="a new laptop")


def pin_of(house: House, device_id: str) -> tuple[bytes, bytes]:
    pin = house.registry.devices.find(device_id).pin
    return pin.issuer_spki_sha256, pin.leaf_spki_sha256


def claim(
    house: House, device_id: str, issuer: Ca, *, leaf: bytes = b"new", before: tuple[bytes, bytes] | None
) -> Claim:
    """Of an identity by `issuer`, which the root has signed; the worker knows of the pin `before`."""
    own = hashlib.sha256(leaf).digest()
    return Claim(
        pin=Pin(device_id=device_id, issuer_spki_sha256=key_of(issuer), leaf_spki_sha256=own),
        fingerprint=own[::-1],
        path=path_of([issuer.der, house.root.der]),
        epoch=house.registry.cas.trust().epoch,
        before=before,
    )


def come(house: House, device_id: str, issuer: Ca, *, leaf: bytes = b"new") -> str | None:
    """A device comes to a worker that knows all there is to know."""
    one = claim(house, device_id, issuer, leaf=leaf, before=pin_of(house, device_id))
    return house.registry.devices.claim([one], at=NOW, chains=[[issuer.der, house.root.der]])[0]


def test_e04_a_device_moves_to_the_declared_successor_and_not_back(house: House) -> None:
    new = house.root.intermediate("Technician-N")
    assert come(house, "a-1", new) == "identity_pinned"
    epoch = house.registry.cas.trust().epoch
    declare(house, house.technician, new)
    trust = house.registry.cas.trust()
    assert trust.successions == {(key_of(house.technician), key_of(new))}
    assert trust.epoch == epoch, "nobody who was admitted might no longer be"
    assert house.registry.successions.preview(named(house.technician), named(new)) == 2
    assert come(house, "s-1", new) == "identity_pinned", "the sibling's devices are the sibling's"
    late = claim(house, "a-1", new, before=None)
    assert house.registry.devices.claim([late], at=NOW) == ["claim_lost"], "whoever takes it for a new identity is late"
    assert come(house, "a-1", new) is None
    act = last_act(house.registry)
    assert (act["action"], act["subject"]) == ("device.succeeded", "a-1")
    assert act["details"]["issuer_spki_sha256"] == key_of(new).hex()
    assert house.registry.successions.preview(named(house.technician), named(new)) == 1
    assert come(house, "a-1", house.technician) == "identity_pinned"
    assert come(house, "a-1", new, leaf=b"newer") is None
    assert last_act(house.registry)["action"] == "device.rekeyed"


def test_a_succession_is_recorded_once_and_can_be_withdrawn(house: House) -> None:
    successions, new = house.registry.successions, house.root.intermediate("Technician-N")
    old = house.technician
    assert code_of(lambda: successions.withdraw(named(old), named(new), actor=WHO, at=NOW)) == "not_declared"
    declare(house, old, new)
    act = last_act(house.registry)
    assert (act["action"], act["actor"], act["subject"]) == ("succession.declared", WHO, key_of(old).hex())
    assert act["details"] == {
        "new_spki_sha256": key_of(new).hex(),
        "of": "CN=Technician-Z",
        "to": "CN=Technician-N",
        "reason": "a new laptop",
    }
    before = dump(house.registry)
    declare(house, old, new)
    assert dump(house.registry) == before
    assert come(house, "a-1", new) is None
    successions.withdraw(named(old), named(new), actor=WHO, at=NOW)
    (one,) = successions.list()
    assert (one.state, one.old.subject, one.new.sha256) == (
        SuccessionState.WITHDRAWN,
        "CN=Technician-Z",
        key_of(new),
    )
    assert last_act(house.registry)["action"] == "succession.withdrawn"
    assert come(house, "a-2", new) == "identity_pinned"
    assert come(house, "a-1", new, leaf=b"newer") is None, "whoever moved stays"
    assert code_of(lambda: successions.withdraw(named(old), named(new), actor=WHO, at=NOW)) == "not_declared"


def test_nobody_succeeds_in_a_circle_and_nobody_with_a_closed_key(house: House) -> None:
    first, second, third = (house.root.intermediate(f"Technician-{number}") for number in range(3))
    assert code_of(lambda: declare(house, first, first)) == "succession_circle"
    declare(house, first, second)
    declare(house, second, third)
    before = dump(house.registry)
    assert code_of(lambda: declare(house, second, first)) == "succession_circle"
    assert code_of(lambda: declare(house, third, first)) == "succession_circle"
    assert code_of(lambda: house.registry.successions.preview(named(third), named(first))) == "succession_circle"
    assert dump(house.registry) == before
    declare(house, first, third)
    house.registry.successions.withdraw(named(second), named(third), actor=WHO, at=NOW)
    house.registry.successions.withdraw(named(first), named(third), actor=WHO, at=NOW)
    declare(house, third, first)
    assert [one.sha256 for one in house.registry.successions.of(named(third))] == [key_of(first)]
    house.claim("f-1", house.factory, house.root)
    close(house, house.factory)
    assert code_of(lambda: declare(house, house.sibling, house.factory)) == "key_closed"
    declare(house, house.factory, house.sibling)
    behind = named(house.technician), named(first)
    assert code_of(lambda: house.registry.successions.declare(*behind, actor=WHO, at=NOW - DAY)) == "clock_behind"


def test_whose_a_successor_is_is_known_from_its_certificate_and_grants_it_nothing(house: House) -> None:
    successions, new = house.registry.successions, Certificate(Ca.root("Technician-N").der)
    trust = house.registry.cas.trust()
    successions.declare(named(house.technician), Named.of(new), actor=WHO, at=NOW)
    (one,) = successions.list()
    assert one.new.subject == "CN=Technician-N"
    assert house.registry.closures.find_issuer(new.fingerprint) == Named.of(new)
    pair = (key_of(house.technician), bytes.fromhex(new.spki_sha256))
    assert house.registry.cas.trust() == replace(trust, successions=frozenset({pair}))


def test_the_preview_of_a_closure_names_open_successors_and_how_many_may_come_by_them(house: House) -> None:
    registry, new = house.registry, house.root.intermediate("Technician-N")
    closures, ways = registry.closures, registry.successions.ways
    declare(house, house.technician, new)
    declare(house, house.sibling, new)
    preview = closures.preview(named(house.technician), at=NOW)
    assert (preview.devices, preview.surviving) == (2, [])
    assert [(one.sha256, count) for one, count in ways(preview)] == [(key_of(new), 2)]
    assert [count for _, count in ways(closures.preview(named(house.root), at=NOW))] == [3]
    assert ways(closures.preview(named(house.technician), named(new), at=NOW)) == []
    assert come(house, "a-1", new) is None
    assert [count for _, count in ways(closures.preview(named(house.technician), at=NOW))] == [1]
    registry.successions.withdraw(named(house.technician), named(new), actor=WHO, at=NOW)
    assert ways(closures.preview(named(house.technician), at=NOW)) == []


def test_tenants_declare_for_themselves(tmp_path: Path, house: House) -> None:
    declare(house, house.technician, house.sibling)
    with open_registry(tmp_path / "registry.db", hub="hub.test", tenant="second", at=NOW, create=False) as second:
        assert (second.successions.list(), second.cas.trust().successions) == ([], frozenset())


def test_e04_an_owner_pins_a_device_to_another_issuer_and_whoever_comes_by_that_is_it(house: House) -> None:
    registry, sibling = house.registry, house.sibling
    epoch = registry.cas.trust().epoch
    assert registry.devices.repin("a-1", named(sibling), actor=WHO, at=NOW, reason="sent back") == epoch + 1
    act = last_act(registry)
    assert (act["action"], act["subject"], act["actor"]) == ("device.repinned", "a-1", WHO)
    assert act["details"] == {
        "issuer_spki_sha256": key_of(sibling).hex(),
        "before": key_of(house.technician).hex(),
        "of": "CN=Factory-S",
        "reason": "sent back",
    }
    found = registry.devices.find("a-1")
    assert (found.pin.issuer_spki_sha256, found.pin.leaf_spki_sha256, found.path) == (key_of(sibling), NO_KEY, ())
    (last,) = [pins for _, pins in registry.devices.changed_since(act["seq"] - 1)]
    assert last == [found.pin], "workers hear of it"
    assert come(house, "a-1", house.technician) == "identity_pinned"
    assert come(house, "a-1", sibling) is None
    assert last_act(registry)["action"] == "device.rekeyed"
    assert registry.devices.find("a-1").path[1] == fingerprint_of(sibling)


def test_a_claim_from_before_the_owner_s_word_is_late(house: House) -> None:
    new, chains = house.root.intermediate("Technician-N"), []
    declare(house, house.technician, new)
    chains.append([new.der, house.root.der])
    late = claim(house, "a-1", new, before=pin_of(house, "a-1"))
    house.registry.devices.repin("a-1", named(house.technician), actor=WHO, at=NOW)
    assert house.registry.devices.claim([late], at=NOW, chains=chains) == ["trust_moved"]
    epoch = house.registry.cas.trust().epoch
    assert house.registry.devices.claim([replace(late, epoch=epoch)], at=NOW, chains=chains) == ["claim_lost"]
    assert come(house, "a-1", new) is None


def test_e06_of_several_that_come_for_an_open_identity_one_wins(house: House) -> None:
    """Two keys of the issuer's, and one of its successor's, each at a worker that has heard of nobody yet."""
    new, sibling = house.root.intermediate("Technician-N"), house.sibling
    declare(house, sibling, new)
    house.registry.devices.repin("a-1", named(sibling), actor=WHO, at=NOW)
    before = pin_of(house, "a-1")
    claims = [
        claim(house, "a-1", sibling, leaf=b"first", before=before),
        claim(house, "a-1", sibling, leaf=b"second", before=before),
        claim(house, "a-1", new, leaf=b"third", before=before),
    ]
    chains = [[ca.der, house.root.der] for ca in (sibling, new)]
    assert house.registry.devices.claim(claims, at=NOW, chains=chains) == [None, "claim_lost", "claim_lost"]
    assert house.registry.devices.claim(claims[1:], at=NOW, chains=chains) == ["claim_lost", "claim_lost"]
    assert pin_of(house, "a-1") == (key_of(sibling), hashlib.sha256(b"first").digest())
    assert house.registry.devices.claim(claims[:1], at=NOW, chains=chains) == [None], "the same again is no other"


def test_repinning_refuses_what_could_let_nobody_in(house: House) -> None:
    registry = house.registry
    close(house, house.sibling)
    before = dump(registry)
    to_closed = lambda: registry.devices.repin("a-1", named(house.sibling), actor=WHO, at=NOW)  # noqa: E731
    assert code_of(to_closed) == "key_closed"
    assert code_of(lambda: registry.devices.repin("A-1", named(house.root), actor=WHO, at=NOW)) == "unknown_device"
    past = lambda: registry.devices.repin("a-1", named(house.root), actor=WHO, at=NOW - DAY)  # noqa: E731
    assert code_of(past) == "clock_behind"
    assert dump(registry) == before


def test_the_preview_of_a_closure_knows_who_is_pinned_anew(house: House) -> None:
    registry, closures = house.registry, house.registry.closures
    registry.devices.repin("a-1", named(house.sibling), actor=WHO, at=NOW)
    assert closures.preview(named(house.technician), at=NOW).devices == 1, "the old branch has lost it"
    assert closures.preview(named(house.sibling), at=NOW).devices == 2, "the new one has it before it came"
    assert closures.preview(closures.find(fingerprint_of(house.sibling), Kind.CERTIFICATE), at=NOW).devices == 2
    assert closures.preview(named(house.root), at=NOW).devices == 3
    # The key that was its own can still be named, and closed.
    own = hashlib.sha256(b"a-1").digest()
    assert closures.find(own[::-1].hex()) == Named(Kind.KEY, own, "CN=a-1")
    assert closures.find_issuer(fingerprint_of(house.sibling)) == named(house.sibling)
    device = hashlib.sha256(b"a-2").hexdigest()
    assert closures.find(device).subject == "CN=a-2"
    assert code_of(lambda: closures.find_issuer(device)) == "unknown_branch", "a device vouches for nobody"
