"""Does a test ask about the past? A model that learnt from later rows knows what it could not know in use."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date

import numpy as np

from burnish.data.evidence import Finding, Scene, Seen
from burnish.data.spill import Column
from burnish.data.tally import finding
from burnish.records.dataset import Issue
from burnish.records.example import SPLITS, Split

_LOOKED_AT_ROWS = 200
_DATED = 0.9  # of the filled cells looked at
_MOST_COLUMNS = 3
_LONG_DAYS = 90  # a random split over a longer time deserves a word
_OVERLAP = 0.05
_ISO = re.compile(r"((?:19|20)\d\d)[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.((?:19|20)\d\d)(?!\d)")


class TimeLeakage:
    """`time-leakage`: rows of a given test or validation file are older than train's newest (warning). `time-span`: a
    random split over a long time (note). Columns of dates are found by their cells.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._looked = 0
        self._filled: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._columns: tuple[str, ...] | None = None
        self._days: dict[tuple[str, Split], tuple[Column, Column]] = {}
        self._waiting: list[Seen] = []

    def see(self, row: Seen) -> None:
        if self._columns is None:
            self._look(row)
        elif self._columns:
            self._note(row)

    def _look(self, row: Seen) -> None:
        self._waiting.append(row)
        for name, cell in row.columns.items():
            if cell:
                filled = self._filled[name]
                filled[0] += 1
                filled[1] += day_of(cell) is not None
        if len(self._waiting) >= _LOOKED_AT_ROWS:
            self._choose()

    def _choose(self) -> None:
        dated = [name for name, (filled, days) in self._filled.items() if days >= _DATED * filled]
        self._columns = tuple(dated[:_MOST_COLUMNS])
        for row in self._waiting:
            self._note(row)
        self._waiting.clear()

    def _note(self, row: Seen) -> None:
        for name in self._columns or ():
            day = day_of(row.columns.get(name, ""))
            if day is not None:
                days, numbers = self._days.setdefault((name, row.split), (Column(), Column()))
                days.add(day)
                numbers.add(row.number)

    def findings(self) -> Iterator[Finding]:
        if self._columns is None:
            self._choose()
        for name in self._columns or ():
            given: list[Split] = [split for split in SPLITS if (name, split) in self._days]
            if given == ["train"]:
                yield from self._spans(name)
            elif "train" in given:
                for split in given[1:]:
                    yield from self._overlaps(name, split)

    def _spans(self, name: str) -> Iterator[Finding]:
        days = self._days[name, "train"][0].all()
        first, last = int(days.min()), int(days.max())
        if last - first >= _LONG_DAYS and len(days) >= _LOOKED_AT_ROWS / 4:
            yield Finding(
                Issue(
                    code="time-span",
                    severity="note",
                    what=f'column "{name}" dates the rows from {date.fromordinal(first)} to {date.fromordinal(last)}: a '
                    "random split tests on days that train knows, and promises more than the next months will show",
                    count=len(days),
                    fix=f'[data] split = "time" and time = "{name}" in task.toml tests on the newest rows',
                )
            )

    def _overlaps(self, name: str, split: Split) -> Iterator[Finding]:
        newest = int(self._days[name, "train"][0].all().max())
        days, numbers = (column.all() for column in self._days[name, split])
        older = np.flatnonzero(days < newest)
        if len(older) < _OVERLAP * len(days):
            return
        yield finding(
            self._scene,
            "time-leakage",
            "warning",
            f"{len(older)} of {len(days)} dated rows of {split} are older than the newest row of train "
            f'({date.fromordinal(newest)}, column "{name}"): train knows what came after them',
            rows=sorted(numbers[older].tolist()),
            fix=f'give one file and [data] split = "time", time = "{name}" in task.toml, or cut the files by date',
        )


def day_of(cell: str) -> int | None:
    """The day a cell begins with, as a number that grows; None for what is no date, or two at once (03/04/2024).

    Example:
        >>> day_of("2013-11-07T06:20:48") == day_of("7.11.2013"), day_of("03/04/2024"), day_of("2013-13-01")
        (True, None, None)
    """
    plain = cell.strip()
    found = _ISO.match(plain)
    if found is not None:
        year, month, day = found.groups()
    else:
        found = _DAY_FIRST.match(plain)
        if found is None:
            return None
        day, month, year = found.groups()
    try:
        return date(int(year), int(month), int(day)).toordinal()
    except ValueError:
        return None
