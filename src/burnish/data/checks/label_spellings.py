"""Labels that are probably one label spelt twice."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from itertools import combinations

from burnish.data.evidence import LISTED_ROWS, Evidence, places
from burnish.records.dataset import Issue
from burnish.records.label import label_names

CODE = "labels-alike"
ALIKE = 0.85  # difflib ratio: one slip in a word of seven letters or more
RARE_FRACTION = 0.1  # a slip is much rarer than the label it was meant to be
FEWEST_LETTERS = 4


def check(evidence: Evidence) -> tuple[Issue, ...]:
    """Unknown spellings in the data (error), and labels of the task that look like one (warning)."""
    return (*_unknown(evidence), *_alike(evidence))


def _unknown(evidence: Evidence) -> tuple[Issue, ...]:
    where: dict[str, list[str]] = defaultdict(list)
    for rejection in evidence.rejections:
        if rejection.reason == "label-unknown":
            where[rejection.detail].append(rejection.where)
    if not where:
        return ()
    common = sorted(where.items(), key=lambda item: -len(item[1]))
    listed = "; ".join(f"{detail}: {len(rows)} rows" for detail, rows in common[:LISTED_ROWS])
    rows = [place for places in where.values() for place in places]
    return (
        Issue(
            code="label-unknown",
            severity="error",
            what=f"{len(rows)} rows hold labels the task does not know and are not used: {listed}",
            count=len(rows),
            rows=tuple(rows[:LISTED_ROWS]),
            fix="correct the rows, or add the spelling to values of its label in task.toml: "
            "burnish data check --suggest",
        ),
    )


def _alike(evidence: Evidence) -> tuple[Issue, ...]:
    rows = defaultdict(list)
    for example in evidence.all_examples():
        for name in label_names(example.label) if example.label else ():
            rows[name].append(example)
    counts = Counter({name: len(rows[name]) for name in evidence.task.label_names})
    issues = []
    for first, second in combinations(evidence.task.label_names, 2):
        rare, usual = sorted((first, second), key=lambda name: counts[name])
        if counts[rare] and look_alike(rare, usual, rarity=counts[rare] / counts[usual]):
            issues.append(
                Issue(
                    code=CODE,
                    severity="warning",
                    what=f'labels "{rare}" ({counts[rare]} rows) and "{usual}" '
                    f"({counts[usual]} rows) look like one label spelt twice",
                    count=counts[rare],
                    rows=places(rows[rare]),
                    fix=f'move "{rare}" to values of the label "{usual}" in task.toml',
                )
            )
    return tuple(issues)


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
