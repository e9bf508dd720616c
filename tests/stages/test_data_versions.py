"""Lineages: what was placed stays placed, what did not change is the same version, what was fixed can be undone."""

from __future__ import annotations

import csv
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import burnish
from burnish.cli.main import app
from burnish.data.by_time import read_time
from burnish.data.dataset import load_rejections, load_rows
from burnish.data.differ import diff, history
from burnish.data.edits import (
    apply_edits,
    edits_of,
    every_edit,
    make_edit,
    record_edits,
    undo_edit,
)
from burnish.data.examples import ReadResult, read_examples
from burnish.data.lineage import current_of, next_version, note_current, versions_of
from burnish.data.reuse import MANY_MODELS, record_uses, reuse_issues, reuse_of
from burnish.data.units import nearness_of
from burnish.errors import BurnishError
from burnish.evaluate.data_card import data_card
from burnish.records.dataset import Dataset
from burnish.records.edit import Action, Edit
from burnish.records.example import SPLITS, Example, Source, Split
from burnish.records.label import OneOf
from burnish.records.report import Report, Reuse
from burnish.records.task import DataFiles, LabelSpec, Task
from burnish.retrain.child import child_dataset
from burnish.retrain.merge import Merged
from burnish.store.ledger import Ledger, open_ledger
from burnish.store.workspace import Workspace, open_workspace
from small_disk import fill, mounted
from support_task import LABELS, make_example, make_task

AT = "2026-01-01T00:00:00Z"
SHARES = (0.6, 0.2, 0.2)
Line = tuple[str, str, str, str]  # text, label, customer, day


@dataclass
class Scene:
    """A project whose files change, and every version made of them."""

    workspace: Workspace
    ledger: Ledger
    lines: list[Line]
    labels: tuple[str, ...] = LABELS
    grouped: bool = False
    by_time: bool = False
    made: list[Dataset] = field(default_factory=list)

    @property
    def task(self) -> Task:
        data: dict[str, object] = {"train": ("t.csv",)}
        if self.by_time:
            data |= {"split": "time", "time": "day"}
        return make_task(
            data=DataFiles.model_validate(data),
            labels=tuple(LabelSpec(name=name) for name in self.labels),
            group="customer" if self.grouped else None,
        )

    def read(self) -> ReadResult:
        path = self.workspace.root / "t.csv"
        with path.open("w", newline="", encoding="utf-8") as handle:
            out = csv.writer(handle)
            out.writerow(["text", "intent", "customer", "day"])
            out.writerows(self.lines)
        return read_examples(self.task, self.workspace.root)

    def version(self) -> Dataset:
        """What a run does with the files as they are."""
        made = next_version(
            self.task,
            self.workspace,
            self.read(),
            ledger=self.ledger,
            edits=edits_of(self.ledger, self.task.name),
            salt="s",
            shares=SHARES,
            at=AT,
        )
        versions = versions_of(self.workspace, self.task)
        note_current(self.ledger, versions, made, task_name=self.task.name, by="ana", at=AT)
        self.made.append(made)
        return made

    def retrained(self, fed: Sequence[Example]) -> Dataset:
        """What a retraining does with feedback."""
        versions = versions_of(self.workspace, self.task)
        parent = current_of(versions, self.ledger, self.task.name)
        assert parent is not None
        made = child_dataset(
            self.task,
            self.workspace,
            parent=parent,
            read=self.read(),
            merged=Merged(tuple(fed), ()),
            salt="s",
            shares=SHARES,
            edits=edits_of(self.ledger, self.task.name),
            number=versions[-1].number + 1,
            at=AT,
        )
        self.made.append(made)
        return made

    def rows(self, dataset: Dataset) -> dict[Split, list[Example]]:
        return load_rows(self.workspace, dataset.id)

    def fix(self, rows: Sequence[Example], action: Action, to: Sequence[str] = ()) -> Edit:
        kinds = ("email",) if action == "redact" else ()
        edit = make_edit(rows, code="c", action=action, to=to, kinds=kinds, by="ana", at=AT)
        record_edits(self.ledger, [edit], task_name=self.task.name, at=AT)
        return edit


