"""Run folders read back: the run, its steps, and what the machine was."""

from __future__ import annotations

from pathlib import Path

from burnish.errors import fail
from burnish.records.run import Run, Step


def load_run(folder: Path) -> Run:
    """The Run of a run folder.

    Raises: run-damaged.
    """
    try:
        return Run.model_validate_json((folder / "run.json").read_bytes())
    except (OSError, ValueError) as error:
        raise fail(
            "run-damaged",
            f"run.json cannot be read ({type(error).__name__})",
            where=f"run {folder.name}",
            expected="the file as Burnish wrote it",
            fix=f"remove the folder {folder.name} and run `burnish train` again",
        ) from None


def load_steps(folder: Path) -> list[Step]:
    """The steps of a run, oldest first; a torn last line is left out.

    Raises: run-damaged.
    """
    path = folder / "steps.jsonl"
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    try:
        return [Step.model_validate_json(line) for line in lines[:-1] if line]
    except ValueError as error:
        raise fail(
            "run-damaged",
            f"a line of steps.jsonl cannot be read ({type(error).__name__})",
            where=f"run {folder.name}",
            expected="the lines as Burnish wrote them",
            fix="remove steps.jsonl: the weights do not depend on it, only the curves do",
        ) from None
