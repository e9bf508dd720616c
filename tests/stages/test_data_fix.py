"""Fixes: shown first, then a new version, nothing in place, twice is once, undone exactly."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest

from burnish import curate
from burnish.data.edits import editor, edits_of, undo_edit
from burnish.data.evidence import Finding
from burnish.data.fix import Fix, plan_fix
from burnish.data.start import start
from burnish.edge import make_edge
from burnish.errors import BurnishError
from burnish.project import Edge, Project, open_project
from burnish.records.dataset import Issue
from burnish.records.example import Example
from burnish.records.label import label_names
from burnish.records.recipe import Recipe
from burnish.store.ledger import open_ledger
from quick_circle import QUICK_RECIPE, write_rows
from support_task import make_example, make_task

RECIPE = Recipe(base="tiny:bert", method="head", max_tokens=32)


def silent(*_: object) -> None:
    """Say nothing."""


@pytest.fixture
def edge(cache: Path) -> Edge:
    return make_edge(announce=silent, on_step=silent)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Three intents in 225 rows, and four rows with something wrong."""
    rows = tmp_path / "rows.csv"
    write_rows(rows)
    with rows.open("a", encoding="utf-8", newline="") as file:
        more = csv.writer(file)
        more.writerow(["question 0", "N/A", "login"])
        more.writerow(
            ["question 1", "could somebody tell me whether the shop opens on sundays", "delivery"]
        )
        more.writerow(
            ["question 1", "could sombody tell me whether the shop opens on sundays", "delivery"]
        )
        more.writerow(["question 2", "write to ana@example.org about the broken lamp", "refund"])
    start([rows], tmp_path, test=None, name="support")
    (tmp_path / "recipe.toml").write_text(QUICK_RECIPE)
    text = (
        (tmp_path / "task.toml")
        .read_text()
        .replace('inputs = ["subject", "text"]', 'inputs = ["text"]')
    )
    (tmp_path / "task.toml").write_text(text)
    return open_project(tmp_path)


def planned(project: Project, code: str, *, relabel: bool = False) -> Fix:
    checked = curate.check_data(project)
    return curate.plan_fix(project, checked, code, relabel=relabel)


def files_of(project: Project) -> dict[str, str]:
    """Every file of the datasets and of the rows, by its hash."""
    root = project.workspace.root
    every = [root / "rows.csv", *sorted(project.workspace.datasets.rglob("*"))]
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in every
        if path.is_file()
    }


def texts_of(project: Project, id: str) -> set[str]:
    rows = curate.load_rows(project.workspace, id)
    return {row.inputs["text"] for some in rows.values() for row in some}


def test_a_drop_makes_a_version_and_leaves_every_file(project: Project, edge: Edge) -> None:
    fix = planned(project, "text-placeholder")
    assert [change.row.inputs["text"] for change in fix.changes] == ["N/A"]
    first = curate.prepare(project, edge, recipe=RECIPE).dataset
    before = files_of(project)
    made = curate.make_fix(project, fix, RECIPE, edge)
    assert made.before.id == first.id != made.after.id
    assert texts_of(project, first.id) - texts_of(project, made.after.id) == {"N/A"}
    assert before.items() <= files_of(project).items()
    # twice: nothing is left, and what is left makes no edit
    assert not planned(project, "text-placeholder").changes
    again = curate.make_fix(project, fix, RECIPE, edge)
    assert not again.edits and again.before.id == again.after.id == made.after.id
    # taken back
    with open_ledger(project.workspace.ledger_path) as ledger:
        undo_edit(ledger, None, task_name=project.task.name, by=edge.by, at=edge.now())
        assert not edits_of(ledger, project.task.name)
    last = curate.prepare(project, edge, recipe=RECIPE).dataset
    assert texts_of(project, last.id) == texts_of(project, first.id)
    assert [
        change.row.inputs["text"] for change in planned(project, "text-placeholder").changes
    ] == ["N/A"]


def test_near_duplicates_leave_the_first_of_each(project: Project, edge: Edge) -> None:
    fix = planned(project, "near-duplicates")
    dropped = [change.row.inputs["text"] for change in fix.changes]
    assert "could sombody tell me whether the shop opens on sundays" in dropped
    assert "could somebody tell me whether the shop opens on sundays" not in dropped
    made = curate.make_fix(project, fix, RECIPE, edge)
    left = texts_of(project, made.after.id)
    assert (
        not left & set(dropped)
        and "could somebody tell me whether the shop opens on sundays" in left
    )
    assert not planned(project, "near-duplicates").changes


def finding(
    code: str, numbers: list[int], mend: str | None, labels: list[tuple[str, ...]]
) -> Finding:
    issue = Issue(
        code=code, severity="warning", what="rows", count=len(numbers), fix="look at them"
    )
    return Finding(issue, numbers, mend=mend, labels=labels)


def examples(rows: list[Example]):
    return lambda numbers: {number: rows[number] for number in numbers}


def test_a_relabel_takes_the_likelier_label_one_edit_a_label() -> None:
    rows = [make_example(f"text {n}", "refund", n) for n in range(5)]
    told = finding(
        "likely-mislabel",
        [3, 1, 2, 4],
        "drop",
        [("other",), ("delivery",), ("other",), ("refund",)],
    )
    fix = plan_fix(
        [told], "likely-mislabel", task=make_task(), examples=examples(rows), relabel=True
    )
    # a row that has the label already needs no edit
    assert [(change.row, change.to) for change in fix.changes] == [
        (rows[3], ("other",)), (rows[1], ("delivery",)), (rows[2], ("other",)),
    ]  # fmt: skip
    edits = fix.edits(by="ana", at="2026-01-01T00:00:00Z")
    assert {edit.to: len(edit.keys) for edit in edits} == {("other",): 2, ("delivery",): 1}
    assert {edit.action for edit in edits} == {"relabel"} and {edit.by for edit in edits} == {"ana"}
    plain = plan_fix([told], "likely-mislabel", task=make_task(), examples=examples(rows))
    assert plain.action == "drop" and len(plain.changes) == 4


