"""What comes back with a backup, and what no backup brings back: trust.md §5.1, catalogue R01."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from holdfast._holdfast import Certificate
from holdfast.backup.make import make
from holdfast.backup.restore import restore
from holdfast.errors import ConfigurationError, HoldfastError
from holdfast.inbox import open_inbox
from holdfast.inbox.messages import NewMessage
from holdfast.inbox.sessions import Session
from holdfast.registry import open_registry
from holdfast.registry.closures import ClosureState, Kind, Named
from holdfast.registry.database import KIND, Database
from holdfast.registry.devices import Claim, Pin
from holdfast.registry.moves import State
from holdfast.registry.paths import path_of
from holdfast.registry.schema import challenges
from holdfast.settings import Settings

from ..registry.acts import dump, last_act, recorded
from ..support.hub import now, prove
from ..support.pki import NOW, Ca

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.backup.restore import Restored
    from holdfast.registry import Registry

HUB = "hub.test"
LATER = NOW + timedelta(hours=1)
ROOT = Ca.root("Company-X Root")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(hub=HUB, state_dir=tmp_path / "state")


def opened(settings: Settings) -> Registry:
    return open_registry(settings.registry_file, hub=HUB, tenant="default", at=NOW, create=True)  # type: ignore[return-value]


def opened_database(settings: Settings) -> Database:
    return Database.open(settings.registry_file, hub=HUB, at=int(NOW.timestamp()), create=True)


@contextmanager
def doctored(backup: Path, name: str) -> Iterator[sqlite3.Connection]:
    """A file of a backup, to be changed under a hash that is right."""
    with closing(sqlite3.connect(backup / name)) as raw, raw:
        yield raw
    table = json.loads((backup / "backup.json").read_text())
    table["files"][name] = hashlib.sha256((backup / name).read_bytes()).hexdigest()
    (backup / "backup.json").write_text(json.dumps(table))


def key(number: int) -> Named:
    return Named(Kind.KEY, bytes([number]) * 32)


def make_tenant(registry: Registry) -> None:
    with registry.database.writing(at=int(NOW.timestamp())) as transaction:
        transaction.make_tenant("default", "test")


def close(settings: Settings, number: int, *, revoke: bool = False) -> int:
    with opened(settings) as registry:
        make_tenant(registry)
        return registry.closures.close([key(number)], actor="test", at=NOW, revoke=revoke)


def pin(settings: Settings, device_id: str, issuer: int, leaf: int) -> None:
    """A device comes to a worker that knows all there is to know."""
    with opened(settings) as registry:
        known = {one.pin.device_id: one.pin for one in registry.devices.all()}.get(device_id)
        claim = Claim(
            pin=Pin(device_id=device_id, issuer_spki_sha256=bytes([issuer]) * 32, leaf_spki_sha256=bytes([leaf]) * 32),
            fingerprint=bytes(32),
            path=path_of([ROOT.der]),
            epoch=registry.cas.trust().epoch,
            before=known and (known.issuer_spki_sha256, known.leaf_spki_sha256),
        )
        assert registry.devices.claim([claim], at=NOW, chains=[[ROOT.der]]) == [None]


def pins(settings: Settings) -> dict[str, tuple[int, int]]:
    with opened(settings) as registry:
        return {
            one.pin.device_id: (one.pin.issuer_spki_sha256[0], one.pin.leaf_spki_sha256[0])
            for one in registry.devices.all()
        }


def back(settings: Settings, directory: Path) -> Restored:
    return restore(settings, directory, actor="operator", at=LATER)


def test_r01_what_was_revoked_or_closed_since_stays_so_whatever_the_backup_says(
    settings: Settings, tmp_path: Path
) -> None:
    """1 closed then revoked, 2 nothing then revoked, 3 nothing then closed, 4 closed then opened, 5 revoked before."""
    close(settings, 1), close(settings, 4), close(settings, 5, revoke=True)
    make(settings, tmp_path / "backup", at=NOW)
    close(settings, 1, revoke=True), close(settings, 2, revoke=True), close(settings, 3)
    with opened(settings) as registry:
        registry.closures.open(key(4), actor="test", at=NOW)
        before = registry.cas.trust().epoch
    back(settings, tmp_path / "backup")
    with opened(settings) as registry:
        states = {one.named.sha256[0]: one.state for one in registry.closures.list()}
        assert states == {
            1: ClosureState.REVOKED,
            2: ClosureState.REVOKED,
            3: ClosureState.CLOSED,
            4: ClosureState.CLOSED,
            5: ClosureState.REVOKED,
        }
        assert registry.cas.trust().epoch > before
        with pytest.raises(HoldfastError) as refused:
            registry.closures.open(key(2), actor="test", at=LATER)
        assert refused.value.code == "revoked_for_ever"


def succeed(settings: Settings, old: int, new: int, *, withdraw: bool = False, at: datetime = NOW) -> None:
    with opened(settings) as registry:
        make_tenant(registry)
        change = registry.successions.withdraw if withdraw else registry.successions.declare
        change(key(old), key(new), actor="test", at=at)


def successions(settings: Settings) -> dict[tuple[int, int], str]:
    with opened(settings) as registry:
        return {(one.old.sha256[0], one.new.sha256[0]): one.state.value for one in registry.successions.list()}


def test_a_succession_that_was_withdrawn_stays_so_whatever_the_other_side_says(
    settings: Settings, tmp_path: Path
) -> None:
    """1 to 2 withdrawn since, 3 to 4 withdrawn before and declared since, 5 to 6 declared since."""
    succeed(settings, 1, 2)
    succeed(settings, 3, 4), succeed(settings, 3, 4, withdraw=True)
    make(settings, tmp_path / "backup", at=NOW)
    succeed(settings, 1, 2, withdraw=True), succeed(settings, 3, 4), succeed(settings, 5, 6)
    back(settings, tmp_path / "backup")
    assert successions(settings) == {(1, 2): "withdrawn", (3, 4): "withdrawn", (5, 6): "declared"}


def test_a_succession_comes_back_where_the_state_was_lost_unless_life_went_on_the_other_way_round(
    settings: Settings, tmp_path: Path
) -> None:
    close(settings, 9)
    make(settings, tmp_path / "first", at=NOW)
    succeed(settings, 1, 2), succeed(settings, 3, 4)
    make(settings, tmp_path / "second", at=NOW)
    lost = Settings(hub=HUB, state_dir=tmp_path / "empty")
    lost.state_dir.mkdir(mode=0o700)
    back(lost, tmp_path / "first")
    succeed(lost, 2, 1, at=LATER)
    back(lost, tmp_path / "second")
    assert successions(lost) == {(1, 2): "withdrawn", (2, 1): "declared", (3, 4): "declared"}
    with opened(lost) as registry:
        assert registry.cas.trust().successions == {(key(2).sha256, key(1).sha256), (key(3).sha256, key(4).sha256)}


def test_e04_what_an_owner_took_from_an_issuer_since_does_not_go_back_to_it(settings: Settings, tmp_path: Path) -> None:
    """1 repinned, 2 succeeded, 3 rekeyed since; 4 repinned before and rekeyed since; 5 repinned before, came since."""
    close(settings, 9)
    for number in range(1, 6):
        pin(settings, f"widget-{number}", 1, number)
    with opened(settings) as registry:
        registry.devices.repin("widget-4", key(3), actor="test", at=NOW)
    pin(settings, "widget-4", 3, 4)
    with opened(settings) as registry:
        registry.devices.repin("widget-5", key(3), actor="test", at=NOW)
    make(settings, tmp_path / "backup", at=NOW)
    with opened(settings) as registry:
        registry.devices.repin("widget-1", key(2), actor="test", at=NOW)
    pin(settings, "widget-1", 2, 11)
    succeed(settings, 1, 2)
    pin(settings, "widget-2", 2, 12), pin(settings, "widget-3", 1, 13), pin(settings, "widget-4", 3, 14)
    pin(settings, "widget-5", 3, 15)
    back(settings, tmp_path / "backup")
    assert pins(settings) == {
        "widget-1": (2, 11),
        "widget-2": (2, 12),
        "widget-3": (1, 3),
        "widget-4": (3, 4),
        "widget-5": (3, 15),
    }
    # Where nothing is known of it, it is open as it was.
    lost = Settings(hub=HUB, state_dir=tmp_path / "empty")
    lost.state_dir.mkdir(mode=0o700)
    back(lost, tmp_path / "backup")
    assert pins(lost)["widget-5"] == (3, 0)


def test_r01_what_the_backup_revoked_is_revoked_where_the_state_was_lost(settings: Settings, tmp_path: Path) -> None:
    epoch = close(settings, 1, revoke=True)
    pin(settings, "widget-1", 1, 1)
    make(settings, tmp_path / "backup", at=NOW)
    lost = Settings(hub=HUB, state_dir=tmp_path / "empty")
    with opened(lost) as registry:  # the hub was started on the empty disk already
        assert recorded(registry) == []
    lost.state_dir.chmod(0o700)
    back(lost, tmp_path / "backup")
    with opened(settings) as old, opened(lost) as new:
        assert new.closures.closed() == old.closures.closed()
        assert new.cas.trust().epoch > epoch
        assert recorded(new)[:-1] == recorded(old)
        # It is that deployment from here on, and takes its backups again.
        assert dump(new)["deployment"][0]["id"] == dump(old)["deployment"][0]["id"]
    assert pins(lost) == {"widget-1": (1, 1)}
    back(lost, tmp_path / "backup")


def test_a_hub_that_nobody_was_registered_with_comes_back_as_well(settings: Settings, tmp_path: Path) -> None:
    """There is no tenant, so nobody of whom an act could tell; the deployment and its clock are the backup's."""
    floor = int((NOW + timedelta(days=10)).timestamp())
    with opened(settings) as registry, registry.database.writing(at=floor):
        pass
    make(settings, tmp_path / "backup", at=NOW)
    lost = Settings(hub=HUB, state_dir=tmp_path / "empty")
    lost.state_dir.mkdir(mode=0o700)
    for place in (settings, lost):
        done = back(place, tmp_path / "backup").merged
        assert (done.cas, done.devices, done.epochs) == (0, 0, {})
        with opened(settings) as old, opened(place) as new:
            assert dump(new)["deployment"] == dump(old)["deployment"]
            assert (recorded(new), new.database.clock_floor()) == ([], floor)


