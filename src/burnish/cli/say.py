"""The one voice: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from burnish.errors import BurnishError


def result(text: str = "") -> None:
    """A line of the answer, on standard output."""
    sys.stdout.write(f"{text}\n")


def as_json(value: Any) -> None:
    """The answer as JSON, on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def progress(text: str) -> None:
    """What is happening now, on standard error."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


def problem(error: BurnishError) -> None:
    """Every problem of an error, on standard error."""
    sys.stderr.write(f"{_coloured(str(error))}\n")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns on standard output; numbers to the right."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, title in enumerate(head):
        cells = [row[place] for row in rows]
        number = bool(cells) and all(cell[:1].isdigit() or cell[:1] in "+-" for cell in cells)
        drawn.add_column(title, justify="right" if number else "left", overflow="fold")
    for row in rows:
        # user text is text: no markup is read in it
        drawn.add_row(*[cell.replace("[", "\\[") for cell in row])
    Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 120).print(
        drawn
    )


def _coloured(text: str) -> str:
    if not sys.stderr.isatty():
        return text
    red, bold, plain = "\033[31m", "\033[1m", "\033[0m"
    lines = text.split("\n")
    return "\n".join(
        f"{red}{bold}{line}{plain}" if line.startswith("error:") else line for line in lines
    )
