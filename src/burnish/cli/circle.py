"""burnish init, burnish run: the first command and the whole circle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from burnish.cli import say
from burnish.cli.edge import terminal_edge
from burnish.cli.options import (
    HERE,
    BaseOption,
    EpochsOption,
    JsonOption,
    MethodOption,
    ProjectOption,
    RateOption,
    SaveEveryOption,
    SeedOption,
    TokensOption,
)
from burnish.errors import EXIT_DONE, EXIT_GATE, EXIT_USAGE, BurnishError, fail, nearest
from burnish.records.task import ShapeName

if TYPE_CHECKING:
    from burnish.lifecycle import Outcome
    from burnish.project import Project
    from burnish.records.recipe import Recipe
    from burnish.records.task import Task


def add_to(app: typer.Typer) -> None:
    """Put this group's commands on the app."""
    app.command()(init)
    app.command()(run)


def init(
    files: Annotated[
        list[Path],
        typer.Argument(help="Labelled rows: files, patterns, or a folder for each label."),
    ],
    test: Annotated[Path | None, typer.Option(help="A test file to honour as it is.")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="A validation file to honour as it is.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="classification, multilabel, sentiment, extractive-qa, qa, summarization or chat."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The task's name.")] = None,
    shape: Annotated[
        str | None,
        typer.Option(help="What the objects of JSON files are, where init sees something else."),
    ] = None,
    repair_offsets: Annotated[
        bool,
        typer.Option(
            "--repair-offsets", help="Take answers from where they stand in their context."
        ),
    ] = False,
    project: ProjectOption = HERE,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing task.toml.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at labelled rows and propose task.toml."""
    from burnish.data.shape import title_of
    from burnish.data.start import start
    from burnish.tasks.kind import KINDS

    started = start(
        files,
        project,
        test=test,
        validation=validation,
        kind=kind,
        name=name,
        shape=_shape_named(shape),
        repair_offsets=repair_offsets,
        force=force,
    )
    proposals = started.proposals
    task = proposals[0].task
    if as_json:
        say.as_json(
            [
                {
                    "score": one.score,
                    "because": one.because,
                    "task": one.task.model_dump(mode="json"),
                }
                for one in proposals
            ]
        )
        return
    say.result(
        f"{', '.join(path.name for path in files)}: {started.rows} rows, columns {', '.join(started.columns)}"
    )
    if title := title_of(started.shape):
        say.result(f"shape     {title}")
    say.result(f"kind      {task.kind}: {proposals[0].because}")
    say.result(f"inputs    {', '.join(task.inputs)}")
    say.result(f"label     {task.label}: {_answers(task)}")
    if task.group:
        say.result(f"group     {task.group}: its rows stay in one split")
    say.result(f"metric    {task.primary_metric}")
    for note in proposals[0].notes:
        say.result(f"note      {note}")
    if started.also:
        say.result(
            f"note      also looks like {started.also}; this version trains {', '.join(KINDS)}"
        )
    for other in proposals[1:]:
        say.result(f"or        --kind {other.task.kind}: {other.because}")
    say.result(f"wrote     {started.path}")
    say.result("next: look at task.toml, then burnish data check, then burnish run")


def _answers(task: Task) -> str:
    """What the label column holds, in words."""
    if not task.is_closed:
        return "texts that a model writes" if task.writes else "pieces of the context"
    shown = ", ".join(task.label_names[:12]) + (" ..." if len(task.labels) > 12 else "")
    return f"{len(task.labels)} labels ({shown})"


def _shape_named(name: str | None) -> ShapeName | None:
    from burnish.data.shape import SHAPES

    known: dict[str, ShapeName] = {shape: shape for shape in get_args(ShapeName)}
    if name is None or name in known:
        return known[name] if name else None
    raise fail(
        "usage",
        f'no shape "{name}"',
        where="--shape",
        expected=f"one of: {', '.join(SHAPES)}",
        fix="name one of these",
        nearest=nearest(name, SHAPES),
        exit_code=EXIT_USAGE,
    )


def run(
    project: ProjectOption = HERE,
    base: BaseOption = None,
    method: MethodOption = None,
    epochs: EpochsOption = None,
    learning_rate: RateOption = None,
    max_tokens: TokensOption = None,
    seed: SeedOption = None,
    save_every: SaveEveryOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen and stop.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Check, split, train, compare with baselines, evaluate, decide, gate, bundle: the whole circle.

    The same command again continues where it stopped. Exit code 3: a gate said no.
    """
    from burnish import lifecycle
    from burnish.project import open_project

    opened = open_project(project)
    recipe = recipe_of(
        project,
        base=base,
        method=method,
        epochs=epochs,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        seed=seed,
    )
    if dry_run:
        return _plan(opened, recipe, as_json=as_json)
    outcome = lifecycle.circle(opened, recipe, terminal_edge(save_every_seconds=save_every))
    if as_json:
        say.as_json(_summary(outcome))
    else:
        _tell(outcome)
    return EXIT_DONE if outcome.report.verdict == "passed" else EXIT_GATE


