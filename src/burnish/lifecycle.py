"""The circle's first half in one readable file (maintain.py has the second): check, split, train, baselines, evaluate, decide, gate, bundle, shadow, live.

Every verb is one function over the rooms it names, in life-cycle order; `circle` runs them all. Clocks,
folders and voices arrive in an `Edge`; nothing here prints. Rooms with torch are imported where they are used,
so that checking data or listing runs never waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
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
from burnish.records.dataset import Dataset, Issue
from burnish.records.deployment import Bundle, Deployment
from burnish.records.difference import DatasetDiff, Stood
from burnish.records.edit import Edit
from burnish.records.example import Example, Split
from burnish.records.recipe import Recipe
from burnish.records.report import Report, Reuse
from burnish.records.run import Run, Step
from burnish.records.task import Task
from burnish.store.workspace import Workspace, lock, open_workspace, resolve
from burnish.tasks.load import load_task

if TYPE_CHECKING:
    from burnish.data.export import Exported
    from burnish.data.fix import Fix
    from burnish.decide.judges import Judges
    from burnish.decide.prove import Proof
    from burnish.models.source import BaseModel
    from burnish.store.ledger import Ledger

SALT = "burnish"
# Another import of the same project ends within this, also one of a million rows.
WAIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Edge:
    """What the outside gives to the verbs: the clock, who acts, the cache of base models, a voice, the signals.

    `now` gives ISO 8601 in UTC. Inside `interruptible()` signals only set a flag: the function it gives
    returns the exit code of a signal that asked to stop, or None.
    """

    now: Callable[[], str]
    by: str
    cache: Path
    announce: Callable[[str], None]
    on_step: Callable[[Step], None]
    interruptible: Callable[[], AbstractContextManager[Callable[[], int | None]]]
    # A checkpoint takes about 1 s for 23 M parameters; a kill costs at most this much work.
    save_every_seconds: float = 30.0
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    """A task and the workspace around it."""

    task: Task
    workspace: Workspace


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
class Outcome:
    """What the circle ends with. `proof` holds reports and decision, `shadows` what may be promoted, by candidate."""

    prepared: Prepared
    run: Run
    proof: Proof
    report: Report
    report_path: Path
    shadows: Mapping[str, Deployment]


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


def open_project(root: Path) -> Project:
    """The task of a folder, every problem of its task.toml told at once.

    Raises: workspace-missing and the codes of load_task.
    """
    task = load_task(open_workspace(root).task_path)
    return Project(task, open_workspace(root, create=True))


def using_rows(project: Project) -> AbstractContextManager[None]:
    """Held while rows are in hand, from reading them to the last record made from them: `forget` waits for nobody
    and refuses to run beside it, and nothing that was forgotten can be written after it.

    Raises: busy while rows are being forgotten.
    """
    return lock(project.workspace, "rows", shared=True)


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

    with _ledger(project.workspace) as ledger:
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
    return plan(checked.findings, code, examples=examples, relabel=relabel)


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


def _read(project: Project) -> ReadResult:
    """The rows of the task's files, those that were forgotten set aside."""
    return without_forgotten(project.workspace, read_examples(project.task, project.workspace.root))


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
    tokeniser = load_tokeniser(base.folder, max_tokens=recipe.max_tokens)

    def lengths(inputs: Sequence[Mapping[str, str]]) -> list[int]:
        return token_lengths(tokeniser, [render(project.task, row) for row in inputs])

    return TokenCounter(lengths, tokeniser.max_tokens)


def prepare(project: Project, edge: Edge, *, recipe: Recipe) -> Prepared:
    """Rows become a frozen dataset with its splits, a child of the one before; the same rows give the same dataset.

    Edits act and the feedback of earlier retrainings is kept. Two at once wait for each other.
    """
    from burnish.data.edits import edits_of

    counter = token_counter(project, recipe, edge)
    task, workspace = project.task, project.workspace
    with lock(workspace, "dataset", wait_seconds=WAIT_SECONDS), _ledger(workspace) as ledger:
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


@contextmanager
def _ledger(workspace: Workspace) -> Iterator[Ledger | None]:
    """The ledger, where there is one: a first look at the data makes none."""
    from burnish.store.ledger import open_ledger

    if not workspace.ledger_path.is_file():
        yield None
        return
    with open_ledger(workspace.ledger_path) as ledger:
        yield ledger


