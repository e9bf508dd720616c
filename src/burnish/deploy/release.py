"""From proof to bundles in shadow: the tuned model, and a recommended baseline beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from burnish.decide.baseline import BASELINES, FittedBaseline
from burnish.decide.candidates import Tried
from burnish.decide.decision import TUNED
from burnish.decide.prove import Proof
from burnish.decide.text_candidates import TriedText
from burnish.deploy.adapter import ADAPTER_FOLDER, SHARING_METHODS, Bases, write_adapter
from burnish.deploy.bundle import make_bundle
from burnish.deploy.deployments import promote
from burnish.deploy.engines.text_arrays import AnsweringBaseline
from burnish.deploy.versions import find_reported
from burnish.encode.chat_template import TEMPLATE_FILE
from burnish.evaluate.card import model_card
from burnish.models.choice_model import ChoiceModel, write_temperature
from burnish.models.fitted import Fitted
from burnish.models.fitted_text import FittedText
from burnish.models.source import BaseModel
from burnish.models.span_model import SpanModel
from burnish.records.dataset import Dataset
from burnish.records.deployment import Adapter, Bundle, Deployment
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
        if report.verdict != "passed" or not proof.tried[name].candidate.deployable:
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

    The engine "transformers" runs the tuned model ("choices" where it writes; of texts "writer", of pieces of a context
    "span"), an engine of the baseline's own name the others.
    """
    report, tried = proof.reports[name], proof.tried[name]
    tuned = name == TUNED
    made = (
        _written(tried, name, run=run, base=base, workspace=workspace)
        if isinstance(tried, TriedText)
        else _scored(tried, name, proof=proof, run=run, base=base, workspace=workspace)
    )
    return make_bundle(
        task,
        made.fitted,
        model_folder_writer=made.write,
        workspace=workspace,
        engine=made.engine,
        run_id=run.id if tuned and run is not None else None,
        dataset_id=dataset.id,
        report_id=report.id,
        golden_inputs=[example.inputs for example in golden_examples(test)],
        precision=run.environment.precision if tuned and run is not None else "fp32",
        max_tokens=max_tokens,
        card=model_card(
            task,
            report,
            base=base.spec if made.uses_base else None,
            licence=base.licence,
            decision=proof.decision,
            dataset=dataset,
            run=run if tuned else None,
        ),
        at=at,
        verdict=report.verdict,
        host=Bases({base.sha256: base.folder}.get) if tuned else None,
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """What a bundle is made of: who answers, how its files are written, and by which engine they are read."""

    fitted: Fitted | FittedText
    write: Callable[[Path], None]
    engine: str
    uses_base: bool


def _scored(
    tried: Tried, name: str, *, proof: Proof, run: Run | None, base: BaseModel, workspace: Workspace
) -> _Made:
    """A candidate that answers with labels."""
    if isinstance(tried.fitted, ChoiceModel):
        return _chosen(tried.fitted, name, run=run, base=base, workspace=workspace)
    if name == TUNED and run is not None:
        model, temperature = workspace.runs / run.id / "model", proof.temperature

        def write(folder: Path) -> None:
            from burnish.models.classifier import save_calibrated

            save_calibrated(model, folder, temperature=temperature)

        return _Made(tried.fitted, write, "transformers", uses_base=True)
    fitted = cast(FittedBaseline, tried.fitted)
    return _Made(
        fitted,
        lambda folder: _write_baseline(fitted, name, folder=folder, base=base.folder),
        name,
        uses_base=BASELINES[name].USES_BASE,
    )


def _chosen(
    model: ChoiceModel, name: str, *, run: Run | None, base: BaseModel, workspace: Workspace
) -> _Made:
    """A model that writes, as a classifier: its folder, its template and its temperature."""
    source = workspace.runs / run.id / "model" if name == TUNED and run else base.folder
    template = model.chat.codec.template

    def write(folder: Path) -> None:
        _copy_model(source, folder)
        if template is not None:
            (folder / TEMPLATE_FILE).write_text(template.text, encoding="utf-8")
        write_temperature(folder, model.temperature)

    return _Made(model, write, "choices", uses_base=True)


def _written(
    tried: TriedText, name: str, *, run: Run | None, base: BaseModel, workspace: Workspace
) -> _Made:
    """A candidate that answers with texts: the tuned model's folder, or the base's own, or a baseline's arrays."""
    baseline = tried.baseline
    if baseline is not None:
        return _Made(AnsweringBaseline(baseline), baseline.save, name, uses_base=False)
    if tried.model is None:
        raise ValueError("a candidate that writes is a model or a baseline")
    source = workspace.runs / run.id / "model" if name == TUNED and run else base.folder
    model = tried.model
    template = None if isinstance(model, SpanModel) else model.codec.template

    def write(folder: Path) -> None:
        _copy_model(source, folder)
        if template is not None:
            (folder / TEMPLATE_FILE).write_text(template.text, encoding="utf-8")
        if name == TUNED and run is not None and run.recipe.method in SHARING_METHODS:
            adapter = workspace.runs / run.id / ADAPTER_FOLDER
            # a run that was made before adapters were bundled, or whose adapter was removed, has none
            if not isinstance(model, SpanModel) and adapter.is_dir():
                stands_on = Adapter(base=base.spec, base_sha256=base.sha256)
                write_adapter(adapter, folder, adapter=stands_on)

    return _Made(model, write, "span" if isinstance(model, SpanModel) else "writer", uses_base=True)


def golden_examples(test: Sequence[Example]) -> list[Example]:
    """Rows spread evenly over the lengths of the split, shortest and longest among them."""
    ordered = sorted(test, key=lambda row: (sum(map(len, row.inputs.values())), row.row_id))
    if len(ordered) <= GOLDEN_ROWS:
        return ordered
    last = len(ordered) - 1
    return [ordered[round(i * last / (GOLDEN_ROWS - 1))] for i in range(GOLDEN_ROWS)]


def _write_baseline(fitted: FittedBaseline, name: str, *, folder: Path, base: Path) -> None:
    if BASELINES[name].USES_BASE:
        _copy_model(base, folder)
    fitted.save(folder)


def _copy_model(source: Path, folder: Path) -> None:
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name not in ("manifest.json", "README.md"):
            shutil.copyfile(path, folder / path.name)
