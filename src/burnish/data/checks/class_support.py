"""Is there enough of every label to learn it and to measure it?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from burnish.data.evidence import LISTED_ROWS, Finding, Scene, Seen
from burnish.records.dataset import Issue, Severity
from burnish.records.example import SPLITS, Split

FEWEST_INPUTS = 3  # one for each of train, validation and test
FEW_ROWS = 100  # below this an interval on accuracy is wider than most differences of interest
# The largest class by so much over the smallest: accuracy then says little about the small one.
IMBALANCE_RATIO = 20.0


class ClassSupport:
    """A single class (error), labels without rows or with too few, far more of one than of another, very few rows."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._inputs: dict[str, set[str]] = defaultdict(set)  # at most FEWEST_INPUTS of each label
        self._rows: Counter[str] = Counter()
        self._shown: dict[Split, set[str]] = {}

    def see(self, row: Seen) -> None:
        shown = self._shown.setdefault(row.split, set())
        for name in row.label or ():
            self._rows[name] += 1
            shown.add(name)
            if len(self._inputs[name]) < FEWEST_INPUTS:
                self._inputs[name].add(row.input_id)

    def findings(self) -> Iterator[Finding]:
        task, rows = self._scene.task, len(self._scene)
        if task is None:
            return
        if not task.is_closed:  # texts are no classes
            yield from _few(rows)
            return
        present = [name for name in task.label_names if self._inputs[name]]
        missing = [name for name in task.label_names if not self._inputs[name]]
        rare = [name for name in present if len(self._inputs[name]) < FEWEST_INPUTS]
        if len(present) < 2:
            only = f' ("{present[0]}")' if present else ""
            yield _finding(
                "one-class",
                "error",
                f"all {rows} rows carry the same label{only}",
                rows,
                fix="add rows with the other labels: with one class there is nothing to learn",
            )
        if missing:
            yield _finding(
                "class-missing",
                "warning",
                f"labels without a row: {_listed(missing)}",
                len(missing),
                fix="add rows, or remove the labels from task.toml",
            )
        if rare:
            counted = [f"{name} ({len(self._inputs[name])})" for name in rare]
            yield _finding(
                "class-rare",
                "warning",
                f"labels with fewer than {FEWEST_INPUTS} different texts, "
                f"too few to train and test on: {_listed(counted)}",
                len(rare),
                fix="add rows for them, or merge them into another label",
            )
        yield from self._imbalance(present)
        yield from _few(rows)
        yield from self._untested(present)

    def _imbalance(self, present: list[str]) -> Iterator[Finding]:
        if len(present) < 2:
            return
        most = max(present, key=lambda name: self._rows[name])
        least = min(present, key=lambda name: self._rows[name])
        if self._rows[most] >= IMBALANCE_RATIO * self._rows[least]:
            yield _finding(
                "class-imbalance",
                "note",
                f'"{most}" has {self._rows[most]} rows and "{least}" {self._rows[least]}: accuracy says little '
                "about the small one, macro_f1 counts both alike",
                self._rows[least],
                fix="label more rows of the small ones, and judge by macro_f1",
            )

    def _untested(self, present: list[str]) -> Iterator[Finding]:
        """Labels that a given validation or test file never asks about, or that train never shows."""
        for split in SPLITS:
            shown = self._shown.get(split, set())
            absent = [name for name in present if name not in shown]
            if not absent or split not in self._shown:
                continue
            yield _finding(
                "class-untested" if split != "train" else "class-untrained",
                "note" if split != "train" else "warning",
                f"labels that other files have and {split} has not: {_listed(absent)}",
                len(absent),
                fix="",
            )


def _few(rows: int) -> Iterator[Finding]:
    if rows < FEW_ROWS:
        yield _finding(
            "few-rows",
            "warning",
            f"{rows} rows in all: every measure will have a wide interval",
            rows,
            fix=f"label more rows, {FEW_ROWS} at the least",
        )


def _finding(code: str, severity: Severity, what: str, count: int, *, fix: str) -> Finding:
    return Finding(Issue(code=code, severity=severity, what=what, count=count, fix=fix))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED_ROWS} more" if len(names) > LISTED_ROWS else ""
    return ", ".join(names[:LISTED_ROWS]) + more
