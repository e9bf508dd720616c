"""A dataset: which rows, in which split, from which ancestor; immutable and addressed by content."""

from __future__ import annotations

from typing import Literal

from burnish.records.example import Split
from burnish.records.record import Record

Severity = Literal["error", "warning", "note"]


class Issue(Record):
    """Something a check found: what, how many, in which rows, and the command or edit that mends it.

    `rows` holds at most 20 places ("tickets.csv:812"); `count` is always the full number.
    """

    code: str
    severity: Severity
    what: str
    count: int
    rows: tuple[str, ...] = ()
    fix: str = ""


class Rejection(Record):
    """A row that was read and not used, with the reason."""

    where: str
    reason: str
    detail: str = ""


class DataFile(Record):
    """A file that rows came from; `name` is relative to task.toml, never an absolute path.

    `shape` is what its JSON objects were read as ("plain", "label-studio"); None for tables.
    """

    name: str
    sha256: str
    encoding: str | None = None
    rows: int
    split: Split | None = None
    shape: str | None = None


class SplitCount(Record):
    """How many rows a split holds, and how many per label name."""

    split: Split
    rows: int
    labels: dict[str, int]


class SplitRule(Record):
    """What a lineage's splits go by: versions with another rule cannot inherit them.

    `inputs` make a text, `group` is the column that no split divides. With the method "time" the column `time`
    decides: a row at or after `after["test"]` tests, one at or after `after["validation"]` validates (ISO 8601, UTC).
    """

    method: Literal["random", "time"] = "random"
    inputs: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    after: dict[Split, str] = {}


class Dataset(Record):
    """Rows in = used + rejected with reason. `shares` are train, validation, test fractions.

    `id` is the content hash of task, salt, parent and the rows with their splits, and of what it remembers of its
    ancestors. `number` counts the versions of a task's name from 1. `made_from` is the hash of everything it was
    made of (rows as read, edits, feedback, settings), "" where that is not all it holds. `edits` are the ids of the
    edits that acted. Versions made before lineages have neither name, number nor rule.
    """

    id: str
    task_id: str
    parent_id: str | None
    salt: str
    shares: tuple[float, float, float]
    files: tuple[DataFile, ...]
    rows_in: int
    rows_used: int
    rejected: dict[str, int]
    counts: tuple[SplitCount, ...]
    rows_sha256: str
    issues: tuple[Issue, ...]
    at: str
    task_name: str = ""
    number: int = 0
    made_from: str = ""
    rule: SplitRule | None = None
    edits: tuple[str, ...] = ()
