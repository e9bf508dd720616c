"""The training loop: a generator of facts. It writes and prints nothing; saving, bars and stopping consume it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from burnish.encode.pack import epoch_updates, micro_batches
from burnish.errors import BurnishError, fail
from burnish.models.allocator import collect_memory
from burnish.models.shortage import Shortage, is_shortage, shortage_of
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.recipe import Recipe
from burnish.records.run import Step
from burnish.train.objective import Objective, row_losses
from burnish.train.optimizer import set_learning_rate, trainable
from burnish.train.schedule import learning_rate
from burnish.train.splits import Splits

# Rows an error names; beyond these a number says enough.
_NAMED_ROWS = 8


class Lessons(Protocol):
    """What the loop must know of rows, whatever they are asked.

    `lengths` (R,) is each row's cost in tokens; `weights_R` (R,) what a row adds to the sum that an update's loss is
    divided by: the row's weight, times its supervised tokens where each of them is asked.
    """

    @property
    def lengths(self) -> IntArray: ...
    @property
    def weights_R(self) -> FloatArray: ...
    def places_of(self, rows: IntArray) -> list[str]: ...


# The parts (R,) that the rows of a piece have in the loss of their update, given the update's sum of weights.
Shares = Callable[[IntArray, float], Tensor]


@dataclass(frozen=True, slots=True)
class TrainRows:
    """The rows a classifier learns: their lengths, targets, weights, and places for messages.

    Shapes: lengths (R,), targets_RL (R, L), weights_R (R,).
    """

    lengths: IntArray
    targets_RL: FloatArray
    weights_R: FloatArray
    places: Sequence[str]

    def places_of(self, rows: IntArray) -> list[str]:
        """Where these rows stand in their files."""
        return [self.places[int(row)] for row in rows]


@dataclass(slots=True)
class LoopState:
    """Everything that changes while training, beside the weights: what a checkpoint must hold."""

    optimizer: torch.optim.AdamW
    step: int = 0
    best_step: int | None = None
    best_validation: float | None = None
    epochs_without_gain: int = 0
    splits: Splits = field(default_factory=Splits)


def steps(
    model: nn.Module,
    rows: TrainRows,
    recipe: Recipe,
    *,
    objective: Objective,
    logits: Callable[[IntArray], Tensor],
    judge: Callable[[], float],
    state: LoopState,
) -> Iterator[Step]:
    """`updates` for a classifier: `logits` (R, L) of a piece against the rows' targets.

    Raises: loss-not-finite.
    """
    shares = label_shares(rows, recipe, objective=objective, logits=logits)
    return updates(model, rows, recipe, shares=shares, judge=judge, state=state)


def label_shares(
    rows: TrainRows, recipe: Recipe, *, objective: Objective, logits: Callable[[IntArray], Tensor]
) -> Shares:
    """Each row's weighted loss against its targets, over the update's sum of weights."""

    def shares(piece: IntArray, weight_sum: float) -> Tensor:
        logits_RL = logits(piece)
        targets_RL = torch.from_numpy(rows.targets_RL[piece]).to(logits_RL)
        losses_R = row_losses(
            logits_RL, targets_RL, objective=objective, label_smoothing=recipe.label_smoothing
        )
        return losses_R * (torch.from_numpy(rows.weights_R[piece]) / weight_sum).to(losses_R)

    return shares


def updates(
    model: nn.Module,
    rows: Lessons,
    recipe: Recipe,
    *,
    shares: Shares,
    judge: Callable[[], float],
    state: LoopState,
) -> Iterator[Step]:
    """Update the model until the epochs end or patience is spent, yielding one Step per update.

    The loss of an update is the weighted sum of its row losses divided once by the sum of their
    weights, however many forward passes it takes (rows that all weigh nothing teach nothing). Update k
    is a pure function of (rows, recipe, k) and the state, so a restored state continues bit for bit.
    After an epoch's last update `judge` (higher is better) is asked and the Step carries its answer.

    An update whose piece finds no memory begins again in pieces half as large, which stay so; `state.splits`
    is told first.

    Raises: loss-not-finite naming the rows; memory-full naming the row that alone does not fit. The model is not
        updated by such a step.
    """
    epoch_size = _epoch_size(rows, recipe)
    of = epoch_size * recipe.epochs
    while state.step < of and state.epochs_without_gain < recipe.patience:
        epoch, first = divmod(state.step, epoch_size)
        order = epoch_updates(
            rows.lengths, batch_rows=recipe.batch_rows, seed=recipe.seed, epoch=epoch
        )
        for update in order[first:]:
            step = state.step + 1
            rate = learning_rate(recipe, step=step, of=of)
            loss, norm = _update(
                model,
                rows,
                recipe,
                update=update,
                step=step,
                rate=rate,
                shares=shares,
                state=state,
            )
            state.step = step
            validation = None
            best = False
            if step % epoch_size == 0:
                validation = judge()
                best = _is_better(validation, than=state.best_validation)
                if best:
                    state.best_step, state.best_validation = step, validation
                state.epochs_without_gain = 0 if best else state.epochs_without_gain + 1
            yield Step(
                step=step,
                epoch=epoch + 1,
                of=of,
                loss=loss,
                learning_rate=rate,
                gradient_norm=norm,
                rows=len(update),
                tokens=int(rows.lengths[update].sum()),
                validation=validation,
                best=best,
            )


def rows_of_update(rows: Lessons, recipe: Recipe, *, step: int) -> IntArray:
    """The rows that update `step` (1 is the first) learns from: a pure function."""
    epoch, place = divmod(step - 1, _epoch_size(rows, recipe))
    return epoch_updates(rows.lengths, batch_rows=recipe.batch_rows, seed=recipe.seed, epoch=epoch)[
        place
    ]


def not_finite(what: str, *, step: int, places: Sequence[str]) -> BurnishError:
    """The error of numbers that ran away at update `step`, naming the rows it was seen on."""
    named = ", ".join(places[:_NAMED_ROWS])
    more = len(places) - _NAMED_ROWS
    return fail(
        "loss-not-finite",
        f"{what} at step {step}, not a finite number; nothing of it was saved",
        where=f"rows {named} and {more} more" if more > 0 else f"rows {named}",
        expected="finite losses, gradients and weights",
        fix="look at these rows in their file, or lower learning_rate; the last good checkpoint is kept",
    )


def _epoch_size(rows: Lessons, recipe: Recipe) -> int:
    return math.ceil(len(rows.lengths) / recipe.batch_rows)


def _is_better(validation: float, *, than: float | None) -> bool:
    """A metric that is not a number (kappa of equal answers) is worse than any that is."""
    return than is None or math.isnan(than) or validation > than


def _update(
    model: nn.Module,
    rows: Lessons,
    recipe: Recipe,
    *,
    update: IntArray,
    step: int,
    rate: float,
    shares: Shares,
    state: LoopState,
) -> tuple[float, float]:
    model.train()
    # 1 when no row weighs anything: the sum above it is zero then, and so is the gradient
    weight_sum = float(rows.weights_R[update].sum()) or 1.0

    def seeded(piece: IntArray, number: int) -> Tensor:
        """Each row's part of the update's loss, (R,)."""
        seed_pass(recipe.seed, step, number)
        return shares(piece, weight_sum)

    while True:
        state.optimizer.zero_grad(set_to_none=True)
        budget = state.splits.tokens("update", step=step, most=recipe.batch_tokens)
        pieces = micro_batches(update, rows.lengths, batch_tokens=budget)
        total = _backward(pieces, rows, shares=seeded, step=step)
        if not isinstance(total, Shortage):
            break
        # a backward pass that stops half-way has added to some gradients: the whole update begins again
        state.optimizer.zero_grad(set_to_none=True)
        collect_memory()
        state.splits.cut(
            total, during="update", step=step, place=rows.places_of(np.array([total.first]))[0]
        )
    parameters = list(trainable(model).values())
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, recipe.clip_norm))
    if not math.isfinite(norm):
        guilty = _rows_without_gradient(parameters, update, shares=seeded)
        raise not_finite("the gradient is", step=step, places=rows.places_of(guilty))
    set_learning_rate(state.optimizer, rate)
    state.optimizer.step()
    return total, norm


def _backward(
    pieces: Sequence[IntArray],
    rows: Lessons,
    *,
    shares: Callable[[IntArray, int], Tensor],
    step: int,
) -> float | Shortage:
    """Add every piece's gradient; the sum of their losses, or the first piece that found no memory.

    Whatever that piece held is gone when this returns.
    """
    total = 0.0
    for number, piece in enumerate(pieces):
        try:
            shares_R = shares(piece, number)
            finite_R = torch.isfinite(shares_R)
            if not bool(finite_R.all()):
                guilty = piece[(~finite_R).cpu().numpy()]
                raise not_finite("the loss is", step=step, places=rows.places_of(guilty))
            loss = shares_R.sum()
            loss.backward()
            total += float(loss.detach())
        except (MemoryError, RuntimeError) as error:
            if not is_shortage(error):
                raise
            return shortage_of(error, piece, rows.lengths)
    return total


def _rows_without_gradient(
    parameters: Sequence[nn.Parameter],
    update: IntArray,
    *,
    shares: Callable[[IntArray, int], Tensor],
) -> IntArray:
    """The update replayed row by row: those whose own gradient is not finite, or all when none is alone."""
    guilty: list[int] = []
    for row in update:
        gradients = torch.autograd.grad(
            shares(np.array([row]), 0).sum(), parameters, allow_unused=True
        )
        if not all(bool(torch.isfinite(one).all()) for one in gradients if one is not None):
            guilty.append(int(row))
    return np.array(guilty, dtype=np.int64) if guilty else update


def seed_pass(seed: int, step: int, piece: int) -> None:
    """Dropout of a piece depends on (seed, step, piece) alone, so a checkpoint needs no generator state."""
    state = np.random.SeedSequence([seed, step, piece]).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(state))
