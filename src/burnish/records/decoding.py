"""How a model that writes text chooses its tokens."""

from __future__ import annotations

from pydantic import Field

from burnish.records.record import Record

# Longer answers than any model here was trained to give.
MOST_NEW_TOKENS = 8192
MOST_SCHEMA_CHARACTERS = 64 << 10


class Decoding(Record):
    """Greedy unless `temperature` is above 0; with `beams` above 1 the likeliest of that many beams.

    Units: `max_new_tokens` tokens, the stop token among them. `top_p` is the share of probability that is drawn from,
    `stop` are texts that end an answer and do not belong to it, `seed` decides what is drawn. With `json_schema`, the text
    of a JSON schema, only tokens that keep it may come.
    """

    max_new_tokens: int = Field(default=256, ge=1, le=MOST_NEW_TOKENS)
    temperature: float = Field(default=0.0, ge=0, le=10, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0, le=1)
    beams: int = Field(default=1, ge=1, le=16)
    repetition_penalty: float = Field(default=1.0, gt=0, le=10, allow_inf_nan=False)
    stop: tuple[str, ...] = Field(default=(), max_length=16)
    seed: int = 0
    json_schema: str | None = Field(default=None, max_length=MOST_SCHEMA_CHARACTERS)
