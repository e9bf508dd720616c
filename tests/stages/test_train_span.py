"""Answers found in contexts: the same bytes after every stop, a task learnt, and the whole first half of the circle."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering

from burnish.data.examples import read_examples, to_example
from burnish.data.normalise import normalise_inputs
from burnish.data.rows import Row
from burnish.decide.asked import quality
from burnish.decide.decision import TUNED
from burnish.deploy.bundle import open_any
from burnish.edge import make_edge
from burnish.encode.best_span import SpanRule
from burnish.encode.windows import load_pair_tokeniser, windows_of
from burnish.errors import BurnishError
from burnish.lifecycle import circle
from burnish.models.room import Room
from burnish.models.source import BaseModel
from burnish.models.span_model import load_span_model, window_scores
from burnish.project import open_project
from burnish.records.dataset import Rejection
from burnish.records.example import Example
from burnish.records.label import Span, Spans
from burnish.records.recipe import Recipe
from burnish.records.run import Run, Step
from burnish.records.task import DataFiles, Normalise
from burnish.store.durable import verify_folder
from burnish.train.fit_span import fit_spans
from burnish.train.follow import Surroundings
from burnish.train.span_lessons import SpanLessons, span_lessons
from burnish.train.text_lessons import references_of
from span_models import example, span_base, span_task, town_rows
from tiny_training import AT, small_recipe

TASK = span_task()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bases")


def recipe_of(**changes: object) -> Recipe:
    fields = {"epochs": 2, "batch_rows": 12, "batch_tokens": 200, "max_tokens": 32}
    return small_recipe(**(fields | changes))


def lessons(base: BaseModel, rows: Sequence[Example], *, most: int = 32) -> SpanLessons:
    return span_lessons(TASK, load_pair_tokeniser(base.folder, max_tokens=most), rows)


def trained(
    base: BaseModel,
    runs: Path,
    *,
    recipe: Recipe,
    rows: int = 24,
    stop: Callable[[], int | None] = lambda: None,
    on_step: Callable[[Step], None] = lambda step: None,
    none_every: int = 5,
) -> Run:
    train = town_rows(rows, none_every=none_every)
    held = town_rows(16, seed=2, none_every=none_every)
    references = [references_of(one) for one in held]
    return fit_spans(
        TASK,
        train=lessons(base, train, most=recipe.max_tokens),
        validation=lessons(base, held, most=recipe.max_tokens),
        tokeniser=load_pair_tokeniser(base.folder, max_tokens=recipe.max_tokens),
        judge=lambda said: quality("f1", said, references),
        base=base,
        recipe=recipe,
        dataset_id="d1",
        runs=runs,
        around=Surroundings(lambda: AT, lambda text: None, on_step, stop, 0.0),
    )


@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_stopped_after_every_step_it_ends_in_the_same_bytes(
    method: str, root: Path, tmp_path: Path
) -> None:
    base, recipe = span_base(root), recipe_of(method=method)
    seen: list[Step] = []
    whole = trained(base, tmp_path / "whole", recipe=recipe, on_step=seen.append)
    assert len(seen) > 4
    for _ in range(30):
        steps = 0

        def stop() -> int | None:
            nonlocal steps
            steps += 1
            return 143 if steps > 5 else None

        try:
            again = trained(base, tmp_path / "parts", recipe=recipe, stop=stop)
            break
        except BurnishError as error:
            assert error.code == "training-interrupted"
    else:
        pytest.fail("never done")
    assert again.weights_sha256 == whole.weights_sha256
    folder = tmp_path / "whole" / whole.id
    assert verify_folder(folder / "model") == ()
    assert (folder / "adapter").is_dir() == (method == "lora")
    if method == "head":
        learnt = AutoModelForQuestionAnswering.from_pretrained(folder / "model").state_dict()
        fresh = AutoModelForQuestionAnswering.from_pretrained(base.folder).state_dict()
        changed = {name for name in learnt if not torch.equal(learnt[name], fresh[name])}
        assert changed == {"qa_outputs.weight", "qa_outputs.bias"}


def test_plain_transformers_gives_the_saved_models_scores(root: Path, tmp_path: Path) -> None:
    base = span_base(root)
    run = trained(base, tmp_path, recipe=recipe_of())
    folder = tmp_path / run.id / "model"
    model = load_span_model(folder, precision="fp32", max_tokens=32)
    assert model.rule == SpanRule(answer_tokens=model.rule.answer_tokens, may_be_none=True)
    row = town_rows(3, seed=9, most=8)[1]
    pair = (row.inputs["question"], row.inputs["context"])
    (windows,) = windows_of(model.tokeniser, [pair], places=[""])
    ours = window_scores(model.learner, windows, room=Room(4096, lambda shortage: None))
    stock = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    for window, scores in zip(windows, ours, strict=True):
        with torch.no_grad():
            said = stock(
                input_ids=torch.from_numpy(window.ids_T.astype(np.int64))[None],
                token_type_ids=torch.from_numpy(window.types_T.astype(np.int64))[None],
            )
        np.testing.assert_allclose(scores[:, 0], said.start_logits[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(scores[:, 1], said.end_logits[0].numpy(), atol=1e-5)


def test_answers_are_cut_out_of_long_contexts_exactly(root: Path, tmp_path: Path) -> None:
    """Whatever a model finds in several windows stands there; without rows of no answer it always answers."""
    base = span_base(root)
    run = trained(base, tmp_path, recipe=recipe_of(epochs=1), none_every=0)
    model = load_span_model(tmp_path / run.id / "model", precision="fp32", max_tokens=32)
    assert not model.rule.may_be_none
    rows = [one.inputs for one in town_rows(8, seed=4, most=8)]
    long = [
        {**row, "context": f"👩‍👩‍👧 \r\n {row['context']}\u3000Ça e\u0301tait là. " * 6}
        for row in rows
    ]
    for row, answer in zip(long, model.answer(TASK, long), strict=True):
        assert len(answer.prompt_ids) > 64
        assert answer.start is not None and answer.text
        assert row["context"][answer.start : answer.start + len(answer.text)] == answer.text
        assert answer.confidence is not None and 0 < answer.confidence <= 1
    alone = model.answer(TASK, long[:1])[0]
    together = model.answer(TASK, long)[0]
    assert (alone.text, alone.start) == (together.text, together.start)
    assert model.answer(TASK, [{"question": "Where?", "context": ""}])[0].start is None


def test_rows_that_cannot_be_learnt_are_told_together(root: Path) -> None:
    base = span_base(root)
    context = "Ada lives in Oslo. " * 12
    rows = [
        example("Where does Ada live?", context, [Span(text=context.strip(), start=0)], line=2),
        example("Where " * 40, context, [Span(text="Oslo", start=13)], line=3),
        example("Where " * 41, context, [Span(text="Oslo", start=13)], line=4),
        example("Where?", "In \u200b town.", [Span(text="\u200b", start=3)], line=5),
    ]
    with pytest.raises(BurnishError) as refused:
        lessons(base, rows)
    found = {one.code: one for one in refused.value.problems}
    assert set(found) == {"answer-beyond-window", "question-too-long", "answer-invisible"}
    assert found["question-too-long"].where == "towns.jsonl:3"
    assert found["question-too-long"].more == 1


def test_an_answer_inside_a_token_is_counted(root: Path) -> None:
    made = lessons(span_base(root), [example("Where?", "In Oslo.", [Span(text="slo", start=4)])])
    assert made.straddling == 1 and made.none == 0


def test_methods_that_have_no_meaning_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BurnishError) as refused:
        trained(span_base(root), tmp_path, recipe=recipe_of(method="dora"))
    assert refused.value.code == "method-not-here"


# ---- rows


def row_of(answers: object, context: str = "In May, not in June.") -> Row:
    fields = {"question": "When?", "context": context, "answers": json.dumps(answers)}
    return Row(where="a.jsonl:1", fields=fields)


@pytest.mark.parametrize(("start", "reason"), [(4, "answer-offset"), (3, None)])
def test_an_answer_elsewhere_is_used_only_when_asked(start: int, reason: str | None) -> None:
    row = row_of({"text": ["May"], "answer_start": [start]})
    asis = to_example(TASK, row)
    if reason is None:
        assert isinstance(asis, Example)
    else:
        assert isinstance(asis, Rejection) and asis.reason == reason
        assert "it stands at 3" in asis.detail
    asked = span_task(data=DataFiles(train=("a.jsonl",), repair_offsets=True))
    found = to_example(asked, row)
    assert isinstance(found, Example) and found.label == Spans(spans=(Span(text="May", start=3),))


def test_an_answer_that_is_nowhere_is_never_used() -> None:
    asked = span_task(data=DataFiles(train=("a.jsonl",), repair_offsets=True))
    for task in (TASK, asked):
        found = to_example(task, row_of({"text": ["April"], "answer_start": [3]}))
        assert isinstance(found, Rejection) and found.reason == "answer-missing"


def test_repaired_rows_are_counted(tmp_path: Path) -> None:
    lines = [row_of({"text": ["May"], "answer_start": [at]}).fields for at in (3, 4, 9)]
    rows = [{**one, "answers": json.loads(one["answers"])} for one in lines]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    asked = span_task(data=DataFiles(train=("a.jsonl",), repair_offsets=True))
    read = read_examples(asked, tmp_path)
    assert len(read.examples["train"]) == 3
    assert [one.count for one in read.issues if one.code == "offsets-repaired"] == [2]


def test_rules_for_texts_leave_the_context_alone() -> None:
    task = span_task(normalise=Normalise(html=True, whitespace=True))
    inputs = {"question": "Fish &amp;  chips?", "context": "Fish &amp;  chips"}
    assert normalise_inputs(task, inputs) == {
        "question": "Fish & chips?",
        "context": "Fish &amp;  chips",
    }


# ---- the circle


def test_the_circle_ends_with_a_bundle_that_answers(tmp_path: Path) -> None:
    project = tmp_path / "towns"
    project.mkdir()
    rows = [
        {
            **one.inputs,
            "answers": {
                "text": [span.text for span in one.label.spans],
                "answer_start": [span.start for span in one.label.spans],
            },
        }
        for one in town_rows(160)
        if isinstance(one.label, Spans)
    ]
    (project / "towns.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (project / "task.toml").write_text(
        'name = "towns"\nkind = "extractive-qa"\ninputs = ["question", "context"]\nlabel = "answers"\n'
        'primary_metric = "f1"\n[data]\ntrain = ["towns.jsonl"]\ntest_fraction = 0.2\n'
    )
    opened = open_project(project)
    edge = replace(make_edge(), cache=tmp_path / "cache", announce=lambda text: None)
    recipe = recipe_of(epochs=1, base="tiny:bert", max_tokens=48)
    outcome = circle(opened, recipe, edge)
    report = outcome.proof.reports[TUNED]
    measures = {one.name: one for one in report.measures}
    assert set(measures) >= {"f1", "exact_match", "offset_exactness"}
    exact = measures["offset_exactness"]
    assert exact.n == 0 or exact.value == 1.0
    assert "sentence" in outcome.proof.tried
    folder = opened.workspace.bundles / outcome.shadows[TUNED].bundle_id
    again = open_any(folder)
    assert again.bundle.engine == "span"
    test = outcome.prepared.rows["test"]
    answers = again.fitted.answer(again.task, [one.inputs for one in test])  # type: ignore[union-attr]
    assert [one.text for one in answers] == list(outcome.proof.tried[TUNED].scored.texts)  # type: ignore[union-attr]
