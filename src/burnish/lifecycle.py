"""The circle's first half in one readable file (curate.py has the data before it, maintain.py the half after it): train,
baselines, evaluate, decide, gate, bundle, shadow, live.

Every verb is one function over the rooms it names, in life-cycle order; `circle` runs them all. Clocks,
folders and voices arrive in an `Edge`; nothing here prints. Rooms with torch are imported where they are used,
so that listing runs never waits for it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from burnish import choosing, finding, writing
from burnish.curate import Prepared, prepare
from burnish.errors import fail
from burnish.project import Edge, Project, using_rows
from burnish.records.dataset import Dataset
from burnish.records.deployment import Bundle, Deployment
from burnish.records.recipe import Recipe
from burnish.records.report import Report
from burnish.records.run import Run
from burnish.store.workspace import lock, resolve

if TYPE_CHECKING:
    from burnish.decide.endpoint import Endpoint
    from burnish.decide.prove import Proof
    from burnish.models.source import BaseModel


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the circle ends with. `proof` holds reports and decision, `shadows` what may be promoted, by candidate."""

    prepared: Prepared
    run: Run
    proof: Proof
    report: Report
    report_path: Path
    shadows: Mapping[str, Deployment]


def fetch(project: Project, prepared: Prepared, recipe: Recipe, edge: Edge) -> BaseModel:
    """The recipe's base model, past the safety gate."""
    if not project.task.is_closed:
        verbs = finding if project.task.finds else writing
        return verbs.fetch(project, prepared, recipe, edge)
    from burnish.encode.render import render
    from burnish.models.pretrained import is_tiny_writer, open_pretrained

    task, rows = project.task, prepared.rows["train"]

    def texts() -> list[str]:
        if is_tiny_writer(recipe.base):
            return choosing.texts_of(task, rows)
        return [render(task, row.inputs) for row in rows]

    return open_pretrained(
        recipe.base,
        cache=edge.cache,
        texts=texts,
        announce=edge.announce,
        offline=edge.offline,
    )


def train(
    project: Project, prepared: Prepared, recipe: Recipe, edge: Edge, *, base: BaseModel
) -> Run:
    """Fine-tune by the recipe; the same call again continues, and returns at once when it is done."""
    if not project.task.is_closed:
        verbs = finding if project.task.finds else writing
        return verbs.train(project, prepared, recipe, edge, base=base)
    if base.writes:
        return choosing.train(project, prepared, recipe, edge, base=base)
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
    endpoint: Endpoint | None = None,
) -> Proof:
    """Measure the tuned model (None: only the baselines) and every baseline on the test rows; decide; judge the gates.

    The candidate `wanted` gets a report whatever the decision recommends; `endpoint` is asked where answers are written.

    Raises: endpoint-other-kind, and the codes of the kind's own prove.
    """
    from burnish.decide.prove import prove as prove_candidates
    from burnish.deploy.bundle import Opened, OpenedText, open_any
    from burnish.deploy.versions import find_live

    if endpoint is not None and not project.task.writes:
        raise fail(
            "endpoint-other-kind",
            f'answers of the kind "{project.task.kind}" are not asked of endpoints',
            expected="a kind whose answers are written: qa, summarization or chat",
            fix="leave --endpoint out",
        )
    answering = find_live(project.workspace, project.task.name)
    opened = None
    if answering is not None:
        folder = project.workspace.bundles / answering.bundle_id
        opened = open_any(folder, bundle_id=answering.bundle_id)
        if (opened.task.is_closed, opened.task.label_names) != (
            project.task.is_closed,
            project.task.label_names,
        ):
            edge.announce(f"{answering.version} knows other labels: no comparison with it")
            opened = None
        elif _is_one_of_ours(opened.bundle, prepared.dataset, run):
            opened = None
    if not project.task.is_closed:
        live = opened.fitted if isinstance(opened, OpenedText) else None
        verbs = (
            finding.prove
            if project.task.finds
            else functools.partial(writing.prove, endpoint=endpoint)
        )
        proof = verbs(project, prepared, recipe, edge, base=base, run=run, live=live, wanted=wanted)
        return _counted(project, prepared, proof, edge)
    proof = prove_candidates(
        project.task,
        prepared.rows,
        dataset_id=prepared.dataset.id,
        base=base.folder,
        max_tokens=recipe.max_tokens,
        run=run,
        run_folder=project.workspace.runs / run.id if run else None,
        live=opened.fitted if isinstance(opened, Opened) else None,
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

    Raises: nothing-to-promote, version-unknown, gate-failed, and the codes of open_any.
    """
    from burnish.deploy.bundle import open_any
    from burnish.deploy.deployments import promote
    from burnish.deploy.versions import find_version
    from burnish.store.ledger import open_ledger

    workspace = project.workspace
    chosen = find_version(workspace, project.task.name, version=version)
    folder = workspace.bundles / chosen.bundle_id
    bundle = open_any(folder, bundle_id=chosen.bundle_id).bundle
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
