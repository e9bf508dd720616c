"""The model card: README.md of a model folder, for people and for the tools that read its YAML head."""

from __future__ import annotations

from burnish.evaluate import shown
from burnish.evaluate.confusions import top_confusions
from burnish.evaluate.markdown import code, plain, quoted
from burnish.records.dataset import Dataset
from burnish.records.decision import Decision
from burnish.records.report import Report
from burnish.records.run import Run
from burnish.records.task import Task

WEAKEST = 5
# The hub's names of what a model does; every other kind is text-classification.
PIPELINES = {
    "qa": "question-answering",
    "extractive-qa": "question-answering",
    "summarization": "summarization",
    "chat": "text-generation",
}


def model_card(
    task: Task,
    report: Report,
    *,
    base: str | None = None,
    licence: str | None = None,
    decision: Decision | None = None,
    dataset: Dataset | None = None,
    run: Run | None = None,
) -> str:
    """The card of the model the report is about; the same arguments give the same text.

    The head follows the Hugging Face model card: `license` only when known, `base_model` only when it
    is a hub name (other sources are named in the text), `model-index` with every measure, unrounded. A
    model without a run is a baseline, which Burnish itself loads.
    """
    return "\n".join(
        [
            *_head(task, report, base=base, licence=licence, run=run),
            f"# {plain(task.name)}",
            "",
            *_purpose(task, report, run=run),
            *_quality(report, decision=decision),
            *_limits(report),
            *_origin(report, base=base, dataset=dataset, run=run),
        ]
    )


def _head(
    task: Task, report: Report, *, base: str | None, licence: str | None, run: Run | None
) -> list[str]:
    lines = ["---"]
    if licence:
        lines.append(f"license: {quoted(licence.lower())}")
    hub = hub_name(base) if base else None
    if hub:
        lines.append(f"base_model: {quoted(hub)}")
    lines.append(f"library_name: {'transformers' if run else 'burnish'}")
    tag = PIPELINES.get(task.kind, "text-classification")
    lines += [f"pipeline_tag: {tag}", "tags:", f"- {tag}", "- burnish"]
    lines += ["metrics:", *(f"- {measure.name}" for measure in report.measures)]
    lines += [
        "model-index:",
        f"- name: {quoted(task.name)}",
        "  results:",
        "  - task:",
        f"      type: {tag}",
        "    dataset:",
        f"      name: {quoted(task.name)}",
        f"      type: {quoted(task.name)}",
        f"      split: {report.split}",
        f"      revision: {quoted(report.dataset_id)}",
        "    metrics:",
    ]
    for measure in report.measures:
        lines += [
            f"    - type: {measure.name}",
            f"      name: {quoted(shown.title(measure.name))}",
            f"      value: {measure.value:.17g}",
        ]
    return [*lines, "---", ""]


def _purpose(task: Task, report: Report, *, run: Run | None) -> list[str]:
    if not task.is_closed:
        return _written_purpose(task, report, run=run)
    many = task.kind == "multilabel"
    answer = "any number of the labels below" if many else "exactly one of the labels below"
    lines = [f"Reads {_names(task.inputs)} and answers with {answer}.", ""]
    if task.guideline:
        lines += [plain(task.guideline), ""]
    lines += ["| label | meaning |", "|---|---|"]
    lines += [f"| {plain(one.name)} | {plain(one.description) or '–'} |" for one in task.labels]
    lines += ["", "## Use", ""]
    if run is None:
        return [*lines, f"This is the baseline {code(report.model)}: serve it with Burnish.", ""]
    function = ', function_to_apply="sigmoid"' if many else ""
    lines += [
        "```python",
        "from transformers import pipeline",
        "",
        'classify = pipeline("text-classification", model=".", top_k=None)',
        f'classify("..."{function})',
        "```",
        "",
    ]
    if len(task.inputs) > 1:
        columns = ", then ".join(code(f"{name}: ...") for name in task.inputs)
        lines += [f"Give the columns as lines, empty ones left out: {columns}.", ""]
    return lines


def _written_purpose(task: Task, report: Report, *, run: Run | None) -> list[str]:
    lines = [f"Reads {_names(task.inputs)} and answers with a text.", ""]
    if task.guideline:
        lines += [plain(task.guideline), ""]
    lines += ["## Use", ""]
    if run is None and report.model not in ("base", "base-3-shot"):
        return [*lines, f"This is the baseline {code(report.model)}: serve it with Burnish.", ""]
    if task.instruction:
        lines += [f"The instruction it was trained with: {code(task.instruction)}", ""]
    return [
        *lines,
        "```python",
        "from transformers import pipeline",
        "",
        'write = pipeline("text-generation", model=".")',
        'write([{"role": "user", "content": "..."}], do_sample=False)',
        "```",
        "",
        f"Decoded with at most {task.decoding.max_new_tokens:,} new tokens, temperature {task.decoding.temperature:g}.",
        "",
    ]