def _note_current(project: Project, dataset: Dataset, edge: Edge) -> None:
    from burnish.data.lineage import note_current, versions_of
    from burnish.store.ledger import open_ledger

    task, workspace = project.task, project.workspace
    versions = versions_of(workspace, task)
    if len(versions) == 1:
        return
    with open_ledger(workspace.ledger_path) as ledger:
        note_current(ledger, versions, dataset, task_name=task.name, by=edge.by, at=edge.now())


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

    with _ledger(project.workspace) as ledger:
        return edits_of(ledger, project.task.name) if ledger else ()


def versions(project: Project) -> tuple[Version, ...]:
    """Every dataset version of the task, the oldest first, with the uses of its test rows."""
    from burnish.data.lineage import current_of, versions_of
    from burnish.data.reuse import reuse_of

    task, workspace = project.task, project.workspace
    found = versions_of(workspace, task)
    with _ledger(workspace) as ledger:
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
    with _ledger(workspace) as ledger:
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
    with _ledger(project.workspace) as ledger:
        edits = every_edit(ledger, project.task.name) if ledger else {}
    reuse = next((one.reuse for one in versions(project) if one.dataset.id == found.id), None)
    acted = [edits[name] for name in found.edits if name in edits]
    return data_card(project.task, found, edits=acted, reuse=reuse)


def split_shares(task: Task) -> tuple[float, float, float]:
    """Train, validation, test fractions; where test is given, the rest keeps its proportions."""
    files = task.data
    if files is None:
        return (0.8, 0.1, 0.1)
    validation = files.validation_fraction
    test = files.test_fraction
    return (1 - validation - test, validation, test)


def fetch(project: Project, prepared: Prepared, recipe: Recipe, edge: Edge) -> BaseModel:
    """The recipe's base model, past the safety gate."""
    from burnish.encode.render import render
    from burnish.models.pretrained import open_pretrained

    return open_pretrained(
        recipe.base,
        cache=edge.cache,
        texts=lambda: [render(project.task, row.inputs) for row in prepared.rows["train"]],
        announce=edge.announce,
        offline=edge.offline,
    )


def train(
    project: Project, prepared: Prepared, recipe: Recipe, edge: Edge, *, base: BaseModel
) -> Run:
    """Fine-tune by the recipe; the same call again continues, and returns at once when it is done."""
    from burnish.evaluate.judge import judge_of
    from burnish.tasks.kind import kind_of
    from burnish.train.fit import Surroundings, fit
    from burnish.train.rows import labelled_texts

    task, rows = project.task, prepared.rows
    with lock(project.workspace, "train"), edge.interruptible() as stop:
        return fit(
            task,
            objective=kind_of(task).objective,
            train=labelled_texts(task, rows["train"]),
            validation=labelled_texts(task, rows["validation"]),
            judge=judge_of(task, rows["validation"]),
            base=base,
            recipe=recipe,
            dataset_id=prepared.dataset.id,
            runs=project.workspace.runs,
            around=Surroundings(
                edge.now, edge.announce, edge.on_step, stop, edge.save_every_seconds
            ),
        )


def prove(
    project: Project,
    prepared: Prepared,
    recipe: Recipe,
    edge: Edge,
    *,
    base: BaseModel,
    run: Run | None,
    wanted: str | None = None,
) -> Proof:
    """Measure the tuned model (None: only the baselines) and every baseline on the test rows; decide; judge the gates.

    The candidate `wanted` gets a report whatever the decision recommends.
    """
    from burnish.decide.prove import prove as prove_candidates
    from burnish.deploy.bundle import open_bundle
    from burnish.deploy.versions import find_live

    answering = find_live(project.workspace, project.task.name)
    opened = None
    if answering is not None:
        folder = project.workspace.bundles / answering.bundle_id
        opened = open_bundle(folder, bundle_id=answering.bundle_id)
        if opened.task.label_names != project.task.label_names:
            edge.announce(f"{answering.version} knows other labels: no comparison with it")
            opened = None
        elif _is_one_of_ours(opened.bundle, prepared.dataset, run):
            opened = None
    proof = prove_candidates(
        project.task,
        prepared.rows,
        dataset_id=prepared.dataset.id,
        base=base.folder,
        max_tokens=recipe.max_tokens,
        run=run,
        run_folder=project.workspace.runs / run.id if run else None,
        live=opened.fitted if opened else None,
        wanted=wanted,
        seed=recipe.seed,
        at=edge.now(),
        announce=edge.announce,
    )
    return _counted(project, prepared, proof, edge)


