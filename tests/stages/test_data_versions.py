"""Lineages: what was placed stays placed, what did not change is the same version, what was fixed can be undone."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.data.dataset import load_rejections, load_rows
from burnish.data.edits import apply_edits, edits_of, make_edit, record_edits, undo_edit
from burnish.data.examples import ReadResult, read_examples
from burnish.data.lineage import current_of, next_version, note_current, versions_of
from burnish.data.units import nearness_of
from burnish.errors import BurnishError
from burnish.records.dataset import Dataset
from burnish.records.edit import Action, Edit
from burnish.records.example import SPLITS, Example, Source, Split
from burnish.records.label import OneOf
from burnish.records.task import DataFiles, LabelSpec, Task
from burnish.retrain.child import child_dataset
from burnish.retrain.merge import Merged
from burnish.store.ledger import Ledger, open_ledger
from burnish.store.workspace import Workspace, open_workspace
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


def step(scene: Scene, draw: random.Random, spare: list[Line], number: int) -> None:
    """One change of the files, the labels or the edits."""
    lines = scene.lines
    change = draw.choice(
        ["add", "near", "relabel", "remove", "back", "shuffle", "labels", "edit", "undo", "fed"]
    )
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
        for _ in range(draw.randint(1, 20)):
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
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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
    scene.version()
    for number in range(10):
        step(scene, draw, spare, number)
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
        action = data.draw(st.sampled_from(["drop", "relabel", "redact"]))
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
