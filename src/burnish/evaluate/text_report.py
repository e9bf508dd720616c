"""The report of a model that writes: metrics with intervals, comparisons, samples side by side, faults by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from burnish.evaluate.degenerate import degenerate, distinct_answers
from burnish.evaluate.intervals import RESAMPLES
from burnish.evaluate.metric import METRICS, measurable, measure
from burnish.evaluate.metrics import bleu, chrf, rouge
from burnish.evaluate.report import FEW_ROWS
from burnish.evaluate.samples import choose_samples
from burnish.evaluate.slices import missing_columns, slices
from burnish.evaluate.written import Written
from burnish.records.example import Example, Split
from burnish.records.record import content_id
from burnish.records.report import Comparison, Lengths, Measure, Report
from burnish.records.task import Task
from burnish.tasks.kind import any_kind_of

# Of all answers that are right on the test rows, this part standing word for word among those of train is no test of
# writing any more. Our choice.
_KNOWN_BEFORE = 0.5
_SIGNED = {"bleu": bleu.signature, "chrf": chrf.signature}


def make_text_report(
    task: Task,
    *,
    model: str,
    run_id: str | None,
    dataset_id: str,
    split: Split,
    examples: Sequence[Example],
    of_rows: int,
    written: Written,
    beside: Mapping[str, Written],
    known: frozenset[str],
    metric: str,
    comparisons: Sequence[Comparison],
    lengths: Lengths | None,
    warnings: Sequence[str],
    seed: int,
    at: str,
    extra: Sequence[Measure] = (),
    resamples: int = RESAMPLES,
) -> Report:
    """Everything known about one model's texts on these rows; gates are judged afterwards, by `gate.gate`.

    `metric` is the primary one as it was measured, `of_rows` the rows of the split, `beside` other models' texts on the
    same rows for the samples, `known` the answers of the train rows, `extra` what was measured beside the metrics.

    Raises: metric-unknown, evaluate-no-likelihood.
    """
    where = [one.source.where for one in examples]
    names = [name for name in reported(task, metric) if measurable(name, written)]
    signed = [f"{name}: {sign(written)}" for name, sign in _SIGNED.items() if name in names]
    if any(name.startswith("rouge") for name in names):
        signed.append(f"rouge: {rouge.signature()}")
    copies_are_answers = task.kind == "extractive-qa"
    faults = () if copies_are_answers else degenerate(written, where=where)
    fields = {
        "model": model,
        "run_id": run_id,
        "dataset_id": dataset_id,
        "task_id": task.id,
        "split": split,
        "n": len(examples),
        "of_rows": of_rows if of_rows != len(examples) else None,
        "primary_metric": metric,
        "measures": (
            *(measure(name, written, seed=seed, resamples=resamples) for name in names),
            *extra,
        ),
        "classes": (),
        "labels": (),
        "confusion": (),
        "calibration": None,
        "slices": slices(
            metric, written, examples, columns=task.slices, seed=seed, resamples=resamples
        ),
        "lengths": lengths,
        "comparisons": tuple(comparisons),
        "samples": choose_samples(metric, {**beside, model: written}, where=where, seed=seed),
        "signatures": tuple(signed),
        "warnings": (
            *(fault.sentence for fault in faults),
            *warnings,
            *_warnings(task, written, examples, known=known, of_rows=of_rows),
        ),
    }
    report = Report(id="", at=at, **fields)  # type: ignore[arg-type]
    identity = content_id(report.model_dump(mode="json", exclude={"id", "at", "reuse"}))
    return report.model_copy(update={"id": identity})


def reported(task: Task, metric: str) -> tuple[str, ...]:
    """The metrics a report of this task holds: the primary one first, then the kind's, then the gates'."""
    gated = [gate.metric for gate in task.gates if gate.metric in METRICS]
    return tuple(dict.fromkeys([metric, *any_kind_of(task).metrics, *gated]))


def _warnings(
    task: Task,
    written: Written,
    examples: Sequence[Example],
    *,
    known: frozenset[str],
    of_rows: int,
) -> list[str]:
    """What a reader must know before believing the numbers."""
    said: list[str] = []
    rows = len(written)
    if rows < of_rows:
        said.append(
            f"{rows:,} of {of_rows:,} test rows were answered, drawn with the seed (test_rows in task.toml)"
        )
    if rows < FEW_ROWS:
        said.append(
            f"only {rows} test row{'s' if rows > 1 else ''}: the intervals are wide, "
            "and nothing subtle can be seen"
        )
    firsts = [row[0] for row in written.references if row]
    before = sum(text.strip() in known for text in firsts)
    if firsts and before > _KNOWN_BEFORE * len(firsts):
        said.append(
            f"{before:,} of {len(firsts):,} right answers stand word for word among those of the train rows "
            f"({len(set(firsts)):,} different ones on the test rows): these numbers measure memory, not writing"
        )
    if rows >= FEW_ROWS and distinct_answers(written) == 1:
        said.append("it gives one and the same answer to every row")
    for column in missing_columns(examples, task.slices):
        said.append(f'no row has the column "{column}", so there are no slices by it')
    if written.groups_R is not None:
        groups = int(written.groups_R.max()) + 1
        said.append(
            f"rows come in {groups} groups; intervals resample groups, since rows of one group "
            "are not independent"
        )
    return said
