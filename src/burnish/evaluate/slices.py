"""Where is it bad? The primary metric by the value of any column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from burnish.evaluate.intervals import RESAMPLES
from burnish.evaluate.metric import Rows, measure, metric_of, point, terms_of
from burnish.records.encoding import IntArray
from burnish.records.example import Example
from burnish.records.report import Measure, Slice

# below 10 rows an interval covers half the scale and the slice tells nothing
MIN_ROWS = 10
# a column with more values than this (a date, an id) is no slice; its most frequent values are shown
MAX_VALUES = 30
EMPTY = "(empty)"
DRAWS = 400


def slices(
    metric: str,
    scored: Rows,
    examples: Sequence[Example],
    *,
    columns: Sequence[str],
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[Slice, ...]:
    """The metric on each value of each column that has at least 10 rows, most rows first.

    A slice is flagged when its 95% interval lies wholly on the worse side of the value on all rows,
    and its value is worse than 39 of 40 random draws of as many rows. With many slices expect some
    flags by chance: about one in forty of slices that are like the rest.

    Raises: metric-unknown.
    """
    overall = point(metric, scored)
    better = metric_of(metric).higher_is_better
    found = []
    for column in columns:
        for value, rows in rows_by_value(examples, column):
            measured = measure(metric, scored.part(rows), seed=seed, resamples=resamples)
            low, high = measured.low, measured.high
            apart = (
                (high is not None and high < overall)
                if better
                else (low is not None and low > overall)
            )
            flagged = apart and _worse_than_random(metric, scored, measured, seed=seed)
            found.append(Slice(column=column, value=value, measure=measured, flagged=flagged))
    return tuple(found)


def _worse_than_random(metric: str, scored: Rows, measured: Measure, *, seed: int) -> bool:
    """Whether the slice is worse than all but 1 in 40 draws of as many rows from everywhere.

    Macro F1 needs this: on few rows of many labels it is lower by nature, whoever wrote them, so that an
    interval below the value on all rows is not yet news.
    """
    chosen = metric_of(metric)
    terms_RS = terms_of(metric, scored)
    random = np.random.default_rng(seed)
    rows = len(terms_RS)
    sums_DS = np.stack(
        [
            terms_RS[random.choice(rows, size=measured.n, replace=False)].sum(axis=0)
            for _ in range(DRAWS)
        ]
    )
    values_D = chosen.value(sums_DS, np.full(DRAWS, float(measured.n)))
    if chosen.higher_is_better:
        return bool(np.mean(values_D <= measured.value) <= 1 / 40)
    return bool(np.mean(values_D >= measured.value) <= 1 / 40)


def missing_columns(examples: Sequence[Example], columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that no row carries."""
    return tuple(
        column for column in columns if not any(_cell(row, column) is not None for row in examples)
    )


def _cell(example: Example, column: str) -> str | None:
    """A cell of the row; the group and the inputs are columns too."""
    if column in example.columns:
        return example.columns[column]
    return example.inputs.get(column)


def rows_by_value(examples: Sequence[Example], column: str) -> list[tuple[str, IntArray]]:
    """Where the rows of each value of a column stand, for values with at least 10 rows, most rows first."""
    places: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        cell = _cell(example, column)
        if cell is not None:
            places.setdefault(cell.strip() or EMPTY, []).append(index)
    enough = [(value, np.array(rows)) for value, rows in places.items() if len(rows) >= MIN_ROWS]
    enough.sort(key=lambda pair: (-len(pair[1]), pair[0]))
    return enough[:MAX_VALUES]
