"""What was done in a tenant, by whom, when and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from holdfast.registry.schema import acts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.registry.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One change of the registry, as it was recorded with it (I10)."""

    number: int
    at: datetime
    actor: str
    """The account whose process it was, or a part of the hub."""
    action: str
    subject: str
    """The CA's name, the device's id, or the SHA-256 of what was closed."""
    details: Mapping[str, Any]

    @property
    def reason(self) -> str:
        """What `--reason` said."""
        return str(self.details.get("reason") or "")


class Record:
    """The acts of `tenant`."""

    def __init__(self, database: Database, *, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    def list(
        self, *, since: datetime | None = None, subject: str | None = None, last: int | None = None
    ) -> Sequence[Act]:
        """All of them, the newest last. Each device's first admission is one.

        Those from `since` on, about what has `subject` in its name or details; of these the last so many.
        """
        statement = select(acts).where(acts.c.tenant == self._tenant).order_by(acts.c.seq.desc()).limit(last)
        if since is not None:
            statement = statement.where(acts.c.at >= since.timestamp())
        if subject is not None:
            as_json = json.dumps(subject)[1:-1]
            said = ((acts.c.subject, subject), (acts.c.details, as_json))
            statement = statement.where(or_(*(column.contains(text, autoescape=True) for column, text in said)))
        return [_act(row) for row in reversed(self._database.rows(statement))]


def _act(row: Mapping[str, Any]) -> Act:
    return Act(
        number=row["seq"],
        at=datetime.fromtimestamp(row["at"], UTC),
        actor=row["actor"],
        action=row["action"],
        subject=row["subject"],
        details=json.loads(row["details"]),
    )