def test_pins_are_the_backups_and_devices_that_came_since_keep_theirs(settings: Settings, tmp_path: Path) -> None:
    close(settings, 9)
    pin(settings, "widget-1", 1, 1)
    make(settings, tmp_path / "backup", at=NOW)
    pin(settings, "widget-1", 1, 2)
    pin(settings, "widget-2", 1, 3)
    assert pins(settings) == {"widget-1": (1, 2), "widget-2": (1, 3)}
    back(settings, tmp_path / "backup")
    assert pins(settings) == {"widget-1": (1, 1), "widget-2": (1, 3)}


def test_cas_are_the_backups_but_none_is_trusted_that_is_not_trusted_now(settings: Settings, tmp_path: Path) -> None:
    """Kept as they were, then disabled, then deleted; one that was registered since, one that was being challenged."""
    cas = {name: Ca.root(name) for name in ("kept", "disabled", "deleted", "added", "challenged")}
    with opened(settings) as registry:
        for name in ("kept", "disabled", "deleted"):
            prove(registry, name, cas[name])
        registry.cas.add("challenged", cas["challenged"].pem, actor="test", at=now())
        registry.cas.challenge("challenged", actor="test", at=now())
    make(settings, tmp_path / "backup", at=NOW)
    with opened(settings) as registry:
        registry.cas.disable("disabled", actor="test", at=NOW)
        registry.cas.delete("deleted", actor="test", at=NOW)
        prove(registry, "added", cas["added"])
    done = back(settings, tmp_path / "backup")
    assert (done.merged.cas, done.merged.disabled, done.merged.removed) == (4, ["disabled"], ["added"])
    assert done.merged.unproven == ["deleted"]
    with opened(settings) as registry:
        assert {ca.name: ca.state for ca in registry.cas.list()} == {
            "kept": State.PROVEN,
            "disabled": State.DISABLED,
            "deleted": State.SUBMITTED,
            "challenged": State.SUBMITTED,
        }
        assert registry.cas.trust().anchors == (cas["kept"].der,)
        # A challenge is answered once, also by way of a backup (I5).
        assert registry.database.rows(select(challenges)) == []
        assert registry.cas.trust().closed[Kind.KEY] == {Named.of(Certificate(cas["disabled"].der)).sha256}
        registry.cas.enable("disabled", actor="test", at=LATER + timedelta(days=1))
        assert len(registry.cas.trust().anchors) == 2


