"""Is there enough of every label to learn it and to measure it?"""

from __future__ import annotations

from collections import defaultdict

from burnish.data.evidence import LISTED_ROWS, Evidence
from burnish.records.dataset import Issue
from burnish.records.label import label_names

FEWEST_INPUTS = 3  # one for each of train, validation and test
FEW_ROWS = 100  # below this an interval on accuracy is wider than most differences of interest


def check(evidence: Evidence) -> tuple[Issue, ...]:
    """Issues for a single class (error), labels without rows or with too few, and very few rows."""
    inputs: dict[str, set[str]] = defaultdict(set)
    rows = 0
    for example in evidence.all_examples():
        rows += 1
        for name in label_names(example.label) if example.label else ():
            inputs[name].add(example.input_id)
    names = evidence.task.label_names
    present = [name for name in names if inputs[name]]
    missing = [name for name in names if not inputs[name]]
    rare = [name for name in present if len(inputs[name]) < FEWEST_INPUTS]
    issues = []
    if len(present) < 2:
        issues.append(
            Issue(
                code="one-class",
                severity="error",
                what=f"all {rows} rows carry the same label"
                + (f' ("{present[0]}")' if present else ""),
                count=rows,
                fix="add rows with the other labels: with one class there is nothing to learn",
            )
        )
    if missing:
        issues.append(
            Issue(
                code="class-missing",
                severity="warning",
                what=f"labels without a row: {_listed(missing)}",
                count=len(missing),
                fix="add rows, or remove the labels from task.toml",
            )
        )
    if rare:
        counted = [f"{name} ({len(inputs[name])})" for name in rare]
        issues.append(
            Issue(
                code="class-rare",
                severity="warning",
                what=f"labels with fewer than {FEWEST_INPUTS} different texts, "
                f"too few to train and test on: {_listed(counted)}",
                count=len(rare),
                fix="add rows for them, or merge them into another label",
            )
        )
    if rows < FEW_ROWS:
        issues.append(
            Issue(
                code="few-rows",
                severity="warning",
                what=f"{rows} rows in all: every measure will have a wide interval",
                count=rows,
                fix=f"label more rows, {FEW_ROWS} at the least",
            )
        )
    return (*issues, *_untested(evidence, present))


def _untested(evidence: Evidence, present: list[str]) -> tuple[Issue, ...]:
    """Labels that a given validation or test file never asks about, or that train never shows."""
    issues = []
    for split, examples in evidence.examples.items():
        shown = {n for e in examples if e.label is not None for n in label_names(e.label)}
        absent = [name for name in present if name not in shown]
        if absent and examples:
            issues.append(
                Issue(
                    code="class-untested" if split != "train" else "class-untrained",
                    severity="note" if split != "train" else "warning",
                    what=f"labels that other files have and {split} has not: {_listed(absent)}",
                    count=len(absent),
                )
            )
    return tuple(issues)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED_ROWS} more" if len(names) > LISTED_ROWS else ""
    return ", ".join(names[:LISTED_ROWS]) + more
