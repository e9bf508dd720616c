"""The proof of a task whose models write: the tuned model, the base prompted with and without examples, and baselines
without any model, on the same test rows; then the decision and the gates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.decide.decision import TUNED, decide
from burnish.decide.endpoint import ENDPOINT, Endpoint, try_endpoint
from burnish.decide.prove import LIVE, Proof
from burnish.decide.shots import choose_shots, shot_prompts
from burnish.decide.text_candidates import (
    TriedText,
    effective_metric,
    try_chat_model,
    try_text_baselines,
)
from burnish.errors import fail
from burnish.evaluate.compare import compare
from burnish.evaluate.gate import gate
from burnish.evaluate.report import lengths_of
from burnish.evaluate.scored import groups_of
from burnish.evaluate.text_report import make_text_report
from burnish.evaluate.written import Written, written_from
from burnish.models.chat_model import ChatModel, open_chat_model
from burnish.models.fitted_text import FittedText
from burnish.models.shortage import told_of
from burnish.records.encoding import IntArray
from burnish.records.example import Example, Split
from burnish.records.recipe import Recipe
from burnish.records.report import Comparison, Report
from burnish.records.run import Run
from burnish.records.task import Task
from burnish.tasks.kind import writing_kind_of
from burnish.train.runs import result_fault
from burnish.train.text_lessons import labelled, references_of

BASE, SHOTS = "base", "base-3-shot"
_SHOTS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What every candidate is measured on: of `of_rows` rows those in `test`; `why` another metric than the task's."""

    task: Task
    rows: Mapping[Split, Sequence[Example]]
    test: Sequence[Example]
    metric: str
    groups_R: IntArray | None
    seed: int
    of_rows: int
    why: str


def prove_texts(
    task: Task,
    rows: Mapping[Split, Sequence[Example]],
    *,
    dataset_id: str,
    base: Path | None,
    recipe: Recipe,
    run: Run | None,
    run_folder: Path | None,
    live: FittedText | None,
    at: str,
    announce: Callable[[str], None],
    wanted: str | None = None,
    endpoint: Endpoint | None = None,
) -> Proof:
    """Measure every candidate on the test rows (at most `task.test_rows` of them) and decide.

    Without `base` the prompted base is left out, without `run` the tuned model is, without `endpoint` nobody else is asked.
    The recommended candidate, the tuned one and `wanted` get reports.

    Raises: prompt-too-long, run-damaged, and the codes of open_chat_model, generate and try_endpoint.
    """
    scene = scene_of(task, rows, seed=recipe.seed, announce=announce)
    tried = try_text_baselines(
        task,
        rows,
        scene.test,
        metric=scene.metric,
        groups_R=scene.groups_R,
        seed=scene.seed,
        announce=announce,
    )
    if endpoint is not None:
        tried[ENDPOINT] = try_endpoint(
            task,
            scene.test,
            endpoint,
            metric=scene.metric,
            groups_R=scene.groups_R,
            seed=scene.seed,
            announce=announce,
        )
        for note in tried[ENDPOINT].notes:
            announce(note)
    if base is not None:
        tried |= _try_base(scene, base, recipe, announce=announce)
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


def scene_of(
    task: Task,
    rows: Mapping[Split, Sequence[Example]],
    *,
    seed: int,
    announce: Callable[[str], None],
) -> Scene:
    """The test rows that will be answered, and by what they are measured."""
    known = list(labelled(rows["test"]))
    test = drawn(known, most=task.test_rows, seed=seed)
    metric, why = effective_metric(task.primary_metric, test)
    if why:
        announce(why)
    if len(test) < len(known):
        announce(f"{len(test)} of {len(known):,} test rows will be answered (test_rows)")
    groups_R = groups_of(test) if task.group is not None else None
    return Scene(task, rows, test, metric, groups_R, seed, of_rows=len(known), why=why)


def concluded(
    scene: Scene,
    tried: Mapping[str, TriedText],
    *,
    run: Run | None,
    live: FittedText | None,
    wanted: str | None,
    dataset_id: str,
    max_tokens: int,
    at: str,
    announce: Callable[[str], None],
) -> Proof:
    """The decision, and the reports of the recommended candidate, the tuned one and `wanted`."""
    decision = decide(tried, metric=scene.metric, seed=scene.seed)
    answered: Written | None = None
    if live is not None:
        announce("answers of the live version")
        answered = _written_by(scene, live)
    named = dict.fromkeys(
        name for name in (decision.recommendation, TUNED, wanted) if name and name in tried
    )
    reports = {
        name: _report(
            scene,
            tried,
            name,
            live=answered,
            dataset_id=dataset_id,
            run_id=run.id if run is not None and name == TUNED else None,
            max_tokens=max_tokens,
            at=at,
        )
        for name in named
    }
    return Proof(decision, reports, tried, 1.0)


def drawn(known: Sequence[Example], *, most: int, seed: int) -> list[Example]:
    """At most so many rows, drawn with the seed, in their order."""
    if len(known) <= most:
        return list(known)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(known))[:most])
    return [known[int(row)] for row in chosen]


