"""How much is asked? Rows an hour; shown beside the other signals, never an alarm of its own."""

from __future__ import annotations

from burnish.evaluate.intervals import LEVEL
from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.records.signal import Level
from burnish.records.task import Task

NAME: str = "traffic"
HIGHEST: Level = "quiet"
METHOD: str = (
    "Rows an hour between the first and the last answer, interval of a Poisson process watched until its n-th event "
    "(Garwood 1936)"
)
_UNIT = "rows per hour"
_HOUR_SECONDS = 3600


def measure(window: Window, reference: Reference, *, task: Task, seed: int) -> Measured:
    """Rows an hour: a window is cut by rows, so the time is what varies, and n rows leave n - 1 gaps."""
    from scipy.stats import chi2

    gaps = len(window.seen) - 1
    if gaps < 1 or window.seconds <= 0:
        return Measured(None, "a rate needs two answers at different times", unit=_UNIT)
    hours = window.seconds / _HOUR_SECONDS
    low, high = (
        float(chi2.ppf(tail, 2 * gaps)) / (2 * hours) for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    )
    return Measured(
        value=gaps / hours,
        low=low,
        high=high,
        unit=_UNIT,
        because=f"{len(window.seen)} answers within {hours:.2f} hours",
    )
