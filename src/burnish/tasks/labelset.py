"""From the values of a column to a closed set of labels: names, order, spellings that mean the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from burnish.records.task import LabelSpec
from burnish.tasks.hints import SCALE_WORDS, says, words

# A value this much rarer than one it nearly equals, and this rare, is a slip of the finger.
SLIP_RATIO = 10
MOST_SLIPS = 5

SCALE: Mapping[str, int] = {
    "very negative": 0, "very bad": 0, "terrible": 0, "awful": 0, "very dissatisfied": 0,
    "negative": 1, "neg": 1, "bad": 1, "poor": 1, "dissatisfied": 1, "unhappy": 1,
    "somewhat negative": 2, "slightly negative": 2,
    "neutral": 3, "neu": 3, "mixed": 3, "ok": 3, "okay": 3, "average": 3, "fair": 3,
    "somewhat positive": 4, "slightly positive": 4,
    "positive": 5, "pos": 5, "good": 5, "satisfied": 5, "happy": 5,
    "very positive": 6, "very good": 6, "excellent": 6, "great": 6, "very satisfied": 6,
}  # fmt: skip
_PLAIN = {"neg": "negative", "neu": "neutral", "pos": "positive"}
_DESCRIPTIONS = {
    "negative": "The writer is dissatisfied or speaks badly of it.",
    "neutral": "The writer takes no side, or the good and the bad are even.",
    "positive": "The writer is satisfied or speaks well of it.",
}
# Numbers that are a scale from worst to best by custom, once the column's name says so.
_SIGNS: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("0", "1"): ("negative", "positive"),
    ("1", "2"): ("negative", "positive"),
    ("-1", "1"): ("negative", "positive"),
    ("-1", "0", "1"): ("negative", "neutral", "positive"),
    ("0", "1", "2"): ("negative", "neutral", "positive"),
}
_NO_YES = (("0", "1"), ("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"))


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Labels with the rows of each, in the same order, and what was decided on the way."""

    labels: tuple[LabelSpec, ...]
    counts: tuple[int, ...]
    notes: tuple[str, ...] = ()


def plain_labels(counts: Mapping[str, int]) -> LabelSet:
    """The values as labels: in number order or alphabet, other spellings merged, slips left out.

    Example:
        >>> found = plain_labels({"spam": 40, "Spam ": 2, "spma": 1, "ham": 50})
        >>> [(label.name, label.values) for label in found.labels], found.counts
        ([('ham', ()), ('spam', ('Spam ',))], (50, 42))
        >>> found.notes[0]
        '"spma" (1 row) looks like a misspelt "spam" and is not a label'
    """
    merged: dict[str, list[str]] = {}
    for value in sorted(counts, key=lambda value: (-counts[value], value)):
        merged.setdefault(_folded(value), []).append(value)
    total = {
        spellings[0]: sum(counts[value] for value in spellings) for spellings in merged.values()
    }
    slips = {value: meant for value in total if (meant := _slip_of(value, total)) is not None}
    if len(slips) > len(total) / 3:
        slips = {}  # values that nearly all look alike are codes, not slips
    notes = [
        f'"{value}" ({_rows(total[value])}) looks like a misspelt "{meant}" and is not a label'
        for value, meant in sorted(slips.items())
    ]
    labels: list[tuple[LabelSpec, int]] = []
    for spellings in merged.values():
        if spellings[0] in slips:
            continue
        name = spellings[0].strip()
        others = tuple(value for value in spellings if value != name)
        labels.append((LabelSpec(name=name, values=others), total[spellings[0]]))
        if len(spellings) > 1:
            also = ", ".join(f'"{value}" ({_rows(counts[value])})' for value in spellings[1:])
            notes.append(f'label "{name}" is also spelt {also}')
    ordering = _order([label.name for label, _ in labels])
    labels.sort(key=lambda pair: ordering(pair[0].name))
    return LabelSet(
        tuple(label for label, _ in labels), tuple(count for _, count in labels), tuple(notes)
    )