def test_r01_what_was_disabled_since_stays_closed_also_where_the_backup_has_no_such_ca(
    settings: Settings, tmp_path: Path
) -> None:
    """factory, below company: added and disabled since; renewed, as it was added: nothing closes company's key."""
    company = Ca.root("company")
    factory, renewed = company.intermediate("factory"), Ca.root("company", key=company.key)
    key = Named.of(Certificate(factory.der))
    with opened(settings) as registry:
        prove(registry, "company", company)
        registry.cas.add("renewed", renewed.pem, actor="test", at=now())
    make(settings, tmp_path / "backup", at=NOW)
    with opened(settings) as registry:
        prove(registry, "factory", factory)
        registry.cas.disable("factory", actor="test", at=now())
        registry.cas.delete("renewed", actor="test", at=now())
    for _ in range(2):
        done = back(settings, tmp_path / "backup").merged
        assert (done.disabled, done.unproven, done.removed[:1]) == ([], ["renewed"], done.removed)
        with opened(settings) as registry:
            assert registry.cas.trust().closed[Kind.KEY] == {key.sha256}
            assert registry.closures.list()[0].reason == "CA 'factory' was disabled before a backup was restored"
            assert registry.cas.trust().anchors == (company.der,)


def test_r01_what_was_disabled_in_the_backup_closes_no_key_that_is_in_use(settings: Settings, tmp_path: Path) -> None:
    """The old root and its renewal have one key. Whatever comes back with less trust than it has here is said."""
    old, other = Ca.root("old"), Ca.root("other")
    renewed = Ca.root("renewed", key=old.key)
    with opened(settings) as registry:
        for name, ca in {"old": old, "other": other}.items():
            prove(registry, name, ca)
            registry.cas.disable(name, actor="test", at=now())
    make(settings, tmp_path / "backup", at=NOW)
    with opened(settings) as registry:
        registry.cas.enable("old", actor="test", at=now())
        registry.cas.delete("old", actor="test", at=now())
        registry.cas.enable("other", actor="test", at=now())
        prove(registry, "renewed", renewed)
    done = back(settings, tmp_path / "backup").merged
    assert (done.disabled, done.unproven) == (["other"], ["old"])
    with opened(settings) as registry:
        assert registry.cas.trust().closed[Kind.KEY] == {Named.of(Certificate(other.der)).sha256}


