"""Labels that are probably wrong: confident learning on probabilities of models that never saw the row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from burnish.data.confident import doubts
from burnish.data.evidence import Finding, Scene, Seen
from burnish.data.folds import folds_of
from burnish.data.kept_texts import KeptTexts
from burnish.records.dataset import Issue
from burnish.records.example import SPLITS

CODE = "likely-mislabel"
FOLDS = 5
# one row of a label cannot be judged by the others, nor two by one
_FEWEST_ROWS = 3 * FOLDS
_SEED = 1


class Mislabels:
    """One finding a split: rows that look like another label's, the surest first. Without models to ask it says so."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._texts = KeptTexts()
        self._rows: list[int] = []
        self._labels: list[str] = []
        self._groups: list[str | None] = []

    def see(self, row: Seen) -> None:
        task = self._scene.task
        if self._scene.out_of_fold is None or task is None or task.kind == "multilabel":
            return
        if row.label is None or len(row.label) != 1:
            return
        self._texts.add(row.text)
        self._rows.append(row.number)
        self._labels.append(row.label[0])
        self._groups.append(row.group)

    def findings(self) -> Iterator[Finding]:
        scene = self._scene
        task = scene.task
        if scene.out_of_fold is None or task is None:
            yield _left_out(len(scene), "there is no task with labels")
            return
        if len(self._rows) < _FEWEST_ROWS or len(set(self._labels)) < 2:
            yield _left_out(len(scene), f"{len(self._rows)} rows with one label each are too few")
            return
        texts = [self._texts[number] for number in range(len(self._texts))]
        folds = folds_of(texts, self._labels, groups=self._groups, count=FOLDS, seed=_SEED)
        probabilities_RL = scene.out_of_fold(texts, self._labels, folds)
        names = list(task.label_names)
        number_of = {name: number for number, name in enumerate(names)}
        found = doubts(probabilities_RL, np.array([number_of[name] for name in self._labels]))
        for split in SPLITS:
            told = [
                (self._rows[row], names[label], self._labels[row], texts[row])
                for row, label in zip(found.rows.tolist(), found.likelier.tolist(), strict=True)
                if scene.split(self._rows[row]) == split
            ]
            if told:
                yield self._finding(split, told)

    def _finding(self, split: str, told: list[tuple[int, str, str, str]]) -> Finding:
        numbers = [row for row, *_ in told]
        _, likelier, said, text = told[0]
        shown = " ".join(text.split())[:60]
        issue = Issue(
            code=CODE,
            severity="warning",
            what=f'{len(numbers)} rows of {split} look mislabelled, the surest first: "{shown}" says '
            f'"{said}", the other rows say "{likelier}"',
            count=len(numbers),
            rows=self._scene.places(numbers),
            fix="look at them (burnish data check --with mislabels --code likely-mislabel), then correct the file, "
            "or --fix likely-mislabel drops them and with --relabel takes the likelier label"
            if split == "train"
            else f"look at them: {split} stays as published",
        )
        if split != "train":
            return Finding(issue, numbers)
        labels = tuple((likelier,) for _, likelier, *_ in told)
        return Finding(issue, numbers, mend="drop", labels=labels)


def _left_out(rows: int, because: str) -> Finding:
    return Finding(
        Issue(
            code="mislabels-left-out",
            severity="note",
            what=f"mislabels were not looked for: {because}",
            count=rows,
            fix="give rows with one label each, and a task: burnish init",
        )
    )
