"""Rows in = used + rejected, over the files of a task; what stops the reading says everything at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.data.examples import read_examples
from burnish.errors import BurnishError
from burnish.records.label import ManyOf, OneOf
from burnish.records.task import DataFiles, LabelSpec, Task

TASK = Task(
    name="t",
    kind="classification",
    inputs=("subject", "text"),
    label="intent",
    labels=(LabelSpec(name="refund", values=("1",)), LabelSpec(name="card")),
    group="customer",
    primary_metric="accuracy",
    data=DataFiles(train=("t.csv",)),
)
HEADER = "subject,text,intent,customer,date\n"
GOOD = "".join(f"hello,text {n},refund,c{n},2024\n" for n in range(20))


def test_a_row_becomes_an_example(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(HEADER + "hello,NA,1,c1,2024\n,007,card,,\n")
    read = read_examples(TASK, tmp_path)
    first, second = read.examples["train"]
    assert first.inputs == {"subject": "hello", "text": "NA"}
    assert first.label == OneOf(name="refund")
    assert (first.group, second.group) == ("c1", None)
    assert first.source.where == "t.csv:2"
    assert first.columns == {"customer": "c1", "date": "2024"}
    assert (read.rows_in, read.files[0].rows, read.files[0].encoding) == (2, 2, "utf-8")


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    extra=st.lists(
        st.sampled_from(
            ["a,b,card,c,d", ",,card,c,d", "a,b,,c,d", "a,b,crad,c,d", "a,b", 'a,"b', "a,\0,card,c,d",
             "a,b,card,c,d,e", '"a\nb",c,card,d,e', "", '"a"b,c,card,d,e']
        ),
        max_size=4,
    )
)  # fmt: skip
def test_every_row_is_used_or_rejected(tmp_path: Path, extra: list[str]) -> None:
    (tmp_path / "t.csv").write_text(HEADER + GOOD * 3 + "\n".join(extra) + "\n", newline="")
    read = read_examples(TASK, tmp_path)
    used = [example for examples in read.examples.values() for example in examples]
    assert read.rows_in == len(used) + len(read.rejections) == sum(f.rows for f in read.files)
    places = [example.source.where for example in used] + [r.where for r in read.rejections]
    assert len(set(places)) == read.rows_in
    assert len({example.row_id for example in used}) == len(used)


def test_reasons_are_told(tmp_path: Path) -> None:
    rows = "  ,,card,c,d\na,b, ,c,d\na,b,crad,c,d\na,b\n"
    (tmp_path / "t.csv").write_text(HEADER + GOOD + rows)
    found = {r.where: (r.reason, r.detail) for r in read_examples(TASK, tmp_path).rejections}
    assert found["t.csv:22"][0] == "empty-text"
    assert found["t.csv:23"][0] == "empty-label"
    assert found["t.csv:24"] == ("label-unknown", '"crad", nearest "card"')
    assert found["t.csv:25"] == ("ragged-row", "2 fields, the header has 5")


def test_turns_that_no_answer_follows_are_counted(tmp_path: Path) -> None:
    hello = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    bye = [
        {"role": "user", "content": "Thanks"},
        {"role": "assistant", "content": "Bye", "weight": 0},
    ]
    rows = [hello, [*hello, *bye[:1]], [*hello, *bye], bye]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    task = Task(
        name="t", kind="chat", inputs=("messages",), label="messages", primary_metric="chrf",
        data=DataFiles(train=("t.jsonl",)),
    )  # fmt: skip
    read = read_examples(task, tmp_path)
    (issue,) = read.issues
    assert (issue.code, issue.severity, issue.count) == ("turns-not-used", "note", 2)
    assert issue.what.endswith(": 3 turns of 2 conversations")
    assert issue.rows == ("t.jsonl:2", "t.jsonl:3")
    # without any answer to learn a row is rejected, with its place
    assert [(one.where, one.reason) for one in read.rejections] == [("t.jsonl:4", "chat-last-turn")]


def test_all_files_problems_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("subjct,text,intent,customer\na,b,card,c\n")
    task = TASK.model_copy(update={"data": DataFiles(train=("t.csv", "u.csv"), test=("v.csv",))})
    (tmp_path / "v.csv").mkdir()
    with pytest.raises(BurnishError) as caught:
        read_examples(task, tmp_path)
    codes = [problem.code for problem in caught.value.problems]
    assert len(codes) == 3
    assert {"file-missing", "file-is-a-folder"} < set(codes)
    assert any(problem.nearest == "subjct" for problem in caught.value.problems)


def test_many_unknown_labels_stop_the_reading(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(HEADER + GOOD + "a,b,crad,c,d\n" * 3 + "a,b,x,c,d\n" * 2)
    with pytest.raises(BurnishError) as caught:
        read_examples(TASK, tmp_path)
    assert {problem.code for problem in caught.value.problems} == {"label-unknown"}
    assert [problem.nearest for problem in caught.value.problems[1:]] == ["card", None]
    assert "in 3 rows" in caught.value.problems[1].what


def test_nothing_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(HEADER + ",,card,c,d\n")
    with pytest.raises(BurnishError) as caught:
        read_examples(TASK, tmp_path)
    assert caught.value.code == "no-rows-used"


def test_lists_of_labels_in_json(tmp_path: Path) -> None:
    task = TASK.model_copy(
        update={"kind": "multilabel", "group": None, "data": DataFiles(train=("t.jsonl",))}
    )
    rows = [["card", "refund"], [], "card,1"]
    lines = [json.dumps({"subject": "a", "text": "b", "intent": labels}) for labels in rows]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    found = [example.label for example in read_examples(task, tmp_path).examples["train"]]
    both = ManyOf(names=("refund", "card"))
    assert found == [both, ManyOf(names=()), both]
