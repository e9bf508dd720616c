"""Candidates: each way to do the job, built, calibrated and measured on the same rows."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from burnish.decide.baseline import BASELINES, FittedBaseline
from burnish.decide.vectors import Vectors
from burnish.evaluate.calibration import fit_temperature
from burnish.evaluate.metric import measure
from burnish.evaluate.predict import predict
from burnish.evaluate.scored import Scored, score
from burnish.models.fitted import Fitted
from burnish.records.decision import Candidate
from burnish.records.encoding import Encoding, FloatArray
from burnish.records.example import Example, Split
from burnish.records.task import Task
from burnish.tasks.kind import kind_of
from burnish.train.rows import labelled_texts

# Rows predicted one by one to time a candidate: the median of 40 moves by a few percent between runs.
_TIMED_ROWS = 40


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A candidate with what it answered. Shapes: test_logits_RL (R, L), already divided by its temperature."""

    candidate: Candidate
    fitted: Fitted
    test_logits_RL: FloatArray
    scored: Scored


@dataclass(frozen=True, slots=True, eq=False)
class RememberedVectors:
    """A base model's vectors, computed once per text: four users ask for the same rows."""

    source: Vectors
    known: dict[str, FloatArray]

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Token ids from the base's tokenizer."""
        return self.source.encode(texts)

    def vectors(self, encodings: Sequence[Encoding]) -> FloatArray:
        """Vectors (R, H); only texts not seen before are computed."""
        new = {row.text: row for row in encodings if row.text not in self.known}
        if new:
            found = self.source.vectors(list(new.values()))
            self.known.update(zip(new, found, strict=True))
        if not encodings:
            return self.source.vectors([])
        return np.stack([self.known[row.text] for row in encodings])

    def size_bytes(self) -> int:
        """Bytes of the base's weights."""
        return self.source.size_bytes()


def try_baselines(
    task: Task,
    rows: Mapping[Split, Sequence[Example]],
    *,
    vectors: Vectors | None,
    plain: Vectors | None,
    seed: int,
    announce: Callable[[str], None],
) -> dict[str, Tried]:
    """Build every baseline on train, calibrate on validation, measure on test, in the door's order.

    `vectors` is the base model (None: its baselines are left out), possibly remembering what it
    computed; `plain` the same without memory, so that latencies are honest.
    """
    tried: dict[str, Tried] = {}
    train = labelled_texts(task, rows["train"])
    for name, baseline in BASELINES.items():
        if baseline.USES_BASE and vectors is None:
            continue
        announce(f"baseline: {baseline.TITLE}")
        started = time.perf_counter()
        fitted = baseline.build(
            train.texts,
            train.targets_RL,
            objective=kind_of(task).objective,
            vectors=vectors,
            seed=seed,
        )
        validation = labelled_texts(task, rows["validation"])
        logits_RL = fitted.logits(fitted.encode(validation.texts))
        temperature = fit_temperature(task, rows["validation"], logits_RL)
        fitted = _with_temperature(fitted, temperature)
        build_seconds = time.perf_counter() - started
        honest = fitted
        if baseline.USES_BASE:
            honest = cast(FittedBaseline, dataclasses.replace(cast(Any, fitted), source=plain))
        tried[name] = try_fitted(
            task,
            rows["test"],
            fitted,
            timed=honest,
            name=name,
            title=baseline.TITLE,
            explains=baseline.EXPLAINS,
            needs=baseline.NEEDS,
            memory_bytes=fitted.size_bytes(),
            build_seconds=build_seconds,
            deployable=baseline.DEPLOYABLE,
            seed=seed,
        )
    return tried


def try_fitted(
    task: Task,
    test: Sequence[Example],
    fitted: Fitted,
    *,
    timed: Fitted,
    name: str,
    title: str,
    explains: str,
    needs: str,
    memory_bytes: int,
    build_seconds: float,
    deployable: bool,
    seed: int,
) -> Tried:
    """Measure one calibrated model on the test rows; `timed` is the same model as it would be served."""
    texts = labelled_texts(task, test).texts
    logits_RL = fitted.logits(fitted.encode(texts))
    scored = score(task, test, logits_RL)
    candidate = Candidate(
        name=name,
        title=title,
        quality=measure(task.primary_metric, scored, seed=seed),
        latency_ms=_latency_ms(timed, task, test),
        memory_bytes=memory_bytes,
        build_seconds=build_seconds,
        explains=explains,
        needs=needs,
        deployable=deployable,
    )
    return Tried(candidate, fitted, logits_RL, scored)


def _with_temperature(fitted: FittedBaseline, temperature: float) -> FittedBaseline:
    return cast(FittedBaseline, dataclasses.replace(cast(Any, fitted), temperature=temperature))


def _latency_ms(fitted: Fitted, task: Task, test: Sequence[Example]) -> float:
    """Median milliseconds of one row alone, after a warm-up call; rows are spread over the split."""
    step = max(1, len(test) // _TIMED_ROWS)
    chosen = [example.inputs for example in test[::step][:_TIMED_ROWS]]
    predict(fitted, task, chosen[:1])
    times = []
    for inputs in chosen:
        started = time.perf_counter()
        predict(fitted, task, [inputs])
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)