def test_the_clock_floor_never_goes_back_and_the_acts_stay_with_one_more(settings: Settings, tmp_path: Path) -> None:
    close(settings, 1)
    make(settings, tmp_path / "backup", at=NOW)
    floor = int((NOW + timedelta(days=10)).timestamp())
    with opened(settings) as registry, registry.database.writing(at=floor):
        pass
    close(settings, 2)
    with opened(settings) as registry:
        acts = recorded(registry)
    back(settings, tmp_path / "backup")
    with opened(settings) as registry:
        assert registry.database.clock_floor() == floor
        assert recorded(registry) == [*acts, ("registry.restored", NOW.isoformat())]
        act = last_act(registry)
        assert (act["actor"], act["tenant"]) == ("operator", "default")
        assert act["details"]["epoch"] == registry.cas.trust().epoch


def test_acts_of_two_lives_are_all_kept(settings: Settings, tmp_path: Path) -> None:
    """first backup ─▶ life A (its own backup) ; first backup ─▶ life B ◀─ A's backup"""
    close(settings, 1)
    make(settings, tmp_path / "first", at=NOW)
    close(settings, 2, revoke=True)
    pin(settings, "widget-1", 1, 1)
    make(settings, tmp_path / "a", at=NOW)
    second = Settings(hub=HUB, state_dir=tmp_path / "second")
    with opened(second):
        pass
    back(second, tmp_path / "first")
    close(second, 3, revoke=True)
    back(second, tmp_path / "a")
    with opened(second) as registry:
        actions = [action for action, _ in recorded(registry)]
        assert actions.count("branch.revoked") == 2
        assert actions.count("device.pinned") == 1
        assert actions.count("registry.restored") == 2
        assert {one.sha256[0] for one in (c.named for c in registry.closures.list())} == {1, 2, 3}
        assert registry.database.rows(select(challenges)) == []
    assert pins(second) == {"widget-1": (1, 1)}


