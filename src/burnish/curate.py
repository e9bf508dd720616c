"""The verbs of the data: check, mend, freeze into a version, compare versions, export.

Every verb is one function over the rooms it names; nothing here prints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.data.changes import Changes
from burnish.data.check import inspect
from burnish.data.dataset import latest_dataset, load_dataset, load_rows
from burnish.data.evidence import Finding, Scene
from burnish.data.examples import ReadResult, read_examples
from burnish.data.lineage import next_version
from burnish.data.reading import Reading, task_reading, text_reading
from burnish.data.tombstones import load_tombstones, without_forgotten
from burnish.errors import BurnishError, fail
from burnish.project import Edge, Project, ledger_of
from burnish.records.dataset import Dataset, Issue
from burnish.records.difference import DatasetDiff, Stood
from burnish.records.edit import Edit
from burnish.records.example import Example, Split
from burnish.records.recipe import Recipe
from burnish.records.report import Reuse
from burnish.records.task import Task
from burnish.store.workspace import lock

if TYPE_CHECKING:
    from burnish.data.export import Exported
    from burnish.data.fix import Fix
    from burnish.decide.judges import Judges

SALT = "burnish"
# Another import of the same project ends within this, also one of a million rows.
WAIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Version:
    """A dataset version, how often its test rows were used, and whether the last run was about it."""

    dataset: Dataset
    reuse: Reuse
    current: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """A frozen dataset and its rows by split."""

    dataset: Dataset
    rows: Mapping[Split, Sequence[Example]]


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Whole token lengths of inputs, and how many of them the model reads."""

    lengths: Callable[[Sequence[Mapping[str, str]]], list[int]]
    limit_tokens: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks found, and what they looked at."""

    scene: Scene
    reading: Reading
    findings: tuple[Finding, ...]
    told: tuple[Issue, ...] = ()

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Everything worth saying about the files, their rows, what the task's rules change, and the test rows' use."""
        return (*self.reading.issues, *(finding.issue for finding in self.findings), *self.told)

    @property
    def rejected(self) -> int:
        """How many records are no rows."""
        return sum(one.count for one in self.scene.rejections.values())


@dataclass(frozen=True, slots=True)
class Fixed:
    """The dataset before and after a fix, and the edits that made the difference."""

    before: Dataset
    after: Dataset
    edits: tuple[Edit, ...]


def check_data(
    project: Project,
    *,
    counter: TokenCounter | None = None,
    asked: Sequence[str] = (),
    judges: Judges | None = None,
) -> Checked:
    """What is wrong with the rows as edits leave them, lengths included when tokens can be counted; one pass, in
    constant memory but for the checks `asked` for, which may need `judges`. Changes nothing.
    """
    from burnish.data.edits import editor, edits_of
    from burnish.data.reuse import reuse_issues
    from burnish.data.tombstones import forgotten_row

    with ledger_of(project.workspace) as ledger:
        edits = edits_of(ledger, project.task.name) if ledger else ()
    known = load_tombstones(project.workspace)
    edit = editor(edits, task=project.task)
    reading = task_reading(
        project.task,
        project.workspace.root,
        edit=lambda row: forgotten_row(row) if known.knows(row) else edit(row),
    )
    scene = Scene(
        project.task,
        recall=reading.recall,
        token_lengths=counter.lengths if counter else None,
        limit_tokens=counter.limit_tokens if counter else None,
        vectors=judges.vectors if judges else None,
        out_of_fold=judges.out_of_fold if judges else None,
    )
    changes = Changes(project.task)
    found = inspect(scene, reading.records(changes), asked=asked)
    worn = [reuse_issues(one.reuse) for one in versions(project) if one.current]
    told = (*changes.issues(), *(issue for issues in worn for issue in issues))
    return Checked(scene, reading, found, told)


def check_files(
    paths: Sequence[Path], *, asked: Sequence[str] = (), judges: Judges | None = None
) -> Checked:
    """What is wrong with files that have no task yet: everything that shows without knowing the labels.

    Raises: the codes of sniff, and those of the checks asked for.
    """
    reading = text_reading(paths)
    scene = Scene(None, recall=reading.recall, vectors=judges.vectors if judges else None)
    return Checked(scene, reading, inspect(scene, reading.records(None), asked=asked))


def judges(
    task: Task | None, recipe: Recipe, edge: Edge, *, stop: Callable[[], int | None], tuned: bool
) -> Judges:
    """The models that checks on request ask: a head on the recipe's frozen base, or `tuned` models."""
    from burnish.decide.judges import judges_of
    from burnish.train.fit import Surroundings

    around = Surroundings(edge.now, edge.announce, edge.on_step, stop, float("inf"))
    return judges_of(
        task, recipe, around=around, cache=edge.cache, offline=edge.offline, tuned=tuned
    )


