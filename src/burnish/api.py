"""The verbs for Python callers: the same functions the commands call, with this process as their edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from burnish import curate, lifecycle, maintain
from burnish.data.start import start
from burnish.edge import cache_folder, fresh_key, make_edge
from burnish.examine.doctor import Examination, examine
from burnish.forgetting import forget as forgetting
from burnish.project import Project, open_project, using_rows
from burnish.records.dataset import Dataset, Issue
from burnish.records.decision import Decision
from burnish.records.deployment import Deployment
from burnish.records.example import Split
from burnish.records.recipe import Recipe, default_recipe
from burnish.records.report import Report
from burnish.records.retraining import Retraining
from burnish.records.run import Run
from burnish.records.task import Task

if TYPE_CHECKING:
    from burnish.data.export import Exported
    from burnish.deploy.feedback import Taken
    from burnish.evaluate.predict import Predicted
    from burnish.models.fitted_text import TextAnswer


def init(*files: str | Path, project: str | Path = ".", kind: str | None = None) -> Task:
    """Propose a task for files of labelled rows and write it as task.toml into the project folder.

    Raises: task-exists, file-missing, task-not-proposed.
    """
    return start([Path(file) for file in files], Path(project), kind=kind).proposals[0].task


def check(project: str | Path = ".") -> tuple[Issue, ...]:
    """What is wrong with the project's rows, the worst first. Changes nothing."""
    return curate.check_data(open_project(Path(project))).issues


def make_dataset(project: str | Path = ".", *, recipe: Recipe | None = None) -> Dataset:
    """Freeze the project's rows as a dataset version with its splits."""
    opened = open_project(Path(project))
    with using_rows(opened):
        return curate.prepare(opened, make_edge(), recipe=recipe or _defaults(opened)).dataset


def export(
    to: str | Path,
    project: str | Path = ".",
    *,
    dataset: str | None = None,
    format: str | None = None,
    splits: Sequence[Split] = (),
    force: bool = False,
) -> Exported:
    """Write a dataset's rows (None: the newest's) as a file that this or another tool reads, unchanged.

    Raises: export-format-unknown, export-exists, export-unwritable, dataset-missing.
    """
    opened = open_project(Path(project))
    return curate.export_data(opened, dataset, Path(to), format=format, splits=splits, force=force)


def train(project: str | Path = ".", *, recipe: Recipe | None = None) -> Run:
    """Fine-tune, or continue; returns at once when this dataset and recipe were trained already."""
    edge, opened = make_edge(), open_project(Path(project))
    chosen = recipe or _defaults(opened)
    with using_rows(opened):
        prepared = curate.prepare(opened, edge, recipe=chosen)
        base = lifecycle.fetch(opened, prepared, chosen, edge)
        return lifecycle.train(opened, prepared, chosen, edge, base=base)


def evaluate(run: Run, project: str | Path = ".") -> Report:
    """Measure a run on the test rows beside every baseline, gates judged."""
    edge, opened = make_edge(), open_project(Path(project))
    prepared = curate.prepare(opened, edge, recipe=run.recipe)
    base = lifecycle.fetch(opened, prepared, run.recipe, edge)
    proof = lifecycle.prove(opened, prepared, run.recipe, edge, base=base, run=run)
    return proof.reports["tuned"]


def decide(project: str | Path = ".", *, recipe: Recipe | None = None) -> Decision:
    """Measure what exists without training on the test rows."""
    edge, opened = make_edge(), open_project(Path(project))
    chosen = recipe or _defaults(opened)
    prepared = curate.prepare(opened, edge, recipe=chosen)
    base = lifecycle.fetch(opened, prepared, chosen, edge)
    return lifecycle.prove(opened, prepared, chosen, edge, base=base, run=None).decision


def run(project: str | Path = ".", *, recipe: Recipe | None = None) -> lifecycle.Outcome:
    """The whole circle, up to versions in shadow."""
    opened = open_project(Path(project))
    return lifecycle.circle(opened, recipe or _defaults(opened), make_edge())


def promote(
    version: str | None = None, project: str | Path = ".", *, because: str = ""
) -> Deployment:
    """Make a version live (None: the newest in shadow) after verifying it."""
    opened = open_project(Path(project))
    return lifecycle.promote_version(opened, version, make_edge(), because=because, force=False)


