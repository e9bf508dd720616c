"""The report: how good, how sure, where bad. Every number with n and interval."""

from __future__ import annotations

from typing import Literal

from burnish.records.example import Split
from burnish.records.record import Record
from burnish.records.sample import Sample


class Measure(Record):
    """One metric on one set of rows: value with the 95% interval (low, high), n rows, and unit.

    `low`/`high` are None only where no interval exists (n = 0 or a count). Never rounded here.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    unit: str = "fraction"


class ClassMeasures(Record):
    """Precision, recall and F1 of one label with its support."""

    label: str
    precision: Measure
    recall: Measure
    f1: Measure
    support: int


class Slice(Record):
    """The primary metric on the rows where `column` has `value`; `flagged` when its interval lies
    wholly below the overall value.
    """

    column: str
    value: str
    measure: Measure
    flagged: bool = False


class Bin(Record):
    """One bar of the reliability picture: mean confidence against the fraction that was right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class Calibration(Record):
    """How far confidence can be believed; temperature was fitted on validation rows only."""

    temperature: float
    ece: Measure
    brier: Measure
    ece_before: float
    bins: tuple[Bin, ...]


class Neighbour(Record):
    """A train row that lies near a wrong answer in embedding space. similarity is a cosine."""

    where: str
    text: str
    label: str
    similarity: float


class WorstRow(Record):
    """An error the model was surest about, with the evidence around it."""

    where: str
    text: str
    label: str
    predicted: str
    confidence: float
    nearest: tuple[Neighbour, ...] = ()


class Comparison(Record):
    """Two models on the same rows: `difference` = ours minus theirs, paired bootstrap interval, p-value.

    `method` names the test ("paired bootstrap", "exact McNemar").
    """

    ours: str
    theirs: str
    metric: str
    difference: float
    low: float
    high: float
    p_value: float
    n: int
    method: str


class Lengths(Record):
    """Token lengths of the rows and what truncation took."""

    max_tokens: int
    median: float
    p95: float
    longest: int
    truncated_rows: int
    truncated_tokens: int
    histogram: tuple[tuple[int, int], ...] = ()


class GateResult(Record):
    """One gate's answer."""

    gate: str
    passed: bool
    found: str


class Reuse(Record):
    """How often reports were made on these test rows, or on an ancestor's, and for how many models."""

    times: int
    models: int

    def __str__(self) -> str:
        """In words.

        Example:
            >>> str(Reuse(times=7, models=5))
            'test rows used 7 times for 5 models'
        """
        times = "once" if self.times == 1 else f"{self.times} times"
        return f"test rows used {times} for {self.models} model{'' if self.models == 1 else 's'}"


Verdict = Literal["passed", "failed"]


class Report(Record):
    """Everything known about one model on one split of one dataset. `reuse` is as of when it was made.

    Reports of written texts have no `classes`, `labels`, `confusion` and `calibration`; they have `samples`, and
    `signatures` that say with which settings a metric was counted. `primary_metric` is the one that was measured, which
    may stand in for the task's (`warnings` say why). `of_rows` is how many rows the split has, where not all were answered.
    """

    id: str
    model: str
    run_id: str | None
    dataset_id: str
    task_id: str
    split: Split
    n: int
    primary_metric: str
    measures: tuple[Measure, ...]
    classes: tuple[ClassMeasures, ...]
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: Calibration | None
    slices: tuple[Slice, ...] = ()
    worst: tuple[WorstRow, ...] = ()
    lengths: Lengths | None = None
    comparisons: tuple[Comparison, ...] = ()
    gates: tuple[GateResult, ...] = ()
    verdict: Verdict | None = None
    warnings: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    signatures: tuple[str, ...] = ()
    of_rows: int | None = None
    reuse: Reuse | None = None
    at: str

    def measure(self, name: str) -> Measure:
        """The measure of that name; KeyError when the report has none."""
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(name)
