"""Where an answer came from: prediction, version and who made it live, run, dataset, rows, and what people said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from burnish.deploy.deployments import history
from burnish.errors import BurnishError, fail
from burnish.records.dataset import Dataset, SplitCount
from burnish.records.deployment import Deployment, Feedback, Prediction
from burnish.records.record import Record
from burnish.store.feedback import feedback
from burnish.store.journal import find_prediction
from burnish.store.ledger import Ledger
from burnish.store.manifest import verify_folder
from burnish.store.workspace import Workspace


class Trace(Record):
    """Everything behind one answer. `promoted` are the events that made its version live, the last before the answer
    first; `dataset` and `ancestors` the rows it learnt from, newest first. What is gone from the disk is named in
    `missing`, never left out in silence.
    """

    prediction: Prediction
    promoted: tuple[Deployment, ...]
    run_id: str | None
    report_id: str | None
    datasets: tuple[str, ...]
    counts: tuple[SplitCount, ...]
    feedback: tuple[Feedback, ...]
    missing: tuple[str, ...]


def trace(workspace: Workspace, ledger: Ledger, id: str) -> Trace:
    """The trace of a prediction.

    Raises: prediction-unknown, ledger-damaged.
    """
    prediction = find_prediction(ledger, id)
    if prediction is None:
        raise fail(
            "prediction-unknown",
            f'no prediction has the id "{id[:80]}"',
            expected="the id that came with the answer",
            fix="look into the reply of /v1/predictions, or burnish feedback list",
        )
    events = [one for one in history(ledger) if one.version == prediction.version]
    live = [one for one in events if one.stage == "live"]
    missing: list[str] = []
    chain: list[Dataset] = []
    newest = live[-1] if live else (events[-1] if events else None)
    if newest is None:
        missing.append(f"no event of {prediction.version} in the ledger")
    else:
        chain, missing = _datasets(workspace, newest)
    return Trace(
        prediction=prediction,
        promoted=tuple(_before(live, prediction.at)),
        run_id=newest.run_id if newest else None,
        report_id=newest.report_id if newest else None,
        datasets=tuple(one.id for one in chain),
        counts=chain[0].counts if chain else (),
        feedback=tuple(one for _, one in feedback(ledger, prediction_ids=[id])),
        missing=tuple(missing),
    )


def _before(live: Sequence[Deployment], at: str) -> list[Deployment]:
    """The latest promotion said before the answer first; the others behind it."""
    return sorted(live, key=lambda one: (one.at > at, -one.sequence))


def _datasets(workspace: Workspace, deployment: Deployment) -> tuple[list[Dataset], list[str]]:
    from burnish.data.dataset import load_dataset
    from burnish.data.tombstones import standing
    from burnish.deploy.bundle import load_bundle

    chain: list[Dataset] = []
    missing: list[str] = []
    missing += _gone(workspace.reports / deployment.report_id, "report")
    if deployment.run_id is not None:
        missing += _gone(workspace.runs / deployment.run_id, "run")
    try:
        bundle = load_bundle(workspace.bundles / deployment.bundle_id)
    except BurnishError:
        return chain, [*missing, f"bundle {deployment.bundle_id} is not whole"]
    wanted: str | None = bundle.dataset_id
    while wanted is not None:
        try:
            dataset = load_dataset(workspace, standing(workspace, wanted))
        except (BurnishError, ValidationError):
            return chain, [*missing, f"dataset {wanted} is not whole"]
        chain.append(dataset)
        wanted = dataset.parent_id
    return chain, missing


def _gone(folder: Path, what: str) -> list[str]:
    if not folder.is_dir():
        return [f"{what} {folder.name} is gone"]
    # runs have no manifest of their own; published folders do
    if what == "report" and verify_folder(folder):
        return [f"{what} {folder.name} is not whole"]
    return []
