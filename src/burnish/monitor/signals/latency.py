"""Is it still fast enough? The time that 95 of 100 answers stay below, against the task's own promise.

Shape legend: W rows of the window.
"""

from __future__ import annotations

import math

import numpy as np

from burnish.evaluate.intervals import LEVEL
from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.records.encoding import FloatArray
from burnish.records.signal import Level
from burnish.records.task import Task

NAME: str = "latency"
HIGHEST: Level = "look"
METHOD: str = (
    "95th percentile with the distribution-free interval of order statistics; a look when its lower end is above "
    "latency_p95_ms (Hahn & Meeker 1991, section 5.2)"
)
_SHARE = 0.95


def measure(window: Window, reference: Reference, *, task: Task, seed: int) -> Measured:
    """The 95th percentile in milliseconds; broken only when it is surely above the promise."""
    sorted_W = np.sort(window.latency_ms_R[np.isfinite(window.latency_ms_R)])
    if not len(sorted_W):
        return Measured(None, "no answer has a latency", unit="ms")
    value = float(sorted_W[math.ceil(_SHARE * len(sorted_W)) - 1])
    low, high = _interval(sorted_W)
    promised = task.monitor.latency_p95_ms
    because = f"95% of {len(sorted_W)} answers took {value:.1f} ms or less"
    if promised is None:
        because += "; the task promises no latency_p95_ms"
    elif low is None:
        because += "; too few answers to call the promise broken"
    return Measured(
        value=value,
        low=low,
        high=high,
        threshold=promised,
        broken=promised is not None and low is not None and low > promised,
        unit="ms",
        because=because,
    )


def _interval(sorted_W: FloatArray) -> tuple[float | None, float | None]:
    """The order statistics around the percentile; None for an end that so few rows do not have."""
    from scipy.stats import binom

    rows = len(sorted_W)
    low = int(binom.ppf((1 - LEVEL) / 2, rows, _SHARE))
    high = int(binom.ppf((1 + LEVEL) / 2, rows, _SHARE)) + 1
    return (
        float(sorted_W[low - 1]) if low >= 1 else None,
        float(sorted_W[high - 1]) if high <= rows else None,
    )
