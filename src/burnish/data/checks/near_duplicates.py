"""Texts that say nearly the same: rows that add little, rows that leak between given splits, labels that disagree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from burnish.data.alike import alike_pairs
from burnish.data.evidence import Finding, Scene, Seen, excerpt
from burnish.data.kept_texts import KeptTexts
from burnish.data.sketch import plain
from burnish.data.spill import Column
from burnish.records.dataset import Issue
from burnish.records.encoding import IntArray
from burnish.records.example import SPLITS, Split

CODES = ("near-duplicates", "near-leakage", "near-conflict")
# about 15 s of one core (benchmarks/dedup.py); more is done when asked for
MOST_ROWS = 200_000
_CONTEXT = 40  # characters


class NearDuplicates:
    """Per split the rows nearly like an earlier one, per two splits those nearly like one of the other.

    "Nearly" is what data/alike.py says. Rows equal to the letter are told by other checks. Of each cluster the first
    row stays: every row that is told is near an earlier one that stays, so chains cost no more than that.
    """

    def __init__(self, scene: Scene, *, most_rows: int | None = MOST_ROWS) -> None:
        self._scene = scene
        self._most_rows = most_rows
        self._rows = 0
        self._texts = KeptTexts()
        self._texts_of = Column()
        self._rows_of = Column()
        self._splits = Column()

    def see(self, row: Seen) -> None:
        self._rows += 1
        if self._most_rows is not None and self._rows > self._most_rows:
            if self._rows == self._most_rows + 1:
                self._texts, self._rows_of = KeptTexts(), Column()
            return
        label = 0 if row.label is None else 1 + self._scene.label_number(row.number)
        split = SPLITS.index(row.split)
        text = int(row.input_id, 16)
        self._texts.add(row.text)
        self._texts_of.add(_signed(text))
        # rows equal in text, split and label are one to the search
        self._rows_of.add(_signed(text ^ (label * 3 + split) * 0x9E3779B97F4A7C15))
        self._splits.add(split)

    def findings(self) -> Iterator[Finding]:
        if self._most_rows is not None and self._rows > self._most_rows:
            yield _left_out(self._rows, self._most_rows)
            return
        _, first, same = np.unique(self._rows_of.all(), return_index=True, return_inverse=True)
        together = defaultdict(list)
        for row, number in enumerate(same.tolist()):
            together[int(first[number])].append(row)
        pairs = self._pairs(np.sort(first))
        yield from self._inside(pairs, together)
        yield from self._across(pairs, together)

    def _pairs(self, rows: IntArray) -> IntArray:
        """Pairs of rows alike but not equal, the lower first."""
        plains = KeptTexts()
        spoken: list[int] = []
        for row in rows.tolist():
            words = plain(self._texts[row])
            if words:
                plains.add(words)
                spoken.append(row)
        numbers = np.array(spoken, dtype=np.int64)
        splits = self._splits.all()
        pairs = numbers[alike_pairs(plains, parts=splits[numbers])]
        texts = self._texts_of.all()
        return pairs[texts[pairs[:, 0]] != texts[pairs[:, 1]]]

    def _inside(self, pairs: IntArray, together: dict[int, list[int]]) -> Iterator[Finding]:
        scene, splits = self._scene, self._splits.all()
        said: dict[int, int] = {}
        disagree: dict[int, None] = {}
        dropped: dict[int, int] = {}
        # by the later row: whether the earlier stays is known by then
        for one, other in sorted(pairs.tolist(), key=lambda pair: (pair[1], pair[0])):
            if splits[one] != splits[other]:
                continue
            for row in (one, other):
                if row not in said:
                    said[row] = scene.label_number(row)
            if said[one] != said[other]:
                disagree.update(dict.fromkeys((one, other)))
            elif one not in dropped and other not in dropped:
                dropped[other] = one
        for split_number, split in enumerate(SPLITS):
            found = [row for row in dropped if splits[row] == split_number]
            if not found:
                continue
            rows = sorted(row for one in found for row in together[one])
            what = (
                f"{len(rows)} rows of {split} say nearly what an earlier row says, "
                f"for instance {self._example(dropped[found[0]], found[0])}"
            )
            if split == "train":
                fix = "burnish data check --fix near-duplicates keeps the first of each"
                yield self._finding("near-duplicates", "note", what, rows, fix, mend="drop")
            else:
                fix = f"nothing to do: {split} stays as published"
                yield self._finding("near-duplicates", "note", what, rows, fix)
        # where texts are right, rows alike may well be answered in other words, and questions share a context
        if disagree and (scene.task is None or scene.task.is_closed):
            rows = sorted(row for one in disagree for row in together[one])
            one, other = next(
                (one, other)
                for one, other in pairs.tolist()
                if one in disagree and other in disagree and said[one] != said[other]
            )
            labels = " and ".join(f'"{"+".join(scene.label(row) or ())}"' for row in (one, other))
            yield self._finding(
                "near-conflict",
                "note",
                f"{len(rows)} rows say nearly what a row with another label says, "
                f"for instance {self._example(one, other)}: {labels}",
                rows,
                "look at them: burnish data check --code near-conflict; correct the labels in the file",
            )

    def _across(self, pairs: IntArray, together: dict[int, list[int]]) -> Iterator[Finding]:
        splits = self._splits.all()
        texts = self._texts_of.all()
        for early, late in combinations(range(len(SPLITS)), 2):
            near: dict[int, int] = {}
            for one, other in pairs.tolist():
                if {int(splits[one]), int(splits[other])} == {early, late}:
                    row, beside = (one, other) if splits[one] == early else (other, one)
                    near.setdefault(row, beside)
            if not near:
                continue
            # word for word is "leakage", and told there
            known = np.isin(texts[list(near)], texts[splits == late])
            found = [row for row, equal in zip(near, known.tolist(), strict=True) if not equal]
            if not found:
                continue
            rows = sorted(row for one in found for row in together[one])
            names: tuple[Split, Split] = (SPLITS[early], SPLITS[late])
            what = (
                f"{len(rows)} rows of {names[0]} say nearly what {names[1]} says, "
                f"for instance {self._example(min(found), near[min(found)])}"
            )
            if names[0] == "train":
                fix = "burnish data check --fix near-leakage takes them out of train"
                yield self._finding("near-leakage", "warning", what, rows, fix, mend="drop")
            else:
                fix = f"choose other rows for {names[0]}: its figures will flatter"
                yield self._finding("near-leakage", "warning", what, rows, fix)

    def _example(self, one: int, other: int) -> str:
        first, second = (" ".join(self._texts[row].split()) for row in (one, other))
        together = enumerate(zip(first, second, strict=False))
        start = next((place for place, (a, b) in together if a != b), 0)
        if start < _CONTEXT:
            return f"{excerpt(first)} and {excerpt(second)}"
        # long texts may begin alike: what is shown is where they part
        start = first.rfind(" ", 0, start - _CONTEXT // 2) + 1
        return f"{excerpt(f'…{first[start:]}')} and {excerpt(f'…{second[start:]}')}"

    def _finding(
        self,
        code: str,
        severity: str,
        what: str,
        rows: list[int],
        fix: str,
        *,
        mend: str | None = None,
    ) -> Finding:
        issue = Issue.model_validate(
            {
                "code": code,
                "severity": severity,
                "what": what,
                "count": len(rows),
                "rows": self._scene.places(rows),
                "fix": fix,
            }
        )
        return Finding(issue, rows, mend=mend)


def every_near_duplicate(scene: Scene) -> NearDuplicates:
    """The same for files of any size: on request, because millions of rows take minutes."""
    return NearDuplicates(scene, most_rows=None)


def _left_out(rows: int, most: int) -> Finding:
    return Finding(
        Issue(
            code="near-duplicates-left-out",
            severity="note",
            what=f"near duplicates were not looked for among {rows} rows (more than {most})",
            count=rows,
            fix="burnish data check --with near-duplicates",
        )
    )


def _signed(number: int) -> int:
    """An unsigned 64-bit number as the signed one of the same bits."""
    number &= 2**64 - 1
    return number - 2**64 if number >= 2**63 else number
