"""burnish predict: a file of rows answered by the live model, on the server's own path."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from burnish.cli import say
from burnish.cli.options import HERE, ProjectOption
from burnish.errors import fail


def add_to(app: typer.Typer) -> None:
    """Put this group's commands on the app."""
    app.command()(predict)


def predict(
    file: Annotated[Path, typer.Argument(help="Rows with the task's input columns.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the answers go; .csv or .jsonl.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Another version than the live one.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="One column per label.")
    ] = False,
    project: ProjectOption = HERE,
) -> None:
    """Answer every row of a file, any size; rows that cannot be read stand in the output with the reason."""
    from burnish.data.read import read_rows, sniff
    from burnish.deploy.batch import predict_file
    from burnish.deploy.batch_text import predict_text_file
    from burnish.deploy.bundle import OpenedText
    from burnish.deploy.versions import open_version
    from burnish.models.shortage import told_of
    from burnish.project import open_project
    from burnish.store.durable import replacing

    opened = open_project(project)
    facts = sniff(file)
    missing = [name for name in opened.task.inputs if name not in facts.columns]
    if missing:
        raise fail(
            "column-missing",
            f"{file.name} has no column {', '.join(missing)}",
            where=file.name,
            expected=f"the columns {', '.join(opened.task.inputs)}",
            fix="rename the file's column, or change inputs in task.toml",
        )
    found = open_version(opened.workspace, opened.task.name, version=version)
    form = "jsonl" if output is not None and output.suffix in (".jsonl", ".ndjson") else "csv"
    answering, name = found.opened, found.deployment.version
    if isinstance(answering, OpenedText) and probabilities:
        raise fail(
            "usage",
            f"{name} answers with texts, which have no probabilities by label",
            where="--probabilities",
            fix="leave it out",
        )
    target = nullcontext(sys.stdout) if output is None else replacing(output)
    rows = read_rows(file, facts=facts)
    with target as out:
        if isinstance(answering, OpenedText):
            result = predict_text_file(
                answering.fitted, answering.task, rows, out, version=name, form=form
            )
        else:
            result = predict_file(
                answering.fitted,
                answering.task,
                rows,
                out,
                version=name,
                form=form,
                probabilities=probabilities,
            )
    say.progress(
        f"{result.rows} rows: {result.answered} answered by {name}, "
        f"{result.refused} refused, {result.truncated} cut to the model's length"
    )
    if told := told_of(found.opened.fitted):
        say.progress(told)
    if output is not None:
        say.progress(f"wrote {output}")