def plan_fix(project: Project, checked: Checked, code: str, *, relabel: bool = False) -> Fix:
    """What the mend of a finding would do, row by row. Changes nothing.

    Raises: fix-unknown, not-mendable.
    """
    from burnish.data.fix import plan_fix as plan

    examples = checked.reading.recall_examples
    return plan(checked.findings, code, task=project.task, examples=examples, relabel=relabel)


def make_fix(project: Project, fix: Fix, recipe: Recipe, edge: Edge) -> Fixed:
    """Write the fix down and make the next dataset version; no file of rows is changed.

    Raises: the codes of prepare.
    """
    from burnish.data.edits import record_edits
    from burnish.store.ledger import open_ledger

    before = prepare(project, edge, recipe=recipe).dataset
    at = edge.now()
    with open_ledger(project.workspace.ledger_path) as ledger:
        edits = fix.edits(by=edge.by, at=at)
        made = record_edits(ledger, edits, task_name=project.task.name, at=at)
    return Fixed(before, prepare(project, edge, recipe=recipe).dataset, made)


def undo(project: Project, edit: str | None, recipe: Recipe, edge: Edge) -> tuple[Edit, Dataset]:
    """Take back an edit (None: the newest) and make the version without it: the one before, where nothing else changed.

    Raises: edit-unknown, and the codes of prepare.
    """
    from burnish.data.edits import undo_edit
    from burnish.store.ledger import open_ledger

    with open_ledger(project.workspace.ledger_path) as ledger:
        undone = undo_edit(ledger, edit, task_name=project.task.name, by=edge.by, at=edge.now())
    return undone, prepare(project, edge, recipe=recipe).dataset


def acting_edits(project: Project) -> tuple[Edit, ...]:
    """The edits that act on the task's rows, oldest first."""
    from burnish.data.edits import edits_of

    with ledger_of(project.workspace) as ledger:
        return edits_of(ledger, project.task.name) if ledger else ()


def versions(project: Project) -> tuple[Version, ...]:
    """Every dataset version of the task, the oldest first, with the uses of its test rows."""
    from burnish.data.lineage import current_of, versions_of
    from burnish.data.reuse import reuse_of

    task, workspace = project.task, project.workspace
    found = versions_of(workspace, task)
    with ledger_of(workspace) as ledger:
        current = current_of(found, ledger, task.name)
        return tuple(
            Version(one, reuse_of(ledger, workspace, task, one), current=one == current)
            for one in found
        )


def compare_versions(project: Project, before: str, after: str) -> DatasetDiff:
    """What changed from one version (its id or the start of it) to the other, row by row, and by whom.

    Raises: id-unknown, id-ambiguous, dataset-damaged.
    """
    from burnish.data.differ import diff
    from burnish.data.edits import every_edit

    workspace = project.workspace
    one, two = load_dataset(workspace, before), load_dataset(workspace, after)
    with ledger_of(workspace) as ledger:
        edits = every_edit(ledger, project.task.name) if ledger else {}
    return diff(workspace, one, two, edits=edits)


def row_history(project: Project, row: str) -> tuple[Stood, ...]:
    """Where a row (a place, or the start of a row_id or input_id) stood in every version.

    Raises: row-unknown, dataset-damaged.
    """
    from burnish.data.differ import history
    from burnish.data.lineage import versions_of

    return history(project.workspace, versions_of(project.workspace, project.task), row)


def describe_data(project: Project, dataset: str | None) -> str:
    """The data card of a version (None: the current one) as Markdown.

    Raises: dataset-missing, id-unknown, id-ambiguous, dataset-damaged.
    """
    from burnish.data.edits import every_edit
    from burnish.evaluate.data_card import data_card

    if dataset is None:
        dataset = next((one.dataset.id for one in versions(project) if one.current), None)
        if dataset is None:
            raise fail(
                "dataset-missing",
                f"no dataset of {project.task.name} was made",
                expected="a first version",
                fix="burnish run",
            )
    found = load_dataset(project.workspace, dataset)
    with ledger_of(project.workspace) as ledger:
        edits = every_edit(ledger, project.task.name) if ledger else {}
    reuse = next((one.reuse for one in versions(project) if one.dataset.id == found.id), None)
    acted = [edits[name] for name in found.edits if name in edits]
    return data_card(project.task, found, edits=acted, reuse=reuse)


def export_data(
    project: Project,
    dataset: str | None,
    to: Path,
    *,
    format: str | None = None,
    splits: Sequence[Split] = (),
    force: bool = False,
) -> Exported:
    """Write a dataset's rows (None: the newest's) for this or another tool; all splits, or those named.

    Raises: dataset-missing, id-unknown, dataset-damaged, export-exists also for a file that the task reads,
        and the other codes of data/export.py.
    """
    from burnish.data.export import export

    _spare_own_files(project, to)
    if dataset is None:
        newest = latest_dataset(project.workspace, project.task.id)
        if newest is None:
            raise fail(
                "dataset-missing",
                "this task has no dataset version yet",
                where=str(project.workspace.root),
                expected="rows that were checked and frozen",
                fix="burnish run",
            )
        dataset = newest.id
    rows: Mapping[Split, Sequence[Example]] = load_rows(project.workspace, dataset)
    if splits:
        rows = {split: rows[split] for split in splits}
    return export(project.task, rows, to, format=format, force=force)


