"""The inbox's tables. `migrations/` brings a database to this; a test holds the two against each other.

Every table but `deployment` has a tenant column. Times are whole seconds since the epoch, properties are JSON objects
of texts and nulls. Nothing here is trust: losing the file costs messages and subscriptions, and lets nobody in.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

# SQLite's strict tables know one integer type, and only that one counts up by itself.
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "pk": "%(table_name)s_pkey",
    }
)

# One row: whose inbox this is.
deployment = Table("deployment", metadata, Column("hub", Text, primary_key=True), sqlite_strict=True)

# MQTT sessions that outlive their connections.
sessions = Table(
    "sessions",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("device_id", Text, primary_key=True),
    # The QoS of the subscription to the device's own inbox, if it has one.
    Column("inbox_qos", NUMBER),
    # How long it outlives a connection; null: for ever.
    Column("expiry_seconds", NUMBER),
    # When it ends; null while its device is connected, or when nothing ends it.
    Column("ends_at", NUMBER),
    # Of sessions that end: the worker that has the connection.
    Column("worker", NUMBER),
    CheckConstraint("inbox_qos IN (0, 1)", name="qos"),
    Index(None, "ends_at"),
    sqlite_strict=True,
)

# Messages for devices, until they are acknowledged, or of no use any more.
messages = Table(
    "messages",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("device_id", Text, nullable=False),
    # Counts up for each device: the packet identifier is made of it.
    Column("number", NUMBER, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("enqueued_at", NUMBER, nullable=False),
    Column("expires_at", NUMBER),
    # How often it was handed out to be sent.
    Column("deliveries", NUMBER, nullable=False),
    Column("system_properties", Text, nullable=False),
    Column("properties", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    UniqueConstraint("tenant", "device_id", "number"),
    UniqueConstraint("tenant", "device_id", "message_id"),
    Index(None, "expires_at"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

# The last number of each device that was ever sent a message.
numbers = Table(
    "numbers",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("device_id", Text, primary_key=True),
    Column("last", NUMBER, nullable=False),
    sqlite_strict=True,
)

# What is to be published in the name of devices whose connection is lost.
wills = Table(
    "wills",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("device_id", Text, primary_key=True),
    # Who publishes it; null when that worker is gone.
    Column("worker", NUMBER),
    Column("delay_seconds", NUMBER, nullable=False),
    # Null while its device is connected.
    Column("due_at", NUMBER),
    # The path under which its device was let in: the anchor's fingerprint, and when it ends.
    Column("anchor", LargeBinary, nullable=False),
    # SHA-256 of each certificate and each key on that path, one after another: none of them may be closed.
    Column("vouchers", LargeBinary, nullable=False, server_default=text("X''")),
    Column("not_after", NUMBER, nullable=False),
    Column("expires_in_seconds", NUMBER),
    Column("system_properties", Text, nullable=False),
    Column("properties", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Index(None, "worker"),
    sqlite_strict=True,
)
