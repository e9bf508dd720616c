"""A child dataset: old rows where they were, new ones where they may be, and the same content once."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.data.dataset import load_rejections, load_rows, make_dataset
from burnish.data.examples import ReadResult, read_examples
from burnish.data.units import nearness_of
from burnish.errors import BurnishError
from burnish.records.dataset import Dataset
from burnish.records.example import SPLITS, Example, Source
from burnish.records.task import DataFiles, Task
from burnish.retrain.child import child_dataset, fresh_audited
from burnish.retrain.merge import Merged
from burnish.store.workspace import Workspace, open_workspace
from support_task import LABELS, make_example, make_task, unlike

AT = "2026-01-01T00:00:00Z"
LATER = "2026-02-01T00:00:00Z"
NOTHING = Merged((), ())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "task.toml").write_text("")
    return open_workspace(tmp_path, create=True)


def write(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    with path.open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["text", "intent"])
        out.writerows(rows)


def rows_of(word: str, count: int) -> list[tuple[str, str]]:
    return [(unlike(f"{word}{n}"), LABELS[n % 3]) for n in range(count)]


def task_of(**files: tuple[str, ...]) -> Task:
    return make_task(data=DataFiles.model_validate({"train": ("t.csv",), **files}))


def first(task: Task, workspace: Workspace) -> Dataset:
    read = read_examples(task, workspace.root)
    return make_dataset(task, read, workspace, salt="s", at=AT)


def fed(text: str, label: str, number: int, *, chosen: str = "random") -> Example:
    row = make_example(text, label, number, chosen=chosen)
    source = Source(where=f"prediction:{number:04d}", by="ana", chosen=chosen, at=AT)  # type: ignore[arg-type]
    return row.model_copy(update={"source": source, "row_id": f"fed{number}"})


def many_fed(count: int, *, chosen: str = "random") -> Merged:
    return Merged(
        tuple(fed(unlike(f"live{n}"), LABELS[n % 3], n, chosen=chosen) for n in range(count)),
        (),
    )


def child(
    task: Task,
    workspace: Workspace,
    parent: Dataset,
    *,
    read: ReadResult | None = None,
    merged: Merged = NOTHING,
) -> Dataset:
    return child_dataset(
        task, workspace, parent=parent, read=read, merged=merged, salt="s", at=LATER
    )


def assert_keeps(workspace: Workspace, parent: Dataset, made: Dataset) -> None:
    before, after = load_rows(workspace, parent.id), load_rows(workspace, made.id)
    for split in SPLITS:
        assert after[split][: len(before[split])] == before[split]
    assert made.parent_id == parent.id
    assert made.rows_in == made.rows_used + sum(made.rejected.values())
    assert sum(made.rejected.values()) == len(load_rejections(workspace, made.id))


def test_audited_rows_test_and_disputed_rows_train(workspace: Workspace) -> None:
    task = task_of()
    write(workspace.root / "t.csv", rows_of("old", 60))
    parent = first(task, workspace)
    made = child(task, workspace, parent, merged=many_fed(400))
    assert_keeps(workspace, parent, made)
    before, after = load_rows(workspace, parent.id), load_rows(workspace, made.id)
    new = {split: len(after[split]) - len(before[split]) for split in SPLITS}
    assert sum(new.values()) == 400
    assert 160 <= new["test"] <= 240  # half, give or take four standard deviations
    assert 20 <= new["validation"] <= 64
    fresh = fresh_audited(after, parent=before)
    assert len(fresh) == new["test"]
    assert all(row.source.where.startswith("prediction:") for row in fresh)
    disputed = child(task, workspace, parent, merged=many_fed(100, chosen="disputed"))
    after = load_rows(workspace, disputed.id)
    assert len(after["train"]) == len(before["train"]) + 100
    assert fresh_audited(after, parent=before) == ()


def test_the_same_inputs_are_the_same_version_and_where_a_row_lands_is_its_own(
    workspace: Workspace,
) -> None:
    task = task_of()
    write(workspace.root / "t.csv", rows_of("old", 60))
    parent = first(task, workspace)
    made = child(task, workspace, parent, merged=many_fed(60))
    assert child(task, workspace, parent, merged=many_fed(60)) == made
    fewer = child(task, workspace, parent, merged=many_fed(30))
    assert fewer.id != made.id
    where = {
        row.input_id: split for split, rows in load_rows(workspace, made.id).items() for row in rows
    }
    for split, rows in load_rows(workspace, fewer.id).items():
        assert all(where[row.input_id] == split for row in rows)


def test_a_grandchild_keeps_what_audits_brought(workspace: Workspace) -> None:
    task = task_of()
    write(workspace.root / "t.csv", rows_of("old", 60))
    parent = first(task, workspace)
    made = child(task, workspace, parent, merged=many_fed(40))
    more = Merged(tuple(fed(f"next{n} day{n}", LABELS[n % 3], 900 + n) for n in range(40)), ())
    grandchild = child(task, workspace, made, merged=more)
    assert_keeps(workspace, made, grandchild)
    rows = load_rows(workspace, grandchild.id)
    fresh = fresh_audited(rows, parent=load_rows(workspace, made.id))
    assert fresh
    assert all("next" in row.inputs["text"] for row in fresh)


def test_newly_labelled_rows_of_the_files_go_by_the_tasks_shares(workspace: Workspace) -> None:
    task = task_of()
    old = rows_of("old", 60)
    write(workspace.root / "t.csv", old)
    parent = first(task, workspace)
    torn = [("torn", "refund"), ("torn", "other"), ("twice", "refund"), ("twice", "refund")]
    changed = (old[0][0], LABELS[(LABELS.index(old[0][1]) + 1) % 3])
    write(workspace.root / "t.csv", [*rows_of("new", 200), changed, *old, *torn])
    made = child(task, workspace, parent, read=read_examples(task, workspace.root))
    assert_keeps(workspace, parent, made)
    assert made.rejected == {"conflict": 2, "contradicts": 1, "duplicate": 1}
    assert made.rows_used == 60 + 201
    before, after = load_rows(workspace, parent.id), load_rows(workspace, made.id)
    assert 5 <= len(after["test"]) - len(before["test"]) <= 40  # a tenth of 201


def test_a_published_test_file_stays_and_audits_still_test(workspace: Workspace) -> None:
    task = task_of(test=("test.csv",), validation=("v.csv",))
    write(workspace.root / "t.csv", rows_of("old", 60))
    published = [*rows_of("pub", 20), ("same words", "refund"), ("same words", "refund")]
    write(workspace.root / "test.csv", [*published, ("same words", "other")])
    write(workspace.root / "v.csv", rows_of("val", 10))
    parent = first(task, workspace)
    write(workspace.root / "t.csv", [*rows_of("old", 60), *rows_of("new", 100)])
    read = read_examples(task, workspace.root)
    made = child(task, workspace, parent, read=read, merged=many_fed(40))
    assert_keeps(workspace, parent, made)
    before, after = load_rows(workspace, parent.id), load_rows(workspace, made.id)
    assert len(before["test"]) == 23
    new = [row for row in after["test"] if row not in before["test"]]
    # the files say where test rows are from: new rows of the training file go to train alone
    assert new
    assert all(row.source.chosen == "random" for row in new)
    assert not [row for row in after["validation"][10:] if row.source.where.startswith("t.csv")]
    assert {file.split for file in made.files} == {"train", "validation", "test"}


def test_new_rows_of_a_given_test_file_join_it_unless_they_were_trained_on(
    workspace: Workspace,
) -> None:
    task = task_of(test=("test.csv",))
    old = rows_of("old", 60)
    write(workspace.root / "t.csv", old)
    write(workspace.root / "test.csv", rows_of("pub", 20))
    parent = first(task, workspace)
    trained = load_rows(workspace, parent.id)["train"][0]
    known = (trained.inputs["text"], next(y for x, y in old if x == trained.inputs["text"]))
    nearly = (f"{trained.inputs['text']}!", known[1])
    write(workspace.root / "test.csv", [*rows_of("pub", 20), *rows_of("late", 5), known, nearly])
    made = child(task, workspace, parent, read=read_examples(task, workspace.root))
    assert_keeps(workspace, parent, made)
    test = load_rows(workspace, made.id)["test"]
    assert len(test) == 25
    assert made.rejected == {"leakage": 1}  # `nearly`; `known` is the trained row itself


def test_near_duplicates_across_splits_are_kept_out_never_moved(workspace: Workspace) -> None:
    task = task_of()
    write(workspace.root / "t.csv", rows_of("old", 60))
    parent = first(task, workspace)
    test = load_rows(workspace, parent.id)["test"][0]
    assert test.label is not None
    doubtful = fed(f"{test.inputs['text']}!", "refund", 1, chosen="disputed")
    audited = fed(f"{test.inputs['text']} ?", "refund", 2)
    made = child(task, workspace, parent, merged=Merged((doubtful, audited), ()))
    assert_keeps(workspace, parent, made)
    after = load_rows(workspace, made.id)
    places = {row.source.where: split for split, rows in after.items() for row in rows}
    assert places["prediction:0002"] == "test"  # it follows the old row it is near to
    assert "prediction:0001" not in places  # may not train, may not test
    assert made.rejected == {"leakage": 1}


def test_a_file_row_and_feedback_on_one_text(workspace: Workspace) -> None:
    task = task_of()
    write(workspace.root / "t.csv", rows_of("old", 60))
    parent = first(task, workspace)
    write(workspace.root / "t.csv", [*rows_of("old", 60), ("late words", "refund")])
    merged = Merged((fed("late words", "refund", 1), fed("late words", "other", 2)), ())
    made = child(task, workspace, parent, read=read_examples(task, workspace.root), merged=merged)
    assert made.rejected == {"contradicts": 1, "duplicate": 1}
    assert [issue.count for issue in made.issues if issue.code == "feedback-set-aside"] == [2]


def test_nothing_new_and_another_task_are_told(workspace: Workspace) -> None:
    task = task_of()
    write(workspace.root / "t.csv", rows_of("old", 60))
    parent = first(task, workspace)
    for read in (None, read_examples(task, workspace.root)):
        with pytest.raises(BurnishError) as caught:
            child(task, workspace, parent, read=read)
        assert caught.value.code == "nothing-new"
        assert "burnish feedback" in caught.value.problems[0].fix
    other = task.model_copy(update={"primary_metric": "accuracy"})
    with pytest.raises(BurnishError) as caught:
        child(other, workspace, parent, merged=many_fed(3))
    assert caught.value.code == "parent-other-task"


words = st.sampled_from(["card", "lost", "refund", "late", "app", "login", "bill", "taxi", "home"])
texts = st.lists(words, min_size=1, max_size=5).map(" ".join)
labelled = st.tuples(texts, st.sampled_from(LABELS))
feedback = st.lists(
    st.tuples(texts, st.sampled_from(LABELS), st.sampled_from(["random", "disputed"])),
    max_size=12,
    unique_by=lambda row: row[0],
)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    old=st.lists(labelled, max_size=25),
    more=st.lists(labelled, max_size=15),
    test=st.lists(labelled, max_size=8),
    said=feedback,
)
def test_whatever_comes_old_rows_stay_and_splits_stay_apart(
    workspace: Workspace,
    old: list[tuple[str, str]],
    more: list[tuple[str, str]],
    test: list[tuple[str, str]],
    said: list[tuple[str, str, str]],
) -> None:
    given_test = {"test": ("test.csv",)} if test else {}
    task = task_of(**given_test)
    ground = [("always refund this", "refund"), ("never deliver that", "delivery"), *old]
    write(workspace.root / "t.csv", ground)
    write(workspace.root / "test.csv", test or [("x", "other")])
    try:
        parent = first(task, workspace)
    except BurnishError as error:
        assert error.code in ("one-class", "no-rows-used")
        return
    write(workspace.root / "t.csv", [*more, *ground])
    merged = Merged(tuple(fed(x, y, n, chosen=c) for n, (x, y, c) in enumerate(said)), ())
    try:
        made = child(
            task, workspace, parent, read=read_examples(task, workspace.root), merged=merged
        )
    except BurnishError as error:
        assert error.code == "nothing-new"
        return
    assert_keeps(workspace, parent, made)
    before, after = load_rows(workspace, parent.id), load_rows(workspace, made.id)
    old_ids = {row.row_id for rows in before.values() for row in rows}
    owner: dict[str, str] = {}
    for split, rows in after.items():
        for row in rows:
            assert owner.setdefault(row.input_id, split) == split
            if row.row_id not in old_ids and row.source.chosen == "disputed":
                assert split == "train"
    everything = [row for split in SPLITS for row in after[split]]
    places = [split for split in SPLITS for _ in after[split]]
    near = nearness_of(everything)
    around = near.around()
    for one, number in enumerate(near.classes):
        if everything[one].row_id in old_ids:
            continue
        for other, number_ in enumerate(near.classes):
            if number_ in around[number]:
                assert places[one] == places[other]
