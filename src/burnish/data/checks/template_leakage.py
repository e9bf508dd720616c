"""Rows that follow one template: the same text once numbers, names, addresses and dates are put aside."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations

import xxhash

from burnish.data.evidence import Finding, Labels, Scene, Seen
from burnish.data.spill import Buckets
from burnish.data.tally import finding
from burnish.records.encoding import IntArray
from burnish.records.example import SPLITS, Split

# What changes from row to row of one template: addresses, numbers and dates, names in capitals inside a sentence.
# Both begin with one set of signs, so that a search passes quickly over all others.
_VARIES = re.compile(
    r"[0-9A-Z](?:(?<=[0-9])\d*(?:[.,:/-]\d+)*|(?<=[a-z,;:] [A-Z])[\w'-]+(?: [A-Z][\w'-]*){0,3})"
)
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w.-]{1,255}")
_MOST_CHARACTERS = 2000  # a longer text that is equal but for its numbers is a near duplicate
_FEWEST_ROWS = 20
_MOST_OF_LABEL = 0.5
_FEWEST_LETTERS = 8  # "Room 12" and "Room 13" are no template


class TemplateLeakage:
    """`template-leakage`: one template in two given splits (warning). `template-label`: one template makes up most of a
    label (warning).
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._templates = Buckets()
        self._labels: Counter[Labels] = Counter()
        self._splits: set[Split] = set()

    def see(self, row: Seen) -> None:
        self._splits.add(row.split)
        if row.label is not None:
            self._labels[row.label] += 1
        # without a task there are neither labels nor given splits
        if self._scene.task is None:
            return
        text = self._scene.text
        if len(text) <= _MOST_CHARACTERS:
            plain = template(text)
            if plain is not None:
                self._templates.add(
                    xxhash.xxh3_64_intdigest(plain.encode("utf-8", "surrogatepass")), row.number
                )

    def findings(self) -> Iterator[Finding]:
        scene = self._scene
        crossing: dict[tuple[Split, Split], list[int]] = defaultdict(list)
        mostly: list[tuple[int, Labels, list[int]]] = []
        same = _same(scene)
        # asking the scene about every row takes time: not where no answer could matter
        fewest = max(_FEWEST_ROWS, _MOST_OF_LABEL * min(self._labels.values(), default=0))
        several = len(self._splits) > 1
        for group in self._templates.groups():
            large = bool(self._labels) and len(group) >= fewest
            if not several and not large:
                continue
            # rows that are equal word for word are the exact checks' business
            rows = group.tolist()
            if len({same.get(row, -row - 1) for row in rows}) < 2:
                continue
            if several:
                self._cross(rows, same, crossing)
            if large:
                mostly += self._mostly(rows)
        for (early, late), rows in sorted(crossing.items()):
            rows.sort()
            yield finding(
                scene,
                "template-leakage",
                "warning",
                f"{len(rows)} rows of {early} follow a template that {late} has too (only numbers, names, addresses or "
                f"dates differ), for instance {scene.excerpt(rows[0])}",
                rows=rows,
                fix=f"keep a template in one split: drop these rows from {early}, or name a column as the group",
            )
        for _, label, rows in sorted(mostly, key=lambda one: -one[0]):
            yield finding(
                scene,
                "template-label",
                "warning",
                f'{len(rows)} of {self._labels[label]} rows of "{"+".join(label)}" follow one template, '
                f"for instance {scene.excerpt(rows[0])}",
                rows=rows,
                fix="add rows that people wrote in their own words: a model learns the template instead of the label",
            )

    def _cross(
        self,
        rows: list[int],
        same: dict[int, int],
        crossing: dict[tuple[Split, Split], list[int]],
    ) -> None:
        together: dict[Split, list[int]] = defaultdict(list)
        for row in rows:
            together[self._scene.split(row)].append(row)
        for early, late in combinations(SPLITS, 2):
            theirs = {same.get(row, -row - 1) for row in together[late]}
            if theirs:
                crossing_rows = [
                    row for row in together[early] if same.get(row, -row - 1) not in theirs
                ]
                if crossing_rows:
                    crossing[early, late] += crossing_rows

    def _mostly(self, rows: list[int]) -> Iterator[tuple[int, Labels, list[int]]]:
        by_label: dict[Labels, list[int]] = defaultdict(list)
        for row in rows:
            label = self._scene.label(row)
            if label is not None:
                by_label[label].append(row)
        for label, some in by_label.items():
            if len(some) >= max(_FEWEST_ROWS, _MOST_OF_LABEL * self._labels[label]):
                yield len(some), label, some


def _same(scene: Scene) -> dict[int, int]:
    """For rows that stand twice or more, the first of those that ask word for word the same."""
    found: dict[int, int] = {}
    group: IntArray
    for group in scene.same_inputs():
        rows = group.tolist()
        found.update(dict.fromkeys(rows, rows[0]))
    return found


def template(text: str) -> str | None:
    """The text with what varies put aside; None where nothing does, or too little else is left.

    Example:
        >>> template("how can I cancel purchase 113542617735902?"), template("how can I cancel?")
        ('how can I cancel purchase \\x00?', None)
        >>> template("I met Ada Lovelace on 10.12.1815") == template("I met Bob on 3/4/99")
        True
    """
    if "@" in text:
        text = _EMAIL.sub("\0", text)
    plain, times = _VARIES.subn("\0", text)
    times += text.count("\0")
    if not times or len(plain) - times < _FEWEST_LETTERS:
        return None
    return plain
