"""Sessions, messages and their numbers, wills.

Frozen: what a database of revision 0001 looks like must never change, however `schema.py` moves on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "deployment",
        sa.Column("hub", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hub", name=op.f("deployment_pkey")),
        sqlite_strict=True,
    )
    op.create_table(
        "sessions",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("inbox_qos", NUMBER, nullable=True),
        sa.Column("expiry_seconds", NUMBER, nullable=True),
        sa.Column("ends_at", NUMBER, nullable=True),
        sa.Column("worker", NUMBER, nullable=True),
        sa.CheckConstraint("inbox_qos IN (0, 1)", name=op.f("sessions_qos_check")),
        sa.PrimaryKeyConstraint("tenant", "device_id", name=op.f("sessions_pkey")),
        sqlite_strict=True,
    )
    op.create_index(op.f("sessions_by_ends_at"), "sessions", ["ends_at"], unique=False)
    op.create_table(
        "messages",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("enqueued_at", NUMBER, nullable=False),
        sa.Column("expires_at", NUMBER, nullable=True),
        sa.Column("deliveries", NUMBER, nullable=False),
        sa.Column("system_properties", sa.Text(), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("messages_pkey")),
        sa.UniqueConstraint("tenant", "device_id", "message_id", name=op.f("messages_tenant_device_id_message_id_key")),
        sa.UniqueConstraint("tenant", "device_id", "number", name=op.f("messages_tenant_device_id_number_key")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index(op.f("messages_by_expires_at"), "messages", ["expires_at"], unique=False)
    op.create_table(
        "numbers",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("last", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device_id", name=op.f("numbers_pkey")),
        sqlite_strict=True,
    )
    op.create_table(
        "wills",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("worker", NUMBER, nullable=True),
        sa.Column("delay_seconds", NUMBER, nullable=False),
        sa.Column("due_at", NUMBER, nullable=True),
        sa.Column("anchor", sa.LargeBinary(), nullable=False),
        sa.Column("not_after", NUMBER, nullable=False),
        sa.Column("expires_in_seconds", NUMBER, nullable=True),
        sa.Column("system_properties", sa.Text(), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device_id", name=op.f("wills_pkey")),
        sqlite_strict=True,
    )
    op.create_index(op.f("wills_by_worker"), "wills", ["worker"], unique=False)
