"""The proof of a task whose answers are found in a context: the tuned model and the most similar sentence, on the same
test rows; then the decision and the gates.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from burnish.decide.decision import TUNED
from burnish.decide.prove import Proof
from burnish.decide.prove_text import Scene, concluded, scene_of
from burnish.decide.text_baselines.sentence import Sentence
from burnish.decide.text_candidates import (
    TriedText,
    asked_of,
    try_text_baselines,
)
from burnish.errors import fail
from burnish.evaluate.metric import measure
from burnish.evaluate.spans import SaidSpan, offset_exactness
from burnish.evaluate.written import written_from
from burnish.models.fitted_text import FittedText, TextAnswer
from burnish.models.shortage import told_of
from burnish.models.span_model import SpanModel, load_span_model, pair_of
from burnish.records.decision import Candidate
from burnish.records.example import Example, Split
from burnish.records.recipe import Recipe
from burnish.records.report import Measure
from burnish.records.run import Run
from burnish.records.task import Task
from burnish.train.runs import result_fault
from burnish.train.text_lessons import references_of

# Rows answered one by one to time a candidate.
_TIMED_ROWS = 20


def prove_spans(
    task: Task,
    rows: Mapping[Split, Sequence[Example]],
    *,
    dataset_id: str,
    recipe: Recipe,
    run: Run | None,
    run_folder: Path | None,
    live: FittedText | None,
    at: str,
    announce: Callable[[str], None],
    wanted: str | None = None,
) -> Proof:
    """Measure every candidate on the test rows (at most `task.test_rows` of them) and decide.

    Without `run` the tuned model is left out. The recommended candidate, the tuned one and `wanted` get reports, which
    hold beside the kind's metrics how many right answers have exact offsets.

    Raises: question-too-long, run-damaged, and the codes of load_span_model.
    """
    scene = scene_of(task, rows, seed=recipe.seed, announce=announce)
    found = try_text_baselines(
        task,
        rows,
        scene.test,
        metric=scene.metric,
        groups_R=scene.groups_R,
        seed=scene.seed,
        announce=announce,
    )
    tried = {name: _with_places(scene, one) for name, one in found.items()}
    if run is not None and run_folder is not None:
        announce("answers of the tuned model")
        tried[TUNED] = _try_tuned(scene, run, run_folder, announce=announce)
    return concluded(
        scene,
        tried,
        run=run,
        live=live,
        wanted=wanted,
        dataset_id=dataset_id,
        max_tokens=recipe.max_tokens,
        at=at,
        announce=announce,
    )


def _with_places(scene: Scene, one: TriedText) -> TriedText:
    """The baseline's trial, with how exact its offsets are."""
    if not isinstance(one.baseline, Sentence):
        return one
    spans = one.baseline.spans([asked_of(scene.task, row.inputs) for row in scene.test])
    return TriedText(
        one.candidate,
        one.scored,
        baseline=one.baseline,
        notes=one.notes,
        measures=(_exactness(scene.task, scene.test, spans),),
    )


def _exactness(task: Task, test: Sequence[Example], spans: Sequence[SaidSpan | None]) -> Measure:
    contexts = [pair_of(task, one.inputs)[1] for one in test]
    return offset_exactness(contexts, spans, [references_of(one) for one in test])


def said_span(answer: TextAnswer) -> SaidSpan | None:
    """An answer as a piece of its context; None for no answer."""
    if answer.start is None:
        return None
    return SaidSpan(answer.start, answer.start + len(answer.text), answer.text)


def _try_tuned(
    scene: Scene, run: Run, run_folder: Path, *, announce: Callable[[str], None]
) -> TriedText:
    if fault := result_fault(run_folder, weights_sha256=run.weights_sha256):
        raise fail(
            "run-damaged",
            f"its model is damaged ({fault})",
            where=f"run {run.id}",
            expected="the model as it was trained",
            fix="run the same `burnish train` again: it makes the model again",
        )
    model = load_span_model(
        run_folder / "model",
        precision=run.environment.precision,
        max_tokens=run.recipe.max_tokens,
    )
    task, test = scene.task, scene.test
    answers = model.answer(task, [one.inputs for one in test])
    scored = written_from(
        [one.text for one in answers],
        [references_of(one) for one in test],
        prompts=[pair_of(task, one.inputs)[0] for one in test],
        groups_R=scene.groups_R,
    )
    candidate = Candidate(
        name=TUNED,
        title=f"fine-tuned {run.recipe.base}",
        quality=measure(scene.metric, scored, seed=scene.seed),
        latency_ms=_latency_ms(model, task, test),
        memory_bytes=model.size_bytes(),
        build_seconds=run.train_seconds,
        explains="the piece of the context that answers, with its place",
        needs="the base model and a training run",
    )
    if told := told_of(model):
        announce(told)
    return TriedText(
        candidate,
        scored,
        model=model,
        notes=_notes(answers, model),
        measures=(_exactness(task, test, [said_span(one) for one in answers]),),
    )


def _notes(answers: Sequence[TextAnswer], model: SpanModel) -> tuple[str, ...]:
    """How many contexts took more than one window."""
    most = model.tokeniser.max_tokens
    long = sum(len(one.prompt_ids) > most for one in answers)
    if not long:
        return ()
    return (
        f"{long} of {len(answers)} contexts are longer than {most} tokens and were read in windows that overlap",
    )


def _latency_ms(model: SpanModel, task: Task, test: Sequence[Example]) -> float:
    """Median milliseconds of one row alone; rows are spread over the split."""
    step = max(1, len(test) // _TIMED_ROWS)
    times: list[float] = []
    for one in test[::step][:_TIMED_ROWS]:
        started = time.perf_counter()
        model.answer(task, [one.inputs])
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)
