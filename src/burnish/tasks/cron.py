"""Cron lines: when a schedule fires, and what is wrong with one that never could."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from burnish.errors import Problem

FIELDS = ("minute", "hour", "day", "month", "weekday")
# The dates of a leap year are all the dates there are; over the years each falls on every weekday.
_DATES = tuple(
    datetime.datetime(2024, 1, 1) + datetime.timedelta(days)  # noqa: DTZ001  (dates, no moments)
    for days in range(366)
)
Fires = Callable[[datetime.datetime], bool]


def cron_problem(line: str) -> Problem | None:
    """What is wrong with a cron line, None for one that will fire.

    Five numbers, `*`, lists `1,15`, ranges `1-5` and steps `*/15`; where day and weekday are both given, both
    must fit (the classic cron takes either).

    Source: huey.crontab, which runs the schedule; in its strict form, for else it skips what it cannot read.

    Example:
        >>> cron_problem("0 3 * * 1") is None
        True
        >>> cron_problem("0 3 31 2 *").what
        'the schedule "0 3 31 2 *" never fires: there is no such date'
    """
    expected = f"five fields: {', '.join(FIELDS)}, each a number, *, 1,15, 1-5 or */15"
    fix = 'write for example schedule = "0 3 * * 1" (Mondays at 03:00 UTC)'
    try:
        cron(line)
    except ValueError as error:
        what = f'the schedule "{line}" cannot be read: {error}'
        return Problem(code="task-bad-value", what=what, expected=expected, fix=fix)
    _, _, day, month, _ = line.split()
    if any(map(cron(f"* * {day} {month} *"), _DATES)):
        return None
    return Problem(
        code="task-bad-value",
        what=f'the schedule "{line}" never fires: there is no such date',
        expected="a day that one of its months has",
        fix=fix,
    )


def cron(line: str) -> Fires:
    """Whether the line fires in the minute of a time in UTC.

    Raises: ValueError with what cannot be read.

    Example:
        >>> monday = cron("0 3 * * 1")
        >>> monday(datetime.datetime(2026, 11, 23, 3, 0)), monday(datetime.datetime(2026, 11, 24, 3, 0))
        (True, False)
    """
    from huey import crontab  # 50 ms, and only schedules need it

    fields = line.split()
    if len(fields) != len(FIELDS):
        raise ValueError(f"it has {len(fields)} field{'s' if len(fields) != 1 else ''}")
    minute, hour, day, month, weekday = fields
    return crontab(minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, strict=True)
