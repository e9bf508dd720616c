"""Dataset versions: immutable, named by content, every row accounted for; and what real data show."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import pytest

from burnish.data.check import check
from burnish.data.dataset import (
    latest_dataset,
    load_dataset,
    load_rejections,
    load_rows,
    make_dataset,
)
from burnish.data.examples import read_examples
from burnish.errors import BurnishError
from burnish.records.dataset import Dataset
from burnish.records.task import DataFiles, LabelSpec, Task
from burnish.store.workspace import Workspace, open_workspace

AT = "2026-01-01T00:00:00Z"


def task_for(root: Path, text: str, label: str, **files: tuple[str, ...]) -> Task:
    data = DataFiles.model_validate(files)
    names: set[str] = set()
    for file in (*data.train, *data.validation, *data.test):
        with (root / file).open(newline="", encoding="utf-8") as handle:
            names.update(row[label] for row in csv.DictReader(handle))
    return Task(
        name="t",
        kind="classification",
        inputs=(text,),
        label=label,
        labels=tuple(LabelSpec(name=name) for name in sorted(names)),
        primary_metric="accuracy",
        data=data,
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "task.toml").write_text("")
    return open_workspace(tmp_path, create=True)


@pytest.fixture
def tickets(tmp_path: Path) -> Task:
    with (tmp_path / "t.csv").open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["text", "label"])
        out.writerows([f"question{n} about{n} thing{n}", "ab"[n % 2]] for n in range(60))
        out.writerows([["question0 about0 thing0", "a"], ["torn", "a"], ["torn", "b"]])
    return task_for(tmp_path, "text", "label", train=("t.csv",))


def freeze(task: Task, workspace: Workspace, *, parent_id: str | None = None) -> Dataset:
    read = read_examples(task, workspace.root)
    return make_dataset(task, read, workspace, salt="s", at=AT, parent_id=parent_id)


def test_every_row_is_accounted_for(tickets: Task, workspace: Workspace) -> None:
    dataset = freeze(tickets, workspace)
    assert (dataset.rows_in, dataset.rows_used) == (63, 60)
    assert dataset.rejected == {"conflict": 2, "duplicate": 1}
    rows = load_rows(workspace, dataset.id)
    assert {split: len(found) for split, found in rows.items()} == {
        count.split: count.rows for count in dataset.counts
    }
    assert [count.rows for count in dataset.counts] == [48, 6, 6]
    rejections = load_rejections(workspace, dataset.id)
    assert {r.where: r.detail for r in rejections}["t.csv:62"] == "duplicate of t.csv:2"
    used = {example.source.where for found in rows.values() for example in found}
    assert len(used) + len(rejections) == dataset.rows_in
    assert used.isdisjoint(rejection.where for rejection in rejections)


def test_the_same_content_is_the_same_version(tickets: Task, workspace: Workspace) -> None:
    first = freeze(tickets, workspace)
    read = read_examples(tickets, workspace.root)
    again = make_dataset(tickets, read, workspace, salt="s", at="2027-01-01T00:00:00Z")
    other = make_dataset(tickets, read, workspace, salt="other", at="2027-01-01T00:00:00Z")
    assert again == first
    assert other.id != first.id
    assert load_dataset(workspace, first.id[:8]) == first
    assert latest_dataset(workspace, tickets.id) == other
    assert latest_dataset(workspace, "0" * 16) is None


def test_a_child_keeps_what_its_parent_decided(tickets: Task, workspace: Workspace) -> None:
    parent = freeze(tickets, workspace)
    before = {e.input_id: s for s, rows in load_rows(workspace, parent.id).items() for e in rows}
    path = workspace.root / "t.csv"
    added = "".join(f"fresh{n} row{n} here{n},a\n" for n in range(40))
    header, rest = path.read_text().split("\n", 1)
    path.write_text(f"{header}\n{added}{rest}")  # every old row is on another line now
    child = freeze(tickets, workspace, parent_id=parent.id)
    after = {e.input_id: s for s, rows in load_rows(workspace, child.id).items() for e in rows}
    assert child.parent_id == parent.id
    assert before.items() <= after.items()
    assert len(after) == len(before) + 40
    assert latest_dataset(workspace, tickets.id) == child


def test_a_changed_byte_is_found(tickets: Task, workspace: Workspace) -> None:
    dataset = freeze(tickets, workspace)
    path = workspace.datasets / dataset.id / "rows.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for load in (load_dataset, load_rows, load_rejections):
        with pytest.raises(BurnishError) as caught:
            load(workspace, dataset.id)
        assert caught.value.code == "dataset-damaged"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("x,a\ny,a\nz,a\n", "one-class"),
        ("same,a\nsame,b\n", "no-rows-used"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(
    tickets: Task, workspace: Workspace, body: str, code: str
) -> None:
    (workspace.root / "t.csv").write_text(f"text,label\n{body}")
    with pytest.raises(BurnishError) as caught:
        freeze(tickets, workspace)
    assert caught.value.code == code
    assert list(workspace.datasets.glob("*")) == []


def test_a_test_text_is_kept_out_of_train(tickets: Task, workspace: Workspace) -> None:
    (workspace.root / "test.csv").write_text(
        "text,label\nquestion3 about3 thing3,b\nunseen,a\nunseen,b\nunseen,b\n"
    )
    task = tickets.model_copy(update={"data": DataFiles(train=("t.csv",), test=("test.csv",))})
    dataset = freeze(task, workspace)
    rows = load_rows(workspace, dataset.id)
    assert [e.source.where for e in rows["test"]] == [f"test.csv:{n}" for n in (2, 3, 4, 5)]
    assert dataset.rejected["leakage"] == 1
    assert {"leakage", "label-conflict", "quarantined"} <= {issue.code for issue in dataset.issues}
    assert rows["validation"]


def test_medical_abstracts_conflicts(real_data: Path, workspace: Workspace) -> None:
    root = real_data / "medical_abstracts"
    task = task_for(root, "medical_abstract", "condition_label", train=("test.csv",))
    read = read_examples(task, root)
    (issue,) = [i for i in check(task, read.examples, read.rejections) if "conflict" in i.code]
    assert issue.count == 231
    assert issue.what.startswith("113 texts ")
    dataset = make_dataset(task, read, workspace, salt="s", at=AT)
    assert dataset.rejected == {"conflict": 231}
    assert dataset.rows_used == 2888 - 231


def test_banking77_as_published(real_data: Path, workspace: Workspace) -> None:
    root = real_data / "banking77"
    task = task_for(root, "text", "category", train=("train.csv",), test=("test.csv",))
    dataset = make_dataset(task, read_examples(task, root), workspace, salt="s", at=AT)
    rows = {count.split: count.rows for count in dataset.counts}
    assert dataset.rows_in == 13_083 == dataset.rows_used
    assert rows["test"] == 3080
    assert rows["train"] + rows["validation"] == 10_003
    assert all(len(count.labels) == 77 for count in dataset.counts)
