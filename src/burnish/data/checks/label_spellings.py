"""Labels that are probably one label spelt twice."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations

from burnish.data.evidence import LISTED_ROWS, Finding, Scene, Seen
from burnish.records.dataset import Issue

CODE = "labels-alike"
ALIKE = 0.85  # difflib ratio: one slip in a word of seven letters or more
RARE_FRACTION = 0.1  # a slip is much rarer than the label it was meant to be
FEWEST_LETTERS = 4


class LabelSpellings:
    """Unknown spellings in the data (error), and labels of the task that look like one (warning)."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._rows: dict[str, list[int]] = defaultdict(list)
        self._counts: Counter[str] = Counter()

    def see(self, row: Seen) -> None:
        for name in row.label or ():
            self._counts[name] += 1
            if len(self._rows[name]) < LISTED_ROWS:
                self._rows[name].append(row.number)

    def findings(self) -> Iterator[Finding]:
        unknown = self._scene.rejections.get("label-unknown")
        if unknown is not None:
            common = sorted(unknown.details.items(), key=lambda item: -item[1])
            listed = "; ".join(f"{detail}: {rows} rows" for detail, rows in common[:LISTED_ROWS])
            yield Finding(
                Issue(
                    code="label-unknown",
                    severity="error",
                    what=f"{unknown.count} rows hold labels the task does not know and are not used: {listed}",
                    count=unknown.count,
                    rows=tuple(one.where for one in unknown.first),
                    fix="correct the rows, or add the spelling to values of its label in task.toml: "
                    "burnish data check --suggest",
                )
            )
        names = self._scene.task.label_names if self._scene.task else ()
        for first, second in combinations(names, 2):
            rare, usual = sorted((first, second), key=lambda name: self._counts[name])
            rows, most = self._counts[rare], self._counts[usual]
            if rows and look_alike(rare, usual, rarity=rows / most):
                yield Finding(
                    Issue(
                        code=CODE,
                        severity="warning",
                        what=f'labels "{rare}" ({rows} rows) and "{usual}" ({most} rows) look like '
                        "one label spelt twice",
                        count=rows,
                        rows=self._scene.places(self._rows[rare]),
                        fix=f'move "{rare}" to values of the label "{usual}" in task.toml',
                    )
                )


def look_alike(first: str, second: str, *, rarity: float) -> bool:
    """Whether two labels are one: equal but for case and punctuation, or one slip apart and one rare.

    Example:
        >>> look_alike("Card arrival", "card_arrival", rarity=1.0)
        True
        >>> look_alike("refnd", "refund", rarity=0.01), look_alike("refund_a", "refund_b", rarity=0.9)
        (True, False)
    """
    plain, other = (
        "".join(letter for letter in name.casefold() if letter.isalnum())
        for name in (first, second)
    )
    if plain == other and plain:
        return True
    if rarity > RARE_FRACTION or min(len(plain), len(other)) < FEWEST_LETTERS:
        return False
    # labels that differ in a number or a negation are different on purpose
    if _digits(plain) != _digits(other):
        return False
    return difflib.SequenceMatcher(a=plain, b=other, autojunk=False).ratio() >= ALIKE


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdigit())
