"""Runs migrations in the transaction that `database.py` has begun; nothing else ever calls alembic."""

from __future__ import annotations

from alembic import context

from holdfast.inbox.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