def test_a_second_restore_changes_nothing_more_than_the_epochs(settings: Settings, tmp_path: Path) -> None:
    """first backup ─▶ first restored ─▶ second restored, twice; of two equal acts both are kept."""
    close(settings, 1)
    make(settings, tmp_path / "first", at=NOW)
    with opened(settings) as registry, registry.database.writing(at=int(NOW.timestamp())) as transaction:
        for _ in range(2):
            transaction.act("default", "test", "branch.closed", "equal")
    pin(settings, "widget-1", 1, 1)
    with opened(settings) as registry:
        prove(registry, "fy", ROOT)
        alive = recorded(registry)
    make(settings, tmp_path / "second", at=NOW)
    lost = Settings(hub=HUB, state_dir=tmp_path / "lost")
    lost.state_dir.mkdir(mode=0o700)
    back(lost, tmp_path / "first"), back(lost, tmp_path / "second")
    with opened(lost) as registry:
        once, shown = recorded(registry), dump(registry)
    assert [act for act in once if act[0] != "registry.restored"] == alive
    back(lost, tmp_path / "second")
    with opened(lost) as registry:
        assert recorded(registry) == [*once, once[-1]]
        again = dump(registry)
        assert again["acts"][:-1] == shown["acts"]
        assert again["devices"] == shown["devices"]
        (act,) = [act for act in again["acts"] if act["seq"] == again["devices"][0]["act"]]
        assert act["action"] == "device.pinned"


