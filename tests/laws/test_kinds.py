"""The laws every kind of task keeps, for generated tasks, labels and scores."""

from __future__ import annotations

import json
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from burnish.decide.baseline import BASELINES
from burnish.decide.prove_text import BASE, SHOTS
from burnish.decide.text_baseline import TEXT_BASELINES
from burnish.errors import Problem
from burnish.evaluate.metric import metric_names
from burnish.records.example import Example, Source
from burnish.records.label import Label, ManyOf, OneOf, Span, Spans, Texts, label_names
from burnish.records.task import CLOSED_KINDS, KindName, LabelSpec, Task
from burnish.tasks.conversation import write_conversation
from burnish.tasks.kind import KINDS, any_kind_of, kind_of, writing_kind_of
from burnish.tasks.kinds.chat import parted, turns_behind
from burnish.tasks.sense import RIVALS, TEXT_RIVALS, sense_problems

kinds = pytest.mark.parametrize("name", CLOSED_KINDS)
writing = pytest.mark.parametrize("name", ["qa", "summarization", "chat"])

# names people really give, and the ones that break things
words = st.text(min_size=1, max_size=8) | st.sampled_from(["spam", 'a "b"', "a\nb", "ß", "🙂", "0"])


@st.composite
def tasks(draw: st.DrawFn, name: str) -> Task:
    """A task of the kind that load_task would accept."""
    spellings = draw(st.lists(words, min_size=2, max_size=8, unique=True))
    if name == "multilabel":
        spellings = [word for word in spellings if word == word.strip() and "," not in word]
        spellings = [word for word in spellings if word] or ["a"]
        spellings += [f"label {len(spellings)}", f"label {len(spellings) + 1}"]
    names = draw(st.integers(2, len(spellings)))
    labels = [
        LabelSpec(name=word, values=tuple(spellings[names + place : names + place + 1]))
        for place, word in enumerate(spellings[:names])
    ]
    task = Task(
        name="t",
        kind=name,  # type: ignore[arg-type]
        inputs=("text",),
        label="y",
        labels=tuple(labels),
        primary_metric=KINDS[name].default_metric,
    )
    assert not list(sense_problems(task.model_dump(mode="json", exclude_none=True)))
    return task


def labels_of(task: Task) -> st.SearchStrategy[Label]:
    """Labels of the task and labels of no task at all."""
    anything = st.sampled_from(task.label_names) | words
    return st.builds(OneOf, name=anything) | st.builds(
        ManyOf, names=st.lists(anything, max_size=4).map(tuple)
    )


def example(label: Label | None) -> Example:
    return Example(
        row_id="r", input_id="i", inputs={"text": "x"}, label=label, source=Source(where="t.csv:2")
    )


@kinds
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_what_check_lets_through_comes_back_from_its_targets(
    name: str, data: st.DataObject
) -> None:
    task = data.draw(tasks(name))
    kind = kind_of(task)
    label = data.draw(labels_of(task))
    if kind.check(task, example(label)):
        return
    aim_L = kind.targets(task, label)
    assert aim_L.shape == (len(task.labels),)
    assert aim_L.dtype == np.float64
    answer = kind.decode(task, aim_L)
    assert answer.label == label
    assert answer.confidence == 1.0
    # and through the scores of a model that is sure of the same thing
    logits_RL = np.where(aim_L > 0, 50.0, -50.0)[None]
    assert kind.decode(task, kind.probabilities(logits_RL)[0]).label == label


@kinds
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_each_spelling_is_read_as_its_label_and_then_passes_check(
    name: str, data: st.DataObject
) -> None:
    task = data.draw(tasks(name))
    kind = kind_of(task)
    for label in task.labels:
        for spelling in (label.name, *label.values):
            read = kind.parse(task, spelling)
            assert not isinstance(read, Problem)
            assert label_names(read) == (label.name,)
            assert kind.check(task, example(read)) == ()


@kinds
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_cell_is_a_label_that_passes_check_or_a_problem_never_a_guess(
    name: str, data: st.DataObject
) -> None:
    task = data.draw(tasks(name))
    kind = kind_of(task)
    known = {word for label in task.labels for word in (label.name, *label.values)}
    cell = data.draw(words)
    read = kind.parse(task, cell)
    if isinstance(read, Problem):
        assert read.code == "label-unknown"
        assert read.nearest is None or read.nearest in task.label_names
        assert cell not in known or "," in cell
    else:
        assert kind.check(task, example(read)) == ()
        assert cell in known or name == "multilabel"


