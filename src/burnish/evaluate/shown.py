"""Numbers as people read them: the one place where a measure is rounded, for pages, cards and tables."""

from __future__ import annotations

from burnish.evaluate.metric import METRICS
from burnish.records.report import Comparison, Measure

MISSING = "–"
_TITLES = {"ece": "Calibration error (ECE)", "brier": "Brier score", "f1": "F1"}


def title(name: str) -> str:
    """A metric's name in words.

    Example:
        >>> title("macro_f1"), title("ece")
        ('Macro F1', 'Calibration error (ECE)')
    """
    return METRICS[name].title if name in METRICS else _TITLES.get(name, name)


def number(value: float | None, unit: str = "fraction") -> str:
    """One value in its unit: fractions as percentages with one decimal.

    Example:
        >>> number(0.92634), number(0.2871, "nats"), number(None)
        ('92.6%', '0.287', '–')
    """
    if value is None:
        return MISSING
    return f"{100 * value:.1f}%" if unit == "fraction" else f"{value:.3f}"


def interval(measure: Measure) -> str:
    """The 95% interval alone.

    Example:
        >>> interval(Measure(name="accuracy", value=0.9, low=0.88, high=0.92, n=900))
        '88.0 to 92.0%'
    """
    if measure.low is None or measure.high is None:
        return MISSING
    return between(measure.low, measure.high, measure.unit)


def between(low: float, high: float, unit: str = "fraction") -> str:
    """Two ends in one unit, the percent sign once."""
    first = number(low, unit)
    return f"{first.removesuffix('%')} to {number(high, unit)}"


def value(measure: Measure) -> str:
    """The value alone, or a dash where nothing was measured."""
    return MISSING if measure.n == 0 else number(measure.value, measure.unit)


def sentence(measure: Measure) -> str:
    """Value, interval and n in one breath.

    Example:
        >>> sentence(Measure(name="accuracy", value=0.9, low=0.88, high=0.92, n=900))
        'accuracy 90.0% (95% interval 88.0 to 92.0%, n = 900)'
    """
    inside = "" if measure.low is None else f"95% interval {interval(measure)}, "
    return f"{measure.name} {value(measure)} ({inside}n = {measure.n:,})"


def difference(comparison: Comparison) -> str:
    """A difference with its sign: points for fractions.

    Example:
        >>> difference(Comparison(ours="a", theirs="b", metric="accuracy", difference=0.032, low=0.02,
        ...                       high=0.045, p_value=0.001, n=900, method="paired bootstrap"))
        '+3.2 points (95% interval +2.0 to +4.5)'
    """
    metric = METRICS.get(comparison.metric)
    if metric is None or metric.unit == "fraction":
        scale, digits, unit = 100.0, 1, " points"
    else:
        scale, digits, unit = 1.0, 3, ""
    parts = [
        f"{scale * end:+.{digits}f}"
        for end in (comparison.difference, comparison.low, comparison.high)
    ]
    return f"{parts[0]}{unit} (95% interval {parts[1]} to {parts[2]})"


def p_value(comparison: Comparison) -> str:
    """A p-value, never 0.

    Example:
        >>> p_value(Comparison(ours="a", theirs="b", metric="accuracy", difference=0.03, low=0.02,
        ...                    high=0.04, p_value=2e-12, n=900, method="exact McNemar"))
        '< 0.001'
    """
    return "< 0.001" if comparison.p_value < 0.001 else f"{comparison.p_value:.3f}"
