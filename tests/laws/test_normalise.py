"""The rules for texts: doing it twice is doing it once, and what trains is what is served, token id by token id."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from burnish.data.examples import to_example
from burnish.data.normalise import (
    ROUNDS,
    every_choice,
    normalise,
    normalise_counted,
    normalise_inputs,
)
from burnish.data.rows import Row
from burnish.deploy.batch import predict_file
from burnish.encode.render import render
from burnish.encode.tokenise import Tokeniser, load_tokeniser, tokenise
from burnish.evaluate.predict import predict
from burnish.records.deployment import Feedback, Prediction
from burnish.records.encoding import Encoding, FloatArray
from burnish.records.example import Example, input_id
from burnish.records.message import Message
from burnish.records.task import Normalise
from burnish.retrain.merge import Given, merge
from burnish.serve.body import read_request, rows_of
from burnish.tasks.conversation import read_conversation, write_conversation
from burnish.tasks.kind import writing_kind_of
from support_task import make_task
from tiny_training import tiny_base

EVERYTHING = Normalise(
    html=True, mojibake=True, unicode="NFKC", control=True, zero_width=True, whitespace=True
)
PARTS = [
    "&amp;", "amp;", "&#38;", "&lt;b&gt;", "&Atilde;&copy;", "&nbsp;", "&#0;", "&#3&#56;;", "&notit;", "&copy=2",
    "Ã©", "â€™", "Ã ", "Ã\xa0", "â€", "\x9d", "Ãƒ", "ï»¿", "í\xa0½í¸\x80", "Ð¿Ñ€Ð¸", "Â°", "\x80",
    "\u200d", "\u200c", "می", "क्", "👩", "🏽", "\ufe0f", "\u200b", "\xad", "\u202e", "\ufeff",
    "\U0001f3f4\U000e0067\U000e007f", "\U000e0041", "e", "\u0301", "\uff21", "\uff06ａｍｐ；", "\ufb01", "\ufdfa",
    "\u0958", "\u0344", "´", " ", "\t", "\r\n", "\r", "\n", "\x85", "\u2028", "\u3000", "\x00", "\x0b", "\x1c", "\x7f",
    "money back", "\ud83d", "\ude00", "[email]", "ana@example.org",
]  # fmt: skip
anything = st.text(st.characters(exclude_categories=()), max_size=30)
texts = st.lists(st.sampled_from(PARTS) | anything, max_size=12).map("".join)
choices = st.sampled_from(every_choice())
SAMPLES = settings(max_examples=200, deadline=None, derandomize=True)


@SAMPLES
@given(text=texts, rules=choices)
@example(text="&" + "amp;" * 5, rules=Normalise(html=True))
@example(text="&" + "amp;" * 2 * ROUNDS, rules=Normalise(html=True, whitespace=True))
@example(text="a" + "\u0323\u0301" * 2000, rules=Normalise(unicode="NFC"))
def test_twice_is_once_and_nothing_is_made_unreadable(text: str, rules: Normalise) -> None:
    plain, changed = normalise_counted(rules, text)
    assert normalise_counted(rules, plain) == (plain, ())
    assert (plain != text) <= bool(changed)
    assert plain == normalise(rules, text)
    on = [name for name in Normalise.model_fields if getattr(rules, name) not in (False, "off")]
    assert list(changed) == [name for name in on if name in changed]
    if _is_utf8(text):
        assert _is_utf8(plain)


@SAMPLES
@given(text=texts)
def test_without_rules_a_text_is_the_same_object(text: str) -> None:
    assert normalise(Normalise(), text) is text


@settings(max_examples=40, deadline=None, derandomize=True)
@given(text=st.text(st.sampled_from("abc XYZ.,!?'\"-<>#/=@éü\n"), max_size=40))
def test_a_text_without_damage_is_left_alone_by_every_rule_but_whitespace(text: str) -> None:
    for rules in every_choice():
        if not rules.whitespace:
            assert normalise(rules, text) == text


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


class Reader:
    """A model that keeps what it was given to read; its tokenizer is a real one."""

    def __init__(self, tokeniser: Tokeniser) -> None:
        self.tokeniser = tokeniser
        self.seen: list[list[int]] = []

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        return tokenise(self.tokeniser, texts)

    def logits(self, encodings: Sequence[Encoding]) -> FloatArray:
        self.seen += [encoding.ids_T.tolist() for encoding in encodings]
        return np.zeros((len(encodings), 3))


@pytest.fixture(scope="module")
def tokeniser(tmp_path_factory: pytest.TempPathFactory) -> Tokeniser:
    folder: Path = tiny_base(tmp_path_factory.getbasetemp() / "bases").folder
    return load_tokeniser(folder, max_tokens=64)


def _ids(tokeniser: Tokeniser, text: str) -> list[int]:
    (row,) = tokenise(tokeniser, [text])
    return row.ids_T.tolist()


@settings(max_examples=120, deadline=None, derandomize=True)
@given(subject=texts, text=texts, rules=choices)
@example(subject="", text="".join(PARTS), rules=EVERYTHING)
@example(subject="\u200b", text="&Atilde;&copy;\u200b", rules=EVERYTHING)
def test_what_trains_is_what_is_served(
    tokeniser: Tokeniser, subject: str, text: str, rules: Normalise
) -> None:
    for columns in (("text",), ("subject", "text")):
        task = make_task(inputs=columns, normalise=rules, redact=())
        raw = {"subject": subject, "text": text}
        asked = {name: raw[name] for name in columns}
        row = Row(where="t.csv:2", fields={**asked, "intent": "refund"})
        example = to_example(task, row)
        reader = Reader(tokeniser)
        if not isinstance(example, Example):
            assert example.reason == "empty-text"
            predict_file(reader, task, [row], out := io.StringIO(), version="v")
            assert "empty-text" in out.getvalue() and not reader.seen
            continue
        trained = _ids(tokeniser, render(task, example.inputs))
        predict(reader, task, [asked])
        predict_file(reader, task, [row], io.StringIO(), version="v")
        if _is_utf8(subject + text):
            body = json.dumps({"inputs": [asked]}).encode()
            predict(reader, task, rows_of(read_request(body), task, at_most=9))
        assert reader.seen == [trained] * len(reader.seen) and len(reader.seen) >= 2
        merged = merge(task, {}, [_given(asked)])
        (fed,) = merged.examples
        assert (fed.inputs, fed.input_id) == (example.inputs, example.input_id)


@SAMPLES
@given(question=texts, context=texts, kind=st.sampled_from(["qa", "summarization"]), rules=choices)
@example(question='["Two.", "of them"]', context='&#91;"One."]', kind="qa", rules=EVERYTHING)
@example(question='["[\\"deeper\\"]"]', context="", kind="qa", rules=Normalise())
def test_what_a_writer_is_asked_is_what_it_was_trained_on(
    question: str, context: str, kind: str, rules: Normalise
) -> None:
    task = make_task(
        kind=kind,
        inputs=("question", "context"),
        label="answer",
        labels=(),
        primary_metric="exact_match",
        normalise=rules,
        redact=(),
    )
    raw = {"question": question, "context": context}
    example = to_example(task, Row(where="t.csv:2", fields={**raw, "answer": "yes"}))
    if isinstance(example, Example):
        asked = writing_kind_of(task).prompt
        trained = asked(task, example.inputs)
        assert asked(task, normalise_inputs(task, raw)) == trained
        # rows of the test split are asked once more
        assert asked(task, normalise_inputs(task, example.inputs)) == trained


@SAMPLES
@given(turns=st.lists(texts, min_size=1, max_size=4), rules=choices)
def test_a_conversation_is_brought_into_form_turn_by_turn(
    turns: list[str], rules: Normalise
) -> None:
    """The assistant's own words stay; the others are as the rules leave a text; twice is once."""
    task = make_task(
        kind="chat",
        inputs=("messages",),
        label="messages",
        labels=(),
        primary_metric="chrf",
        normalise=rules,
    )
    said = [
        Message(
            role="assistant" if place % 2 else "user",
            content=text.encode(errors="replace").decode(),
        )
        for place, text in enumerate(turns)
    ]
    once = normalise_inputs(task, {"messages": write_conversation(said)})
    assert normalise_inputs(task, once) == once
    assert [one.content for one in read_conversation(once["messages"])] == [
        one.content if one.role == "assistant" else normalise(rules, one.content) for one in said
    ]


def _given(inputs: dict[str, str]) -> Given:
    """Somebody's word on a prediction whose text the journal keeps as it was asked."""
    prediction = Prediction(
        id="9f2c",
        version="support-1",
        input_id=input_id(inputs),
        inputs=inputs,
        labels=("refund",),
        confidence=0.9,
        scores={"refund": 0.9, "delivery": 0.1, "other": 0.0},
        latency_ms=1.0,
        at="2026-11-01T00:00:00Z",
    )
    feedback = Feedback(
        id="f",
        prediction_id="9f2c",
        right=True,
        labels=("refund",),
        by="ana",
        chosen="disputed",
        at="2026-11-02T00:00:00Z",
    )
    return Given(feedback, prediction)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(text=texts, rules=choices)
def test_feedback_is_in_form_after_it_was_redacted(text: str, rules: Normalise) -> None:
    task = make_task(normalise=rules)
    for row in merge(task, {}, [_given({"text": f"{text} ana&#64;example.org"})]).examples:
        assert row.inputs["text"] == normalise(rules, row.inputs["text"])
        assert not (rules.html and "ana@example.org" in row.inputs["text"])
