"""The circle's first half in one readable file (maintain.py has the second): check, split, train, baselines, evaluate, decide, gate, bundle, shadow, live.

Every verb is one function over the rooms it names, in life-cycle order; `circle` runs them all. Clocks,
folders and voices arrive in an `Edge`; nothing here prints. Rooms with torch are imported where they are used,
so that checking data or listing runs never waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.data.check import check
from burnish.data.dataset import load_rows, make_dataset
from burnish.data.examples import ReadResult, read_examples
from burnish.data.tombstones import without_forgotten
from burnish.errors import BurnishError, fail
from burnish.records.dataset import Dataset, Issue
from burnish.records.deployment import Bundle, Deployment
from burnish.records.example import Example, Split
from burnish.records.recipe import Recipe
from burnish.records.report import Report
from burnish.records.run import Run, Step
from burnish.records.task import Task
from burnish.store.workspace import Workspace, lock, open_workspace, resolve
from burnish.tasks.load import load_task

if TYPE_CHECKING:
    from burnish.decide.prove import Proof
    from burnish.models.source import BaseModel

SALT = "burnish"


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
    project: Project, *, counter: TokenCounter | None = None
) -> tuple[ReadResult, tuple[Issue, ...]]:
    """What is wrong with the rows, lengths included when tokens can be counted. Changes nothing."""
    read = _read(project)
    found = check(
        project.task,
        read.examples,
        read.rejections,
        token_lengths=counter.lengths if counter else None,
        limit_tokens=counter.limit_tokens if counter else None,
    )
    return read, (*read.issues, *found)


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
    """Rows become a frozen dataset with its splits; the same rows give the same dataset."""
    counter = token_counter(project, recipe, edge)
    read = _read(project)
    dataset = make_dataset(
        project.task,
        read,
        project.workspace,
        salt=SALT,
        shares=split_shares(project.task),
        at=edge.now(),
        token_lengths=counter.lengths if counter else None,
        limit_tokens=counter.limit_tokens if counter else None,
    )
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
    return prove_candidates(
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
