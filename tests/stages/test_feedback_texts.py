"""What people say about answers that are texts: kept apart from the ledger's facts, erased with the question, learnt from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.deploy.feedback import Said, give_feedback
from burnish.errors import BurnishError
from burnish.records.deployment import Prediction
from burnish.records.example import input_id
from burnish.records.label import Span, Spans, Texts
from burnish.records.task import Task
from burnish.retrain.merge import Given, Merged, merge
from burnish.retrain.rows import usable
from burnish.store.erase import Erasure, erase
from burnish.store.feedback import feedback
from burnish.store.journal import find_prediction, forget_texts, journal
from burnish.store.ledger import Ledger, check_ledger
from deployed import AT, ledger_of, make_workspace
from span_models import span_task
from written_bundles import chat_task

LATER = "2026-12-24T10:00:00.000+00:00"
QA = chat_task(name="answers", kind="qa", inputs=("question",), label="answer", instruction="")
SPANS = span_task()
CONTEXT = "Ada lives in Paris. Bob lives in Paris too."


def answered(id: str, task: Task = QA, **changes: object) -> Prediction:
    inputs = {name: f"{name} {id}" for name in task.inputs}
    if task is SPANS:
        inputs = {"question": f"Where, {id}?", "context": CONTEXT}
    fields: dict[str, object] = {
        "id": id,
        "version": f"{task.name}-1",
        "input_id": input_id(inputs),
        "inputs": inputs,
        "labels": (),
        "confidence": 0.6,
        "scores": {"prompt_tokens": 4.0, "completion_tokens": 2.0, "finished": 1.0},
        "text": "in May",
        "latency_ms": 1.0,
        "at": AT,
    }
    return Prediction.model_validate(fields | changes)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return ledger_of(make_workspace(tmp_path))


def say(
    ledger: Ledger, id: str, label: str | None, by: str = "ann", *, task: Task = QA, **more: object
) -> bool:
    labels = None if label is None else (label,)
    said = Said(prediction=id, by=by, labels=labels, **more)  # type: ignore[arg-type]
    (taken,) = give_feedback(ledger, task, [said], at=AT)
    return taken.feedback.right


def learnt(ledger: Ledger, task: Task = QA) -> Merged:
    given = []
    for _, one in feedback(ledger):
        prediction = find_prediction(ledger, one.prediction_id)
        assert prediction is not None
        given.append(Given(one, prediction))
    return merge(task, {}, given)


def test_the_right_text_becomes_a_row(ledger: Ledger) -> None:
    journal(ledger, [answered("a1"), answered("a2"), answered("a3")])
    assert not say(ledger, "a1", "in June")
    assert say(ledger, "a2", "in May")
    assert say(ledger, "a3", None, right=True)
    assert [one.text for _, one in feedback(ledger)] == ["in June", "in May", None]
    assert usable([one for _, one in feedback(ledger)]) == 3
    rows = learnt(ledger).examples
    assert [row.label for row in rows] == [
        Texts(texts=("in June",)),
        Texts(texts=("in May",)),
        Texts(texts=("in May",)),
    ]
    assert rows[0].inputs == {"question": "question a1"}


def test_several_texts_may_be_right_but_not_right_and_wrong(ledger: Ledger) -> None:
    journal(ledger, [answered("a1"), answered("a2"), answered("a3")])
    assert say(ledger, "a1", "May", "ann", right=True) and say(ledger, "a1", "in May", "bob")
    assert not say(ledger, "a2", "June", "ann") and say(ledger, "a2", "in May", "bob")
    say(ledger, "a3", None, "ann", right=True)
    say(ledger, "a3", None, "bob", right=False)
    merged = learnt(ledger)
    assert [row.label for row in merged.examples] == [
        Texts(texts=("May", "in May")),
        Texts(texts=("June", "in May")),
    ]
    reasons = [one.reason for one in merged.rejections]
    assert reasons.count("contradictory") == 2 and reasons.count("duplicate") == 2


def test_a_conversation_grows_by_what_should_have_been_said(ledger: Ledger) -> None:
    task = chat_task()
    turns = [{"role": "user", "content": "Where is it?"}]
    asked = {"messages": json.dumps(turns)}
    journal(ledger, [answered("c1", task, inputs=asked, version="service-1")])
    say(ledger, "c1", "On its way.", task=task)
    (row,) = learnt(ledger, task).examples
    assert json.loads(row.inputs["messages"]) == turns
    assert row.label == Texts(texts=("On its way.",))


def test_pieces_of_a_context_find_their_place(ledger: Ledger) -> None:
    second = CONTEXT.rindex("Paris")
    found = {"text": "Paris", "scores": {"finished": 1.0, "start": float(second)}}
    journal(ledger, [answered(f"s{n}", SPANS, **found) for n in range(4)])
    assert say(ledger, "s0", "Paris", task=SPANS)
    assert not say(ledger, "s1", "Bob", task=SPANS)
    assert not say(ledger, "s2", "", task=SPANS)
    with pytest.raises(BurnishError, match="answer-missing"):
        say(ledger, "s3", "Rome", task=SPANS)
    labels = [row.label for row in learnt(ledger, SPANS).examples]
    assert labels == [
        Spans(spans=(Span(text="Paris", start=second),)),
        Spans(spans=(Span(text="Bob", start=CONTEXT.index("Bob")),)),
        Spans(spans=()),
    ]


def test_feedback_that_cannot_be_meant_is_refused(ledger: Ledger) -> None:
    journal(ledger, [answered("a1"), answered("a2", text=None)])
    for id, label, more, code in (
        ("a1", "", {}, "feedback-empty"),
        ("a1", None, {}, "feedback-empty"),
        ("a1", "in May", {"right": False}, "feedback-contradicts-itself"),
        ("a2", "in May", {}, "feedback-text-missing"),
        ("a9", "in May", {}, "prediction-unknown"),
    ):
        with pytest.raises(BurnishError) as caught:
            say(ledger, id, label, **more)
        assert caught.value.code == code
    assert feedback(ledger) == []
    assert not say(ledger, "a2", "in May", right=False)


def test_saying_it_again_changes_nothing(ledger: Ledger) -> None:
    journal(ledger, [answered("a1")])
    for text in ("June", "June", "July", "June"):
        say(ledger, "a1", text)
    assert [one.text for _, one in feedback(ledger)] == ["June", "July", "June"]
    (row,) = learnt(ledger).examples
    assert row.label == Texts(texts=("June",))


def test_words_are_redacted_and_erased_with_their_question(ledger: Ledger) -> None:
    task = QA.model_copy(update={"redact": ("email",)})
    journal(ledger, [answered("a1"), answered("a2")])
    say(ledger, "a1", "ask ana@example.org about zebras", task=task)
    say(ledger, "a2", "the xylophone")
    assert [one.text for _, one in feedback(ledger)] == [
        "ask [email] about zebras",
        "the xylophone",
    ]
    erase(ledger, Erasure(predictions=["a1"], texts=["a1"]))
    assert [one.text for _, one in feedback(ledger)] == [None, "the xylophone"]
    assert forget_texts(ledger, before=LATER) > 0
    assert [one.text for _, one in feedback(ledger)] == [None, None]
    assert [one.right for _, one in feedback(ledger)] == [False, False]
    check_ledger(ledger)
    held = b"".join(path.read_bytes() for path in ledger.path.parent.glob(f"{ledger.path.name}*"))
    assert b"zebras" not in held
    assert {one.reason for one in learnt(ledger).rejections} <= {"text-gone", "label-not-given"}
