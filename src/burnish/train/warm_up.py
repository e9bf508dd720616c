"""A short measured warm-up: passes over real rows, typical ones and the longest, that leave everything as it was.

The weights, the optimizer, random numbers and the model's mode are the same afterwards, bit for bit; gradients are
dropped. What an optimizer will hold is held by stand-ins of the same sizes, so that the peak is that of training.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from burnish.encode.pack import micro_batches, pack
from burnish.errors import BurnishError
from burnish.models.adapters import remove_lora
from burnish.models.classifier import TransformersFitted, choose_trainable
from burnish.models.family import family_of
from burnish.models.learner import Learner, logits_of, plain_model, pooled_of
from burnish.models.shortage import is_shortage
from burnish.records.encoding import Batch, Encoding, FloatArray, IntArray
from burnish.records.recipe import Recipe
from burnish.store.durable import new_folder, remove_folder
from burnish.train.cost import READING_TOKENS, Line, Piece, Schedule, line_through, work_of
from burnish.train.loop import seed_pass
from burnish.train.objective import Objective, row_losses
from burnish.train.optimizer import trainable

T = TypeVar("T")
# Time for typical passes: this part of the training, and never more seconds. The longest pass comes on top.
_PART = 0.02
_MOST_SECONDS = 8.0
# A training of so few updates gets one pass, on its longest rows: more would cost more than they tell.
FEW_UPDATES = 16
# Where in the passes from short to long the typical ones stand: first the middle, then what lies around it.
_PLACES = (0.5, 0.75, 0.25, 0.9, 0.6, 0.4, 0.1, 0.85, 0.65, 0.35, 0.5, 0.15)
# Of a pass with gradients; the backward pass computes two products for each one of the forward pass.
_FORWARD_PART = 1 / 3
# The tokens of a pass that judges: models/classifier.py.
_JUDGED_TOKENS = 1024
# Rows the probe is timed on, and how often it looks at all of them: 60 iterations and their line searches.
_PROBE_ROWS = 256
_PROBE_LOOKS = 75
_STEPPED = 1 << 20
_SAVED_BYTES = 16 << 20
# Where nothing that small was timed: bytes a second, of the disk the figures of docs/train.md were taken on.
_SAVED_PER_SECOND = 150e6
_SAVED_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Trial:
    """A training that is about to begin: its model and rows. `reads`: features of the frozen base come first."""

    fitted: TransformersFitted
    encodings: Sequence[Encoding]
    recipe: Recipe
    objective: Objective
    reads: bool
    updates: int


@dataclass(frozen=True, slots=True)
class Speeds:
    """What was measured, on the clocks wall and processor. `saving` is by bytes, the other lines by work.

    `looked_C` is one look of the probe at one row, `stepped_C` clipping and AdamW of one update. Shapes: (2,).
    """

    learning: Line
    reading: Line
    stepped_C: FloatArray
    looked_C: FloatArray
    saving: Line
    passes: int


@contextmanager
def untouched(learner: Learner, recipe: Recipe) -> Iterator[None]:
    """The model made ready for the recipe's method; afterwards it is as it was, and so are torch's random numbers."""
    plain, mode = learner.model, learner.model.training
    learns = [(value, value.requires_grad) for value in plain.parameters()]
    devices = [learner.device] if learner.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            choose_trainable(learner, recipe)
            yield
        finally:
            for value in learner.model.parameters():
                value.grad = None
            if learner.model is not plain:
                learner.model = remove_lora(learner.model)
            for value, flag in learns:
                value.requires_grad_(flag)
            learner.model.train(mode)


def measure(
    trial: Trial, schedule: Schedule, *, span: float, folder: Path, pause: Callable[[], None]
) -> Speeds | None:
    """Time the parts of a training, inside `untouched`; the process's peak is that of training afterwards.

    Typical passes are run while they are a small part of the whole, the longest one always. None when there is no
    memory for a single row: training will name it. `folder` is where checkpoints will stand; `pause` is called between
    passes and may raise.
    """
    learner, recipe = trial.fitted.learner, trial.recipe
    taught = trainable(learner.model)
    for value in learner.model.parameters():
        # weights are mapped from their file: all of them are held from now on
        float(value.detach().sum())
    row = schedule.longest.rows[-1:]
    # the first pass of all is a slow one
    if _if_it_fits(lambda: _learn(trial, row)) is None:
        return None
    # as in training: the optimizer's moments are made after the first backward pass
    moments = [torch.zeros_like(value) for value in taught.values() for _ in range(2)]
    pause()
    works, seconds = _passes(trial, schedule, taught, pause=pause)
    if not works:
        works = [schedule.longest.work / len(schedule.longest.rows)]
        seconds = [_timed(learner, lambda: _learn(trial, row))]
    stepped_C = _timed(learner, lambda: _clip(learner.model, recipe)) + _adam(learner, taught)
    reading = _if_it_fits(lambda: _reading(trial, span=span))
    _drop_gradients(learner.model)
    del moments
    learning = line_through(np.array(works), np.array(seconds))
    return Speeds(
        learning=learning,
        reading=reading or Line(np.zeros(2), learning.slope_C * _FORWARD_PART),
        stepped_C=stepped_C,
        looked_C=_looked(learner, trial.objective) if trial.reads else np.zeros(2),
        saving=_saving(taught, folder),
        passes=len(works),
    )


def _passes(
    trial: Trial,
    schedule: Schedule,
    taught: Mapping[str, nn.Parameter],
    *,
    pause: Callable[[], None],
) -> tuple[list[float], list[FloatArray]]:
    """Work and seconds of typical passes and of the longest; those that find no memory, which training will cut, are
    left out.
    """
    learner = trial.fitted.learner
    works: list[float] = []
    seconds: list[FloatArray] = []

    def learn(piece: Piece) -> bool:
        for value in taught.values():
            # the second pass of an update adds to the gradients of the first, which are held meanwhile
            if piece.alone:
                value.grad = None
            elif value.grad is None:
                value.grad = torch.zeros_like(value)
        taken = _if_it_fits(lambda: _timed(learner, lambda: _learn(trial, piece.rows)))
        if taken is not None:
            works.append(piece.work)
            seconds.append(taken)
        return taken is not None

    left = _MOST_SECONDS
    for place in _PLACES if trial.updates > FEW_UPDATES else ():
        if not learn(schedule.pieces[int(place * (len(schedule.pieces) - 1))]):
            break
        pause()
        if len(works) == 1:
            left = min(left, _PART * trial.updates * float(seconds[0][0]))
        left -= float(seconds[-1][0])
        if left < float(seconds[-1][0]):
            break
    learn(schedule.longest)
    return works, seconds


def kept_bytes(trial: Trial, rows: IntArray) -> int:
    """The bytes that a forward pass over these rows keeps for its backward pass, beside the weights: counted."""
    weights = {
        value.untyped_storage().data_ptr() for value in trial.fitted.learner.model.parameters()
    }
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _losses(trial, rows)
    return sum(kept.values())


def _if_it_fits(act: Callable[[], T]) -> T | None:
    """What an act gives; None when it asked for memory that is not there."""
    try:
        return act()
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold what the pass had made
        return None


def _learn(trial: Trial, rows: IntArray) -> bool:
    seed_pass(trial.recipe.seed, 0, 0)
    _losses(trial, rows).mean().backward()
    return True


def _losses(trial: Trial, rows: IntArray) -> Tensor:
    """Losses of the rows against made-up targets, with the gradients and the dropout of training."""
    learner = trial.fitted.learner
    learner.model.train()
    if trial.recipe.method == "head":
        plain = plain_model(learner.model)
        features_R1H = torch.zeros(len(rows), 1, _width(learner), device=learner.device)
        logits_RL = family_of(learner.model_type).head(plain, features_R1H).float()
    else:
        logits_RL = logits_of(learner, _packed(trial.encodings, rows))
    targets_RL = torch.full_like(logits_RL, 1 / learner.n_labels)
    smoothing = trial.recipe.label_smoothing
    return row_losses(logits_RL, targets_RL, objective=trial.objective, label_smoothing=smoothing)


def _packed(encodings: Sequence[Encoding], rows: IntArray) -> Batch:
    every = np.zeros((len(rows), 1))
    chosen = [encodings[row] for row in map(int, rows)]
    return pack(chosen, np.arange(len(rows)), targets_RL=every, weights_R=every[:, 0])


def _reading(trial: Trial, *, span: float) -> Line:
    """Seconds by work without gradients: of the longest rows that are judged at once; where the features of the base
    are nearly all there is to wait for, of rows from all over."""
    learner = trial.fitted.learner
    head = trial.recipe.method == "head"
    lengths = np.array([len(encoding) for encoding in trial.encodings])
    tokens = READING_TOKENS if head else _JUDGED_TOKENS
    pieces = micro_batches(np.arange(len(lengths)), lengths, batch_tokens=tokens)
    learner.model.eval()

    def read(rows: IntArray) -> None:
        with torch.no_grad():
            pooled_of(learner, _packed(trial.encodings, rows))

    read(pieces[0][:1])
    chosen = [pieces[0]]
    if head and len(pieces) >= FEW_UPDATES:
        chosen += [pieces[len(pieces) // 2], pieces[3 * len(pieces) // 4]]
    works_S = np.array([work_of(lengths[rows], span=span) for rows in chosen])
    seconds_SC = np.array([_timed(learner, lambda rows=rows: read(rows)) for rows in chosen])
    return Line(np.zeros(2), seconds_SC.sum(axis=0) / works_S.sum())


def _clip(model: nn.Module, recipe: Recipe) -> None:
    torch.nn.utils.clip_grad_norm_(list(trainable(model).values()), recipe.clip_norm)


def _adam(learner: Learner, taught: Mapping[str, nn.Parameter]) -> FloatArray:
    """Seconds of one AdamW step over everything that learns, from stand-ins: each tensor costs, and each weight does."""
    sizes = [value.numel() for value in taught.values()]
    whole = _stepping(learner, [min(sum(sizes), _STEPPED)])
    share = _STEPPED // len(sizes)
    small = [min(size, share) for size in sizes]
    each = whole / min(sum(sizes), _STEPPED)
    return _stepping(learner, small) + each * (sum(sizes) - sum(small))


def _stepping(learner: Learner, sizes: Sequence[int]) -> FloatArray:
    """Seconds of one AdamW step over tensors of these sizes."""
    weights = [nn.Parameter(torch.zeros(size, device=learner.device)) for size in sizes]
    optimizer = torch.optim.AdamW(weights, fused=True)
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    return _timed(learner, optimizer.step)


def _looked(learner: Learner, objective: Objective) -> FloatArray:
    """Seconds of one look of the probe at one row: its products, losses and gradients in double precision."""
    zeros = {"dtype": torch.float64, "device": learner.device}
    inputs_RD = torch.zeros(_PROBE_ROWS, _width(learner), **zeros)
    weight_LD = torch.zeros(learner.n_labels, _width(learner), requires_grad=True, **zeros)

    def look() -> None:
        logits_RL = inputs_RD @ weight_LD.T
        targets_RL = torch.full_like(logits_RL, 1 / learner.n_labels)
        losses_R = row_losses(logits_RL, targets_RL, objective=objective, label_smoothing=0.0)
        losses_R.mean().backward()

    look()
    return _timed(learner, look) * _PROBE_LOOKS / _PROBE_ROWS


def _saving(taught: Mapping[str, nn.Parameter], folder: Path) -> Line:
    """Seconds by bytes of a checkpoint: some of the weights saved as it will be, where it will be, and removed."""
    chosen: dict[str, Tensor] = {}
    size = 0
    for name, value in taught.items():
        part = value.detach().reshape(-1)[: (_SAVED_BYTES - size) // value.element_size()]
        if part.numel():
            chosen[name] = part.cpu().contiguous()
            size += part.numel() * part.element_size()
    line = Line(np.array([_SAVED_SECONDS, 0.0]), np.array([1.0, 0.2]) / _SAVED_PER_SECOND)
    if size < _SAVED_BYTES:
        return line
    target = folder / "trial"

    def save() -> None:
        with new_folder(target, checksum="xxh3") as staging:
            save_file(chosen, staging / "weights.safetensors")

    try:
        remove_folder(target)
        return Line(line.fixed_C, _clocked(save) / size)
    except BurnishError:
        return line  # whoever saves in earnest says what is wrong with the disk
    finally:
        remove_folder(target)


def _drop_gradients(model: nn.Module) -> None:
    for value in model.parameters():
        value.grad = None


def _width(learner: Learner) -> int:
    config = getattr(plain_model(learner.model), "config", None)
    return int(getattr(config, "hidden_size", 0) or 768)


def _timed(learner: Learner, act: Callable[[], object]) -> FloatArray:
    """Seconds of an act on the device, (2,): wall and processor."""
    if learner.device.type != "cuda":
        return _clocked(act)
    torch.cuda.synchronize(learner.device)

    def whole() -> None:
        act()
        torch.cuda.synchronize(learner.device)

    return _clocked(whole)


def _clocked(act: Callable[[], object]) -> FloatArray:
    wall, processor = time.perf_counter(), time.process_time()
    act()
    return np.array([time.perf_counter() - wall, time.process_time() - processor])
