"""A run: what happened in training, enough to do it again."""

from __future__ import annotations

from typing import Literal

from burnish.records.recipe import Recipe
from burnish.records.record import Record, content_id

RunStatus = Literal["running", "interrupted", "failed", "done"]


class Step(Record):
    """One update, or (with `validation`) the judgement after an epoch. Written as a line of steps.jsonl.

    Units: loss per weighted row; gradient_norm before clipping; tokens real ones of this update.
    """

    step: int
    epoch: int
    of: int
    loss: float
    learning_rate: float
    gradient_norm: float
    rows: int
    tokens: int
    validation: float | None = None
    best: bool = False


class Split(Record):
    """Memory did not suffice: from `step` on, passes of this kind take at most `tokens`, not the `before` that failed.

    Units: tokens are rows times the longest row, as in batch_tokens. `during` "features" is the base's one pass
    over all rows, at step 0.
    """

    step: int
    during: Literal["update", "features", "judging"]
    before: int
    tokens: int

    def told(self) -> str:
        """One line for people.

        Example:
            >>> Split(step=12, during="update", before=16384, tokens=8192).told()
            'out of memory at step 12 with 16,384 tokens a piece: going on with 8,192'
        """
        during = {"update": "", "features": " (features of the base)", "judging": " (validation)"}
        return (
            f"out of memory at step {self.step}{during[self.during]} with {self.before:,} tokens a piece:"
            f" going on with {self.tokens:,}"
        )


class Environment(Record):
    """What must be equal for equal bytes.

    `attention` is the body chosen at start, which a resumed run takes again; `rows` is how batches are laid
    out, "packed" end to end or "padded" with the reason.
    """

    burnish: str
    python: str
    torch: str
    transformers: str
    machine: str
    device: str
    threads: int
    precision: Literal["fp32", "bf16"]
    attention: str = ""
    rows: str = ""


class Estimate(Record):
    """What a training was said to take before its first update, and what it took.

    The first part is for all epochs. The last part, there when the process that said it ended, compares what was
    really run: `expected_seconds` is the estimate for the `made_updates` and `judged_epochs` of that process, so that
    stopping early is no error of the estimate. `cpu` seconds are the processor's: other work on the machine changes
    them less. Memory is the peak of the process, or what is allocated on the `device` where there is one.
    """

    seconds: float
    cpu_seconds: float
    updates: int
    memory_bytes: int
    room_bytes: int | None
    room_limit: str
    memory_of: Literal["process", "device"] = "process"
    warm_up_seconds: float
    warm_up_passes: int
    made_updates: int | None = None
    judged_epochs: int | None = None
    expected_seconds: float | None = None
    took_seconds: float | None = None
    expected_cpu_seconds: float | None = None
    took_cpu_seconds: float | None = None
    peak_bytes: int | None = None


class Run(Record):
    """One training. `id` names task, dataset, recipe and base, so the same command finds the same run.

    `splits` are replayed by whoever continues the run: dropout hangs on the pieces.
    """

    id: str
    task_id: str
    task_name: str
    dataset_id: str
    recipe: Recipe
    base_sha256: str
    parent_id: str | None = None
    environment: Environment
    splits: tuple[Split, ...] = ()
    status: RunStatus
    steps: int = 0
    best_step: int | None = None
    best_validation: float | None = None
    weights_sha256: str | None = None
    truncated_rows: int = 0
    truncated_tokens: int = 0
    train_seconds: float = 0.0
    peak_memory_bytes: int = 0
    estimate: Estimate | None = None
    message: str = ""
    started_at: str
    ended_at: str | None = None


def run_id(*, task_id: str, dataset_id: str, recipe: Recipe, base_sha256: str) -> str:
    """The identity of a training: everything that decides its result on one machine kind."""
    return content_id([task_id, dataset_id, recipe.model_dump(mode="json"), base_sha256])
