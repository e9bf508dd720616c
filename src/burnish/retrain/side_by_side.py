"""Two models timed on the same rows in the same minutes, so that the machine's moods cancel out."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from burnish.evaluate.predict import predict
from burnish.models.fitted import Fitted
from burnish.records.example import Example
from burnish.records.task import Task

# The 95% interval of a median of 40 lies between its 14th and 27th value: within a few percent on a machine at work.
PAIRS = 40


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds a row, one at a time: medians of both, and how many times the live model's the candidate's is.

    `ratio` is the median over pairs with its 95% interval.
    """

    candidate_ms: float
    live_ms: float
    ratio: float
    low: float
    high: float
    pairs: int


def time_side_by_side(
    task: Task,
    rows: Sequence[Example],
    *,
    candidate: Fitted,
    live: Fitted,
    pairs: int = PAIRS,
    clock: Callable[[], float] = time.perf_counter,
) -> Timed:
    """Answer rows one at a time with both models in turn, the first of a pair alternating.

    The rows are spread over those given, repeated where they are fewer than `pairs`. Each model answers once
    before the clock runs.

    Raises: ValueError without rows or pairs; what the models raise.
    """
    if not rows or pairs < 1:
        raise ValueError("timing needs rows and pairs")
    chosen = [rows[place * len(rows) // pairs].inputs for place in range(pairs)]

    def once(fitted: Fitted, place: int) -> float:
        started = clock()
        predict(fitted, task, [chosen[place]])
        return (clock() - started) * 1000

    once(candidate, 0)
    once(live, 0)
    ours: list[float] = []
    theirs: list[float] = []
    for place in range(pairs):
        turns = [(candidate, ours), (live, theirs)]
        for fitted, times in turns if place % 2 else reversed(turns):
            times.append(once(fitted, place))
    return timed(ours, theirs)


def timed(ours: Sequence[float], theirs: Sequence[float]) -> Timed:
    """The medians and the ratio's interval from times in pairs.

    The interval is that of the sign test: no shape of the times is assumed, and one pause of the machine moves
    it by at most one place.

    Source: Hahn & Meeker (1991), Statistical Intervals, section 5.2.
    """
    tiny = 1e-9  # a clock that did not move is no division by nothing
    ratios = sorted(one / max(other, tiny) for one, other in zip(ours, theirs, strict=True))
    outside = _outside(len(ratios))
    return Timed(
        candidate_ms=statistics.median(ours),
        live_ms=statistics.median(theirs),
        ratio=statistics.median(ratios),
        low=ratios[outside] if outside is not None else 0.0,
        high=ratios[-1 - outside] if outside is not None else math.inf,
        pairs=len(ratios),
    )


def _outside(pairs: int) -> int | None:
    """How many values may be left out at each end of a 95% interval of the median; None when none may be."""
    below = 0.0
    for count in range(pairs):
        below += math.comb(pairs, count) * 0.5**pairs
        if below > 0.025:
            return count - 1 if count else None
    return None
