"""Rows far from everything: their nearest neighbours in the base model's space are further than rows' usually are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from burnish.data.evidence import Finding, Scene, Seen, excerpt
from burnish.data.kept_texts import KeptTexts
from burnish.data.neighbours import nearest
from burnish.records.dataset import Issue
from burnish.records.encoding import FloatArray

CODES = ("outlier", "outlier-in-label")
NEIGHBOURS = 10
# Robust standard deviations of the logarithm over its median. On 3,303 rows of banking77 with the default base, 7 are
# further than 3, all of them strange there; a sentence in German, SQL, a recipe and letters by chance lie at 3.1 to 3.4.
FAR = 3.0
_FEWEST_ROWS = 50
MOST_ROWS = 100_000


class Outliers:
    """`outlier`: far from all rows; `outlier-in-label`: far from the rows of its label; the furthest first."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._texts = KeptTexts()

    def see(self, row: Seen) -> None:
        if self._scene.vectors is not None and len(self._texts) <= MOST_ROWS:
            self._texts.add(row.text)

    def findings(self) -> Iterator[Finding]:
        scene, rows = self._scene, len(self._texts)
        if scene.vectors is None or rows < _FEWEST_ROWS:
            return
        if rows > MOST_ROWS:
            yield _left_out(len(scene))
            return
        vectors = scene.vectors([self._texts[row] for row in range(rows)])
        far = _far(nearest(vectors, NEIGHBOURS))
        told = self._order(far)
        if told:
            yield self._finding("outlier", "any other", told)
        labels = np.array([scene.label_number(row) for row in range(rows)])
        if len(np.unique(labels)) < 2:
            return
        cosines = nearest(vectors, NEIGHBOURS, among=labels)
        known = set(told)
        apart = np.full(rows, -np.inf)
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            if len(members) >= _FEWEST_ROWS:
                apart[members] = _far(cosines[members])
        others = [row for row in self._order(apart) if row not in known]
        if others:
            yield self._finding("outlier-in-label", "any other of its label", others)

    def _order(self, far: FloatArray) -> list[int]:
        chosen = np.flatnonzero(far >= FAR)
        return chosen[np.argsort(-far[chosen], kind="stable")].tolist()

    def _finding(self, code: str, than: str, rows: list[int]) -> Finding:
        return Finding(
            Issue(
                code=code,
                severity="note",
                what=f"{len(rows)} texts are far from {than}, the furthest first: "
                f"{excerpt(self._texts[rows[0]])}",
                count=len(rows),
                rows=self._scene.places(rows),
                fix=f"look at them: burnish data check --with outliers --code {code}",
            ),
            rows,
        )


def _left_out(rows: int) -> Finding:
    return Finding(
        Issue(
            code="outliers-left-out",
            severity="note",
            what=f"outliers were not looked for among {rows} rows (more than {MOST_ROWS})",
            count=rows,
            fix="check a part of the rows in a file of its own",
        )
    )


def _far(cosines_RK: FloatArray) -> FloatArray:
    """Robust standard deviations of the mean distance to the neighbours over its median.

    Distances lean to the right, so their logarithm is judged.
    """
    distances_R = np.log(np.clip(1.0 - np.nanmean(cosines_RK, axis=1), 1e-4, None))
    middle = np.median(distances_R)
    spread = 1.4826 * np.median(np.abs(distances_R - middle))
    if spread <= 0:
        return np.full(len(distances_R), -np.inf)
    return (distances_R - middle) / spread
