"""Checkpoints at rest: where they stand, whose they are, and what is wrong with one. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from burnish.errors import Problem
from burnish.records.record import Record
from burnish.records.run import Split
from burnish.store.manifest import verify_folder

WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
PROGRESS = "progress.json"
BEST = "best.json"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where one run keeps its checkpoints: `latest/step-N` to resume from, `best/step-N` to end with.

    `folder` stands in the run's own folder, whose name every checkpoint carries.
    """

    folder: Path

    @property
    def run_id(self) -> str:
        """The run the checkpoints belong to."""
        return self.folder.absolute().parent.name

    def latest(self, step: int) -> Path:
        """The folder of the resumable state after `step` updates."""
        return self.folder / "latest" / f"step-{step:08d}"

    def best(self, step: int) -> Path:
        """The folder of the weights that were best at `step`."""
        return self.folder / "best" / f"step-{step:08d}"


class Progress(Record):
    """progress.json: whose checkpoint it is and where it stands, beside its weights and moments."""

    run_id: str
    step: int
    best_step: int | None
    best_validation: float | None
    epochs_without_gain: int
    splits: tuple[Split, ...] = ()


class Best(Record):
    """best.json: whose weights these are, and of which step."""

    run_id: str
    step: int


def checkpoint_fault(checkpoints: Checkpoints, folder: Path) -> str | None:
    """What is wrong with a checkpoint or with the best weights it refers to, None when nothing is.

    A whole checkpoint of another run or another step is wrong too.
    """
    if problems := verify_folder(folder):
        return _told(problems[0])
    try:
        progress = read_progress(folder)
    except ValueError:
        return f"{PROGRESS}: is of another version of Burnish"
    if progress.run_id != checkpoints.run_id or folder != checkpoints.latest(progress.step):
        return f"it is step {progress.step} of run {progress.run_id}"
    return None if progress.best_step is None else best_fault(checkpoints, step=progress.best_step)


def best_fault(checkpoints: Checkpoints, *, step: int) -> str | None:
    """What is wrong with the best weights of a step, None when nothing is."""
    folder = checkpoints.best(step)
    if problems := verify_folder(folder):
        return f"best weights of step {step}: {_told(problems[0])}"
    try:
        best = Best.model_validate_json((folder / BEST).read_bytes())
    except (OSError, ValueError):
        return f"best weights of step {step}: they are of another version of Burnish"
    if (best.run_id, best.step) != (checkpoints.run_id, step):
        return f"best weights of step {step}: they are step {best.step} of run {best.run_id}"
    return None


def read_progress(folder: Path) -> Progress:
    """Where a verified checkpoint stands.

    Raises: OSError; ValueError when it is of another version.
    """
    return Progress.model_validate_json((folder / PROGRESS).read_bytes())


def _told(problem: Problem) -> str:
    return f"{Path(problem.where).name}: {problem.what}" if problem.where else problem.what