def recipe_of(
    project: Path,
    *,
    base: str | None,
    method: str | None,
    epochs: int | None,
    learning_rate: float | None,
    max_tokens: int | None,
    seed: int | None,
) -> Recipe:
    """recipe.toml of the project with the command line's values on top."""
    from burnish.train.recipe_file import FILE_NAME, load_recipe

    overrides = {
        "base": base,
        "method": method,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "max_tokens": max_tokens,
        "seed": seed,
    }
    return load_recipe(project / FILE_NAME, overrides=overrides, kind=_kind(project))


def _kind(project: Path) -> str:
    """The kind of the project's task; what is wrong with it is told by who opens it."""
    from burnish.store.workspace import open_workspace
    from burnish.tasks.load import load_task

    try:
        return load_task(open_workspace(project).task_path).kind
    except BurnishError:
        return "classification"


def _plan(opened: Project, recipe: Recipe, *, as_json: bool) -> int:
    from burnish import curate
    from burnish.models.pretrained import check_base_name

    check_base_name(recipe.base)
    checked = curate.check_data(opened)
    rows = len(checked.scene)
    if as_json:
        say.as_json(
            {
                "task": opened.task.name,
                "rows": rows,
                "rejected": checked.rejected,
                "issues": [issue.model_dump(mode="json") for issue in checked.issues],
                "recipe": recipe.model_dump(mode="json"),
            }
        )
        return EXIT_DONE
    say.result(f"task {opened.task.name}: {rows} rows usable, {checked.rejected} rejected")
    say.result(
        f"would fine-tune {recipe.base} ({recipe.method}) for at most {recipe.epochs} epochs"
    )
    rivals = (
        "majority, tfidf, centroid and knn"
        if opened.task.is_closed
        else "the base, prompted with and without examples, and with baselines without a model"
    )
    say.result(f"would compare it with {rivals} on the same test rows")
    say.result("nothing was written; next: burnish run")
    return EXIT_DONE


def _tell(outcome: Outcome) -> None:
    from burnish.data.reuse import WORN, reuse_issues

    decision = outcome.proof.decision
    dataset = outcome.prepared.dataset
    counts = ", ".join(f"{count.rows} {count.split}" for count in dataset.counts)
    rejected = sum(dataset.rejected.values())
    say.result(f"dataset  {dataset.id}: {counts}; {rejected} rows set aside")
    for issue in dataset.issues:
        if issue.severity != "note":
            say.result(f"  {issue.severity}: {issue.what}")
    say.result()
    say.table(
        [
            "candidate",
            outcome.report.primary_metric,
            "95% interval",
            "ms a row",
            "MB",
            "built in s",
        ],
        [
            [
                one.title,
                f"{one.quality.value:.3f}",
                "" if one.quality.low is None else f"{one.quality.low:.3f}-{one.quality.high:.3f}",
                f"{one.latency_ms:.1f}",
                f"{one.memory_bytes / 1e6:.1f}",
                f"{one.build_seconds:.1f}",
            ]
            for one in decision.candidates
        ],
    )
    say.result()
    say.result(decision.sentence)
    for gate in outcome.report.gates:
        mark = "passed" if gate.passed else "FAILED"
        say.result(f"gate {mark}: {gate.gate} ({gate.found})")
    if outcome.report.reuse is not None:
        say.result(f"{outcome.report.reuse}: {WORN[0].lower()}{WORN[1:]}")
        for issue in reuse_issues(outcome.report.reuse):
            say.result(f"  {issue.severity}: {issue.code}: {issue.fix}")
    say.result(f"verdict  {outcome.report.verdict}")
    say.result(f"report   {_shown(outcome.report_path)}")
    for name, version in outcome.shadows.items():
        say.result(f"shadow   {version.version} ({name})")
    chosen = outcome.shadows.get(decision.recommendation)
    if chosen is None and outcome.shadows:
        chosen = next(iter(outcome.shadows.values()))
    if chosen is not None:
        say.result(f"next: burnish promote {chosen.version} && burnish serve")
    else:
        say.result("next: open the report; a model that fails its gates cannot be promoted")


def _summary(outcome: Outcome) -> dict[str, object]:
    return {
        "dataset": outcome.prepared.dataset.model_dump(mode="json"),
        "run": outcome.run.model_dump(mode="json"),
        "report": outcome.report.model_dump(mode="json"),
        "decision": outcome.proof.decision.model_dump(mode="json"),
        "report_path": str(outcome.report_path),
        "shadows": {name: one.model_dump(mode="json") for name, one in outcome.shadows.items()},
    }


def _shown(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)
