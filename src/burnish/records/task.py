"""The task: what counts as right. Nothing about training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from burnish.records.record import Record, content_id

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
KindName = Literal["classification", "multilabel", "sentiment"]


class LabelSpec(Record):
    """One label of the closed set: its name as models say it, what it means, other spellings to merge.

    `values` are the spellings in the data that mean this label ("1" for "spam"); the name itself
    always counts.
    """

    name: str = Field(min_length=1)
    description: str = ""
    values: tuple[str, ...] = ()


class Gate(Record):
    """A promise the model must keep before it may be promoted.

    Kinds: an absolute floor (`at_least`) or ceiling (`at_most`) on a metric, or a comparison with
    `than` ("majority", "tfidf", "live"): the paired difference must not be below `-margin`. When `sure`
    is true the interval's worse end counts, and without a margin it must lie on the better side of zero.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    than: str | None = None
    margin: float = 0.0
    sure: bool = False


class DataFiles(Record):
    """Where the rows are, relative to task.toml. `train` alone means Burnish splits; others are honoured.

    The fractions say how many of the rows become validation and test where no file is given.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    validation_fraction: float = Field(default=0.1, gt=0, lt=0.5)
    test_fraction: float = Field(default=0.1, gt=0, lt=0.5)


class Task(Record):
    """What counts as right for one job.

    `labels` are in order for `sentiment` (worst first). `inputs` are the text columns, rendered in
    this order. `separator` splits several labels in one cell (`multilabel`).
    """

    name: str = Field(pattern=NAME_PATTERN)
    kind: KindName
    inputs: tuple[str, ...] = Field(min_length=1)
    label: str
    labels: tuple[LabelSpec, ...] = Field(min_length=2)
    separator: str = ","
    group: str | None = None
    guideline: str = ""
    primary_metric: str
    gates: tuple[Gate, ...] = ()
    slices: tuple[str, ...] = ()
    keep_inputs: Literal["full", "hash"] = "full"
    data: DataFiles | None = None

    @property
    def id(self) -> str:
        """Content hash of everything that decides what is right; the file list does not."""
        return content_id(self.model_dump(mode="json", exclude={"data"}))

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels' names in the task's order: the column order of every score matrix."""
        return tuple(label.name for label in self.labels)
