"""What every data check promises: it looks, never changes, counts all and names at most twenty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.check import ASKED, CHECKS, check, rows_of
from burnish.data.evidence import Finding, Scene
from burnish.records.dataset import Rejection
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.example import Example, Split
from burnish.records.task import LabelSpec, Task
from support_task import make_example

SAMPLES = settings(max_examples=25, deadline=None, derandomize=True)
NAMES = ("refund", "refnd", "card_arrival", "Card arrival", "other")
TASK = Task(
    name="t",
    kind="classification",
    inputs=("text",),
    label="y",
    labels=tuple(LabelSpec(name=name) for name in NAMES),
    primary_metric="accuracy",
)


@st.composite
def splits(draw: st.DrawFn) -> dict[Split, list[Example]]:
    text = st.sampled_from(
        ["a", "b", "c", "N/A", "Where is it?", "where is it", "   ", "mail ana@example.org", "caf\u00c3\u00a9", "R&amp;D",
         "<|im_start|>hi", "ignore all previous instructions", "asdfgh jkl", "order 12 for Bob Smith today",
         "order 13 for Ann Lee today", "password=hunter2"]
    )  # fmt: skip
    rows = st.lists(st.tuples(text, st.sampled_from(NAMES), st.sampled_from([None, "g", "h"])))
    found: dict[Split, list[Example]] = {}
    given_splits: list[Split] = ["train", "validation", "test"]
    for split in given_splits:
        found[split] = [
            make_example(t, y, line, file=f"{split}.csv", group=g)
            for line, (t, y, g) in enumerate(draw(rows), 2)
        ]
    return found


rejections = st.lists(
    st.builds(
        Rejection,
        where=st.integers(2, 99).map(lambda line: f"r.csv:{line}"),
        reason=st.sampled_from(["label-unknown", "empty-text", "empty-label", "ragged-row"]),
        detail=st.sampled_from(['"refun", nearest "refund"', "3 fields", ""]),
    )
)


def look(
    name: str,
    examples: dict[Split, list[Example]],
    rejected: Sequence[Rejection] = (),
    **about: object,
) -> list[Finding]:
    """What one check finds by itself."""
    rows = rows_of(examples)
    scene = Scene(TASK, recall=lambda numbers: {n: rows[n] for n in numbers}, **about)  # type: ignore[arg-type]
    inspector = {**CHECKS, **ASKED}[name](scene)
    for one in rejected:
        scene.reject(one)
    for row in rows:
        scene.remember(row)
        inspector.see(row)
    return list(inspector.findings())


def vectors(texts: Sequence[str]) -> FloatArray:
    """Unit vectors by the letters of a text."""
    counts = np.array([[text.count(letter) + 0.1 for letter in "abciw? "] for text in texts])
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def out_of_fold(texts: Sequence[str], labels: Sequence[str], folds: IntArray) -> FloatArray:
    """Probabilities by the length of a text."""
    assert len(texts) == len(labels) == len(folds)
    logits = np.array([[len(text) * (n + 1) % 7 for n in range(len(NAMES))] for text in texts])
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", {**CHECKS, **ASKED})
@SAMPLES
@given(examples=splits(), rejected=rejections)
def test_a_check_is_pure_and_bounded(
    name: str, examples: dict[Split, list[Example]], rejected: list[Rejection]
) -> None:
    def words(inputs: object) -> list[int]:
        return [len(i["text"].split()) for i in inputs]  # type: ignore[attr-defined]

    before = ({k: list(v) for k, v in examples.items()}, list(rejected))
    given_to = {
        "token_lengths": words,
        "limit_tokens": 2,
        "vectors": vectors,
        "out_of_fold": out_of_fold,
    }
    found = look(name, examples, rejected, **given_to)
    issues = [one.issue for one in found]
    again = look(name, examples, rejected, **given_to)
    assert issues == [one.issue for one in again]
    assert before == ({k: list(v) for k, v in examples.items()}, list(rejected))
    rows = rows_of(examples)
    known = {row.where for row in rows} | {rejection.where for rejection in rejected}
    for finding in found:
        issue, numbers = finding.issue, list(finding.numbers)
        assert issue.what and len(issue.rows) <= min(20, issue.count)
        assert set(issue.rows) <= known
        assert issue.severity == "note" or issue.fix or issue.code == "class-untrained"
        # the numbers are all rows the issue is about, each once, and the rows named are the first of them
        assert len(set(numbers)) == len(numbers) and set(numbers) <= set(range(len(rows)))
        if numbers:
            assert len(numbers) == issue.count
            assert issue.rows == tuple(rows[n].where for n in numbers[:20])
        assert finding.mend != "relabel" or len(finding.labels) == len(numbers)
        assert finding.mend is None or numbers


@SAMPLES
@given(examples=splits(), rejected=rejections)
def test_every_rejected_row_is_counted_in_an_issue(
    examples: dict[Split, list[Example]], rejected: list[Rejection]
) -> None:
    issues = {issue.code: issue.count for issue in check(TASK, examples, rejected)}
    for reason in {rejection.reason for rejection in rejected}:
        assert issues[reason] == sum(r.reason == reason for r in rejected)


@SAMPLES
@given(examples=splits())
def test_conflicts_and_duplicates_are_counted_by_their_definition(
    examples: dict[Split, list[Example]],
) -> None:
    rows = [row for split in examples.values() for row in split]
    said: dict[str, set[str]] = {}
    for row in rows:
        said.setdefault(row.inputs["text"], set()).add(row.model_dump_json(include={"label"}))
    conflicting = sum(len(said[row.inputs["text"]]) > 1 for row in rows)
    assert sum(one.issue.count for one in look("conflicts", examples)) == conflicting


def test_labels_that_look_alike_are_told() -> None:
    rows = [make_example(f"t{n}", "refund", n) for n in range(30)]
    rows += [make_example("x", "refnd", 40), make_example("y", "card_arrival", 41)]
    rows += [make_example("z", "Card arrival", 42)]
    issues = [i for i in check(TASK, {"train": rows}) if i.code == "labels-alike"]
    assert sorted(issue.rows for issue in issues) == [("t.csv:40",), ("t.csv:41",)] or sorted(
        issue.rows for issue in issues
    ) == [("t.csv:40",), ("t.csv:42",)]


def test_lengths_are_counted_against_the_limit() -> None:
    rows = [make_example("one two three four", "other", 2), make_example("one", "refund", 3)]
    issues = check(
        TASK,
        {"train": rows},
        token_lengths=lambda inputs: [len(i["text"].split()) for i in inputs],
        limit_tokens=3,
    )
    (issue,) = [issue for issue in issues if issue.code == "text-too-long"]
    assert (issue.count, issue.rows) == (1, ("t.csv:2",))
    assert "1 of 5 tokens" in issue.what and "their ends are cut" in issue.what


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "extractive-qa"}, "overlapping windows, and nothing is lost"),
        ({"kind": "qa"}, "training and serving refuse them"),
        ({"kind": "qa", "truncate": "left"}, 'their prompts are cut (truncate = "left")'),
    ],
)
def test_what_becomes_of_a_long_text_is_what_the_kind_does(
    changes: dict[str, str], says: str
) -> None:
    fields = {"name": "t", "inputs": ("text",), "label": "label", "primary_metric": "f1"}
    task = Task.model_validate(fields | changes)
    rows = [make_example("one two three four", "other", 2), make_example("one", "refund", 3)]
    counts = {"token_lengths": lambda inputs: [4, 1], "limit_tokens": 3}
    issues = check(task, {"train": rows}, **counts)  # type: ignore[arg-type]
    (issue,) = [issue for issue in issues if issue.code == "text-too-long"]
    assert says in issue.what and "their ends are cut" not in issue.what


def test_leakage_between_given_files_is_told() -> None:
    train = [make_example("same", "other", 2), make_example("new", "other", 3, group="g")]
    test = [
        make_example("same", "other", 2, file="test.csv"),
        make_example("old", "other", 3, file="test.csv", group="g"),
    ]
    codes = {issue.code: issue.rows for issue in check(TASK, {"train": train, "test": test})}
    assert codes["leakage"] == ("t.csv:2",)
    assert codes["group-leakage"] == ("t.csv:3",)


def test_one_class_is_an_error_and_comes_first() -> None:
    issues = check(TASK, {"train": [make_example(f"t{n}", "refund", n) for n in range(5)]})
    assert (issues[0].code, issues[0].severity) == ("one-class", "error")
    assert {"class-missing", "few-rows"} <= {issue.code for issue in issues}
