"""The registry's tables. `migrations/` brings a database to this; a test holds the two against each other.

Every table but `deployment` has a tenant column, and every row that is changed has its row in `acts`, written in the
same transaction (I10). Times are whole seconds since the epoch, hashes are SHA-256, lists of hashes are concatenated.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

# SQLite's strict tables know one integer type, and only that one counts up by itself.
NUMBER = BigInteger().with_variant(Integer(), "sqlite")
HASH = LargeBinary()

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

# One row: whose registry this is, and the highest time that it has seen.
deployment = Table(
    "deployment",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hub", Text, nullable=False),
    Column("created_at", NUMBER, nullable=False),
    Column("clock_floor", NUMBER, nullable=False),
    sqlite_strict=True,
)

tenants = Table(
    "tenants",
    metadata,
    Column("tenant", Text, primary_key=True),
    # Rises with each change after which somebody who was admitted might no longer be (trust.md §5.2).
    Column("epoch", NUMBER, nullable=False),
    sqlite_strict=True,
)

cas = Table(
    "cas",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("tenant", Text, ForeignKey("tenants.tenant"), nullable=False),
    Column("name", Text, nullable=False),
    # Another with each change: whoever changes a CA says which one they looked at.
    Column("etag", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("fingerprint", HASH, nullable=False),
    Column("spki_sha256", HASH, nullable=False),
    Column("created_at", NUMBER, nullable=False),
    Column("updated_at", NUMBER, nullable=False),
    # How possession was proven, when, and the certificate or signature that proved it.
    Column("proof", Text),
    Column("proven_at", NUMBER),
    Column("evidence", LargeBinary),
    UniqueConstraint("tenant", "name"),
    UniqueConstraint("tenant", "fingerprint"),
    CheckConstraint("state IN ('submitted', 'challenged', 'proven', 'disabled')", name="state"),
    CheckConstraint("proof IN ('issuance', 'signature')", name="proof"),
    CheckConstraint(
        "(proof IS NULL) = (state IN ('submitted', 'challenged')) AND (proof IS NULL) = (proven_at IS NULL)"
        " AND (proof IS NULL) = (evidence IS NULL)",
        name="proven",
    ),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

challenges = Table(
    "challenges",
    metadata,
    Column("challenge_id", Text, primary_key=True),
    Column("tenant", Text, ForeignKey("tenants.tenant"), nullable=False),
    Column("ca_id", NUMBER, ForeignKey("cas.id", ondelete="CASCADE"), nullable=False),
    # The CA as it was challenged: a proof for another state of it is no proof (O10).
    Column("etag", Text, nullable=False),
    Column("certificate_sha256", HASH, nullable=False),
    Column("spki_sha256", HASH, nullable=False),
    Column("code", Text, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("expires_at", NUMBER, nullable=False),
    Column("attempts", NUMBER, nullable=False),
    Column("state", Text, nullable=False),
    Index(None, "ca_id"),
    CheckConstraint("state IN ('open', 'consumed', 'superseded', 'void')", name="state"),
    sqlite_strict=True,
)

# CAs that stood in admitted paths, registered or not, and those by whose files branches were closed or opened, or
# successions declared: what a fingerprint names, and whose key it is.
certificates = Table(
    "certificates",
    metadata,
    Column("tenant", Text, ForeignKey("tenants.tenant"), primary_key=True),
    Column("fingerprint", HASH, primary_key=True),
    Column("spki_sha256", HASH, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Index(None, "tenant", "spki_sha256"),
    sqlite_strict=True,
)

# Ways by which devices were admitted: fingerprints of `certificates`, the device's issuer first, the anchor last.
paths = Table(
    "paths",
    metadata,
    Column("path_id", NUMBER, primary_key=True),
    Column("tenant", Text, ForeignKey("tenants.tenant"), nullable=False),
    Column("certificates", LargeBinary, nullable=False),
    UniqueConstraint("tenant", "certificates"),
    sqlite_strict=True,
)

# Who vouched for a device first: its identity stays with that key (trust.md §3.2).
devices = Table(
    "devices",
    metadata,
    Column("tenant", Text, ForeignKey("tenants.tenant"), primary_key=True),
    Column("folded_id", Text, primary_key=True),
    Column("device_id", Text, nullable=False),
    Column("issuer_spki_sha256", HASH, nullable=False),
    Column("leaf_spki_sha256", HASH, nullable=False),
    # The certificate that was admitted first with these keys, and its path.
    Column("fingerprint", HASH, nullable=False),
    Column("path_id", NUMBER, ForeignKey("paths.path_id"), nullable=False),
    # 1: its owner has pinned it anew, and no device has come by that issuer yet; its own key, certificate and path are
    # those of before.
    Column("pending", NUMBER, nullable=False, server_default="0"),
    # The act that last changed this row: what workers ask for is what came after the last one they know.
    Column("act", NUMBER, ForeignKey("acts.seq"), nullable=False),
    Index(None, "tenant", "act"),
    Index(None, "path_id"),
    Index(None, "tenant", "leaf_spki_sha256"),
    sqlite_strict=True,
)

# What may stand in no path (trust.md §5.1). Rows are never deleted; the state of a revoked one never changes again.
closures = Table(
    "closures",
    metadata,
    Column("tenant", Text, ForeignKey("tenants.tenant"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("sha256", HASH, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at", NUMBER, nullable=False),
    CheckConstraint("kind IN ('key', 'certificate')", name="kind"),
    CheckConstraint("state IN ('closed', 'open', 'revoked')", name="state"),
    sqlite_strict=True,
)

# Issuing keys that an owner has declared the successors of others (trust.md §3.2). Rows are never deleted.
successions = Table(
    "successions",
    metadata,
    Column("tenant", Text, ForeignKey("tenants.tenant"), primary_key=True),
    Column("old_spki_sha256", HASH, primary_key=True),
    Column("new_spki_sha256", HASH, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at", NUMBER, nullable=False),
    CheckConstraint("state IN ('declared', 'withdrawn')", name="state"),
    sqlite_strict=True,
)

# What was done, by whom; rows are only ever added.
acts = Table(
    "acts",
    metadata,
    Column("seq", NUMBER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("at", NUMBER, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    # A JSON object.
    Column("details", Text, nullable=False),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)
