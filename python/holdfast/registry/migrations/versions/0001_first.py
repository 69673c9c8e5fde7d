"""Tenants, CAs with their challenges, device pins and the paths they came by, closures, acts.

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
        "acts",
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("at", NUMBER, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("acts_pkey")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_table(
        "deployment",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hub", sa.Text(), nullable=False),
        sa.Column("created_at", NUMBER, nullable=False),
        sa.Column("clock_floor", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("deployment_pkey")),
        sqlite_strict=True,
    )
    op.create_table(
        "tenants",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("epoch", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("tenants_pkey")),
        sqlite_strict=True,
    )
    op.create_table(
        "cas",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", NUMBER, nullable=False),
        sa.Column("updated_at", NUMBER, nullable=False),
        sa.Column("proof", sa.Text(), nullable=True),
        sa.Column("proven_at", NUMBER, nullable=True),
        sa.Column("evidence", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "(proof IS NULL) = (state IN ('submitted', 'challenged')) AND (proof IS NULL) = (proven_at IS NULL) AND (proof IS NULL) = (evidence IS NULL)",
            name=op.f("cas_proven_check"),
        ),
        sa.CheckConstraint("proof IN ('issuance', 'signature')", name=op.f("cas_proof_check")),
        sa.CheckConstraint("state IN ('submitted', 'challenged', 'proven', 'disabled')", name=op.f("cas_state_check")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("cas_tenant_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("cas_pkey")),
        sa.UniqueConstraint("tenant", "fingerprint", name=op.f("cas_tenant_fingerprint_key")),
        sa.UniqueConstraint("tenant", "name", name=op.f("cas_tenant_name_key")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_table(
        "certificates",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("certificates_tenant_fkey")),
        sa.PrimaryKeyConstraint("tenant", "fingerprint", name=op.f("certificates_pkey")),
        sqlite_strict=True,
    )
    op.create_index(op.f("certificates_by_tenant_spki_sha256"), "certificates", ["tenant", "spki_sha256"], unique=False)
    op.create_table(
        "paths",
        sa.Column("path_id", NUMBER, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("certificates", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("paths_tenant_fkey")),
        sa.PrimaryKeyConstraint("path_id", name=op.f("paths_pkey")),
        sa.UniqueConstraint("tenant", "certificates", name=op.f("paths_tenant_certificates_key")),
        sqlite_strict=True,
    )
    op.create_table(
        "devices",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("folded_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("issuer_spki_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_spki_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("path_id", NUMBER, nullable=False),
        sa.Column("act", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["act"], ["acts.seq"], name=op.f("devices_act_fkey")),
        sa.ForeignKeyConstraint(["path_id"], ["paths.path_id"], name=op.f("devices_path_id_fkey")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("devices_tenant_fkey")),
        sa.PrimaryKeyConstraint("tenant", "folded_id", name=op.f("devices_pkey")),
        sqlite_strict=True,
    )
    op.create_index(op.f("devices_by_tenant_act"), "devices", ["tenant", "act"], unique=False)
    op.create_index(op.f("devices_by_path_id"), "devices", ["path_id"], unique=False)
    op.create_index(op.f("devices_by_tenant_leaf_spki_sha256"), "devices", ["tenant", "leaf_spki_sha256"], unique=False)
    op.create_table(
        "closures",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_at", NUMBER, nullable=False),
        sa.CheckConstraint("kind IN ('key', 'certificate')", name=op.f("closures_kind_check")),
        sa.CheckConstraint("state IN ('closed', 'open', 'revoked')", name=op.f("closures_state_check")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("closures_tenant_fkey")),
        sa.PrimaryKeyConstraint("tenant", "kind", "sha256", name=op.f("closures_pkey")),
        sqlite_strict=True,
    )
    op.create_table(
        "challenges",
        sa.Column("challenge_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("ca_id", NUMBER, nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("certificate_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", NUMBER, nullable=False),
        sa.Column("attempts", NUMBER, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'consumed', 'superseded', 'void')", name=op.f("challenges_state_check")),
        sa.ForeignKeyConstraint(["ca_id"], ["cas.id"], name=op.f("challenges_ca_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("challenges_tenant_fkey")),
        sa.PrimaryKeyConstraint("challenge_id", name=op.f("challenges_pkey")),
        sqlite_strict=True,
    )
    op.create_index(op.f("challenges_by_ca_id"), "challenges", ["ca_id"], unique=False)
