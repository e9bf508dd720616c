"""Which part each column can play: label, input, group, slice, or none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from burnish.tasks.columns import Column, one_to_one
from burnish.tasks.hints import (
    AFTERWARDS_WORDS,
    GROUP_WORDS,
    HEAD_WORDS,
    IDENTIFIER_WORDS,
    PAIRS,
    TEXT_WORDS,
    label_hint,
    says,
    words,
)

MOST_LABELS = 200
MOST_NUMBERS = 20  # more different numbers than this are an amount, not a scale
LONGEST_LABEL_WORDS = 6
MOST_SLICES = 4


def could_label(column: Column) -> bool:
    """Few short values that repeat, and neither dates nor identifiers nor amounts."""
    if not 2 <= column.distinct <= MOST_LABELS or column.filled < 2 * column.distinct:
        return False
    if column.is_date or column.mean_words > LONGEST_LABEL_WORDS or column.mean_characters > 80:
        return False
    if column.is_number and column.distinct > MOST_NUMBERS and label_hint(column.name) <= 0:
        return False
    return not (says(column.name, GROUP_WORDS) or _is_identifier(column))


def could_hold_several(column: Column) -> bool:
    """Combinations of labels repeat less than labels do."""
    return (
        column.distinct > 2
        and column.mean_characters <= 80
        and column.mean_words <= 2 * LONGEST_LABEL_WORDS
        and not column.is_date
        and not column.is_number
    )


def inputs_of(
    facts: Sequence[Column], label: Column, rows: Sequence[Mapping[str, str]]
) -> tuple[Column, ...]:
    """The text to judge: the longest that rarely repeats, with its subject line or its pair."""
    others = [
        column
        for column in facts
        if column.name != label.name
        and column.distinct > 1
        and not column.is_date
        and not is_derived(column, label, rows)
    ]
    texts = [column for column in others if _is_text(column, label)]
    if not texts:
        # single words can be judged too (names, products), if nothing better is there
        texts = [
            column
            for column in others
            if not column.is_number
            and column.distinct > 2 * label.distinct
            and column.distinct_fraction >= 0.5
            and (not column.is_code or says(column.name, TEXT_WORDS))
        ]
    if not texts:
        return ()
    # written before the answer, and more than a heading
    early = [column for column in texts if not says(column.name, AFTERWARDS_WORDS | HEAD_WORDS)]
    best = max(early or texts, key=_text_score)
    named = {"_".join(words(column.name)): column for column in others}
    own = "_".join(words(best.name))
    for first, second in PAIRS:
        if own in (first, second) and first in named and second in named:
            pair = (named[first], named[second])
            if all(column in texts for column in pair):
                return tuple(column for column in facts if column in pair)
    heads = [
        column
        for column in others
        if column is not best
        and says(column.name, HEAD_WORDS)
        and not says(column.name, IDENTIFIER_WORDS)
        and not column.is_number
        and not column.is_code
    ]
    return (*heads[:1], best)


def better_names(
    label: Column, facts: Sequence[Column], rows: Sequence[Mapping[str, str]]
) -> Mapping[str, str] | None:
    """For a column of numbers, the names in a short-worded column that goes with it one to one."""
    if not label.is_number:
        return None
    for other in facts:
        if other is label or other.is_number or other.is_date or not could_label(other):
            continue
        if other.distinct == label.distinct and one_to_one(label, other, rows):
            return {
                value.strip(): name.strip()
                for row in rows
                if (value := row.get(label.name) or "").strip()
                and (name := row.get(other.name) or "").strip()
            }
    return None


def group_of(others: Sequence[Column]) -> Column | None:
    """The column whose rows belong together: many values that repeat, named or built like an identifier."""
    fitting = [
        column
        for column in others
        if column.distinct >= 3
        and column.filled >= 1.2 * column.distinct
        and column.filled_fraction >= 0.5
        and not column.is_date
        and column.mean_words <= 4
    ]
    named = [column for column in fitting if says(column.name, GROUP_WORDS)]
    built = [
        column
        for column in fitting
        if column.distinct > 20
        and column.is_code
        and not column.is_number
        and label_hint(column.name) <= 0
        and column.filled_fraction >= 0.9
    ]
    return max(named or built, key=lambda column: column.distinct, default=None)


def slices_of(others: Sequence[Column]) -> tuple[Column, ...]:
    """Columns with few values, in which a model's quality may differ; fewest values first."""
    fitting = [
        column
        for column in others
        if 2 <= column.distinct <= 60
        and column.filled >= 20 * column.distinct
        and column.mean_words <= 4
        and not column.is_date
        and not (column.is_number and column.distinct > 10)
        and (column.filled_fraction >= 0.7 or column.distinct <= 10)
        and not says(column.name, GROUP_WORDS)
    ]
    fewest = sorted(fitting, key=lambda column: column.distinct)[:MOST_SLICES]
    return tuple(column for column in others if column in fewest)


def is_derived(column: Column, label: Column, rows: Sequence[Mapping[str, str]]) -> bool:
    """Whether the column only says the label again: one value for each label and back."""
    return label.distinct < label.filled and one_to_one(column, label, rows)


def _is_text(column: Column, label: Column) -> bool:
    if column.is_number or column.is_code:
        return False
    if column.distinct_fraction < 0.2 or column.distinct < 2 * label.distinct:
        return False
    return column.mean_words >= 1.5 or (column.mean_characters >= 12 and not _is_identifier(column))


def _text_score(column: Column) -> float:
    hint = 1.5 if says(column.name, TEXT_WORDS) else 1.0
    late = 0.4 if says(column.name, AFTERWARDS_WORDS) else 1.0
    return math.log1p(column.mean_characters) * column.distinct_fraction * hint * late


def _is_identifier(column: Column) -> bool:
    named = any(word in IDENTIFIER_WORDS for word in words(column.name))
    unique = column.distinct_fraction > 0.95 and column.distinct > 20
    # codes can be labels too (diagnoses), where the column's name says so
    coded = column.is_code and not column.is_number and column.distinct > 50
    coded = coded and label_hint(column.name) <= 0
    return (named and column.distinct > 20) or coded or (unique and column.mean_words < 1.2)
