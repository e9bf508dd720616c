"""Where alembic starts: it is handed an open connection, never a URL of its own."""

from __future__ import annotations

from alembic import context

from burnish.store.tables import METADATA

# Outside a migration (a tool that imports every module) alembic's context is empty.
config = getattr(context, "config", None)
if config is not None:
    context.configure(
        connection=config.attributes["connection"],
        target_metadata=METADATA,
        # SQLite rolls DDL back too once Python's own transaction handling is off; the ledger sees to it.
        transactional_ddl=True,
    )
    context.run_migrations()