def _spare_own_files(project: Project, to: Path) -> None:
    """An export holds what was used; over the file that was read it would lose the rest."""
    files = project.task.data
    named = (*files.train, *files.validation, *files.test) if files else ()
    if any((project.workspace.root / name).resolve() == to.resolve() for name in named):
        raise fail(
            "export-exists",
            "is a file that this task reads its rows from",
            where=str(to),
            expected="a new name",
            fix="choose another name",
        )


def token_counter(
    project: Project, recipe: Recipe, edge: Edge, *, cached: bool = False
) -> TokenCounter | None:
    """Counts tokens as the recipe's base model does; None for models made from the rows themselves.

    With `cached` a base that was never fetched is not fetched for this: None then, too.
    """
    from burnish.encode.render import render
    from burnish.encode.tokenise import load_tokeniser, token_lengths
    from burnish.models.source import fetch_base

    if recipe.base.startswith("tiny:"):
        return None
    try:
        base = fetch_base(
            recipe.base, cache=edge.cache, announce=edge.announce, offline=cached or edge.offline
        )
    except BurnishError:
        if cached:
            return None
        raise
    if project.task.writes:
        return _prompt_counter(project.task, recipe, base.folder)
    tokeniser = load_tokeniser(base.folder, max_tokens=recipe.max_tokens)

    def lengths(inputs: Sequence[Mapping[str, str]]) -> list[int]:
        return token_lengths(tokeniser, [render(project.task, row) for row in inputs])

    return TokenCounter(lengths, tokeniser.max_tokens)


def _prompt_counter(task: Task, recipe: Recipe, base: Path) -> TokenCounter:
    """Counts the tokens of prompts, which the base's chat template is part of."""
    from burnish.models.chat_model import open_codec
    from burnish.tasks.kind import writing_kind_of

    codec = open_codec(
        base,
        max_tokens=recipe.max_tokens,
        new_tokens=task.decoding.max_new_tokens,
        template=recipe.template,
        truncate=task.truncate,
    )
    kind = writing_kind_of(task)
    return TokenCounter(
        lambda inputs: [codec.length(kind.prompt(task, row)) for row in inputs], codec.prompt_tokens
    )


def prepare(project: Project, edge: Edge, *, recipe: Recipe) -> Prepared:
    """Rows become a frozen dataset with its splits, a child of the one before; the same rows give the same dataset.

    Edits act and the feedback of earlier retrainings is kept. Two at once wait for each other.
    """
    from burnish.data.edits import edits_of

    counter = token_counter(project, recipe, edge)
    task, workspace = project.task, project.workspace
    with lock(workspace, "dataset", wait_seconds=WAIT_SECONDS), ledger_of(workspace) as ledger:
        dataset = next_version(
            task,
            workspace,
            _read(project),
            ledger=ledger,
            edits=edits_of(ledger, task.name) if ledger else (),
            salt=SALT,
            shares=split_shares(task),
            at=edge.now(),
            token_lengths=counter.lengths if counter else None,
            limit_tokens=counter.limit_tokens if counter else None,
        )
        _note_current(project, dataset, edge)
    rows = load_rows(project.workspace, dataset.id)
    empty = [split for split, examples in rows.items() if not examples]
    if empty:
        raise fail(
            "split-empty",
            f"{dataset.rows_used} usable rows leave nothing for {' and '.join(empty)}",
            where=f"dataset {dataset.id}",
            expected="rows of at least two labels in train, validation and test",
            fix="label more rows (some tens a label), or give files of your own under [data] in "
            "task.toml; burnish data check shows what was set aside",
        )
    return Prepared(dataset, rows)


def _read(project: Project) -> ReadResult:
    """The rows of the task's files, those that were forgotten set aside."""
    return without_forgotten(project.workspace, read_examples(project.task, project.workspace.root))


def _note_current(project: Project, dataset: Dataset, edge: Edge) -> None:
    from burnish.data.lineage import note_current, versions_of
    from burnish.store.ledger import open_ledger

    task, workspace = project.task, project.workspace
    versions = versions_of(workspace, task)
    if len(versions) == 1:
        return
    with open_ledger(workspace.ledger_path) as ledger:
        note_current(ledger, versions, dataset, task_name=task.name, by=edge.by, at=edge.now())


def split_shares(task: Task) -> tuple[float, float, float]:
    """Train, validation, test fractions; where test is given, the rest keeps its proportions."""
    files = task.data
    if files is None:
        return (0.8, 0.1, 0.1)
    validation = files.validation_fraction
    test = files.test_fraction
    return (1 - validation - test, validation, test)
