"""The ledger's tables as SQLAlchemy sees them. The migrations make them; a test keeps the two equal."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint

METADATA = MetaData()


def _sequence() -> Column[int]:
    return Column("sequence", Integer, primary_key=True, autoincrement=True)


def _texts(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


EVENTS = Table(
    "events",
    METADATA,
    _sequence(),
    *_texts("kind", "subject", "by", "at", "payload", "digest"),
    Index("events_kind", "kind", "sequence"),
    sqlite_autoincrement=True,
)

PREDICTIONS = Table(
    "predictions",
    METADATA,
    _sequence(),
    Column("id", Text, nullable=False, unique=True),
    *_texts("version", "input_id", "labels"),
    Column("confidence", Float, nullable=False),
    *_texts("scores"),
    Column("dropped_characters", Integer, nullable=False),
    Column("latency_ms", Float, nullable=False),
    Column("audit", Integer, nullable=False),
    *_texts("at", "digest"),
    Index("predictions_version", "version", "sequence"),
    sqlite_autoincrement=True,
)

TEXTS = Table(
    "texts",
    METADATA,
    Column("owner", Text, primary_key=True),
    *_texts("at", "inputs", "digest"),
    Index("texts_at", "at"),
)

FEEDBACK = Table(
    "feedback",
    METADATA,
    _sequence(),
    Column("id", Text, nullable=False, unique=True),
    *_texts("prediction_id"),
    Column("right", Integer, nullable=False),
    Column("labels", Text, nullable=True),
    *_texts("by", "chosen", "at", "digest"),
    Index("feedback_prediction", "prediction_id"),
    sqlite_autoincrement=True,
)

REPLIES = Table(
    "replies",
    METADATA,
    _sequence(),
    *_texts("since", "until", "counts", "digest"),
    Index("replies_until", "until"),
    sqlite_autoincrement=True,
)

SHADOW_ANSWERS = Table(
    "shadow_answers",
    METADATA,
    _sequence(),
    *_texts("prediction_id", "version", "labels"),
    Column("confidence", Float, nullable=False),
    *_texts("scores"),
    Column("latency_ms", Float, nullable=False),
    *_texts("at", "digest"),
    UniqueConstraint("prediction_id", "version"),
    Index("shadow_answers_version", "version", "sequence"),
    sqlite_autoincrement=True,
)

WINDOWS = Table(
    "windows",
    METADATA,
    _sequence(),
    *_texts("version"),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    *_texts("level", "at", "payload", "digest"),
    UniqueConstraint("version", "first"),
    sqlite_autoincrement=True,
)
