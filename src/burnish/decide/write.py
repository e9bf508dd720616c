"""Write what a proof found: every report as a page, its JSON twin and the decision, one folder each."""

from __future__ import annotations

from pathlib import Path

from burnish.decide.decision import TUNED
from burnish.decide.prove import Proof
from burnish.errors import BurnishError
from burnish.evaluate.page import report_page
from burnish.evaluate.report_folder import DECISION, PAGE, RECORD, load_report
from burnish.records.dataset import Dataset
from burnish.records.run import Run
from burnish.records.task import Task
from burnish.store.durable import new_folder, remove_folder
from burnish.store.workspace import Workspace
from burnish.train.runs import load_steps


def write_proof(
    task: Task, workspace: Workspace, proof: Proof, *, dataset: Dataset, run: Run | None
) -> Path:
    """Write the reports that are not there yet; gives the page of the tuned model's (or the recommended)."""
    steps = load_steps(workspace.runs / run.id, count=run.steps) if run else []
    for name, report in proof.reports.items():
        folder = workspace.reports / report.id
        if folder.is_dir():
            try:
                load_report(folder)
                continue
            except BurnishError:
                remove_folder(folder)  # damaged: the same report, written again
        page = report_page(
            report,
            decision=proof.decision,
            dataset=dataset,
            run=run if name == TUNED else None,
            steps=steps if name == TUNED else [],
            task=task,
        )
        with new_folder(folder) as staging:
            (staging / RECORD).write_text(report.model_dump_json(indent=1), "utf-8")
            decision = proof.decision.model_dump_json(indent=1)
            (staging / DECISION).write_text(decision, "utf-8")
            (staging / PAGE).write_text(page, "utf-8")
    shown = TUNED if TUNED in proof.reports else proof.decision.recommendation
    return workspace.reports / proof.reports[shown].id / PAGE