def _try_base(
    scene: Scene, base: Path, recipe: Recipe, *, announce: Callable[[str], None]
) -> dict[str, TriedText]:
    task, test = scene.task, scene.test
    model = open_chat_model(
        base,
        precision=recipe.precision,
        max_tokens=recipe.max_tokens,
        new_tokens=task.decoding.max_new_tokens,
        template=recipe.template,
        truncate=task.truncate,
    )
    announce(f"answers of the base, prompted: {recipe.base}")
    tried = {BASE: _answered_by(scene, model, name=BASE, title=f"{recipe.base}, prompted")}
    announce(f"answers of the base with {_SHOTS} train rows as examples")
    shots = choose_shots(task, scene.rows["train"], count=_SHOTS, seed=scene.seed)
    made = shot_prompts(task, test, codec=model.codec, shots=shots)
    short = sum(count < _SHOTS for count in made.shots)
    notes = (f"{short} of {len(test)} prompts had room for fewer examples",) if short else ()
    tried[SHOTS] = try_chat_model(
        task,
        test,
        model,
        made.prompts,
        metric=scene.metric,
        groups_R=scene.groups_R,
        name=SHOTS,
        title=f"{recipe.base}, with {_SHOTS} examples in the prompt",
        explains="the prompt shows the examples it goes by",
        needs="the base model",
        build_seconds=0.0,
        seed=scene.seed,
        likelihood=False,
        notes=notes,
    )
    if told := told_of(model):
        announce(told)
    return tried


def _answered_by(scene: Scene, model: ChatModel, *, name: str, title: str) -> TriedText:
    kind = writing_kind_of(scene.task)
    prompts = [
        model.codec.prompt(kind.prompt(scene.task, one.inputs), where=one.source.where)
        for one in scene.test
    ]
    return try_chat_model(
        scene.task,
        scene.test,
        model,
        prompts,
        metric=scene.metric,
        groups_R=scene.groups_R,
        name=name,
        title=title,
        explains="its prompt is the question alone",
        needs="the base model",
        build_seconds=0.0,
        seed=scene.seed,
        likelihood=True,
    )


def _written_by(scene: Scene, live: FittedText) -> Written:
    """What the live version writes about the same rows."""
    answers = live.answer(scene.task, [one.inputs for one in scene.test])
    return written_from(
        [one.text for one in answers],
        [references_of(one) for one in scene.test],
        finished=[one.finished for one in answers],
        groups_R=scene.groups_R,
    )


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
    model = open_chat_model(
        run_folder / "model",
        precision=run.environment.precision,
        max_tokens=run.recipe.max_tokens,
        new_tokens=scene.task.decoding.max_new_tokens,
        truncate=scene.task.truncate,
    )
    found = _answered_by(scene, model, name=TUNED, title=f"fine-tuned {run.recipe.base}")
    if told := told_of(model):
        announce(told)
    changes = {"build_seconds": run.train_seconds, "needs": "the base model and a training run"}
    return TriedText(
        found.candidate.model_copy(update=changes), found.scored, found.prompts, model=model
    )


def _report(
    scene: Scene,
    tried: Mapping[str, TriedText],
    name: str,
    *,
    live: Written | None,
    dataset_id: str,
    run_id: str | None,
    max_tokens: int,
    at: str,
) -> Report:
    """The report of one candidate beside all others and the live version, its gates judged."""
    task, one = scene.task, tried[name]
    rivals = {theirs: other.scored for theirs, other in tried.items() if theirs != name}
    if live is not None:
        rivals[LIVE] = live
    comparisons = [
        found
        for theirs, other in rivals.items()
        for found in _against(scene, name, one.scored, theirs, other)
    ]
    beside = {}
    if BASE in tried and name != BASE:
        beside[BASE] = tried[BASE].scored
    report = make_text_report(
        task,
        model=name,
        run_id=run_id,
        dataset_id=dataset_id,
        split="test",
        examples=scene.test,
        of_rows=scene.of_rows,
        written=one.scored,
        beside=beside,
        # an answer cut out of another context is no answer that was seen before
        known=frozenset()
        if task.finds
        else frozenset(text.strip() for row in scene.rows["train"] for text in references_of(row)),
        metric=scene.metric,
        comparisons=comparisons,
        extra=one.measures,
        lengths=lengths_of(
            [len(prompt.ids_T) for prompt in one.prompts],
            dropped_tokens=[prompt.dropped_tokens for prompt in one.prompts],
            max_tokens=max_tokens,
        )
        if one.prompts
        else None,
        warnings=[*([scene.why] if scene.why else []), *one.notes],
        seed=scene.seed,
        at=at,
    )
    return gate(task, report, nothing_live=live is None)


def _against(
    scene: Scene, ours: str, one: Written, theirs: str, other: Written
) -> list[Comparison]:
    """The primary metric, then each metric that a gate compares with this rival."""
    gated = [gate.metric for gate in scene.task.gates if gate.than == theirs]
    return [
        compare(metric, one, other, ours=ours, theirs=theirs, seed=scene.seed)
        for metric in dict.fromkeys((scene.metric, *gated))
    ]
