"""What two dataset versions differ in, row by row."""

from __future__ import annotations

from typing import Literal

from burnish.records.example import Split
from burnish.records.record import Record

Change = Literal["added", "removed", "relabelled", "redacted", "moved"]


class RowChange(Record):
    """One text that differs. `by` is who changed it, `because` how: a file, feedback, an edit with its finding, or why
    the row is kept out. What does not apply is None: an added row has no `split_before`.
    """

    change: Change
    where: str
    text: str
    label_before: str | None = None
    label_after: str | None = None
    split_before: Split | None = None
    split_after: Split | None = None
    by: str = ""
    because: str = ""


class DatasetDiff(Record):
    """From `before` to `after`: how many rows changed how, and each of them. "moved" must be 0."""

    before: str
    after: str
    counts: dict[Change, int]
    unchanged: int
    changes: tuple[RowChange, ...]


class Stood(Record):
    """A row in one version: its split and label, or why it was kept out (`reason`), and who said so."""

    dataset_id: str
    number: int
    at: str
    where: str
    text: str
    split: Split | None
    label: str | None
    by: str
    edits: tuple[str, ...] = ()
    reason: str = ""
