"""Feedback becomes rows: everything is used or set aside with its reason, and nobody's word is taken twice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.records.deployment import Feedback, Prediction
from burnish.records.example import Example, Split, input_id
from burnish.records.label import ManyOf, OneOf, label_names
from burnish.retrain.merge import Given, Merged, merge
from support_task import make_example, make_task

TASK = make_task()
PARENT: dict[Split, list[Example]] = {
    "train": [make_example("where is my parcel", "delivery", 2)],
    "validation": [],
    "test": [make_example("money back please", "refund", 3)],
}


def given_of(
    prediction: str,
    *,
    by: str = "ana",
    text: str | None = "a new text",
    said: Sequence[str] | None = ("refund",),
    predicted: Sequence[str] = ("refund",),
    right: bool | None = None,
    chosen: str = "disputed",
    sent: str | None = None,
    asked: str | None = None,
    at: int = 0,
) -> Given:
    """One piece of feedback; `sent` is a text sent with it, `asked` what was asked if not `text`."""
    agrees = set(said) == set(predicted) if said is not None else False
    whole = asked if asked is not None else text if text is not None else sent or ""
    return Given(
        Feedback(
            id=f"{prediction}-{by}-{at}",
            prediction_id=prediction,
            right=agrees if right is None else right,
            labels=None if said is None else tuple(said),
            by=by,
            chosen=chosen,  # type: ignore[arg-type]
            inputs=None if sent is None else {"text": sent},
            at=f"2026-11-02T00:00:{at:02d}Z",
        ),
        Prediction(
            id=prediction,
            version="support-1",
            input_id=input_id({"text": whole}),
            inputs=None if text is None else {"text": text},
            labels=tuple(predicted),
            confidence=0.9,
            scores={"refund": 0.9, "delivery": 0.1, "other": 0.0},
            latency_ms=1.0,
            audit=chosen == "random",
            at="2026-11-01T00:00:00Z",
        ),
    )


def told(merged: Merged) -> list[tuple[str, str]]:
    return [(one.where, one.reason) for one in merged.rejections]


def test_a_correction_becomes_a_row_that_says_where_it_is_from() -> None:
    (row,) = merge(TASK, PARENT, [given_of("9f2c", said=["other"])]).examples
    assert row.inputs == {"text": "a new text"}
    assert row.label == OneOf(name="other")
    assert row.input_id == input_id(row.inputs)
    assert (row.source.where, row.source.by, row.source.chosen, row.source.at) == (
        "prediction:9f2c",
        "ana",
        "disputed",
        "2026-11-02T00:00:00Z",
    )
    assert (row.group, row.columns) == (None, {})


def test_right_takes_the_answer_that_was_given_and_wrong_alone_says_too_little() -> None:
    (row,) = merge(
        TASK, PARENT, [given_of("a", said=None, right=True, predicted=["delivery"])]
    ).examples
    assert row.label == OneOf(name="delivery")
    merged = merge(TASK, PARENT, [given_of("a", said=None, right=False)])
    assert told(merged) == [("prediction:a", "label-not-given")]
    both = [given_of("a", said=None, right=False), given_of("a", by="ben", said=["other"])]
    merged = merge(TASK, PARENT, both)
    assert [one.label for one in merged.examples] == [OneOf(name="other")]
    assert told(merged) == [("prediction:a", "label-not-given")]


def test_the_same_person_may_think_again() -> None:
    merged = merge(TASK, PARENT, [given_of("a", said=["other"], at=1), given_of("a", at=2)])
    assert [one.label for one in merged.examples] == [OneOf(name="refund")]
    assert told(merged) == [("prediction:a", "replaced")]
    # in the same second the order of arrival decides
    merged = merge(TASK, PARENT, [given_of("a", said=["other"]), given_of("a")])
    assert [one.label for one in merged.examples] == [OneOf(name="refund")]


@pytest.mark.parametrize(
    "second",
    [
        given_of("a", by="ben", said=["other"]),
        given_of("a", by="ben", said=None, right=False),
        given_of("b", by="ben", said=["delivery"]),
    ],
)
def test_people_who_disagree_are_both_named_and_neither_used(second: Given) -> None:
    merged = merge(TASK, PARENT, [given_of("a"), second])
    assert merged.examples == ()
    assert {one.reason for one in merged.rejections} == {"contradictory"}
    assert len(merged.rejections) == 2
    for one in merged.rejections:
        assert "ana" in one.detail
        assert "ben" in one.detail


def test_people_who_agree_are_one_row() -> None:
    merged = merge(TASK, PARENT, [given_of("a"), given_of("a", by="ben"), given_of("b")])
    assert [one.source.where for one in merged.examples] == ["prediction:a"]
    assert told(merged) == [("prediction:a", "duplicate"), ("prediction:b", "duplicate")]


def test_of_equal_rows_the_audited_one_is_kept() -> None:
    merged = merge(TASK, PARENT, [given_of("a"), given_of("b", chosen="random")])
    assert [(one.source.where, one.source.chosen) for one in merged.examples] == [
        ("prediction:b", "random")
    ]


@pytest.mark.parametrize(
    ("said", "reason"), [(["refunds"], "label-unknown"), (["refund", "other"], "label-shape")]
)
def test_labels_that_the_task_does_not_take(said: list[str], reason: str) -> None:
    merged = merge(TASK, PARENT, [given_of("a", said=said)])
    assert told(merged) == [("prediction:a", reason)]


def test_several_labels_come_in_the_tasks_order() -> None:
    task = make_task(kind="multilabel", primary_metric="micro_f1")
    parent: dict[Split, list[Example]] = {"train": [], "validation": [], "test": []}
    merged = merge(
        task,
        parent,
        [given_of("a", said=["other", "refund"]), given_of("b", said=[], text="another text")],
    )
    assert [one.label for one in merged.examples] == [
        ManyOf(names=("refund", "other")),
        ManyOf(names=()),
    ]


def test_a_text_only_hashed_must_come_again() -> None:
    kept = given_of("a", text=None, sent="asked as hash")
    (row,) = merge(TASK, PARENT, [kept]).examples
    assert row.inputs == {"text": "asked as hash"}
    gone = given_of("a", text=None, asked="asked as hash")
    assert told(merge(TASK, PARENT, [gone])) == [("prediction:a", "text-gone")]
    sent = given_of("a", by="ben", text=None, sent="asked as hash")
    both = merge(TASK, PARENT, [gone, sent])
    assert [one.source.by for one in both.examples] == ["ben"]
    assert told(both) == [("prediction:a", "text-gone")]
    empty = given_of("a", text="  ")
    assert told(merge(TASK, PARENT, [empty])) == [("prediction:a", "empty-text")]


def test_what_is_redacted_in_the_journal_is_redacted_in_the_dataset() -> None:
    sent = given_of("a", text=None, sent="I am ana@example.org")
    (row,) = merge(TASK, PARENT, [sent]).examples
    assert row.inputs == {"text": "I am [email]"}
    assert row.input_id == input_id(row.inputs)
    (row,) = merge(make_task(redact=()), PARENT, [sent]).examples
    assert row.inputs == {"text": "I am ana@example.org"}


def test_another_column_than_the_tasks_cannot_be_read() -> None:
    task = make_task(inputs=("subject", "text"))
    merged = merge(task, PARENT, [given_of("a")])
    assert told(merged) == [("prediction:a", "input-missing")]
    assert "subject" in merged.rejections[0].detail


def test_the_parents_rows_stay_whatever_is_said() -> None:
    merged = merge(
        TASK,
        PARENT,
        [
            given_of("a", text="money back please"),
            given_of("b", text="money back please", said=["other"]),
            given_of("c", text="where is [email]", asked="where is my parcel", said=["delivery"]),
        ],
    )
    assert merged.examples == ()
    # a and c agree with old rows, b contradicts one
    assert told(merged) == [
        ("prediction:a", "duplicate"),
        ("prediction:b", "contradicts"),
        ("prediction:c", "duplicate"),
    ]
    assert "t.csv:3" in merged.rejections[1].detail


pieces = st.lists(
    st.builds(
        given_of,
        st.sampled_from("abcd"),
        by=st.sampled_from(["ana", "ben", "eve"]),
        text=st.sampled_from(["one", "two", "money back please", None]),
        said=st.sampled_from([None, ["refund"], ["other"], ["nothing"], ["refund", "other"]]),
        predicted=st.sampled_from([["refund"], ["other"]]),
        chosen=st.sampled_from(["random", "disputed"]),
        sent=st.sampled_from([None, "one", "two"]),
        asked=st.sampled_from([None, "one"]),
        at=st.integers(0, 3),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(given_=pieces)
def test_everything_said_is_used_or_set_aside(given_: list[Given]) -> None:
    merged = merge(TASK, PARENT, given_)
    assert merged == merge(TASK, PARENT, given_)
    assert len(merged.examples) + len(merged.rejections) == len(given_)
    places = [one.source.where for one in merged.examples]
    assert len(set(places)) == len(places)
    assert set(places) <= {one.where for one in given_}
    texts = [one.input_id for one in merged.examples]
    assert len(set(texts)) == len(texts)
    assert not set(texts) & {row.input_id for rows in PARENT.values() for row in rows}
    for one in merged.examples:
        assert one.label is not None
        assert set(label_names(one.label)) <= set(TASK.label_names)
        # whoever disagrees would be among the last words on that prediction
        mine = [g for g in given_ if g.where == one.source.where and g.feedback.by == one.source.by]
        # the order it came in, not the clock, says which word was the last
        assert one.source.at == mine[-1].feedback.at


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    given_=pieces.filter(lambda found: len({g.feedback.id for g in found}) == len(found)),
    data=st.data(),
)
def test_the_order_of_arrival_matters_only_among_one_persons_words(
    given_: list[Given], data: st.DataObject
) -> None:
    words: dict[tuple[str, str], list[Given]] = {}
    for one_given in given_:
        words.setdefault((one_given.prediction.id, one_given.feedback.by), []).append(one_given)
    turns = data.draw(st.permutations([(g.prediction.id, g.feedback.by) for g in given_]))
    left = {key: iter(said) for key, said in words.items()}
    shuffled = [next(left[key]) for key in turns]
    # predictions are one thing each: the first given of an id defines it
    first = {one.prediction.id: one.prediction for one in reversed(given_)}
    one = merge(TASK, PARENT, [Given(g.feedback, first[g.prediction.id]) for g in given_])
    two = merge(TASK, PARENT, [Given(g.feedback, first[g.prediction.id]) for g in shuffled])
    assert {(e.inputs["text"], e.label) for e in one.examples} == {
        (e.inputs["text"], e.label) for e in two.examples
    }