@kinds
def test_an_unknown_label_is_told_with_the_nearest_name(name: str) -> None:
    labels = (LabelSpec(name="spam", values=("1",)), LabelSpec(name="ham", values=("legitimate",)))
    task = Task(
        name="t",
        kind=name,  # type: ignore[arg-type]
        inputs=("text",),
        label="verdict",
        labels=labels,
        primary_metric="macro_f1",
    )
    problem = kind_of(task).parse(task, "spma")
    assert isinstance(problem, Problem)
    assert (problem.code, problem.nearest) == ("label-unknown", "spam")
    assert 'column "verdict"' in problem.where
    assert problem.expected == "one of: spam, ham"
    by_value = kind_of(task).parse(task, "legitimat")
    assert isinstance(by_value, Problem)
    assert by_value.nearest == "ham"


@kinds
def test_an_unlabelled_example_has_nothing_to_check(name: str) -> None:
    labels = (LabelSpec(name="a"), LabelSpec(name="b"))
    task = Task(
        name="t",
        kind=name,  # type: ignore[arg-type]
        inputs=("text",),
        label="y",
        labels=labels,
        primary_metric="macro_f1",
    )
    assert kind_of(task).check(task, example(None)) == ()


scores = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=5),
    elements=st.floats(-1e308, 1e308) | st.floats(-40, 40),
)


@kinds
@given(logits_RL=scores)
@settings(max_examples=60, deadline=None)
def test_probabilities_are_finite_and_between_zero_and_one(
    name: str, logits_RL: np.ndarray
) -> None:
    kind = KINDS[name]
    with np.errstate(all="raise", under="ignore"):
        found_RL = kind.probabilities(logits_RL)
    assert found_RL.shape == logits_RL.shape
    assert found_RL.dtype == np.float64
    assert np.isfinite(found_RL).all()
    assert ((found_RL >= 0) & (found_RL <= 1)).all()
    if kind.objective == "softmax":
        assert np.allclose(found_RL.sum(axis=1), 1.0, rtol=0, atol=1e-12)


@kinds
@given(
    logits_RL=hnp.arrays(np.float64, (3, 4), elements=st.floats(-30, 30)),
    shift=st.floats(-1000, 1000),
)
@settings(max_examples=60, deadline=None)
def test_softmax_ignores_a_shift_and_sigmoid_mirrors_the_sign(
    name: str, logits_RL: np.ndarray, shift: float
) -> None:
    kind = KINDS[name]
    found_RL = kind.probabilities(logits_RL)
    if kind.objective == "softmax":
        assert np.allclose(kind.probabilities(logits_RL + shift), found_RL, rtol=0, atol=1e-9)
    else:
        assert np.allclose(kind.probabilities(-logits_RL), 1 - found_RL, rtol=0, atol=1e-15)


@kinds
@given(logits_RL=hnp.arrays(np.float32, (2, 3), elements=st.floats(-8, 8, width=32)))
@settings(max_examples=30, deadline=None)
def test_more_score_is_more_probability(name: str, logits_RL: np.ndarray) -> None:
    kind = KINDS[name]
    before_RL = kind.probabilities(logits_RL)
    raised_RL = logits_RL.copy()
    raised_RL[:, 1] += 1.0
    assert (kind.probabilities(raised_RL)[:, 1] > before_RL[:, 1]).all()


@kinds
def test_log_probabilities_are_scores_too_also_where_one_is_impossible(name: str) -> None:
    kind = KINDS[name]
    if kind.objective != "softmax":
        pytest.skip("a sigmoid takes log-odds, not log-probabilities")
    found_RL = kind.probabilities(np.array([[math.log(0.25), math.log(0.75), -math.inf]]))
    assert np.allclose(found_RL, [[0.25, 0.75, 0.0]])


@kinds
def test_a_kind_names_only_metrics_that_are_measured_for_it(name: str) -> None:
    kind = KINDS[name]
    assert set(kind.metrics) == set(metric_names(name))  # type: ignore[arg-type]
    assert kind.default_metric in kind.metrics


def test_the_table_holds_every_kind_a_task_may_name() -> None:
    assert set(KINDS) == set(get_args(KindName))


def test_a_gate_may_name_every_baseline_and_the_live_model() -> None:
    assert set(RIVALS) == {*BASELINES, "live"}
    assert set(TEXT_RIVALS) == {*TEXT_BASELINES, BASE, SHOTS, "live"}


def test_several_labels_are_read_in_the_tasks_order_and_an_empty_cell_is_none() -> None:
    task = Task(
        name="t",
        kind="multilabel",
        inputs=("text",),
        label="tags",
        labels=(LabelSpec(name="bug"), LabelSpec(name="billing", values=("money",))),
        separator="|",
        primary_metric="micro_f1",
    )
    kind = kind_of(task)
    assert kind.parse(task, " money | bug |bug|") == ManyOf(names=("bug", "billing"))
    assert kind.parse(task, "  ") == ManyOf(names=())
    problem = kind.parse(task, "bug|mony")
    assert isinstance(problem, Problem)
    assert problem.nearest == "billing"
    wrong = kind.check(task, example(ManyOf(names=("billing", "bug"))))
    assert [one.code for one in wrong] == ["label-shape"]
    sure = kind.decode(task, np.array([0.9, 0.2]))
    assert sure.label == ManyOf(names=("bug",))
    assert sure.confidence == pytest.approx(0.72)