def line(number: int, *, label: int | None = None) -> Line:
    """A row unlike every other; every seventh carries an address."""
    mail = f" write{number}@example.org" if number % 7 == 0 else ""
    text = f"w{number}a w{number}b w{number}c w{number}d w{number}e{mail}"
    name = LABELS[(number if label is None else label) % 3]
    return text, name, f"c{number // 3}", f"2026-{1 + number // 28 % 12:02}-{1 + number % 28:02}"


def fed(number: int, *, chosen: str = "random") -> Example:
    row = make_example(f"f{number}a f{number}b f{number}c", LABELS[number % 3], number)
    source = Source.model_validate(
        {"where": f"prediction:{number:04d}", "by": "ana", "chosen": chosen, "at": AT}
    )
    return row.model_copy(update={"source": source, "row_id": f"fed{number}"})


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


def make_scene(root: Path, count: int = 90) -> Scene:
    (root / "task.toml").write_text("")
    workspace = open_workspace(root, create=True)
    ledger = open_ledger(workspace.ledger_path)
    return Scene(workspace, ledger, [line(number) for number in range(count)])


def labels_of(scene: Scene, dataset: Dataset) -> dict[str, str]:
    return {
        row.inputs["text"]: row.label.name
        for rows in scene.rows(dataset).values()
        for row in rows
        if isinstance(row.label, OneOf)
    }


def assert_nothing_moved(scene: Scene) -> None:
    """Over all versions no text or group was ever in two splits; in each, no near duplicates are."""
    texts: dict[str, Split] = {}
    groups: dict[str, Split] = {}
    for dataset in scene.made:
        rows = scene.rows(dataset)
        assert dataset.rows_in == dataset.rows_used + sum(dataset.rejected.values())
        assert len(load_rejections(scene.workspace, dataset.id)) == sum(dataset.rejected.values())
        pool: list[tuple[Split, Example]] = [(s, row) for s in SPLITS for row in rows[s]]
        for split, row in pool:
            for text in {row.input_id, row.source.was or row.input_id}:
                assert texts.setdefault(text, split) == split, row
            if row.group is not None:
                assert groups.setdefault(row.group, split) == split, row
        near = nearness_of([row for _, row in pool])
        held: dict[int, set[Split]] = {}
        for (split, _), number in zip(pool, near.classes, strict=True):
            held.setdefault(number, set()).add(split)
        assert all(len(found) == 1 for found in held.values())
        assert all(held[one] == held[other] for one, other in near.pairs)


CHANGES = ("add", "near", "relabel", "shuffle", "labels", "edit", "undo", "fed", "remove", "back")


def step(scene: Scene, change: str, draw: random.Random, spare: list[Line], number: int) -> None:
    """One change of the files, the labels or the edits."""
    lines = scene.lines
    if change == "add":
        lines += [line(1000 + 50 * number + n) for n in range(draw.randint(1, 30))]
    elif change == "near":
        text, label, group, day = draw.choice(lines)
        lines.append((f"{text} again", label, draw.choice([group, f"n{number}"]), day))
    elif change == "relabel":
        place = draw.randrange(len(lines))
        text, _, group, day = lines[place]
        lines[place] = (text, draw.choice(LABELS), draw.choice([group, f"g{number}"]), day)
    elif change == "remove":
        for _ in range(draw.randint(10, 30)):
            spare.append(lines.pop(draw.randrange(len(lines))))
    elif change == "back":
        lines += spare
        spare.clear()
    elif change == "shuffle":
        draw.shuffle(lines)
    elif change == "labels":
        scene.labels = (*scene.labels, f"more{number}")
    elif change == "edit":
        rows = [row for many in scene.rows(scene.made[-1]).values() for row in many]
        chosen = draw.sample(rows, 5)
        action: Action = draw.choice(["drop", "relabel", "redact"])
        scene.fix(chosen, action, (draw.choice(LABELS),) if action == "relabel" else ())
    elif change == "undo" and edits_of(scene.ledger, "support"):
        undo_edit(scene.ledger, None, task_name="support", by="ana", at=AT)
    elif change == "fed":
        chosen = draw.choice(["random", "disputed"])
        scene.retrained([fed(50 * number + n, chosen=chosen) for n in range(8)])


