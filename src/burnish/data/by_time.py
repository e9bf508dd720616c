"""Splits by time: train on what was, test on what came after. Units (texts, groups, near duplicates) stay whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from burnish.data.units import Unit
from burnish.records.dataset import Issue
from burnish.records.example import Example, Split

_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ ,T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")
_SLASHES = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?:[ ,T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")
_EPOCH = re.compile(r"\d{10}(?:\d{3})?(?:\.\d+)?")
_MONTHS = ("%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y")
_MILLISECONDS = 100_000_000_000  # as seconds this would be the year 5138


@dataclass(frozen=True, slots=True)
class ByTime:
    """The column with the dates, and from when on rows validate and test (ISO 8601, UTC; none yet for a first version)."""

    column: str
    after: Mapping[Split, str] = field(default_factory=dict)


def read_time(text: str) -> datetime | None:
    """The moment a cell names, in UTC; None where it names none, or where it could be one of two.

    ISO 8601 dates and times (also with "/" for "-"), 31.12.2024, 12/31/2024 and 31/12/2024 where only one reading
    is a date, "31 December 2024", "Dec 31, 2024", e-mail dates, and seconds or milliseconds since 1970. Without a
    zone UTC is meant.

    Example:
        >>> read_time("2013-11-07T06:20:48").isoformat()
        '2013-11-07T06:20:48+00:00'
        >>> read_time("31/12/2024") == read_time("12/31/2024") == read_time("31.12.2024")
        True
        >>> read_time("03/04/2024"), read_time("last week")
        (None, None)
    """
    said = text.strip()
    if not said:
        return None
    for reading in (_iso, _numbers, _words, _mail):
        try:
            found = reading(said)
            if found is None:
                continue
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError, OSError, TypeError, IndexError):
            continue
    return None


def begin(
    units: Sequence[Unit], pool: Sequence[Example], *, shares: Mapping[Split, float], column: str
) -> ByTime:
    """The moments at which validation and test begin, so that their rows come nearest to their shares.

    A unit counts by its newest row, so nothing in train is newer than what tests; units of one moment stay together,
    and the oldest moment always trains. Shares are of all rows, those without a date included.
    """
    dates = [newest(unit, pool, column=column) for unit in units]
    rows: Counter[datetime] = Counter()
    for unit, date in zip(units, dates, strict=True):
        if date is not None:
            rows[date] += len(unit.rows)
    total = sum(len(unit.rows) for unit in units)
    moments = sorted(rows, reverse=True)[:-1]
    after: dict[Split, str] = {}
    taken = share = 0.0
    for split in ("test", "validation"):
        share += shares.get(split, 0.0)
        if not shares.get(split) or not moments:
            continue
        counts: list[float] = []
        seen = taken
        for moment in moments:
            seen += rows[moment]
            counts.append(seen)
        best = min(range(len(moments)), key=lambda n: (abs(counts[n] - share * total), n))
        after[split], taken = moments[best].isoformat(), counts[best]
        moments = moments[best + 1 :]
    return ByTime(column, after)


def placer(pool: Sequence[Example], time: ByTime) -> Callable[[Unit], Split]:
    """Where a unit goes: by its newest row, and into train when none has a date."""
    known = {split: datetime.fromisoformat(moment) for split, moment in time.after.items()}
    order: tuple[Split, ...] = ("test", "validation")

    def place(unit: Unit) -> Split:
        date = newest(unit, pool, column=time.column)
        if date is None:
            return "train"
        for split in order:
            if split in known and date >= known[split]:
                return split
        return "train"

    return place


def newest(unit: Unit, pool: Sequence[Example], *, column: str) -> datetime | None:
    """The latest date among the unit's rows."""
    dates = [read_time(pool[row].columns.get(column, "")) for row in unit.rows]
    return max((date for date in dates if date is not None), default=None)


def date_issues(examples: Sequence[Example], *, column: str) -> tuple[Issue, ...]:
    """One for all rows of files whose date cannot be read."""
    bad = [
        row for row in examples if column in row.columns and read_time(row.columns[column]) is None
    ]
    if not bad:
        return ()
    empty = sum(not row.columns.get(column, "").strip() for row in bad)
    sample = next((cell for row in bad if (cell := row.columns.get(column, "").strip())), "")
    shown = f', such as "{sample[:40]}"' if sample else ""
    return (
        Issue(
            code="date-unreadable",
            severity="warning",
            what=f'{len(bad)} rows have no readable date in "{column}" ({empty} are empty{shown}): they '
            "train, unless a row they are tied to has one",
            count=len(bad),
            rows=tuple(row.source.where for row in bad[:20]),
            fix="write dates as 2024-12-31 or 2024-12-31T23:59:59Z",
        ),
    )


def _iso(said: str) -> datetime | None:
    if not re.match(r"\d{4}[-/]?\d{2}", said) or _EPOCH.fullmatch(said):
        return None
    return datetime.fromisoformat(re.sub(r"^(\d{4})/(\d{1,2})/", r"\1-\2-", said))


def _numbers(said: str) -> datetime | None:
    if _EPOCH.fullmatch(said):
        number = float(said)
        return datetime.fromtimestamp(number / 1000 if number >= _MILLISECONDS else number, UTC)
    found = _DAY_FIRST.fullmatch(said)
    if found:
        return _date(found[3], found[2], found[1], found)
    found = _SLASHES.fullmatch(said)
    if not found:
        return None
    one, other = int(found[1]), int(found[2])
    if one <= 12 and other <= 12 and one != other:
        return None  # 3 April or March 4th: a guess would put rows on the wrong side
    day, month = (found[1], found[2]) if one > 12 else (found[2], found[1])
    return _date(found[3], month, day, found)


def _date(year: str, month: str, day: str, found: re.Match[str]) -> datetime:
    hour, minute, second = (int(found[place] or 0) for place in (4, 5, 6))
    return datetime(int(year), int(month), int(day), hour, minute, second, tzinfo=UTC)


def _words(said: str) -> datetime | None:
    for form in _MONTHS:
        try:
            return datetime.strptime(said, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _mail(said: str) -> datetime | None:
    return parsedate_to_datetime(said) if ":" in said else None
