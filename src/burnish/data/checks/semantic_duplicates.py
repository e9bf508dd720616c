"""Texts that mean the same in other words, by the base model's embeddings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from burnish.data.evidence import Finding, Scene, Seen, excerpt
from burnish.data.kept_texts import KeptTexts
from burnish.data.neighbours import close_pairs
from burnish.data.sketch import plain
from burnish.records.dataset import Issue
from burnish.records.example import SPLITS

CODES = ("semantic-duplicates", "semantic-leakage")
# Chosen by eye on banking77 with the default base: from 0.95 up the pairs are one question in other words, at 0.91 they
# are two about one thing ("When will my card arrive?", "Can I change my PIN?" beside "how do I change it").
COSINE = 0.95
MOST_ROWS = 100_000


class SemanticDuplicates:
    """Rows that mean what an earlier row of their split, or a row of a later split, means. Silent without vectors.

    Texts that are equal but for case and punctuation are near duplicates already, and are not told.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._texts = KeptTexts()

    def see(self, row: Seen) -> None:
        if self._scene.vectors is not None and len(self._texts) <= MOST_ROWS:
            self._texts.add(row.text)

    def findings(self) -> Iterator[Finding]:
        scene, rows = self._scene, len(self._texts)
        if scene.vectors is None or rows < 2:
            return
        if rows > MOST_ROWS:
            yield _left_out(len(scene))
            return
        texts = [self._texts[row] for row in range(rows)]
        first: dict[str, int] = {}
        for row, text in enumerate(texts):
            first.setdefault(f"{scene.split(row)} {plain(text)}", row)
        kept = np.array(sorted(first.values()), dtype=np.int64)
        vectors = scene.vectors([texts[row] for row in kept])
        pairs = kept[close_pairs(vectors, cosine=COSINE)]
        splits = [SPLITS.index(scene.split(row)) for row in range(rows)]
        inside: dict[int, int] = {}
        across: dict[int, int] = {}
        for one, other in sorted(pairs.tolist(), key=lambda pair: (pair[1], pair[0])):
            if splits[one] == splits[other]:
                if one not in inside:
                    inside.setdefault(other, one)
            elif plain(texts[one]) != plain(texts[other]):
                early, late = sorted((one, other), key=lambda row: splits[row])
                across.setdefault(early, late)
        if across:
            yield self._finding(
                "semantic-leakage", "warning", across, texts, "a row of a later split means"
            )
        if inside:
            yield self._finding(
                "semantic-duplicates", "note", inside, texts, "an earlier row of their split means"
            )

    def _finding(
        self, code: str, severity: str, told: dict[int, int], texts: list[str], than: str
    ) -> Finding:
        rows = sorted(told)
        one, other = excerpt(texts[rows[0]]), excerpt(texts[told[rows[0]]])
        issue = Issue.model_validate(
            {
                "code": code,
                "severity": severity,
                "what": f"{len(rows)} rows mean what {than}, for instance {one} and {other}",
                "count": len(rows),
                "rows": self._scene.places(rows),
                "fix": f"look at them: burnish data check --with semantic-duplicates --code {code}",
            }
        )
        return Finding(issue, rows)


def _left_out(rows: int) -> Finding:
    return Finding(
        Issue(
            code="semantic-duplicates-left-out",
            severity="note",
            what=f"semantic duplicates were not looked for among {rows} rows (more than {MOST_ROWS})",
            count=rows,
            fix="check a part of the rows in a file of its own",
        )
    )
