"""Feedback: believed only about predictions that were made, kept once, nobody overruled in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.deploy.feedback import Said, give_feedback, latest
from burnish.errors import BurnishError
from burnish.records.deployment import Prediction
from burnish.records.example import input_id
from burnish.store.feedback import count_feedback, feedback
from burnish.store.journal import audited, find_prediction, forget_texts, journal, predictions
from burnish.store.ledger import Ledger, check_ledger
from deployed import AT, ledger_of, make_workspace
from support_task import LABELS, make_task

TASK = make_task()
LATER = "2026-12-24T10:00:00.000+00:00"


def prediction(number: int, **changes: object) -> Prediction:
    inputs = {"text": f"text {number}"}
    fields: dict[str, object] = {
        "id": f"{number:016x}",
        "version": "support-1",
        "input_id": input_id(inputs),
        "inputs": inputs,
        "labels": ("refund",),
        "confidence": 0.6,
        "scores": dict(zip(LABELS, (0.6, 0.3, 0.1), strict=True)),
        "latency_ms": 1.0,
        "at": AT,
    }
    return Prediction.model_validate(fields | changes)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    opened = ledger_of(make_workspace(tmp_path))
    journal(opened, [prediction(n, audit=n % 2 == 0) for n in range(6)])
    return opened


def said(number: int, label: str | None = "delivery", by: str = "ann", **more: object) -> Said:
    labels = None if label is None else (label,)
    return Said(prediction=f"{number:016x}", by=by, labels=labels, **more)  # type: ignore[arg-type]


def codes(ledger: Ledger, *given: Said) -> list[str]:
    with pytest.raises(BurnishError) as caught:
        give_feedback(ledger, TASK, given, at=AT)
    return [problem.code for problem in caught.value.problems]


def test_audited_rows_are_random_and_the_others_disputed(ledger: Ledger) -> None:
    taken = give_feedback(ledger, TASK, [said(0), said(1), said(2, "refund")], at=AT)
    assert [one.feedback.chosen for one in taken] == ["random", "disputed", "random"]
    assert [one.feedback.right for one in taken] == [False, False, True]
    assert [one.prediction.id for one in audited(ledger, version="support-1", unanswered=True)] == [
        f"{4:016x}"
    ]


def test_saying_it_again_changes_nothing_and_another_word_counts_instead(ledger: Ledger) -> None:
    (first,) = give_feedback(ledger, TASK, [said(1)], at=AT)
    (again,) = give_feedback(ledger, TASK, [said(1)], at=LATER)
    assert first.new and not again.new and again.feedback == first.feedback
    give_feedback(ledger, TASK, [said(1, "other")], at=LATER)
    (back,) = give_feedback(ledger, TASK, [said(1)], at=LATER)
    assert back.new and count_feedback(ledger) == 3
    thread = [one for _, one in feedback(ledger)]
    assert latest(thread)["ann"].labels == ("delivery",)


def test_people_who_disagree_are_named(ledger: Ledger) -> None:
    give_feedback(
        ledger, TASK, [said(1, "other", by="bob"), said(1, None, by="eve", right=True)], at=AT
    )
    (taken,) = give_feedback(ledger, TASK, [said(1)], at=AT)
    assert taken.against == ("bob", "eve")
    # eve only said wrong: that does not contradict a label
    give_feedback(ledger, TASK, [said(1, None, by="eve", right=False)], at=AT)
    (taken,) = give_feedback(ledger, TASK, [said(1)], at=AT)
    assert taken.against == ("bob",)


def test_all_problems_at_once_and_nothing_recorded(ledger: Ledger) -> None:
    assert codes(
        ledger,
        said(0),
        said(99),
        said(1, "delivry"),
        said(2, None),
        said(3, by=" "),
        said(4, "refund", right=False),
        Said(prediction="\ud800", by="ann", labels=("refund",)),
        Said(prediction=f"{5:016x}", by="ann", labels=("refund", "other")),
    ) == [
        "prediction-unknown",
        "label-unknown",
        "feedback-empty",
        "feedback-unsigned",
        "feedback-contradicts-itself",
        "prediction-unknown",
        "label-unknown",
    ]
    assert count_feedback(ledger) == 0


def test_a_journal_of_hashes_needs_the_same_text_again(ledger: Ledger) -> None:
    journal(ledger, [prediction(7, inputs=None)])
    assert codes(ledger, said(7)) == ["feedback-text-missing"]
    assert codes(ledger, said(7, inputs={"text": "another"})) == ["feedback-other-text"]
    (taken,) = give_feedback(ledger, TASK, [said(7, inputs={"text": "text 7"})], at=AT)
    assert feedback(ledger)[0][1].inputs == {"text": "text 7"} == taken.feedback.inputs
    give_feedback(ledger, TASK, [said(7, None, by="bob", right=True)], at=AT)


def test_a_text_sent_again_is_known_by_the_rules_of_whichever_version_answered(
    ledger: Ledger,
) -> None:
    """The version had html and whitespace on; the task has other rules by now, or none."""
    asked = input_id({"text": "Fish & chips"})
    journal(ledger, [prediction(7, inputs=None, input_id=asked)])
    sent = {"text": " Fish &amp; chips"}
    for rules in ({}, {"mojibake": True}, {"html": True, "whitespace": True}):
        task = make_task(normalise=rules)
        (taken,) = give_feedback(ledger, task, [said(7, by=str(rules), inputs=sent)], at=AT)
        assert taken.feedback.inputs == sent
    assert codes(ledger, said(7, inputs={"text": "Fish & ships"})) == ["feedback-other-text"]


def test_erased_texts_are_gone_from_the_file_and_answers_stay(ledger: Ledger) -> None:
    secret = "canary-5f1d2c"
    journal(ledger, [prediction(8, inputs={"text": secret}, at="2026-01-01T00:00:00.000+00:00")])
    files = [path for path in ledger.path.parent.iterdir() if path.name.startswith("ledger")]
    assert any(secret.encode() in path.read_bytes() for path in files)
    assert forget_texts(ledger, before="2026-02-01") == 1
    assert not any(secret.encode() in path.read_bytes() for path in files if path.exists())
    kept = find_prediction(ledger, f"{8:016x}")
    assert kept is not None and kept.inputs is None and kept.labels == ("refund",)
    assert len(predictions(ledger)) == 7 and check_ledger(ledger) == ()


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    turns=st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from(LABELS)), max_size=8)
)
def test_the_last_word_of_each_person_stands(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[str, str]]
) -> None:
    ledger = ledger_of(make_workspace(tmp_path_factory.mktemp("words")))
    journal(ledger, [prediction(1)])
    for by, label in turns:
        give_feedback(ledger, TASK, [said(1, label, by=by)], at=AT)
    found = latest([one for _, one in feedback(ledger)])
    assert {by: one.labels for by, one in found.items()} == {by: (label,) for by, label in turns}
    assert check_ledger(ledger) == ()
