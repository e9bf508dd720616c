"""The training loop: a generator of facts. It writes and prints nothing; saving, bars and stopping consume it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from burnish.encode.pack import epoch_updates, micro_batches
from burnish.errors import fail
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.recipe import Recipe
from burnish.records.run import Step
from burnish.train.objective import Objective, row_losses
from burnish.train.optimizer import set_learning_rate, trainable
from burnish.train.schedule import learning_rate


@dataclass(frozen=True, slots=True)
class TrainRows:
    """The rows to learn: their lengths, targets, weights, and places for messages.

    Shapes: targets_RL (R, L), weights_R (R,).
    """

    lengths: Sequence[int]
    targets_RL: FloatArray
    weights_R: FloatArray
    places: Sequence[str]


@dataclass(slots=True)
class LoopState:
    """Everything that changes while training, beside the weights: what a checkpoint must hold."""

    optimizer: torch.optim.AdamW
    step: int = 0
    best_step: int | None = None
    best_validation: float | None = None
    epochs_without_gain: int = 0


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
    """Update the model until the epochs end or patience is spent, yielding one Step per update.

    The loss of an update is the weighted sum of its row losses divided once by the sum of their
    weights, however many forward passes it takes. Update k is a pure function of (rows, recipe, k) and
    the state, so a restored state continues bit for bit. After an epoch's last update `judge` (higher is
    better) is asked and the Step carries its answer.

    Raises: loss-not-finite naming the rows; the model is not updated by such a step.
    """
    epoch_size = math.ceil(len(rows.lengths) / recipe.batch_rows)
    of = epoch_size * recipe.epochs
    while state.step < of and state.epochs_without_gain < recipe.patience:
        epoch, first = divmod(state.step, epoch_size)
        updates = epoch_updates(
            rows.lengths, batch_rows=recipe.batch_rows, seed=recipe.seed, epoch=epoch
        )
        for update in updates[first:]:
            step = state.step + 1
            rate = learning_rate(recipe, step=step, of=of)
            loss, norm = _update(
                model,
                rows,
                recipe,
                update=update,
                step=step,
                rate=rate,
                objective=objective,
                logits=logits,
                optimizer=state.optimizer,
            )
            state.step = step
            validation = None
            best = False
            if step % epoch_size == 0:
                validation = judge()
                best = state.best_validation is None or validation > state.best_validation
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
                tokens=sum(rows.lengths[row] for row in update),
                validation=validation,
                best=best,
            )


def _update(
    model: nn.Module,
    rows: TrainRows,
    recipe: Recipe,
    *,
    update: IntArray,
    step: int,
    rate: float,
    objective: Objective,
    logits: Callable[[IntArray], Tensor],
    optimizer: torch.optim.AdamW,
) -> tuple[float, float]:
    model.train()
    optimizer.zero_grad(set_to_none=True)
    weight_sum = float(rows.weights_R[update].sum())
    total = 0.0
    pieces = micro_batches(update, rows.lengths, batch_tokens=recipe.batch_tokens)
    for number, piece in enumerate(pieces):
        _seed(recipe.seed, step, number)
        losses = _piece_losses(rows, recipe, piece=piece, objective=objective, logits=logits)
        finite = torch.isfinite(losses)
        if not bool(finite.all()):
            raise _not_finite(rows, piece[(~finite).cpu().numpy()], step=step, what="the loss")
        weights = torch.from_numpy(rows.weights_R[piece]).to(losses)
        loss = (losses * weights).sum() / weight_sum
        loss.backward()
        total += float(loss.detach())
    parameters = list(trainable(model).values())
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, recipe.clip_norm))
    if not math.isfinite(norm):
        guilty = _rows_without_gradient(
            model, rows, recipe, update=update, step=step, objective=objective, logits=logits
        )
        raise _not_finite(rows, guilty, step=step, what="the gradient")
    set_learning_rate(optimizer, rate)
    optimizer.step()
    return total, norm


def _piece_losses(
    rows: TrainRows,
    recipe: Recipe,
    *,
    piece: IntArray,
    objective: Objective,
    logits: Callable[[IntArray], Tensor],
) -> Tensor:
    logits_RL = logits(piece)
    targets_RL = torch.from_numpy(rows.targets_RL[piece]).to(logits_RL)
    return row_losses(
        logits_RL, targets_RL, objective=objective, label_smoothing=recipe.label_smoothing
    )


def _rows_without_gradient(
    model: nn.Module,
    rows: TrainRows,
    recipe: Recipe,
    *,
    update: IntArray,
    step: int,
    objective: Objective,
    logits: Callable[[IntArray], Tensor],
) -> IntArray:
    """The update replayed row by row: those whose own gradient is not finite, or all when none is alone."""
    guilty: list[int] = []
    for row in update:
        model.zero_grad(set_to_none=True)
        _seed(recipe.seed, step, 0)
        piece = np.array([row])
        _piece_losses(rows, recipe, piece=piece, objective=objective, logits=logits).sum().backward()
        gradients = [p.grad for p in trainable(model).values() if p.grad is not None]
        if not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
            guilty.append(int(row))
    model.zero_grad(set_to_none=True)
    return np.array(guilty, dtype=np.int64) if guilty else update


def _not_finite(rows: TrainRows, guilty: IntArray, *, step: int, what: str) -> Exception:
    named = ", ".join(rows.places[row] for row in guilty[:8])
    more = f" and {len(guilty) - 8} more" if len(guilty) > 8 else ""
    return fail(
        "loss-not-finite",
        f"{what} is not a finite number at step {step}; the update was not applied, nothing was saved",
        where=f"rows {named}{more}",
        expected="finite losses and gradients",
        fix="look at these rows with `burnish data show`, or lower learning_rate; the last good "
        "checkpoint is kept",
    )


def _seed(seed: int, step: int, piece: int) -> None:
    """Dropout of a piece depends on (seed, step, piece) alone, so a checkpoint needs no generator state."""
    state = np.random.SeedSequence([seed, step, piece]).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(state))