def open_task(name: str, **fields: object) -> Task:
    """A task of a kind without labels."""
    plain = {"inputs": ("question", "context"), "label": "answer"}
    task = Task.model_validate(
        {"name": "t", "kind": name, "primary_metric": KINDS[name].default_metric, **plain, **fields}
    )
    assert not list(sense_problems(task.model_dump(mode="json", exclude_none=True)))
    return task


@writing
@given(texts=st.lists(st.text(max_size=20), max_size=4), alone=st.booleans())
@settings(max_examples=80, deadline=None)
def test_texts_come_back_from_their_cell_or_there_are_none(
    name: str, texts: list[str], alone: bool
) -> None:
    task = open_task(name)
    cell = (texts[0] if texts else "") if alone else json.dumps(texts)
    read = any_kind_of(task).parse(task, cell)
    wanted = tuple(dict.fromkeys(text for text in texts[: 1 if alone else 4] if text.strip()))
    if isinstance(read, Problem):
        assert read.code == "label-empty"
        assert not wanted
    elif not (alone and cell.startswith(("[", "{"))):
        assert read == Texts(texts=wanted)
        assert any_kind_of(task).check(task, example(read)) == ()


@writing
@given(question=st.text(max_size=30), context=st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_prompt_holds_every_input_and_the_instruction(
    name: str, question: str, context: str
) -> None:
    task = open_task(name, instruction="Be brief.")
    (turn,) = writing_kind_of(task).prompt(task, {"question": question, "context": context})
    assert turn.role == "user"
    assert turn.content.startswith("Be brief.")
    assert question in turn.content
    assert context in turn.content


@given(
    said=st.lists(st.sampled_from(["system", "user", "assistant"]), max_size=6),
    texts=st.lists(st.text(max_size=8), min_size=6, max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_a_conversation_is_parted_before_its_last_answer(said: list[str], texts: list[str]) -> None:
    task = open_task("chat", inputs=("messages",), label="messages")
    turns = [{"role": role, "content": text} for role, text in zip(said, texts, strict=False)]
    found = parted(task, json.dumps(turns))
    answers = [
        place
        for place, turn in enumerate(turns)
        if place and turn["role"] == "assistant" and turn["content"].strip()
    ]
    if not answers:
        assert isinstance(found, Problem)
        return
    assert not isinstance(found, Problem)
    before, answer = found
    assert answer == turns[answers[-1]]["content"]
    prompt = writing_kind_of(task).prompt(task, {"messages": before})
    assert write_conversation(prompt) == before
    assert [one.content for one in prompt] == [turn["content"] for turn in turns[: answers[-1]]]
    assert len(prompt) + 1 + turns_behind(json.dumps(turns), before) == len(turns)


@given(
    context=st.text(min_size=1, max_size=30),
    start=st.integers(0, 30),
    length=st.integers(1, 10),
    off=st.integers(-3, 3),
)
@settings(max_examples=200, deadline=None)
def test_a_piece_that_is_not_where_it_says_is_told_with_its_place(
    context: str, start: int, length: int, off: int
) -> None:
    task = open_task("extractive-qa")
    kind = any_kind_of(task)
    text = context[start : start + length]
    cell = json.dumps({"text": [text], "answer_start": [start + off]})
    read = kind.parse(task, cell)
    if isinstance(read, Problem):
        assert start + off < 0
        assert text
        return
    if not text:
        assert read == Spans(spans=())
        return
    assert read == Spans(spans=(Span(text=text, start=start + off),))
    row = example(read).model_copy(update={"inputs": {"question": "?", "context": context}})
    problems = kind.check(task, row)
    assert bool(problems) is not context.startswith(text, start + off)
    assert all(problem.code == "answer-offset" for problem in problems)


def test_a_key_that_does_nothing_for_its_kind_is_refused() -> None:
    raw = open_task("qa").model_dump(mode="json", exclude_none=True)
    for key, value in (("labels", [{"name": "a"}]), ("abstain_below", 0.5)):
        (found,) = sense_problems({**raw, key: value})
        assert key in found[1].what
    raw = open_task("extractive-qa").model_dump(mode="json", exclude_none=True)
    (found,) = sense_problems({**raw, "normalise": {"html": True}})
    assert "offsets" in found[1].what
