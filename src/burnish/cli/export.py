"""burnish export: a version in a format that others read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from burnish.cli import say
from burnish.cli.edge import terminal_edge
from burnish.cli.options import HERE, JsonOption, ProjectOption


def add_to(app: typer.Typer) -> None:
    """Put this command on the app."""
    app.command()(export)


def export(
    to: Annotated[Path, typer.Argument(help="The folder to make.")],
    version: Annotated[
        str | None, typer.Option(help="The version; without it the live one.")
    ] = None,
    format: Annotated[
        str, typer.Option(help="safetensors, adapter, gguf or onnx.")
    ] = "safetensors",
    weights: Annotated[
        str | None, typer.Option(help="For gguf: f16 (the default), f32, bf16 or q8_0.")
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(help="For gguf: the Python of the environment that holds the converter."),
    ] = None,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write a version for others to read; its golden rows are asked again before it is offered."""
    from burnish.deploy.export import told
    from burnish.exporting import export_model
    from burnish.project import open_project

    found = export_model(
        open_project(project),
        terminal_edge(),
        to,
        version=version,
        format=format,
        weights=weights,
        python=python,
    )
    if as_json:
        say.as_json(found.model_dump(mode="json"))
        return
    say.result(f"{found.version} as {found.format} ({found.weights}) in {to}")
    say.result(told(found))
    say.result(f"next: {to / 'README.md'} shows how to load it")
