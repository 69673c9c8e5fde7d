"""`holdfast record list`: who did what, when and why."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.registry import open_registry
from holdfast.registry.closures import Kind, Named

from ..support.pki import Ca

if TYPE_CHECKING:
    from pathlib import Path

ROOT = Ca.root("Company-X Root")
AT = datetime.now(UTC).replace(microsecond=0)
KEY = Named(Kind.KEY, b"\x07" * 32)


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA is added, and a key closed a minute later; another tenant has a CA of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holdfast.toml").write_text('hub = "hub.test"\n')
    path = tmp_path / "state" / "registry.db"
    for tenant in ("default", "other"):
        with open_registry(path, hub="hub.test", tenant=tenant, at=AT, create=True) as registry:
            registry.cas.add(f"root-of-{tenant}", ROOT.pem, actor="alice", at=AT)
    with open_registry(path, hub="hub.test", tenant="default", at=AT, create=False) as registry:
        registry.closures.close([KEY], actor="bob", at=AT + timedelta(minutes=1), reason="stolen \x1b[2J")


def record(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "holdfast", "record", "list", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done
    return done


def answer(*words: str) -> Any:
    return json.loads(record("--json", *words).stdout)


def told(*words: str) -> list[tuple[str, str, str, str]]:
    return [(one["actor"], one["action"], one["subject"], one["reason"]) for one in answer(*words)]


def test_acts_are_listed_with_their_actor_and_reason_the_newest_last() -> None:
    closed = ("bob", "branch.closed", KEY.sha256.hex(), "stolen \x1b[2J")
    created, added = ("alice", "tenant.created", "default", ""), ("alice", "ca.added", "root-of-default", "")
    assert told() == [created, added, closed]
    assert told("--since", (AT + timedelta(seconds=1)).isoformat()) == [closed]
    assert told("--last", "2") == [added, closed]
    assert told("--last", "1", "--subject", "Company-X Root") == [added]
    assert record("--last", "0", status=2).stderr
    assert told("--subject", "0707") == [closed]
    assert told("--subject", "Company-X Root") == [added]
    assert told("--subject", "%") == []
    assert [one[2] for one in told("--tenant", "other")] == ["other", "root-of-other"]
    (last,) = answer("--subject", "0707")
    assert (last["at"], last["details"]["reason"]) == ((AT + timedelta(minutes=1)).isoformat(), closed[3])


def test_a_person_reads_a_table_that_moves_no_cursor() -> None:
    shown = record().stdout
    assert "stolen \\x1b[2J" in shown
    assert "\x1b" not in shown
    assert record("--subject", "nothing").stderr == "nothing of that was ever done\n"
    assert json.loads(record("--json", "--tenant", "third", status=3).stderr)["error"] == "unknown_tenant"