def test_an_older_registry_is_backed_up_as_it_is_and_comes_back_as_ours(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup before an upgrade, by the new version: the old one can still use what it leaves."""
    with monkeypatch.context() as past:
        past.setattr("holdfast.registry.database.KIND", replace(KIND, revision="0001"))
        opened_database(settings).close()
    with closing(sqlite3.connect(settings.registry_file)) as raw, raw:
        raw.execute("INSERT INTO tenants VALUES ('default', 1)")
        raw.execute("INSERT INTO acts VALUES (1, 'default', 0, 'test', 'branch.closed', 'x', '{}')")
    make(settings, tmp_path / "backup", at=NOW)
    for path in (settings.registry_file, tmp_path / "backup" / "registry.db"):
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    lost = Settings(hub=HUB, state_dir=tmp_path / "lost")
    lost.state_dir.mkdir(mode=0o700)
    back(lost, tmp_path / "backup")
    with opened(lost) as registry:
        assert recorded(registry)[0] == ("branch.closed", "x")


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("no_registry", "DROP TABLE alembic_version"),
        ("not_a_registry", "PRAGMA application_id = 1"),
        ("other_deployment", "UPDATE deployment SET hub = 'other.test'"),
        ("registry_newer", "UPDATE alembic_version SET version_num = '0009'"),
        ("registry_newer", "UPDATE alembic_version SET version_num = '*'"),
    ],
)
def test_what_is_not_ours_or_not_known_is_not_backed_up(
    settings: Settings, tmp_path: Path, code: str, change: str
) -> None:
    close(settings, 1)
    with closing(sqlite3.connect(settings.registry_file)) as raw, raw:
        raw.execute(change)
    before = settings.registry_file.read_bytes()
    with pytest.raises(ConfigurationError) as refused:
        make(settings, tmp_path / "backup", at=NOW)
    assert refused.value.code == code
    assert settings.registry_file.read_bytes() == before
    assert not (tmp_path / "backup").exists()


def test_another_deployments_backup_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    close(settings, 1)
    make(settings, tmp_path / "backup", at=NOW)
    other = Settings(hub=HUB, state_dir=tmp_path / "other")
    close(other, 2)
    with opened(other) as registry:
        before = dump(registry)
    with pytest.raises(ConfigurationError) as refused:
        back(other, tmp_path / "backup")
    assert refused.value.code == "other_deployment"
    with opened(other) as registry:
        assert dump(registry) == before


@pytest.mark.parametrize("file", ["registry.db", "inbox.db"])
def test_another_hubs_backup_changes_nothing_and_is_what_the_error_names(
    settings: Settings, tmp_path: Path, file: str
) -> None:
    close(settings, 1)
    with open_inbox(settings.inbox_file, hub=HUB, tenant="default", create=True):
        make(settings, tmp_path / "backup", at=NOW)
    with doctored(tmp_path / "backup", file) as raw:
        raw.execute("UPDATE deployment SET hub = 'elsewhere.test'")
    lost = Settings(hub=HUB, state_dir=tmp_path / "lost")
    lost.state_dir.mkdir()
    with pytest.raises(ConfigurationError) as refused:
        back(lost, tmp_path / "backup")
    assert refused.value.code == "other_deployment"
    assert str(tmp_path / "backup" / file) in refused.value.message
    assert list(lost.state_dir.iterdir()) == []


@pytest.mark.parametrize(("epoch", "comes_back"), [(1 << 62, True), ((1 << 62) + 1, False), ((1 << 63) - 1, False)])
def test_an_epoch_that_could_not_be_raised_is_refused_before_anything_is_made(
    settings: Settings, tmp_path: Path, *, epoch: int, comes_back: bool
) -> None:
    close(settings, 1)
    make(settings, tmp_path / "backup", at=NOW)
    with doctored(tmp_path / "backup", "registry.db") as raw:
        raw.execute("UPDATE tenants SET epoch = ?", [epoch])
    lost = Settings(hub=HUB, state_dir=tmp_path / "lost")
    lost.state_dir.mkdir(mode=0o700)
    if comes_back:
        assert back(lost, tmp_path / "backup").merged.epochs == {"default": epoch + 1}
        return
    with pytest.raises(ConfigurationError) as refused:
        back(lost, tmp_path / "backup")
    assert refused.value.code == "backup_damaged"
    assert list(lost.state_dir.iterdir()) == []


def test_messages_come_back_unless_the_inbox_knows_better(settings: Settings, tmp_path: Path) -> None:
    def inbox(settings: Settings) -> object:
        return open_inbox(settings.inbox_file, hub=HUB, tenant="default", create=True)

    def send(*names: str) -> None:
        with inbox(settings) as opened:  # type: ignore[attr-defined]
            for name in names:
                opened.messages.send("widget-1", NewMessage(message_id=name, payload=b""), at=NOW)

    def waiting(settings: Settings) -> list[str]:
        with inbox(settings) as opened, opened.database.writing() as transaction:  # type: ignore[attr-defined]
            found = opened.messages.hand_out(
                transaction, "widget-1", after=0, count_max=100, bytes_max=1_000, at=int(NOW.timestamp())
            )
            return [one.system_properties.split('"')[3] for one in found.messages]

    close(settings, 1)
    send("taken", "waiting")
    with inbox(settings) as opened, opened.database.writing() as transaction:  # type: ignore[attr-defined]
        kept = Session(inbox_qos=1, expiry_seconds=100, ends_at=None)
        opened.sessions.keep(transaction, [("widget-1", kept)], worker=0)
    make(settings, tmp_path / "backup", at=NOW)
    with inbox(settings) as opened, opened.database.writing() as transaction:  # type: ignore[attr-defined]
        (first, *_) = opened.messages.hand_out(
            transaction, "widget-1", after=0, count_max=1, bytes_max=1, at=int(NOW.timestamp())
        ).messages
        opened.messages.complete(transaction, [first.id])
    send("since")
    assert back(settings, tmp_path / "backup").messages == 0
    assert waiting(settings) == ["waiting", "since"]
    lost = Settings(hub=HUB, state_dir=tmp_path / "lost")
    lost.state_dir.mkdir(mode=0o700)
    assert back(lost, tmp_path / "backup").messages == 2
    assert waiting(lost) == ["taken", "waiting"]
    with inbox(lost) as opened:  # type: ignore[attr-defined]
        session = opened.sessions.find("widget-1", at=int(LATER.timestamp()))
        assert session == Session(inbox_qos=1, expiry_seconds=100, ends_at=int(LATER.timestamp()) + 100)
        opened.messages.send("widget-1", NewMessage(message_id="next", payload=b""), at=NOW)
    assert waiting(lost) == ["taken", "waiting", "next"]
