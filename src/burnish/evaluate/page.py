"""The report as one HTML file: no script, no outside resource, nothing but the records it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from burnish.data.reuse import WORN, reuse_issues
from burnish.evaluate import confusions, shown
from burnish.evaluate.metric import METRICS
from burnish.records.dataset import Dataset
from burnish.records.decision import Candidate, Decision
from burnish.records.report import Comparison, Measure, Report
from burnish.records.run import Run, Step
from burnish.records.task import Task
from burnish.train.spoken import duration, size

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

# a long per-label table opens with the weakest labels; the others are one click away
FIRST_LABELS = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval as a bar, in percent of its scale's width."""

    left: float
    width: float
    point: float


@dataclass(frozen=True, slots=True)
class Scale:
    """The common scale of one table's bars."""

    low: float
    high: float

    def bar(self, measure: Measure) -> Bar | None:
        """The measure on this scale; None when it has no interval or lies below the scale."""
        if measure.low is None or measure.high is None or measure.high < self.low:
            return None
        ends = [self._percent(end) for end in (measure.low, measure.high, measure.value)]
        return Bar(left=ends[0], width=max(ends[1] - ends[0], 0.5), point=ends[2])

    def mark(self, value: float) -> float:
        """Where a single value lies."""
        return self._percent(value)

    def _percent(self, value: float) -> float:
        width = self.high - self.low or 1.0
        return round(100 * min(1.0, max(0.0, (value - self.low) / width)), 2)


def report_page(
    report: Report,
    *,
    decision: Decision | None,
    dataset: Dataset | None,
    run: Run | None,
    steps: Sequence[Step],
    task: Task,
) -> str:
    """The whole report as a self-contained page; what is None is left out and said so.

    The same arguments give the same bytes. All text from users is escaped by the template engine.
    """
    # only here, so that importing the module draws nothing
    from burnish.evaluate import pictures

    square = confusions.square(report)
    drawn = {
        "confusion": pictures.confusion_picture(square) if square else "",
        "reliability": (
            pictures.reliability_picture(report.calibration)
            if report.calibration and report.calibration.bins
            else ""
        ),
        "learning": _learning(steps, task),
        "lengths": (
            pictures.lengths_picture(report.lengths)
            if report.lengths and report.lengths.histogram
            else ""
        ),
    }
    candidates = decision.candidates if decision else ()
    weakest = sorted(report.classes, key=lambda one: (one.support == 0, one.f1.value, one.label))
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            worn=report.reuse is not None and bool(reuse_issues(report.reuse)),
            worn_sentence=WORN,
            task=task,
            decision=decision,
            dataset=dataset,
            run=run,
            primary=report.measure(report.primary_metric),
            headline=headline(report, decision=decision),
            failed=[result for result in report.gates if not result.passed],
            pictures=drawn,
            square=square,
            numbered=square is not None and pictures.is_numbered(square.labels),
            is_square=confusions.is_square(report),
            top_confusions=confusions.top_confusions(report),
            classes_first=weakest[:FIRST_LABELS] if len(weakest) > FIRST_LABELS + 4 else weakest,
            classes_rest=weakest[FIRST_LABELS:] if len(weakest) > FIRST_LABELS + 4 else (),
            label_scale=Scale(0.0, 1.0),
            candidate_scale=_candidate_scale(candidates),
            slice_scale=_scale([one.measure for one in report.slices]),
            slice_overall=report.measure(report.primary_metric).value,
            by_column=_by_column(report),
            recommended=_recommended(candidates, decision),
            higher=_higher_is_better,
            settings=_settings(run),
        )
    )


def headline(report: Report, *, decision: Decision | None) -> str:
    """What to take away, in one sentence: the decision's, else what was measured."""
    if decision is not None:
        return decision.sentence
    measure = report.measure(report.primary_metric)
    inside = "" if measure.low is None else f" (95% interval {shown.interval(measure)})"
    rows = "row" if report.n == 1 else "rows"
    return (
        f"{shown.title(measure.name)} is {shown.value(measure)}{inside} on {report.n:,} "
        f"{report.split} {rows}{' that training never saw' if report.split == 'test' else ''}."
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("burnish.evaluate", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "title_of": shown.title,
        "number": shown.number,
        "value": shown.value,
        "interval": shown.interval,
        "difference": shown.difference,
        "p_value": shown.p_value,
        "size": size,
        "duration": duration,
        "count": lambda number: f"{number:,}",
        "percent": lambda share: shown.number(share),
        # the pictures are our own markup; every text in them was escaped when drawn
        "picture": Markup,
        "breakable": _breakable,
    }
    return environment


def _breakable(name: str) -> Markup:
    """A name that may break after an underscore, so that narrow screens need not cut it anywhere."""
    from markupsafe import Markup, escape

    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def _learning(steps: Sequence[Step], task: Task) -> str:
    from burnish.evaluate import pictures

    if not any(np.isfinite(step.loss) for step in steps):
        return ""
    return pictures.learning_picture(steps, metric=task.primary_metric)


def _scale(measures: Sequence[Measure]) -> Scale:
    """From a little below the lowest end to a little above the highest."""
    ends = [
        end for one in measures for end in (one.low, one.high, one.value) if end is not None
    ] or [0.0, 1.0]
    room = 0.08 * (max(ends) - min(ends)) or 0.01
    return Scale(min(ends) - room, max(ends) + room)


def _candidate_scale(candidates: Sequence[Candidate]) -> Scale:
    """The candidates worth comparing decide: one that always says the same would squeeze the others."""
    measures = [one.quality for one in candidates]
    best = max((one.value for one in measures), default=0.0)
    return _scale([one for one in measures if one.value >= 0.5 * best])


def _by_column(report: Report) -> dict[str, list[int]]:
    """Places of the slices of each column, in the report's order."""
    found: dict[str, list[int]] = {}
    for place, one in enumerate(report.slices):
        found.setdefault(one.column, []).append(place)
    return found


def _recommended(candidates: Sequence[Candidate], decision: Decision | None) -> str:
    names = {candidate.name for candidate in candidates}
    return decision.recommendation if decision and decision.recommendation in names else ""


def _higher_is_better(comparison: Comparison) -> bool:
    metric = METRICS.get(comparison.metric)
    return metric is None or metric.higher_is_better


def _settings(run: Run | None) -> dict[str, str]:
    """The recipe, one setting per row."""
    if run is None:
        return {}
    return {name: str(value) for name, value in run.recipe.model_dump().items()}