def rollback(project: str | Path = ".", *, because: str = "") -> Deployment:
    """Make the version before the live one answer again."""
    return lifecycle.roll_back(open_project(Path(project)), make_edge(), because=because)


def deployments(project: str | Path = ".") -> list[Deployment]:
    """Every version with the stage it has now, oldest first."""
    from burnish.deploy.deployments import deployments as replay
    from burnish.store.ledger import open_ledger

    opened = open_project(Path(project))
    return replay(open_ledger(opened.workspace.ledger_path), opened.task.name)


def predict(
    inputs: Sequence[Mapping[str, str]],
    project: str | Path = ".",
    *,
    version: str | None = None,
) -> list[Predicted] | list[TextAnswer]:
    """Answer rows with a version (None: the live one), on the server's own path. Not journalled.

    Kinds whose answers are texts give TextAnswers, the others Predicted with a probability for every label.
    """
    from burnish.deploy.bundle import OpenedText
    from burnish.deploy.versions import open_version
    from burnish.evaluate.predict import predict as answer

    opened = open_project(Path(project))
    found = open_version(opened.workspace, opened.task.name, version=version).opened
    if isinstance(found, OpenedText):
        return found.fitted.answer(found.task, inputs)
    return answer(found.fitted, found.task, inputs)


def serve(project: str | Path = ".", *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Answer over HTTP until SIGTERM or Ctrl-C."""
    from burnish.serve.app import serve as listen
    from burnish.serve.app import token_of
    from burnish.serve.settings import ServeSettings

    opened = open_project(Path(project))
    settings = ServeSettings(
        workspace=opened.workspace,
        task=opened.task,
        token=token_of(opened.workspace),
        host=host,
        port=port,
    )
    listen(settings)


def give_feedback(
    prediction: str,
    project: str | Path = ".",
    *,
    labels: Sequence[str] | None = None,
    right: bool | None = None,
    by: str | None = None,
) -> Taken:
    """Say what is right about one journalled prediction; it is on the disk when the call returns.

    Raises: prediction-unknown, label-unknown, feedback-empty and the other codes of deploy/feedback.py.
    """
    from burnish.deploy.feedback import Said

    edge = make_edge()
    said = Said(
        prediction=prediction,
        by=by or edge.by,
        labels=tuple(labels) if labels is not None else None,
        right=right,
    )
    return maintain.give(open_project(Path(project)), [said], edge)[0]


def monitor(project: str | Path = ".", *, version: str | None = None) -> maintain.Monitored:
    """Judge every whole window of the version's answers (None: the live one) that was not judged yet."""
    return maintain.monitor(open_project(Path(project)), make_edge(), version=version)


def retrain(
    project: str | Path = ".", *, recipe: Recipe | None = None, because: str = "asked from Python"
) -> Retraining:
    """Learn from feedback and new rows, meet the live model, go into shadow if the gates agree; or take one up.

    Raises: nothing-new, dataset-missing, live-not-trainable, and the codes of training.
    """
    opened = open_project(Path(project))
    return maintain.retrain(opened, recipe or _defaults(opened), make_edge(), because=because)


def forget(
    match: str | Path | None = None,
    project: str | Path = ".",
    *,
    where: Sequence[str] = (),
    containing: bool = False,
    because: str = "",
    dry_run: bool = False,
) -> forgetting.Forgetting:
    """Take a person's rows out of every file of the workspace: whole texts of a file, or `column=value` conditions.

    With `dry_run` only look. Models that learnt from them are named, not changed.

    Raises: nothing-matches, forget-what, busy, forget-incomplete, and the codes of reading what is asked for.
    """
    edge, opened = make_edge(), open_project(Path(project))
    wanted = forgetting.asked(
        opened, match=Path(match) if match else None, containing=containing, where=where
    )
    if dry_run:
        return forgetting.look(opened, edge, wanted)
    return forgetting.forget(opened, edge, wanted, because=because, fresh_key=fresh_key)


def doctor(project: str | Path = ".") -> Examination:
    """Verify a workspace, and the base models in the cache, file by file: faults, notes, what to do. Changes nothing.

    Raises: workspace-missing.
    """
    return examine(Path(project), cache=cache_folder())


def _defaults(project: Project) -> Recipe:
    return default_recipe(project.task.kind)