def test_personal_data_goes_from_every_column_but_label_and_group() -> None:
    task = make_task(group="customer")
    row = make_example("ask ana@example.org", "other", 2, group="bob@example.org").model_copy(
        update={"columns": {"customer": "bob@example.org", "answer": "mail eve@example.org"}}
    )
    told = finding("personal-email", [0], "redact", [])
    fix = plan_fix([told], "personal", task=task, examples=examples([row]))
    (change,) = fix.changes
    assert change.text == "ask [email]\nmail [email]"
    (edit,) = fix.edits(by="ana", at="2026-01-01T00:00:00Z")
    after = editor([edit], task=task)(row)
    assert isinstance(after, Example) and after.inputs == {"text": "ask [email]"}
    assert after.columns == {"customer": "bob@example.org", "answer": "mail [email]"}
    assert after.label == row.label and after.group == row.group
    assert after.source.was == row.input_id


def test_personal_data_is_redacted_where_it_is_input() -> None:
    rows = [
        make_example("write to ana@example.org", "other", 2),
        make_example("no address", "other", 3),
    ]
    told = finding("personal-email", [0, 1], "redact", [])
    for code in ("personal-email", "personal"):
        fix = plan_fix([told], code, task=make_task(), examples=examples(rows))
        assert fix.action == "redact" and fix.kinds == ("email",)
        assert [(change.row, change.text) for change in fix.changes] == [
            (rows[0], "write to [email]")
        ]


def test_what_cannot_be_mended_is_refused_with_what_to_do() -> None:
    told = finding("near-conflict", [0], None, [])
    with pytest.raises(BurnishError) as refused:
        plan_fix([told], "near-conflict", task=make_task(), examples=examples([]))
    (problem,) = refused.value.problems
    assert problem.code == "not-mendable" and problem.fix == "look at them"
    with pytest.raises(BurnishError) as refused:
        plan_fix([told], "near-duplicate", task=make_task(), examples=examples([]))
    (problem,) = refused.value.problems
    assert problem.code == "fix-unknown" and problem.nearest == "near-duplicates"
    dropped = finding("near-duplicates", [0], "drop", [])
    with pytest.raises(BurnishError) as refused:
        plan_fix(
            [dropped], "near-duplicates", task=make_task(), examples=examples([]), relabel=True
        )
    assert refused.value.problems[0].code == "not-mendable"


def test_the_command_shows_first_and_changes_with_yes(project: Project, burnish) -> None:
    root = project.workspace.root
    shown = burnish("data", "check", "--fix", "near-duplicates", cwd=root).stdout
    assert "near-duplicates: drop" in shown and "nothing was changed" in shown
    made = json.loads(
        burnish("data", "check", "--fix", "near-duplicates", "--yes", "--json", cwd=root).stdout
    )
    assert made["changed"] and made["before"] != made["after"] and len(made["edits"]) == 1
    assert "rows.csv:229" in made["rows"] and "rows.csv:228" not in made["rows"]
    again = burnish("data", "check", "--fix", "near-duplicates", "--yes", cwd=root).stdout
    assert "nothing is left to fix" in again
    wrong = burnish("data", "check", "--fix", "near-duplicats", cwd=root, code=1).stderr
    assert "fix-unknown" in wrong and "near-duplicates" in wrong


def test_models_judge_labels_and_meaning_and_a_relabel_is_kept(
    project: Project, edge: Edge
) -> None:
    """The checks on request with a real (tiny) base: planted errors come first, and are mended by relabelling."""
    path = project.workspace.root / "rows.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    wrong = [20, 61, 100, 150]
    right = {n + 2: rows[n][2] for n in wrong}
    for n in wrong:
        rows[n][2] = {"refund": "login", "login": "delivery", "delivery": "refund"}[rows[n][2]]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    judges = curate.judges(project.task, RECIPE, edge, stop=lambda: None, tuned=False)
    asked = ("mislabels", "outliers", "semantic-duplicates")
    checked = curate.check_data(project, asked=asked, judges=judges)
    fix = curate.plan_fix(project, checked, "likely-mislabel", relabel=True)
    told = {int(change.row.source.where.partition(":")[2]): change.to for change in fix.changes}
    assert len(told) <= 30 and all(told.get(line) == (label,) for line, label in right.items())
    made = curate.make_fix(project, fix, RECIPE, edge)
    after = curate.load_rows(project.workspace, made.after.id)
    labels = {row.source.where: row.label for some in after.values() for row in some}
    for line, label in right.items():
        found = labels.get(f"rows.csv:{line}")
        # a near or exact copy elsewhere may have kept the row out
        assert found is None or label_names(found) == (label,)


def test_labels_are_names_of_the_task(project: Project) -> None:
    """What a fix proposes can be written: the rows it names are the rows of the file."""
    checked = curate.check_data(project)
    rows = checked.reading.recall_examples(range(3))
    assert [row.source.where for row in rows.values()] == ["rows.csv:2", "rows.csv:3", "rows.csv:4"]
    assert all(
        set(label_names(row.label)) <= set(project.task.label_names)
        for row in rows.values()
        if row.label
    )
