"""Which columns of each table a row's seal covers, in this order: changing a line here breaks old ledgers."""

from __future__ import annotations

from collections.abc import Mapping

EVENTS = ("kind", "subject", "by", "at", "payload")
PREDICTIONS = (
    "id",
    "version",
    "input_id",
    "labels",
    "confidence",
    "scores",
    "dropped_characters",
    "latency_ms",
    "audit",
    "at",
)
# The only table that holds people's words; everything else names them by id.
TEXTS = ("owner", "at", "inputs")
FEEDBACK = ("id", "prediction_id", "right", "labels", "by", "chosen", "at")
REPLIES = ("since", "until", "counts")
SHADOW_ANSWERS = ("prediction_id", "version", "labels", "confidence", "scores", "latency_ms", "at")
WINDOWS = ("version", "first", "last", "level", "at", "payload")

# Sealed row by row; events are bound to their places besides.
SEALED: Mapping[str, tuple[str, ...]] = {
    "predictions": PREDICTIONS,
    "texts": TEXTS,
    "feedback": FEEDBACK,
    "replies": REPLIES,
    "shadow_answers": SHADOW_ANSWERS,
    "windows": WINDOWS,
}
