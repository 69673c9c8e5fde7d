"""Declared successors of issuing keys, and devices that their owner has pinned anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("devices", sa.Column("pending", NUMBER, nullable=False, server_default="0"))
    op.create_table(
        "successions",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("old_spki_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("new_spki_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_at", NUMBER, nullable=False),
        sa.CheckConstraint("state IN ('declared', 'withdrawn')", name=op.f("successions_state_check")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("successions_tenant_fkey")),
        sa.PrimaryKeyConstraint("tenant", "old_spki_sha256", "new_spki_sha256", name=op.f("successions_pkey")),
        sqlite_strict=True,
    )
