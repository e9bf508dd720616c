"""The decision: is the tuned model worth it? Said in one sentence, with the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from burnish.evaluate.compare import compare
from burnish.evaluate.metric import Rows, metric_of
from burnish.records.decision import Candidate, Decision
from burnish.records.report import Comparison

TUNED = "tuned"


class Tried(Protocol):
    """A candidate and what it answered on the rows that all were asked."""

    @property
    def candidate(self) -> Candidate: ...
    @property
    def scored(self) -> Rows: ...


# A gain below one point rarely repays training, serving and watching a transformer. A stated choice,
# not a measurement: the interval says what is sure, this says what is worth the trouble.
WORTH_FRACTION = 0.01


def decide(tried: Mapping[str, Tried], *, metric: str, seed: int) -> Decision:
    """Recommend the simplest candidate that nothing beats both surely and noticeably.

    Candidates come simplest first; "surely" is a 95% paired interval above zero, "noticeably" a
    difference of at least one point (0.01). Beating so is a matter of strictly better quality, so the
    best candidate is never beaten and there is always one to recommend. The tuned model is compared with every other candidate on
    the same rows. The recommendation changes no exit code: only gates do.
    """
    names = list(tried)
    recommended = next(
        name
        for name in names
        if not any(
            _beats(tried, other, name, metric=metric, seed=seed) for other in names if other != name
        )
    )
    comparisons = tuple(
        compare(
            metric,
            tried[TUNED].scored,
            tried[name].scored,
            ours=TUNED,
            theirs=name,
            seed=seed,
        )
        for name in names
        if name != TUNED and TUNED in tried
    )
    pays = recommended == TUNED
    return Decision(
        candidates=tuple(one.candidate for one in tried.values()),
        comparisons=comparisons,
        recommendation=recommended,
        tuning_pays=pays,
        sentence=_sentence(tried, recommended, comparisons, metric=metric),
        reasons=_reasons(tried, recommended),
    )


def _beats(tried: Mapping[str, Tried], ours: str, theirs: str, *, metric: str, seed: int) -> bool:
    """Surely and noticeably better. The bootstrap runs only where the gain is worth asking about."""
    sign = _sign(metric)
    quality, other = (tried[name].candidate.quality.value for name in (ours, theirs))
    if sign * (quality - other) < WORTH_FRACTION:
        return False
    return _gain(tried, ours, theirs, metric=metric, seed=seed).low > 0


def _sign(metric: str) -> float:
    """1 where higher is better, else -1."""
    return 1.0 if metric_of(metric).higher_is_better else -1.0


def _gain(
    tried: Mapping[str, Tried], ours: str, theirs: str, *, metric: str, seed: int
) -> Comparison:
    """The comparison with its sign turned so that positive is better."""
    found = compare(
        metric, tried[ours].scored, tried[theirs].scored, ours=ours, theirs=theirs, seed=seed
    )
    if _sign(metric) > 0:
        return found
    return found.model_copy(
        update={"difference": -found.difference, "low": -found.high, "high": -found.low}
    )


def _sentence(
    tried: Mapping[str, Tried],
    recommended: str,
    comparisons: Sequence[Comparison],
    *,
    metric: str,
) -> str:
    chosen = tried[recommended].candidate
    quality = f"{metric} {_short(chosen.quality.value)}"
    if TUNED not in tried:
        return f"Of the baselines, {chosen.title} is enough: {quality}."
    tuned = tried[TUNED].candidate
    if recommended == TUNED:
        rival = max(
            comparisons,
            key=lambda row: _sign(metric) * tried[row.theirs].candidate.quality.value,
        )
        other = tried[rival.theirs].candidate
        return (
            f"Fine-tuning pays: {metric} {_short(tuned.quality.value)} against "
            f"{_short(other.quality.value)} for {other.title}, a gain of {_signed(rival)} on the "
            f"same {rival.n} rows."
        )
    rival = next(row for row in comparisons if row.theirs == recommended)
    speed = tuned.latency_ms / max(chosen.latency_ms, 1e-6)
    gain = _sign(metric) * rival.difference
    if gain >= WORTH_FRACTION:
        verb = "is not proven to pay"
    else:
        verb = "hardly pays" if gain > 0 else "does not pay"
    return (
        f"Fine-tuning {verb}: {chosen.title} reaches {quality} against {_short(tuned.quality.value)} "
        f"tuned, a difference of {_signed(rival)} on the same {rival.n} rows, and answers "
        f"{speed:.0f} times as fast."
        if speed >= 1.5
        else f"Fine-tuning {verb}: {chosen.title} reaches {quality} against "
        f"{_short(tuned.quality.value)} tuned, a difference of {_signed(rival)} on the same "
        f"{rival.n} rows."
    )


def _signed(row: Comparison) -> str:
    return f"{row.difference:+.3f} (95% interval {row.low:+.3f} to {row.high:+.3f})"


def _short(value: float) -> str:
    return f"{value:.3f}"


def _reasons(tried: Mapping[str, Tried], recommended: str) -> tuple[str, ...]:
    chosen = tried[recommended].candidate
    quality = chosen.quality
    interval = (
        "" if quality.low is None else f" (95% interval {quality.low:.3f} to {quality.high:.3f})"
    )
    return (
        f"{chosen.title}: {quality.name} {quality.value:.3f}{interval} on {quality.n} test rows",
        f"{chosen.latency_ms:.1f} ms a row one by one, {chosen.memory_bytes / 1e6:.0f} MB, "
        f"built in {chosen.build_seconds:.0f} s",
        f"explanation: {chosen.explains}",
        f"needs: {chosen.needs}",
    )
