"""Run folders read back: the run and its steps, every byte as it was written."""

from __future__ import annotations

import json
from pathlib import Path

from burnish.errors import BurnishError, fail
from burnish.records.run import Run, Step
from burnish.store.line_log import is_unsealed, read_log
from burnish.store.manifest import listed_checksums, verify_folder
from burnish.store.sealed_json import Unsealed, open_sealed

RECORD = "run.json"
STEPS = "steps.jsonl"
MODEL = "model"
WEIGHTS = "model.safetensors"


def load_run(folder: Path) -> Run:
    """The Run of a run folder, under its seal; one of before seals is taken as it is.

    Raises: run-damaged, also when it is the record of another run.
    """
    try:
        data = (folder / RECORD).read_bytes()
        try:
            fields = open_sealed(data)
        except Unsealed:
            fields = json.loads(data)
        run = Run.model_validate(fields)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder, f"run.json cannot be read ({_why(error)})") from None
    if run.id != folder.name:
        raise _damaged(folder, f"run.json is that of run {run.id}")
    return run


def load_steps(folder: Path, *, count: int | None = None) -> list[Step]:
    """The steps of a run, oldest first; what a death left behind the last whole line is left out.

    With `count` the run is known to have made so many steps, and fewer are damage.

    Raises: run-damaged.
    """
    steps, told = sound_steps(folder)
    if told is None and count is not None and len(steps) < count:
        told = f"steps.jsonl holds {len(steps)} of {count} steps"
    if told is not None:
        raise fail(
            "run-damaged",
            told,
            where=f"run {folder.name}",
            expected="the lines as Burnish wrote them",
            fix="remove steps.jsonl: the weights do not depend on it, only the curves do",
        )
    return steps


def sound_steps(folder: Path) -> tuple[list[Step], str | None]:
    """The steps up to the first line that is damaged, and what is wrong with it; None when nothing is.

    A line belongs to its place and its run, so a line or file of another run is damage too. Lines of before seals are
    taken as they are.

    Raises: run-damaged when there is no reading at all.
    """
    path = folder / STEPS
    try:
        if not path.is_file():
            return [], None
        if is_unsealed(path):
            lines = path.read_bytes().split(b"\n")
            return [Step.model_validate_json(line) for line in lines[:-1] if line], None
        log = read_log(path, bound_to=folder.name)
        steps = [Step.model_validate(value) for value in log.values]
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"steps.jsonl cannot be read ({_why(error)})") from None
    if log.rest_lines:
        return steps, f"line {len(steps) + 1} of steps.jsonl is not as it was written"
    return steps, None


def result_fault(folder: Path, *, weights_sha256: str | None) -> str | None:
    """What is wrong with the model of a run folder, None when nothing is; a model of another run is wrong too."""
    if problems := verify_folder(folder / MODEL):
        return problems[0].what
    if listed_checksums(folder / MODEL).get(WEIGHTS) != weights_sha256:
        return "its weights are not those of the run"
    return None


def _why(error: Exception) -> str:
    """The reason in words of ours where there are any."""
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return str(error) if type(error) is ValueError else type(error).__name__


def _damaged(folder: Path, what: str) -> BurnishError:
    return fail(
        "run-damaged",
        what,
        where=f"run {folder.name}",
        expected="the file as Burnish wrote it",
        fix="run the same `burnish train` again: it makes the run again",
    )
