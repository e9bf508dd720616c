"""The proof: the tuned model and every baseline measured on the same test rows, then the decision and the gates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.decide.candidates import RememberedVectors, Tried, try_baselines, try_fitted
from burnish.decide.decision import TUNED, decide
from burnish.decide.text_candidates import TriedText
from burnish.errors import fail
from burnish.evaluate.calibration import fit_temperature
from burnish.evaluate.compare import compare
from burnish.evaluate.gate import gate
from burnish.evaluate.report import lengths_of, make_report
from burnish.evaluate.scored import Scored, score
from burnish.evaluate.worst import Nearby
from burnish.models.family import model_type_of
from burnish.models.fitted import Fitted, ModelFitted
from burnish.models.hostile_config import WRITER_TYPES
from burnish.models.shortage import told_of
from burnish.records.decision import Decision
from burnish.records.example import Example, Split
from burnish.records.report import Comparison, Report
from burnish.records.run import Run
from burnish.records.task import Task
from burnish.train.rows import labelled_texts
from burnish.train.runs import result_fault

LIVE = "live"
BASE = "base"


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """What was measured. `reports` by candidate name, gates judged; `temperature` is the tuned model's, 1 for one that
    writes.
    """

    decision: Decision
    reports: Mapping[str, Report]
    tried: Mapping[str, Tried] | Mapping[str, TriedText]
    temperature: float


def prove(
    task: Task,
    rows: Mapping[Split, Sequence[Example]],
    *,
    dataset_id: str,
    base: Path | None,
    max_tokens: int,
    run: Run | None,
    run_folder: Path | None,
    live: Fitted | None,
    seed: int,
    at: str,
    announce: Callable[[str], None],
    wanted: str | None = None,
) -> Proof:
    """Measure every candidate on the test rows and decide.

    Without `base` the embedding baselines are left out, without `run` the tuned model is. A base that writes gives no
    vectors; it is asked for the labels as it is instead. `live` is what
    answers now, for gates against it. The recommended candidate, the tuned one and `wanted` get reports.
    """
    vectors = plain = None
    writes = base is not None and model_type_of(base) in WRITER_TYPES
    if base is not None and not writes:
        from burnish.models.embed import load_embedder

        plain = load_embedder(base, max_tokens=max_tokens)
        vectors = RememberedVectors(plain, {})
    tried = try_baselines(task, rows, vectors=vectors, plain=plain, seed=seed, announce=announce)
    if told := told_of(plain):
        announce(told)
    if base is not None and writes and task.kind != "multilabel":
        announce("the base as it is: the likelihood of each label")
        tried[BASE] = _try_base(task, rows, base, max_tokens=max_tokens, seed=seed)
    temperature = 1.0
    if run is not None and run_folder is not None:
        announce("evaluate the tuned model")
        tuned, temperature = _try_tuned(
            task, rows, run=run, run_folder=run_folder, seed=seed, announce=announce
        )
        tried[TUNED] = tuned
    decision = decide(tried, metric=task.primary_metric, seed=seed)
    nearby = None
    if vectors is not None:
        nearby = Nearby(
            rows["train"],
            _vectors_of(vectors, task, rows["train"]),
            _vectors_of(vectors, task, rows["test"]),
        )
    named = dict.fromkeys(
        name for name in (decision.recommendation, TUNED, wanted) if name in tried
    )
    reports = {
        name: _report(
            task,
            rows["test"],
            tried,
            name,
            dataset_id=dataset_id,
            run_id=run.id if run is not None and name == TUNED else None,
            temperature=temperature if name == TUNED else _temperature_of(tried[name].fitted),
            live=live,
            nearby=nearby,
            max_tokens=max_tokens,
            seed=seed,
            at=at,
        )
        for name in named
    }
    return Proof(decision, reports, tried, temperature)


def _try_tuned(
    task: Task,
    rows: Mapping[Split, Sequence[Example]],
    *,
    run: Run,
    run_folder: Path,
    seed: int,
    announce: Callable[[str], None],
) -> tuple[Tried, float]:
    folder = run_folder / "model"
    if fault := result_fault(run_folder, weights_sha256=run.weights_sha256):
        raise fail(
            "run-damaged",
            f"its model is damaged ({fault})",
            where=f"run {run.id}",
            expected="the model as it was trained",
            fix="run the same `burnish train` again: it makes the model again",
        )
    raw, calibrated = _openers(task, run, folder)
    texts = labelled_texts(task, rows["validation"]).texts
    temperature = fit_temperature(task, rows["validation"], raw.logits(raw.encode(texts)))
    fitted = calibrated(temperature)
    tried = try_fitted(
        task,
        rows["test"],
        fitted,
        timed=fitted,
        name=TUNED,
        title=f"fine-tuned {run.recipe.base}",
        explains="nearest training rows of its errors are shown",
        needs="the base model and a training run",
        memory_bytes=fitted.size_bytes(),
        build_seconds=run.train_seconds,
        deployable=True,
        seed=seed,
    )
    if told := told_of(raw, fitted):
        announce(told)
    return tried, temperature


def _openers(
    task: Task, run: Run, folder: Path
) -> tuple[ModelFitted, Callable[[float], ModelFitted]]:
    """The tuned model as it was trained, and with a temperature."""
    most, precision = run.recipe.max_tokens, run.environment.precision
    if model_type_of(folder) in WRITER_TYPES:
        from burnish.models.choice_model import load_choice_model

        model = load_choice_model(folder, task, max_tokens=most, precision=precision)
        return model, model.with_temperature
    from burnish.models.classifier import load_calibrated, load_fitted

    return load_fitted(
        folder, max_tokens=most, precision=precision
    ), lambda temperature: load_calibrated(
        folder, max_tokens=most, precision=precision, temperature=temperature
    )


def _try_base(
    task: Task, rows: Mapping[Split, Sequence[Example]], base: Path, *, max_tokens: int, seed: int
) -> Tried:
    """A base that writes, asked for the labels without training, calibrated like every other candidate."""
    from burnish.models.choice_model import load_choice_model

    started = time.perf_counter()
    model = load_choice_model(base, task, max_tokens=max_tokens, precision="fp32", temperature=1.0)
    texts = labelled_texts(task, rows["validation"]).texts
    temperature = fit_temperature(task, rows["validation"], model.logits(model.encode(texts)))
    fitted = model.with_temperature(temperature)
    return try_fitted(
        task,
        rows["test"],
        fitted,
        timed=fitted,
        name=BASE,
        title="the base as it is, prompted",
        explains="nothing",
        needs="the base model, no training",
        memory_bytes=fitted.size_bytes(),
        build_seconds=time.perf_counter() - started,
        deployable=True,
        seed=seed,
    )


def _report(
    task: Task,
    test: Sequence[Example],
    tried: Mapping[str, Tried],
    name: str,
    *,
    dataset_id: str,
    run_id: str | None,
    temperature: float,
    live: Fitted | None,
    nearby: Nearby | None,
    max_tokens: int,
    seed: int,
    at: str,
) -> Report:
    one = tried[name]
    encodings = one.fitted.encode(labelled_texts(task, test).texts)
    comparisons = [
        _against(task, one, name, other.scored, theirs, seed=seed)
        for theirs, other in tried.items()
        if theirs != name
    ]
    if live is not None:
        texts = labelled_texts(task, test).texts
        answered = score(task, test, live.logits(live.encode(texts)))
        comparisons.append(_against(task, one, name, answered, LIVE, seed=seed))
    report = make_report(
        task,
        model=name,
        run_id=run_id,
        dataset_id=dataset_id,
        split="test",
        examples=test,
        # the model's logits carry its temperature already; the report shows both sides of it
        logits_RL=one.test_logits_RL * temperature,
        temperature=temperature,
        comparisons=comparisons,
        lengths=lengths_of(
            [len(row) for row in encodings],
            dropped_tokens=[row.dropped_tokens for row in encodings],
            max_tokens=max_tokens,
        ),
        nearby=nearby,
        seed=seed,
        at=at,
    )
    return gate(task, report, nothing_live=live is None)


def _against(
    task: Task, one: Tried, ours: str, other: Scored, theirs: str, *, seed: int
) -> Comparison:
    metric = task.primary_metric
    return compare(metric, one.scored, other, ours=ours, theirs=theirs, seed=seed)


def _temperature_of(fitted: Fitted) -> float:
    return float(getattr(fitted, "temperature", 1.0))


def _vectors_of(vectors: RememberedVectors, task: Task, examples: Sequence[Example]) -> np.ndarray:
    return vectors.vectors(vectors.encode(labelled_texts(task, examples).texts))