def named_labels(found: LabelSet, column: str, partner: Mapping[str, str] | None) -> LabelSet:
    """The same labels with better names where the file itself gives them.

    `partner` maps values to the names in a column that goes with this one, one to one; a column
    called is_spam names its own zeros and ones.
    """
    names = [label.name for label in found.labels]
    if partner is not None and all(name in partner for name in names):
        better = [partner[name].strip() for name in names]
    elif tuple(name.casefold() for name in names) in _NO_YES and words(column)[:1] in _IS:
        about = "_".join(words(column)[1:])
        better = [f"not_{about}", about] if about else names
    else:
        better = names
    return _renamed(found, better)


def ordered_labels(found: LabelSet, column: str) -> tuple[LabelSet, float]:
    """The labels as an ordered scale, worst first, and how surely they are one, in [0, 1].

    Example:
        >>> scale, sure = ordered_labels(plain_labels({"0": 5, "1": 5}), "score")
        >>> [(label.name, label.values) for label in scale.labels], sure
        ([('negative', ('0',)), ('positive', ('1',))], 1.0)
    """
    names = [label.name for label in found.labels]
    folded = [_folded(name) for name in names]
    hinted = says(column, SCALE_WORDS)
    if all(name in SCALE for name in folded):
        places = sorted(range(len(names)), key=lambda at: SCALE[folded[at]])
        scale = _renamed(
            found, [_PLAIN.get(fold, name) for fold, name in zip(folded, names, strict=True)]
        )
        core = any(name in ("negative", "neg", "positive", "pos") for name in folded)
        return _picked(scale, places), 1.0 if core or hinted else 0.5
    if all(re.fullmatch(r"[-+]?\d+(\.0+)?", name) for name in names) and len(names) <= 11:
        signs = _SIGNS.get(tuple(re.sub(r"\.0+$|^\+", "", name) for name in names))
        scale = _renamed(found, list(signs)) if signs and hinted else found
        return scale, 1.0 if hinted else 0.3
    return found, 0.0


_IS = (("is",), ("has",), ("contains",))


def _renamed(found: LabelSet, names: Sequence[str]) -> LabelSet:
    if len(set(names)) < len(names):
        return found  # "neg" and "negative" side by side: which is meant is not ours to say
    labels = tuple(
        LabelSpec(
            name=name,
            description=label.description or _DESCRIPTIONS.get(name.casefold(), ""),
            values=label.values if name == label.name else (label.name, *_without(label, name)),
        )
        for label, name in zip(found.labels, names, strict=True)
    )
    return LabelSet(labels, found.counts, found.notes)


def _without(label: LabelSpec, name: str) -> tuple[str, ...]:
    return tuple(value for value in label.values if value != name)


def _picked(found: LabelSet, places: Sequence[int]) -> LabelSet:
    return LabelSet(
        tuple(found.labels[at] for at in places),
        tuple(found.counts[at] for at in places),
        found.notes,
    )


def _folded(value: str) -> str:
    """Case, outer blanks and the choice of blank, _ or - between words do not make a new label."""
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", value.strip()).casefold()


def _order(names: Sequence[str]) -> Callable[[str], tuple[float, str]]:
    try:
        numbers = {name: float(name) for name in names}
    except ValueError:
        return lambda name: (0.0, name.casefold())
    return lambda name: (numbers[name], name)


def _slip_of(value: str, total: Mapping[str, int]) -> str | None:
    """The far more frequent value that this one is one or two keys away from."""
    fold = _folded(value)
    if total[value] > MOST_SLIPS or any(character.isdigit() for character in fold):
        return None  # L1 and L2 are one key apart and two labels
    if value.isupper() and len(fold) < 7:
        return None  # so are abbreviations
    best: tuple[int, int, str] | None = None
    for other, count in total.items():
        if other == value or count < SLIP_RATIO * total[value]:
            continue
        meant = _folded(other)
        longer = max(len(fold), len(meant))
        allowed = 0 if longer < 4 else 1 if longer < 8 else 2
        distance = keys_apart(fold, meant, limit=allowed)
        # in a short word only a swapped, lost or doubled letter: "cars" is not a slip of "cats"
        replaced = len(fold) == len(meant) and sorted(fold) != sorted(meant)
        if distance > allowed or (longer < 6 and replaced):
            continue
        best = min(best or (distance, -count, other), (distance, -count, other))
    return None if best is None else best[2].strip()


def keys_apart(first: str, second: str, *, limit: int) -> int:
    """Insertions, deletions, replacements and swaps of neighbours; more than `limit` may be any
    larger number.
    """
    if abs(len(first) - len(second)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