@pytest.mark.parametrize(("grouped", "by_time"), [(False, False), (True, False), (True, True)])
@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a seed does not shrink
)
@given(seed=st.integers(0, 2**32))
def test_in_ten_versions_nothing_ever_moves(
    seed: int,
    grouped: bool,
    by_time: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scene = make_scene(tmp_path_factory.mktemp("scene"))
    scene.grouped, scene.by_time = grouped, by_time
    draw, spare = random.Random(seed), []
    # every change once, in any order, but that what comes back left before, and others are between
    changes = draw.sample(CHANGES[:-2], 8)
    changes = [changes[0], "remove", *changes[1:7], "back", changes[7]]
    scene.version()
    for number, change in enumerate(changes):
        step(scene, change, draw, spare, number)
        made = scene.version()
        assert scene.version() == made  # nothing changed: the same version
    assert_nothing_moved(scene)


def test_a_first_version_has_no_parent_and_a_changed_file_makes_a_child(scene: Scene) -> None:
    first = scene.version()
    assert (first.parent_id, first.number, first.task_name) == (None, 1, "support")
    assert scene.version() == first
    scene.lines.append(line(500))
    child = scene.version()
    assert (child.parent_id, child.number) == (first.id, 2)
    scene.labels = (*LABELS, "more")  # another task by its id, the same by its name
    grandchild = scene.version()
    assert grandchild.parent_id == child.id
    assert grandchild.task_id != child.task_id
    scene.labels = LABELS
    assert scene.version() == child
    scene.lines.pop()
    assert scene.version() == first


def test_a_row_that_left_goes_back_where_it_was(scene: Scene) -> None:
    first = scene.version()
    gone = [row.inputs["text"] for row in scene.rows(first)["test"]]
    kept = list(scene.lines)
    scene.lines = [one for one in kept if one[0] not in gone[2:]]
    scene.version()
    scene.lines.append(line(700))
    scene.version()
    scene.lines = [*kept, line(701)]
    back = scene.rows(scene.version())
    assert set(gone) <= {row.inputs["text"] for row in back["test"]}


def test_feedback_rows_stay_in_the_lineage(scene: Scene) -> None:
    scene.version()
    retrained = scene.retrained([fed(n) for n in range(20)])
    assert (
        scene.version() == retrained
    )  # the files did not change: the retraining's rows are the rows
    scene.lines.append(line(500))
    child = scene.version()
    assert child.parent_id == retrained.id

    def from_feedback(dataset: Dataset) -> dict[str, Split]:
        return {
            row.row_id: split
            for split, rows in scene.rows(dataset).items()
            for row in rows
            if row.source.where.startswith("prediction:")
        }

    assert from_feedback(child) == from_feedback(retrained)
    assert len(from_feedback(child)) == 20


def test_rows_taken_out_before_a_retraining_are_out_after_the_next_run(scene: Scene) -> None:
    scene.version()
    gone = scene.lines.pop(3)
    retrained = scene.retrained([fed(n) for n in range(6)])
    assert gone[0] in labels_of(scene, retrained)  # a retraining keeps its parent's rows
    after = scene.version()
    assert after.parent_id == retrained.id
    assert gone[0] not in labels_of(scene, after)
    assert len(labels_of(scene, after)) == 89 + 6


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_applying_edits_twice_is_applying_them_once(data: st.DataObject) -> None:
    task = make_task()
    rows = tuple(
        make_example(f"{'ab'[n % 2]} {n // 3} a{n}@example.org", LABELS[n % 3], n)
        for n in range(data.draw(st.integers(1, 12)))
    )
    read = ReadResult({"train": rows}, (), (), len(rows))
    edits: list[Edit] = []
    seen = read
    for number in range(data.draw(st.integers(0, 6))):
        pool = seen.examples["train"]
        if not pool:
            break
        # of rows as they were, or as other edits left them
        chosen = data.draw(st.lists(st.sampled_from((*pool, *rows)), min_size=1, max_size=3))
        actions: list[Action] = ["drop", "relabel", "redact"]
        action = data.draw(st.sampled_from(actions))
        to = (data.draw(st.sampled_from(LABELS)),) if action == "relabel" else ()
        kinds = ("email",) if action == "redact" else ()
        edit = make_edit(
            chosen, code=f"c{number}", action=action, to=to, kinds=kinds, by="ana", at=AT
        )
        edits.append(edit)
        seen = apply_edits(read, edits, task=task)
    once = apply_edits(read, edits, task=task)
    assert apply_edits(once, edits, task=task) == once
    assert once.rows_in == sum(map(len, once.examples.values())) + len(once.rejections)
    assert {row.row_id for row in once.examples["train"]} <= {row.row_id for row in rows}


@pytest.mark.parametrize("action", ["drop", "relabel", "redact"])
def test_a_fix_makes_a_version_and_undoing_it_gives_the_one_before(
    scene: Scene, action: Action
) -> None:
    before = scene.version()
    rows = [row for row in scene.rows(before)["test"] if "@" in row.inputs["text"]]
    rows += [row for row in scene.rows(before)["train"] if "@" in row.inputs["text"]][:2]
    edit = scene.fix(rows, action, ("other",) if action == "relabel" else ())
    assert record_edits(scene.ledger, [edit], task_name="support", at=AT) == ()  # twice is once
    after = scene.version()
    assert after.parent_id == before.id
    assert after.edits == (edit.id,)
    if action == "drop":
        assert after.rejected == {"edited": len(rows)}
    elif action == "relabel":
        named = labels_of(scene, after)
        assert all(named[row.inputs["text"]] == "other" for row in rows)
    else:
        assert sum("[email]" in text for text in labels_of(scene, after)) == len(rows)
    undone = undo_edit(scene.ledger, None, task_name="support", by="ana", at=AT)
    assert undone.id == edit.id
    assert scene.version() == before
    versions = versions_of(scene.workspace, scene.task)
    assert current_of(versions, scene.ledger, "support") == before
    record_edits(scene.ledger, [edit], task_name="support", at=AT)
    assert scene.version() == after
    assert_nothing_moved(scene)


def test_an_edit_whose_row_is_gone_is_told(scene: Scene) -> None:
    first = scene.version()
    edit = scene.fix(scene.rows(first)["train"][:1], "drop")
    text = scene.rows(first)["train"][0].inputs["text"]
    scene.lines = [one for one in scene.lines if one[0] != text]
    made = scene.version()
    (issue,) = [issue for issue in made.issues if issue.code == "edit-unmatched"]
    assert edit.id in issue.what
    with pytest.raises(BurnishError) as caught:
        undo_edit(scene.ledger, "ffff", task_name="support", by="ana", at=AT)
    assert caught.value.code == "edit-unknown"


def test_another_rule_starts_a_new_lineage_and_says_so(scene: Scene) -> None:
    first = scene.version()
    scene.grouped = True
    other = scene.version()
    assert other.parent_id is None
    assert "lineage-restarted" in {issue.code for issue in other.issues}
    scene.grouped = False
    assert scene.version() == first


def test_diff_says_what_changed_and_by_whom(scene: Scene) -> None:
    first = scene.version()
    rows = scene.rows(first)
    last_texts = {one[0] for one in scene.lines[-2:]}
    pool = [one for one in (*rows["train"], *rows["test"]) if one.inputs["text"] not in last_texts]
    redacted = next(one for one in pool if "@" in one.inputs["text"])
    plain = [one for one in pool if "@" not in one.inputs["text"]]
    relabelled = next(one for one in plain if _name(one) != "other")
    dropped = next(one for one in plain if one != relabelled)
    edits = [
        scene.fix([dropped], "drop"),
        scene.fix([relabelled], "relabel", ("other",)),
        scene.fix([redacted], "redact"),
    ]
    text, _, group, day = scene.lines[-1]
    scene.lines[-1] = (text, LABELS[(len(scene.lines)) % 3], group, day)
    gone = scene.lines.pop(-2)
    scene.lines.insert(0, line(600))  # every row is on another line now
    after = scene.version()
    known = every_edit(scene.ledger, "support")
    found = diff(scene.workspace, first, after, edits=known)
    assert found.counts == {
        "added": 1,
        "removed": 2,
        "relabelled": 2,
        "redacted": 1,
        "moved": 0,
    }
    assert found.unchanged == 90 - 5
    by_text = {one.text: one for one in found.changes}
    assert by_text[dropped.inputs["text"]].because == f"edit {edits[0].id} (c)"
    assert by_text[relabelled.inputs["text"]].by == "ana"
    assert by_text[relabelled.inputs["text"]].label_after == "other"
    assert by_text[gone[0]].because == "not in the files any more"
    assert by_text[text].because == "file"
    back = diff(scene.workspace, after, first, edits=known)
    assert (back.counts["added"], back.counts["removed"]) == (2, 1)
    assert any("undone" in one.because for one in back.changes)
    assert diff(scene.workspace, after, after, edits=known).changes == ()

    stood = history(scene.workspace, versions_of(scene.workspace, scene.task), relabelled.input_id)
    assert [one.label for one in stood] == [_name(relabelled), "other"]
    assert stood[0].split == stood[1].split
    assert stood[1].edits == (edits[1].id,)
    place = history(scene.workspace, versions_of(scene.workspace, scene.task), stood[1].where)
    assert place == stood
    out = history(scene.workspace, versions_of(scene.workspace, scene.task), dropped.row_id)
    assert out[0].split is not None
    with pytest.raises(BurnishError) as caught:
        history(scene.workspace, versions_of(scene.workspace, scene.task), "nowhere.csv:1")
    assert caught.value.code == "row-unknown"


def _name(row: Example) -> str:
    assert isinstance(row.label, OneOf)
    return row.label.name


def test_the_card_tells_counts_sources_faults_and_edits(scene: Scene) -> None:
    first = scene.version()
    edit = scene.fix(scene.rows(first)["train"][:2], "drop")
    made = scene.version()
    data = DataFiles(train=("t.csv",), licence="CC-BY-4.0", source="https://example.org")
    task = scene.task.model_copy(update={"data": data})
    text = data_card(task, made, edits=[edit], reuse=Reuse(times=7, models=5))
    head, body = text.removeprefix("---\n").split("\n---\n", 1)
    assert 'license: "cc-by-4.0"' in head
    assert f"num_examples: {made.counts[0].rows}" in head
    for said in (made.id, first.id, edit.id, made.rows_sha256, made.files[0].sha256, "CC-BY-4.0"):
        assert said in body
    assert "test rows used 7 times for 5 models" in body
    for issue in made.issues:
        assert issue.code in body


def test_each_report_on_the_test_rows_counts_once_and_many_models_are_told(scene: Scene) -> None:
    first = scene.version()
    scene.lines.append(line(800))
    child = scene.version()

    def use(dataset: Dataset, number: int) -> Reuse:
        report = Report.model_construct(
            id=f"r{number}", split="test", model="tuned", run_id=f"run{number // 2}"
        )
        record_uses(
            scene.ledger,
            dataset,
            [report],
            test=scene.rows(dataset)["test"],
            task_name="support",
            by="ana",
            at=AT,
        )
        return reuse_of(scene.ledger, scene.workspace, scene.task, dataset)

    assert use(first, 0) == use(first, 0) == Reuse(times=1, models=1)
    assert use(child, 1) == Reuse(times=2, models=1)  # it keeps its parent's test rows
    assert reuse_of(scene.ledger, scene.workspace, scene.task, first).times >= 1
    few = [use(child, number) for number in range(2, 20)][-1]
    assert few == Reuse(times=20, models=MANY_MODELS)
    assert reuse_issues(few) == ()
    (issue,) = reuse_issues(use(child, 20))
    assert issue.code == "test-worn"
    assert "21 times for 11 models" in issue.what


def test_by_time_nothing_in_train_is_newer_than_what_tests(scene: Scene) -> None:
    scene.by_time = True
    scene.lines += [(f"undated{n} words{n} here{n}", LABELS[n % 3], "", "") for n in range(9)]
    scene.lines += [("odd date here now", LABELS[0], "", "03/04/2026")]
    first = scene.version()
    rows = scene.rows(first)
    days = {s: [read_time(row.columns["day"]) for row in rows[s]] for s in SPLITS}
    dated = {s: [day for day in days[s] if day is not None] for s in SPLITS}
    assert max(dated["train"]) < min(dated["validation"])
    assert max(dated["validation"]) < min(dated["test"])
    assert len(days["train"]) - len(dated["train"]) == 10
    assert len(dated["test"]) == len(rows["test"]) == 20
    (issue,) = [issue for issue in first.issues if issue.code == "date-unreadable"]
    assert issue.count == 10
    assert "9 are empty" in issue.what
    assert first.rule is not None
    assert set(first.rule.after) == {"validation", "test"}
    early, late = "2020-01-01", "2030-01-01"
    scene.lines += [(f"new{n} thing{n} now{n}", LABELS[n % 3], "", early) for n in range(5)]
    scene.lines += [(f"late{n} thing{n} then{n}", LABELS[n % 3], "", late) for n in range(5)]
    child = scene.version()
    assert child.rule == first.rule  # the moments stay
    after = scene.rows(child)
    assert len(after["test"]) == len(rows["test"]) + 5
    assert len(after["train"]) == len(rows["train"]) + 5
    assert_nothing_moved(scene)


def test_youtube_comments_split_by_time(real_data: Path, tmp_path: Path) -> None:
    shutil.copy(real_data / "youtube_spam" / "comments.csv", tmp_path / "t.csv")
    (tmp_path / "task.toml").write_text("")
    data = DataFiles(train=("t.csv",), split="time", time="DATE")
    task = make_task(
        data=data,
        inputs=("CONTENT",),
        label="CLASS",
        labels=(LabelSpec(name="0"), LabelSpec(name="1")),
    )
    workspace = open_workspace(tmp_path, create=True)
    read = read_examples(task, tmp_path)
    made = next_version(
        task, workspace, read, ledger=None, edits=(), salt="s", shares=(0.8, 0.1, 0.1), at=AT
    )
    (issue,) = [issue for issue in made.issues if issue.code == "date-unreadable"]
    assert issue.count == 245
    rows = load_rows(workspace, made.id)
    newest = {
        s: max(d for row in rows[s] if (d := read_time(row.columns["DATE"])) is not None)
        for s in SPLITS
    }
    assert newest["train"] < newest["validation"] < newest["test"]
    assert abs(len(rows["test"]) / made.rows_used - 0.1) < 0.02


MAKE = (
    "import sys, burnish; "
    "print(burnish.make_dataset(sys.argv[1], recipe=burnish.Recipe(base='tiny:bert')).id)"
)


def project(root: Path, count: int = 90) -> Path:
    root.mkdir(exist_ok=True)
    body = "".join(f"w{n}a w{n}b w{n}c,{LABELS[n % 3]}\n" for n in range(count))
    (root / "t.csv").write_text(f"text,intent\n{body}")
    labels = "".join(f'[[labels]]\nname = "{name}"\n' for name in LABELS)
    (root / "task.toml").write_text(
        'name = "support"\nkind = "classification"\ninputs = ["text"]\nlabel = "intent"\n'
        f'primary_metric = "accuracy"\n[data]\ntrain = ["t.csv"]\n{labels}'
    )
    return root


def test_two_imports_at_once_make_one_version(tmp_path: Path) -> None:
    root = project(tmp_path / "p", 600)
    started = [
        subprocess.Popen([sys.executable, "-c", MAKE, str(root)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ids = {one.communicate()[0].strip() for one in started}
    assert all(one.returncode == 0 for one in started)
    assert ids == {path.name for path in (root / ".burnish" / "datasets").iterdir()}
    assert len(ids) == 1


def test_a_version_edited_by_hand_is_caught_by_run_and_diff(tmp_path: Path) -> None:
    root = project(tmp_path / "p")
    first = burnish.make_dataset(root, recipe=burnish.Recipe(base="tiny:bert"))
    with (root / "t.csv").open("a") as handle:
        handle.write("one more row,other\n")
    child = burnish.make_dataset(root, recipe=burnish.Recipe(base="tiny:bert"))
    assert child.parent_id == first.id
    same = CliRunner().invoke(app, ["data", "diff", first.id[:8], child.id[:8], "-C", str(root)])
    assert "1 added, 0 removed, 0 relabelled, 0 redacted, 0 moved; 90 unchanged" in same.output
    rows = root / ".burnish" / "datasets" / child.id / "rows.jsonl"
    rows.write_text(rows.read_text().replace("one more row", "one more cow"))
    for command in (["run", "--base", "tiny:bert"], ["data", "diff", first.id, child.id]):
        found = CliRunner().invoke(app, [*command, "-C", str(root)])
        assert found.exception is not None
        assert "dataset-damaged" in str(found.exception)


def test_a_full_disk_leaves_the_versions_that_were_there(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", megabytes=4) as disk:
        scene = make_scene(disk)
        first = scene.version()
        scene.lines += [line(number) for number in range(2000, 2300)]
        scene.read()
        filler = fill(disk, leave=64_000)
        with pytest.raises(BurnishError) as caught:
            scene.version()
        assert caught.value.code == "disk-full"
        assert [one.id for one in versions_of(scene.workspace, scene.task)] == [first.id]
        assert len(scene.rows(first)["train"]) > 0
        filler.unlink()
        child = scene.version()
        assert child.parent_id == first.id
        assert len(child.counts) == 3
