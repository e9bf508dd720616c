"""burnish runs list, show: what was trained, read without torch."""

from __future__ import annotations

from typing import Annotated

import typer

from burnish.cli import say
from burnish.cli.options import HERE, JsonOption, ProjectOption

app = typer.Typer(help="Look at trainings.")

# Fields of a run that are shown in lines of their own.
_APART = ("recipe", "environment", "estimate", "splits")


@app.command("list")
def list_runs(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Every run, oldest first."""
    from burnish.project import open_project
    from burnish.store.workspace import names_in
    from burnish.train.runs import load_run

    workspace = open_project(project).workspace
    found = [
        load_run(workspace.runs / name)
        for name in names_in(workspace.runs)
        if (workspace.runs / name / "run.json").is_file()
    ]
    found.sort(key=lambda run: run.started_at)
    if as_json:
        say.as_json([run.model_dump(mode="json") for run in found])
        return
    if not found:
        say.result("no runs yet; next: burnish run")
        return
    say.table(
        ["run", "status", "base", "method", "steps", "best validation", "started"],
        [
            [
                run.id,
                run.status,
                run.recipe.base,
                run.recipe.method,
                str(run.steps),
                "-" if run.best_validation is None else f"{run.best_validation:.4f}",
                run.started_at,
            ]
            for run in found
        ],
    )


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="The run's id, or its first characters.")],
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """One run: recipe, environment, result."""
    from burnish import lifecycle
    from burnish.project import open_project
    from burnish.train.spoken import compared

    found = lifecycle.read_run(open_project(project), run)
    if as_json:
        say.as_json(found.model_dump(mode="json"))
        return
    for name, value in found.model_dump(mode="json", exclude={*_APART}).items():
        say.result(f"{name:20} {value}")
    for split in found.splits:
        say.result(f"{'memory':20} {split.told()}")
    for part in ("estimate", "recipe", "environment"):
        inner = getattr(found, part)
        if inner is None:
            continue
        say.result(part)
        if part == "estimate" and inner.took_seconds is not None:
            say.result(f"  {compared(inner)}")
        for name, value in inner.model_dump(mode="json").items():
            say.result(f"  {name:28} {value}")
