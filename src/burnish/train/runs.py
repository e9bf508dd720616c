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
    """The steps of a run, oldest first; a torn last line is left out."""
    path = folder / "steps.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [Step.model_validate_json(line) for line in lines[:-1] if line]
