"""The ledger's tables as SQLAlchemy sees them. The migrations make them; a test keeps the two equal."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, Table, Text

METADATA = MetaData()

EVENTS = Table(
    "events",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Index("events_kind", "kind", "sequence"),
    sqlite_autoincrement=True,
)

PREDICTIONS = Table(
    "predictions",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("version", Text, nullable=False),
    Column("input_id", Text, nullable=False),
    Column("inputs", Text, nullable=True),
    Column("labels", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("scores", Text, nullable=False),
    Column("dropped_characters", Integer, nullable=False),
    Column("latency_ms", Float, nullable=False),
    Column("at", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Index("predictions_version", "version", "sequence"),
    sqlite_autoincrement=True,
)
