"""Who has vouched for the devices that left wills."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Of wills that an earlier version has kept only the anchor is known.
    op.add_column("wills", sa.Column("vouchers", sa.LargeBinary(), nullable=False, server_default=sa.text("X''")))
