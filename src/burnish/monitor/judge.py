"""All signals of one window, weighed together so that an undrifted window stays quiet."""

from __future__ import annotations

import math
from collections.abc import Mapping

from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.monitor.signal import SIGNALS, SignalKind
from burnish.records.signal import Signal
from burnish.records.task import Task


def judge(window: Window, reference: Reference, *, task: Task, seed: int) -> tuple[Signal, ...]:
    """Every signal of the table, in its order, each at its level.

    A window without drift raises any look among the tested signals with a chance of at most
    `task.monitor.alpha`, however they depend on each other; over T windows, each tested once, at most
    alpha * T false looks are expected, although all share one reference. What cannot be asked is quiet and
    says why.

    Source: Holm (1979); docs/decisions/0009-false-alarms.md.
    """
    found = {
        name: _finite(kind.measure(window, reference, task=task, seed=seed))
        for name, kind in SIGNALS.items()
    }
    p_values = {name: one.p_value for name, one in found.items() if one.p_value is not None}
    thresholds = holm(p_values, alpha=task.monitor.alpha)
    return tuple(
        _signal(SIGNALS[name], one, threshold=thresholds.get(name)) for name, one in found.items()
    )


def holm(p_values: Mapping[str, float], *, alpha: float) -> Mapping[str, float]:
    """What each p-value has to fall to, so that any false finding has a chance of at most alpha.

    The smallest p-value is held against alpha / k, the next against alpha / (k - 1), until one is too
    large; its threshold then stands for all after it. So "p <= threshold" is the verdict for each.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian J. of
    Statistics 6(2): valid whatever the dependence.

    Example:
        >>> holm({"a": 0.030, "b": 0.001, "c": 0.024}, alpha=0.05)
        {'b': 0.016666666666666666, 'c': 0.025, 'a': 0.05}
    """
    left = len(p_values)
    thresholds: dict[str, float] = {}
    for name, p_value in sorted(p_values.items(), key=lambda item: item[1]):
        thresholds[name] = alpha / left
        if p_value <= thresholds[name]:
            left -= 1
    return thresholds


def _signal(kind: SignalKind, one: Measured, *, threshold: float | None) -> Signal:
    found = one.broken
    because = one.because
    if one.p_value is not None and threshold is not None:
        found = one.p_value <= threshold
        because += f"; p = {one.p_value:.2g} is {'' if found else 'not '}below {threshold:.2g}"
    return Signal(
        name=kind.NAME,
        value=one.value,
        low=one.low,
        high=one.high,
        reference=one.reference,
        p_value=one.p_value,
        threshold=one.threshold if threshold is None else threshold,
        level=kind.HIGHEST if found else "quiet",
        unit=one.unit,
        because=because,
        method=kind.METHOD,
    )


def _finite(one: Measured) -> Measured:
    """The same, or the plain statement that the rows hold numbers nobody can compare."""
    numbers = (one.value, one.low, one.high, one.reference, one.p_value, one.threshold)
    if all(number is None or math.isfinite(number) for number in numbers):
        return one
    return Measured(
        None, "the rows hold numbers that are not finite, so nothing can be compared", unit=one.unit
    )