def _quality(report: Report, *, decision: Decision | None) -> list[str]:
    lines = [
        "## Quality",
        "",
        *([plain(decision.sentence), ""] if decision else []),
        f"Measured on {report.n:,} {report.split} rows; intervals are 95%.",
        "",
        "| measure | value | 95% interval | rows |",
        "|---|---:|---:|---:|",
    ]
    measures = [*report.measures]
    if report.calibration:
        measures += [report.calibration.ece, report.calibration.brier]
    lines += [
        f"| {shown.title(one.name)} (`{one.name}`) | {shown.value(one)} | {shown.interval(one)} | {one.n:,} |"
        for one in measures
    ]
    if report.comparisons:
        lines += ["", "Against other models on the same rows:", ""]
        lines += [
            f"- {plain(one.theirs)}: {shown.title(one.metric)} {shown.difference(one)}, "
            f"p {'' if shown.p_value(one).startswith('<') else '= '}{shown.p_value(one)} ({one.method})"
            for one in report.comparisons
        ]
    if report.gates:
        lines += ["", f"Gates: {report.verdict or 'not judged'}.", ""]
        lines += [
            f"- {'passed' if one.passed else 'FAILED'}: {plain(one.gate)} ({plain(one.found)})"
            for one in report.gates
        ]
    return [*lines, ""]


def _limits(report: Report) -> list[str]:
    weak = sorted(
        (one for one in report.classes if one.support),
        key=lambda one: (one.f1.value, one.label),
    )[:WEAKEST]
    lines = ["## Where it is weak", ""]
    lines += [
        f"- {plain(one.label)}: F1 {shown.value(one.f1)} (95% interval {shown.interval(one.f1)}, "
        f"{one.support:,} rows)"
        for one in weak
        if one.f1.value < 1
    ]
    lines += [
        f"- {plain(one.true)} is answered as {plain(one.said)} in {one.count:,} of {one.of:,} rows"
        for one in top_confusions(report, count=3)
    ]
    lines += [
        f"- {slice_name(one.column, one.value)}: {shown.title(one.measure.name)} "
        f"{shown.value(one.measure)} (95% interval {shown.interval(one.measure)})"
        for one in report.slices
        if one.flagged
    ]
    lines += [f"- {plain(warning)}" for warning in report.warnings]
    if len(lines) == 2:
        lines.append("No weakness was seen on the rows it was measured on.")
    lines += [
        "",
        "Texts unlike the training rows are answered too, with a confidence that means little."
        if report.labels
        else "What it writes is likely, not known to be true: texts unlike the training rows are answered too.",
    ]
    return [*lines, ""]


def _origin(
    report: Report, *, base: str | None, dataset: Dataset | None, run: Run | None
) -> list[str]:
    lines = ["## Origin", "", f"- dataset `{report.dataset_id}`"]
    if dataset:
        counts = ", ".join(f"{one.split} {one.rows:,}" for one in dataset.counts)
        unused = dataset.rows_in - dataset.rows_used
        lines.append(f"- {dataset.rows_used:,} rows used ({counts}), {unused:,} read and not used")
    if base:
        checksum = f" (sha256 `{run.base_sha256}`)" if run else ""
        lines.append(f"- base model {code(base)}{checksum}")
    if run:
        lines += [
            f"- run `{run.id}`: {run.recipe.method}, {run.steps:,} updates, seed {run.recipe.seed}",
            f"- burnish {run.environment.burnish}, torch {run.environment.torch}",
            f"- transformers {run.environment.transformers}, python {run.environment.python}",
        ]
    if report.calibration:
        lines.append(
            f"- temperature {report.calibration.temperature:.4f}, fitted on validation rows"
        )
    return [*lines, f"- report `{report.id}`, {report.at}", ""]


def hub_name(base: str) -> str | None:
    """The hub's name for a base model, without the revision; None for other sources.

    Example:
        >>> hub_name("hub:org/name@v1"), hub_name("pip:package==1.0")
        ('org/name', None)
    """
    return base.removeprefix("hub:").split("@")[0] if base.startswith("hub:") else None


def slice_name(column: str, value: str) -> str:
    """A slice as the card names it."""
    return f"where {plain(column)} is {plain(value)}"


def _names(columns: tuple[str, ...]) -> str:
    return " and ".join(code(name) for name in columns)
