"""The circle closes, in one readable file: feedback, monitor, retrain, and what the policies do by themselves.

Every verb is one function over the rooms it names; the first half of the circle is lifecycle.py, whose verbs are used
here. Clocks, folders and voices arrive in an `Edge`; nothing here prints.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.curate import WAIT_SECONDS, Prepared, split_shares, token_counter
from burnish.data.dataset import load_dataset, load_memory, load_rows
from burnish.data.tombstones import standing
from burnish.errors import EXIT_INTERRUPTED, EXIT_TERMINATED, BurnishError, fail
from burnish.lifecycle import (
    fetch,
    promote_version,
    prove,
    roll_back,
    shadow,
    train,
    write_reports,
)
from burnish.project import Edge, Project, using_rows
from burnish.records.deployment import Deployment, Prediction
from burnish.records.recipe import Recipe
from burnish.records.report import Verdict
from burnish.records.retraining import Retraining
from burnish.records.signal import Watched
from burnish.store.workspace import lock

if TYPE_CHECKING:
    from burnish.deploy.bundle import Opened, OpenedText
    from burnish.deploy.feedback import Said, Taken
    from burnish.models.source import BaseModel
    from burnish.monitor.watch import Watching
    from burnish.retrain.differences import Differences
    from burnish.retrain.policy import Due
    from burnish.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Monitored:
    """One look at a version: what was judged now, the newest judged window there is, and the page."""

    watching: Watching
    newest: Watched | None
    page: Path


@dataclass(frozen=True, slots=True)
class Attended:
    """What one turn of the policies did: `promotion` and `retraining` are what they ask for and what it waits for,
    `unfinished` a retraining that began and did not end.
    """

    watched: Monitored | None
    rolled_back: Deployment | None
    promoted: Deployment | None
    promotion: Due | None
    retraining: Due | None
    unfinished: Retraining | None


def give(project: Project, said: Sequence[Said], edge: Edge) -> tuple[Taken, ...]:
    """Record what people say about predictions: all of it, or none and every problem told.

    Raises: the codes of give_feedback.
    """
    from burnish.deploy.feedback import give_feedback
    from burnish.store.ledger import open_ledger

    with open_ledger(project.workspace.ledger_path) as ledger:
        return give_feedback(ledger, project.task, said, at=edge.now())


def audits_waiting(project: Project) -> tuple[Prediction, ...]:
    """Predictions drawn at random for an audit that nobody has checked, of every version, oldest first."""
    from burnish.deploy.deployments import deployments
    from burnish.store.journal import audited
    from burnish.store.ledger import open_ledger

    with open_ledger(project.workspace.ledger_path) as ledger:
        found = [
            row
            for one in deployments(ledger, project.task.name)
            for row in audited(ledger, version=one.version, unanswered=True)
        ]
    return tuple(row.prediction for row in sorted(found, key=lambda row: row.sequence))


def monitor(project: Project, edge: Edge, *, version: str | None = None) -> Monitored:
    """Judge what the version (None: the live one) answered since the last look; write the page, tell the webhook.

    Raises: nothing-live, version-unknown, and the codes of watch.
    """
    from burnish.deploy.versions import named_or_live
    from burnish.monitor.embedding import embedding_of
    from burnish.monitor.page import monitor_page
    from burnish.monitor.watch import watch
    from burnish.monitor.webhook import tell
    from burnish.store.durable import write_text
    from burnish.store.ledger import open_ledger
    from burnish.store.observed import windows

    task, workspace = project.task, project.workspace
    deployment = named_or_live(workspace, task.name, version=version)
    with using_rows(project), open_ledger(workspace.ledger_path) as ledger:
        found = watch(
            task,
            workspace,
            ledger,
            deployment=deployment,
            embed=embedding_of(
                task,
                workspace,
                deployment,
                cache=edge.cache,
                offline=edge.offline,
                announce=edge.announce,
            ),
            seed=0,
            now=edge.now,
            announce=edge.announce,
        )
        known = windows(ledger, version=deployment.version)
        page = workspace.monitoring / f"{deployment.version}.html"
        if found.judged or not page.is_file():
            text = monitor_page(task, known, version=deployment.version, waiting=found.waiting_rows)
            write_text(page, text)
    for one in found.judged:
        tell(task, one, announce=edge.announce, sleep=time.sleep)
    return Monitored(found, known[-1] if known else None, page)


def retrain(project: Project, recipe: Recipe, edge: Edge, *, because: str) -> Retraining:
    """Learn what people and files have added, meet the live model on the same rows, and go into shadow if the gates agree.

    What it learns from is fixed when it begins; the same call after a kill goes on where it was. Ends with outcome
    "shadow" or "refused". Nothing is promoted here.

    Raises: nothing-new, dataset-missing, live-not-trainable; whatever training raises. What ends it is written down,
    but for a stop by signal, which leaves it open.
    """
    from burnish.retrain.book import note, unfinished
    from burnish.store.ledger import open_ledger

    with (
        lock(project.workspace, "retrain"),
        using_rows(project),
        open_ledger(project.workspace.ledger_path) as ledger,
    ):
        one = unfinished(ledger, project.task.name)
        if one is not None:
            edge.announce(f"taking up retraining {one.id}, begun at {one.started_at}")
        else:
            one = _begin(project, recipe, edge, ledger, because=because)
        try:
            return _retrain(project, one, edge, ledger)
        except BurnishError as error:
            codes = {problem.code for problem in error.problems}
            if error.exit_code in (EXIT_INTERRUPTED, EXIT_TERMINATED):
                raise
            outcome = "nothing-new" if codes == {"nothing-new"} else "failed"
            at = edge.now()
            ended = {"outcome": outcome, "message": str(error)[:2000], "ended_at": at}
            newest = unfinished(ledger, project.task.name) or one
            note(ledger, newest.model_copy(update=ended), at=at)
            raise


def silent_answers(project: Project, version: str | None) -> Differences:
    """What a candidate (None: the one that answers in silence) said beside the live version.

    Raises: nothing-in-shadow, version-unknown.
    """
    from burnish.deploy.deployments import deployments
    from burnish.deploy.versions import find_version
    from burnish.retrain.differences import differences
    from burnish.retrain.facts import candidate_of
    from burnish.store.ledger import open_ledger

    with open_ledger(project.workspace.ledger_path) as ledger:
        if version is None:
            found = candidate_of(deployments(ledger, project.task.name))
            if found is None:
                raise fail(
                    "nothing-in-shadow",
                    "no version went into shadow after the live one",
                    expected="a candidate",
                    fix="burnish retrain, or name a version",
                )
        else:
            found = find_version(project.workspace, project.task.name, version=version)
        return differences(ledger, found.version)


def attend(project: Project, edge: Edge) -> Attended:
    """One turn of the policies: watch, roll back, promote, and say whether a retraining is due. Twice is once.

    What a policy does stands in the history under "policy", with its reason.

    Raises: the codes of monitor, promote_version and roll_back.
    """
    from burnish.retrain.book import unfinished
    from burnish.retrain.facts import facts_of
    from burnish.retrain.policy import due_promotion, due_retraining, due_rollback
    from burnish.store.ledger import open_ledger

    task, workspace = project.task, project.workspace
    watched = rolled_back = promoted = None
    acting = replace(edge, by="policy")
    with open_ledger(workspace.ledger_path) as ledger:
        if facts_of(task, ledger, now=edge.now()).live is not None:
            watched = monitor(project, edge)
        facts = facts_of(task, ledger, now=edge.now())
        back = due_rollback(task, facts)
        if back is not None:
            rolled_back = roll_back(project, acting, because=back.because)
            facts = facts_of(task, ledger, now=edge.now())
        forward = due_promotion(task, facts)
        if forward is not None and not forward.waits and facts.candidate is not None:
            promoted = promote_version(
                project, facts.candidate.version, acting, because=forward.because, force=False
            )
            facts = facts_of(task, ledger, now=edge.now())
        due = due_retraining(task, facts)
        left = unfinished(ledger, task.name)
    return Attended(watched, rolled_back, promoted, forward, due, left)


def _begin(
    project: Project, recipe: Recipe, edge: Edge, ledger: Ledger, *, because: str
) -> Retraining:
    from burnish.data.lineage import current_of, versions_of
    from burnish.deploy.deployments import live
    from burnish.retrain.book import begin
    from burnish.store.feedback import newest_feedback

    task = project.task
    parent = current_of(versions_of(project.workspace, task), ledger, task.name)
    if parent is None or parent.task_id != task.id:
        raise fail(
            "dataset-missing",
            f"no dataset of {task.name} was made for task.toml as it is now",
            expected="a first training",
            fix="burnish run",
        )
    answering = live(ledger, task.name)
    return begin(
        ledger,
        task.name,
        parent_id=parent.id,
        feedback_until=newest_feedback(ledger),
        live_version=answering.version if answering else None,
        recipe=recipe,
        start=task.retrain.start,
        by=edge.by,
        because=because,
        at=edge.now(),
    )


def _retrain(project: Project, one: Retraining, edge: Edge, ledger: Ledger) -> Retraining:
    from burnish.decide.candidates import Tried
    from burnish.decide.decision import TUNED
    from burnish.deploy.bundle import Opened
    from burnish.deploy.versions import open_version
    from burnish.retrain.book import note
    from burnish.retrain.meet import meet

    task, workspace, recipe = project.task, project.workspace, one.recipe
    live = (
        open_version(workspace, task.name, version=one.live_version).opened
        if one.live_version is not None
        else None
    )
    prepared = _grown(project, one, edge, ledger, live=live)
    one = note(ledger, one.model_copy(update={"dataset_id": prepared.dataset.id}), at=edge.now())
    base = fetch(project, prepared, recipe, edge)
    name = _candidate_name(live)
    run = None
    if name == TUNED:
        start = base if one.start == "base" else _from_live(project, one, live)
        edge.announce(f"train from {start.spec} on {len(prepared.rows['train'])} rows")
        run = train(project, prepared, recipe, edge, base=start)
    else:
        rows = len(prepared.rows["train"])
        edge.announce(f"{one.live_version} is a {name} baseline: fitted anew on {rows} rows")
    proof = prove(project, prepared, recipe, edge, base=base, run=run, wanted=name)
    report = proof.reports[name]
    met = None
    tried = proof.tried[name]
    # what writes has met the live version on these test rows already, which the old ones are among
    if (
        isinstance(tried, Tried)
        and isinstance(live, Opened)
        and live.task.label_names == task.label_names
    ):
        edge.announce(f"compare with {one.live_version} on the same rows")
        met = meet(
            task,
            prepared.rows,
            held=load_rows(workspace, standing(workspace, live.bundle.dataset_id)),
            candidate=tried.fitted,
            live=live,
            dataset_id=prepared.dataset.id,
            run_id=run.id if run else None,
            seed=recipe.seed,
            at=edge.now(),
        )
        gates = (*report.gates, *met.gates)
        passed = all(gate.passed for gate in gates)
        verdict: Verdict = "passed" if passed else "failed"
        report = report.model_copy(update={"gates": gates, "verdict": verdict})
    proof = replace(proof, reports={name: report})
    write_reports(project, prepared, proof=proof, run=run)
    shadows = shadow(project, prepared, recipe, edge, proof=proof, base=base, run=run)
    version = shadows.get(name)
    at = edge.now()
    ended = {
        "run_id": run.id if run else None,
        "report_id": report.id,
        "version": version.version if version else None,
        "fresh_rows": met.fresh_rows if met else 0,
        "comparisons": met.comparisons if met else (),
        "gates": report.gates,
        "outcome": "shadow" if version else "refused",
        "minutes": run.train_seconds / 60 if run else 0.0,
        "ended_at": at,
    }
    return note(ledger, one.model_copy(update=ended), at=at)


def _candidate_name(live: Opened | OpenedText | None) -> str:
    """What is made anew: a model of the live one's kind, because another kind is another decision, with a gate on
    latency that a transformer in place of TF-IDF could never pass.
    """
    from burnish.decide.baseline import BASELINES
    from burnish.decide.decision import TUNED
    from burnish.decide.text_baseline import TEXT_BASELINES

    simple = BASELINES if live is None or live.task.is_closed else TEXT_BASELINES
    return live.bundle.engine if live is not None and live.bundle.engine in simple else TUNED


def _grown(
    project: Project,
    one: Retraining,
    edge: Edge,
    ledger: Ledger,
    *,
    live: Opened | OpenedText | None,
) -> Prepared:
    """The child dataset: made at the first attempt, the very same at every further one.

    When rows the live model learnt from were forgotten, the parent without them is reason enough to train again.
    """
    from burnish.data.lineage import versions_of
    from burnish.retrain.rows import next_dataset

    workspace = project.workspace
    if one.dataset_id is not None:
        dataset = load_dataset(workspace, standing(workspace, one.dataset_id))
        return Prepared(dataset, load_rows(workspace, dataset.id))
    counter = token_counter(project, one.recipe, edge)
    parent = load_dataset(workspace, standing(workspace, one.parent_id))
    try:
        with lock(workspace, "dataset", wait_seconds=WAIT_SECONDS):
            newest = versions_of(workspace, project.task)[-1]
            dataset = next_dataset(
                project.task,
                workspace,
                ledger,
                parent=parent,
                feedback_until=one.feedback_until,
                shares=split_shares(project.task),
                at=edge.now(),
                token_lengths=counter.lengths if counter else None,
                limit_tokens=counter.limit_tokens if counter else None,
                memory=load_memory(workspace, newest.id),
                number=newest.number + 1,
            )
    except BurnishError as error:
        learnt = live.bundle.dataset_id if live is not None else parent.id
        if error.code != "nothing-new" or standing(workspace, learnt) == learnt:
            raise
        edge.announce("nothing is new, but rows the live model learnt from were forgotten")
        dataset = parent
    return Prepared(dataset, load_rows(workspace, dataset.id))


def _from_live(project: Project, one: Retraining, live: Opened | OpenedText | None) -> BaseModel:
    from burnish.models.family import model_type_of
    from burnish.models.source import BaseModel
    from burnish.store.manifest import manifest_sha256

    if live is None:
        raise fail(
            "live-not-trainable",
            "nothing is live",
            where="[retrain] start",
            expected="a live fine-tuned transformer",
            fix='write start = "base" in task.toml',
        )
    folder = project.workspace.bundles / live.bundle.id
    return BaseModel(
        spec=f"live:{one.live_version}",
        folder=folder,
        sha256=manifest_sha256(folder),
        model_type=model_type_of(folder),
        licence=None,
    )
