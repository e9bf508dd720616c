"""From proof to bundles in shadow: the tuned model, and a recommended baseline beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from burnish.decide.baseline import BASELINES, FittedBaseline
from burnish.decide.decision import TUNED
from burnish.decide.prove import Proof
from burnish.deploy.bundle import make_bundle
from burnish.deploy.deployments import promote
from burnish.deploy.versions import find_reported
from burnish.evaluate.card import model_card
from burnish.models.source import BaseModel
from burnish.records.dataset import Dataset
from burnish.records.deployment import Bundle, Deployment
from burnish.records.example import Example
from burnish.records.run import Run
from burnish.records.task import Task
from burnish.store.ledger import open_ledger
from burnish.store.workspace import Workspace

GOLDEN_ROWS = 16


def shadow_passed(
    task: Task,
    workspace: Workspace,
    *,
    proof: Proof,
    dataset: Dataset,
    test: Sequence[Example],
    run: Run | None,
    base: BaseModel,
    max_tokens: int,
    by: str,
    now: Callable[[], str],
    announce: Callable[[str], None],
) -> dict[str, Deployment]:
    """Bundle every reported candidate that passed its gates and put it in shadow, by candidate name.

    A version made on this very evidence is taken as it is.
    """
    shadows: dict[str, Deployment] = {}
    # the recommended one comes first in the reports and last here, so that it is the newest in shadow
    for name, report in reversed(list(proof.reports.items())):
        deployable = name not in BASELINES or BASELINES[name].DEPLOYABLE
        if report.verdict != "passed" or not deployable:
            continue
        made = find_reported(workspace, task.name, report_id=report.id)
        if made is not None:
            shadows[name] = made
            continue
        announce(f"bundle: {proof.tried[name].candidate.title}")
        bundle = bundle_candidate(
            task,
            name,
            proof=proof,
            dataset=dataset,
            test=test,
            run=run,
            base=base,
            max_tokens=max_tokens,
            workspace=workspace,
            at=now(),
        )
        with open_ledger(workspace.ledger_path) as ledger:
            shadows[name] = promote(
                ledger, bundle, by=by, because=proof.decision.sentence, at=now(), stage="shadow"
            )
    return shadows


def bundle_candidate(
    task: Task,
    name: str,
    *,
    proof: Proof,
    dataset: Dataset,
    test: Sequence[Example],
    run: Run | None,
    base: BaseModel,
    max_tokens: int,
    workspace: Workspace,
    at: str,
) -> Bundle:
    """Bundle the candidate of that name with its card and golden rows.

    The engine "transformers" runs the tuned model, an engine of the baseline's own name the others.
    """
    report = proof.reports[name]
    fitted = proof.tried[name].fitted
    tuned = name == TUNED

    def write(folder: Path) -> None:
        if tuned and run is not None:
            from burnish.models.classifier import save_calibrated

            save_calibrated(
                workspace.runs / run.id / "model", folder, temperature=proof.temperature
            )
            return
        _write_baseline(fitted, name, folder=folder, base=base.folder)  # pyright: ignore

    return make_bundle(
        task,
        fitted,
        model_folder_writer=write,
        workspace=workspace,
        engine="transformers" if tuned else name,
        run_id=run.id if tuned and run is not None else None,
        dataset_id=dataset.id,
        report_id=report.id,
        golden_inputs=[example.inputs for example in golden_examples(test)],
        precision=run.environment.precision if tuned and run is not None else "fp32",
        max_tokens=max_tokens,
        card=model_card(
            task,
            report,
            base=base.spec if tuned or BASELINES[name].USES_BASE else None,
            licence=base.licence,
            decision=proof.decision,
            dataset=dataset,
            run=run if tuned else None,
        ),
        at=at,
        verdict=report.verdict,
    )


def golden_examples(test: Sequence[Example]) -> list[Example]:
    """Rows spread evenly over the lengths of the split, shortest and longest among them."""
    ordered = sorted(test, key=lambda row: (sum(map(len, row.inputs.values())), row.row_id))
    if len(ordered) <= GOLDEN_ROWS:
        return ordered
    last = len(ordered) - 1
    return [ordered[round(i * last / (GOLDEN_ROWS - 1))] for i in range(GOLDEN_ROWS)]


def _write_baseline(fitted: FittedBaseline, name: str, *, folder: Path, base: Path) -> None:
    if BASELINES[name].USES_BASE:
        for path in sorted(base.iterdir()):
            if path.is_file() and path.name not in ("manifest.json", "README.md"):
                shutil.copyfile(path, folder / path.name)
    fitted.save(folder)
