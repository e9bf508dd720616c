"""One labelled row and where it came from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from burnish.records.label import Label
from burnish.records.record import Record, content_id

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Source(Record):
    """May this row enter an honest test? `where` is "tickets.csv:812" (physical line) or "prediction:9f2c".

    Rows `chosen` because a model was unsure ("uncertain", "disputed") may only enter train. `edits` are the ids of
    the edits that made the row what it is, `was` the input_id it had before one redacted its text.
    """

    where: str
    by: str = "importer"
    chosen: Literal["all", "random", "uncertain", "disputed"] = "all"
    at: str | None = None
    edits: tuple[str, ...] = ()
    was: str | None = None


class Example(Record):
    """One row: inputs by column name, the label or None, and every other column kept for slices.

    `row_id` is unique per physical row (source and content); `input_id` is the hash of the inputs
    alone, so rows with the same text share it and conflicts show.
    """

    row_id: str
    input_id: str
    inputs: dict[str, str]
    label: Label | None
    source: Source
    group: str | None = None
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    columns: dict[str, str] = {}


def input_id(inputs: dict[str, str]) -> str:
    """The identity of what the model is asked, whatever the answer."""
    return content_id(inputs)


def row_id(*, where: str, inputs: dict[str, str], label: str | None) -> str:
    """The identity of one physical row."""
    return content_id([where, inputs, label])