def _counted(project: Project, prepared: Prepared, proof: Proof, edge: Edge) -> Proof:
    """The same proof, its reports counted as uses of the test rows and telling how many there were."""
    from burnish.data.reuse import record_uses, reuse_of
    from burnish.store.ledger import open_ledger

    task, workspace, dataset = project.task, project.workspace, prepared.dataset
    with open_ledger(workspace.ledger_path) as ledger:
        record_uses(
            ledger,
            dataset,
            proof.reports.values(),
            test=prepared.rows["test"],
            task_name=task.name,
            by=edge.by,
            at=edge.now(),
        )
        reuse = reuse_of(ledger, workspace, task, dataset)
    reports = {name: one.model_copy(update={"reuse": reuse}) for name, one in proof.reports.items()}
    return replace(proof, reports=reports)


def _is_one_of_ours(live: Bundle, dataset: Dataset, run: Run | None) -> bool:
    """Whether what is live came from this very dataset and run: comparing it with itself proves nothing."""
    return live.dataset_id == dataset.id and live.run_id in (None, run.id if run else None)


def write_reports(project: Project, prepared: Prepared, *, proof: Proof, run: Run | None) -> Path:
    """Every report of the proof as a page and its JSON twin; the page of the tuned model's (or the recommended)."""
    from burnish.decide.write import write_proof

    return write_proof(project.task, project.workspace, proof, dataset=prepared.dataset, run=run)


def shadow(
    project: Project,
    prepared: Prepared,
    recipe: Recipe,
    edge: Edge,
    *,
    proof: Proof,
    base: BaseModel,
    run: Run | None,
) -> dict[str, Deployment]:
    """Bundle every reported candidate that passed its gates and put it in shadow, by candidate name."""
    from burnish.deploy.release import shadow_passed

    return shadow_passed(
        project.task,
        project.workspace,
        proof=proof,
        dataset=prepared.dataset,
        test=prepared.rows["test"],
        run=run,
        base=base,
        max_tokens=recipe.max_tokens,
        by=edge.by,
        now=edge.now,
        announce=edge.announce,
    )


def promote_version(
    project: Project, version: str | None, edge: Edge, *, because: str, force: bool
) -> Deployment:
    """Make a version (None: the newest in shadow) answer; running servers follow.

    Raises: nothing-to-promote, version-unknown, gate-failed, and the codes of open_bundle.
    """
    from burnish.deploy.bundle import open_bundle
    from burnish.deploy.deployments import promote
    from burnish.deploy.versions import find_version
    from burnish.store.ledger import open_ledger

    workspace = project.workspace
    chosen = find_version(workspace, project.task.name, version=version)
    folder = workspace.bundles / chosen.bundle_id
    bundle = open_bundle(folder, bundle_id=chosen.bundle_id).bundle
    with open_ledger(workspace.ledger_path) as ledger:
        return promote(ledger, bundle, by=edge.by, because=because, at=edge.now(), force=force)


def roll_back(project: Project, edge: Edge, *, because: str) -> Deployment:
    """Make the previous live version answer again.

    Raises: nothing-to-roll-back.
    """
    from burnish.deploy.deployments import rollback
    from burnish.store.ledger import open_ledger

    with open_ledger(project.workspace.ledger_path) as ledger:
        return rollback(ledger, project.task.name, by=edge.by, because=because, at=edge.now())


def circle(project: Project, recipe: Recipe, edge: Edge) -> Outcome:
    """From labelled rows to a proven model in shadow, ready to promote.

    A gate that fails shows in `report.verdict`, and that model is not bundled. Running it again continues
    where it stopped; a finished training is not repeated, and equal results give the versions that are there.
    """
    with using_rows(project):
        edge.announce("check and split")
        prepared = prepare(project, edge, recipe=recipe)
        base = fetch(project, prepared, recipe, edge)
        edge.announce(f"train on {len(prepared.rows['train'])} rows")
        run = train(project, prepared, recipe, edge, base=base)
        proof = prove(project, prepared, recipe, edge, base=base, run=run)
        path = write_reports(project, prepared, proof=proof, run=run)
        shadows = shadow(project, prepared, recipe, edge, proof=proof, base=base, run=run)
    from burnish.decide.decision import TUNED

    return Outcome(prepared, run, proof, proof.reports[TUNED], path, shadows)


def read_run(project: Project, prefix: str) -> Run:
    """The run whose id starts with `prefix`.

    Raises: id-unknown, id-ambiguous, run-damaged.
    """
    from burnish.train.runs import load_run

    return load_run(resolve(project.workspace.runs, prefix))
