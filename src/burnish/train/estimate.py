"""Before training: how long it will take and what memory it needs, refused when it cannot fit; after it: how far off
that was.

Time: passes over real rows are measured (train/warm_up.py), a line through them gives the rest (train/cost.py).
Memory: the peak of that warm-up, which holds all that training will hold. Nothing is allocated before arithmetic says
that it fits.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from burnish.errors import BurnishError, fail
from burnish.models.classifier import TransformersFitted
from burnish.models.family import family_of
from burnish.models.hostile_weights import check_weights
from burnish.models.learner import Learner, plain_model
from burnish.records.encoding import Encoding, IntArray
from burnish.records.recipe import Recipe
from burnish.records.run import Estimate
from burnish.store.faults import unreadable
from burnish.train.cost import (
    READING_TOKENS,
    Costs,
    MemoryNeeds,
    Schedule,
    schedule_of,
    settings_that_fit,
    spelt,
    work_of,
)
from burnish.train.memory import Limit, Memory, host_memory, peak_bytes
from burnish.train.objective import Objective
from burnish.train.spoken import size
from burnish.train.warm_up import Speeds, Trial, kept_bytes, measure, untouched

_FP32 = 4
# Beside each weight that learns: its gradient and AdamW's two moments.
_LEARNT = 3
# What the weights take while they are trained, in fp32 weights; adapters and a head count for nothing beside them. NF4
# holds a weight of a linear layer in 4 bits.
_HELD = {"full": 1 + _LEARNT, "qlora": 1 / 8}
# Saving ends with the best weights mapped from their file beside all that training holds.
_MAPPED = 1
# The length of a row, in hidden sizes, at which its attention costs as much as its products: 6 by counting
# multiplications, and attention does them at half the speed.
_SPAN = 3
# An upper bound for what a pass keeps: fp32 numbers a layer for each hidden unit of a token, and for each pair of
# tokens of a head. Counted exactly when this does not fit. Measured: MiniLM 24 of the first kind.
_KEPT_UNITS = 64
_KEPT_PAIRS = 4
# Beside what a pass keeps it allocates for a moment: a tenth of it, as much again for pairs, and fp32 numbers for each
# hidden unit of a token. Growth measured and by this, kB a token: MiniLM 195, 199; tiny BERT 7.4, 11.6, with attention
# dropout 28, 36; tiny ModernBERT 18, 19; tiny DeBERTa-v2 at 256 tokens 157, 176.
_PASSING, _PASSING_PAIRS, _PASSING_UNITS = 1.1, 2.0, 24
# Passes of other shapes leave holes that the allocator cannot use again: by this part of what the warm-up took, real
# trainings peaked above it (26 to 36 updates 0.10 to 0.18, 88 updates 0.24 and 0.29; head 0.46, whose one kind of
# pass the warm-up sees little of).
_HOLES = {"full": 0.2, "lora": 0.2, "head": 0.4}
_HOLED = 1 + _HOLES["full"]
# fp32 numbers a token and hidden unit that a pass without gradients holds. Measured: MiniLM 30.
_READING_UNITS = 32


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of the train and validation splits, as the model reads them."""

    train: Sequence[Encoding]
    validation: Sequence[Encoding]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was said, what it rests on, and when (clocks wall and processor)."""

    said: Estimate
    costs: Costs
    first_step: int
    epoch_updates: int
    device: torch.device
    wall: float
    processor: float


def refuse_too_large(folder: Path, recipe: Recipe, *, milder: Sequence[str] = ("lora",)) -> None:
    """Stop before a base model is loaded whose weights alone, with what training adds to them, cannot fit.

    `milder` are the methods to propose instead that this kind of model can be trained with, the mildest change first.

    Raises: memory-too-small, not-readable, and the codes of check_weights.
    """
    try:
        files = sorted(folder.glob("*.safetensors"))
    except OSError as error:
        raise unreadable(error, folder) from error
    weights = sum(check_weights(path).elements for path in files)
    room = _memory_of(torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu"))
    limit = room.smallest

    def need(method: str) -> float:
        return room.held + weights * _FP32 * _HELD.get(method, 1)

    if limit is not None and need(recipe.method) > limit.most:
        fits = [one for one in milder if need(one) <= limit.most]
        raise _too_small(need(recipe.method), limit, {"method": fits[0]} if fits else None)


def forecast_of(
    fitted: TransformersFitted,
    rows: Rows,
    recipe: Recipe,
    *,
    objective: Objective,
    made: int,
    fresh: bool,
    folder: Path,
    save_every_seconds: float,
    pause: Callable[[], None],
) -> Forecast | None:
    """Measure a little and say what the training will take from here on; None when no update is left, or
    when there is no memory for a single row, which training will name.

    Nothing is changed by it: weights, optimizer and random numbers are what they were.

    `made` updates were made before, by a run that goes on; `fresh` is one that has no checkpoint. `folder` is where
    checkpoints stand.

    Raises: memory-too-small; what `pause` raises.
    """
    began = time.monotonic()
    learner = fitted.learner
    lengths = np.array([len(row) for row in rows.train])
    span = float(_SPAN * _shape(learner)[1])
    head = recipe.method == "head"
    schedule = schedule_of(np.ones_like(lengths) if head else lengths, recipe, span=span)
    updates = schedule.updates * recipe.epochs - made
    if updates <= 0:
        return None
    reads = head or (recipe.head_start == "probe" and fresh)
    trial = Trial(fitted, rows.train, recipe, objective, reads=reads, updates=updates)
    before = _memory_of(learner.device)
    learnt = _learnt(learner, recipe)
    longest = lengths[:0] if head else lengths[schedule.longest.rows]
    earlier_peak = _peak(learner.device)
    if learner.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(learner.device)
    with untouched(learner, recipe):
        _refuse(trial, lengths, longest=longest, before=before, learnt=learnt)
        speeds = measure(trial, schedule, span=span, folder=folder, pause=pause)
    if speeds is None:
        return None
    costs = _costs(
        trial,
        rows,
        schedule=schedule,
        speeds=speeds,
        span=span,
        save_every_seconds=save_every_seconds,
        fresh=fresh,
    )
    wall, processor = costs.of(updates=updates, epochs=math.ceil(updates / schedule.updates))
    limit = before.smallest
    said = Estimate(
        seconds=float(wall),
        cpu_seconds=float(processor),
        updates=updates,
        memory_bytes=_memory(trial, before, earlier_peak, learnt[recipe.method]),
        room_bytes=None if limit is None else limit.most,
        room_limit="" if limit is None else limit.name,
        memory_of="device" if learner.device.type == "cuda" else "process",
        warm_up_seconds=time.monotonic() - began,
        warm_up_passes=speeds.passes,
    )
    return Forecast(
        said,
        costs,
        made,
        schedule.updates,
        learner.device,
        wall=time.monotonic(),
        processor=time.process_time(),
    )


def settled(forecast: Forecast, *, step: int, ended: bool) -> Estimate:
    """The estimate beside what was measured, after the update `step`; not `ended`: the training was stopped there."""
    updates = max(0, step - forecast.first_step)
    epochs = step // forecast.epoch_updates - forecast.first_step // forecast.epoch_updates
    expected = forecast.costs.of(updates=updates, epochs=max(0, epochs), ended=ended)
    return forecast.said.model_copy(
        update={
            "made_updates": updates,
            "judged_epochs": max(0, epochs),
            "expected_seconds": float(expected[0]),
            "took_seconds": time.monotonic() - forecast.wall,
            "expected_cpu_seconds": float(expected[1]),
            "took_cpu_seconds": time.process_time() - forecast.processor,
            "peak_bytes": _peak(forecast.device),
        }
    )


def _costs(
    trial: Trial,
    rows: Rows,
    *,
    schedule: Schedule,
    speeds: Speeds,
    span: float,
    save_every_seconds: float,
    fresh: bool,
) -> Costs:
    """The parts of the training from what was measured."""
    learner, recipe = trial.fitted.learner, trial.recipe
    head = recipe.method == "head"

    def read(encodings: Sequence[Encoding]) -> np.ndarray:
        lengths = np.array([len(row) for row in encodings])
        return speeds.reading.slope_C * work_of(lengths, span=span)

    learnt = _learnt(learner, recipe)[recipe.method] // _LEARNT
    judged = np.zeros(2) if head else read(rows.validation)
    best, checkpoint = speeds.saving.at(learnt), speeds.saving.at(learnt * _LEARNT)
    passes = sum(speeds.learning.at(piece.work) for piece in schedule.pieces)
    update = passes / schedule.updates + speeds.stepped_C
    # checkpoints between the epochs' ends
    epoch_seconds = float(update[0]) * schedule.updates
    between = int(epoch_seconds / max(save_every_seconds, float(update[0]), 1e-6))
    update = update + between * checkpoint / schedule.updates
    start = np.zeros(2)
    if trial.reads:
        start = start + read(rows.train)
    if head:
        start = start + read(rows.validation)
    if fresh and recipe.head_start == "probe":
        start = start + speeds.looked_C * len(rows.train) + judged + best
    return Costs(
        start=start,
        update=update,
        epoch=judged + best + checkpoint,
        end=speeds.saving.at(trial.fitted.size_bytes()),
    )


def _refuse(
    trial: Trial,
    lengths: IntArray,
    *,
    longest: IntArray,
    before: Memory,
    learnt: Mapping[str, int],
) -> None:
    """Stop what cannot fit: passes larger than a limit whose other side is death, or a single row that no limit allows.

    Between the two, where allocations are refused, training cuts its passes and goes on. A generous bound goes first;
    only when that does not fit are single rows counted.
    """
    limit = before.smallest
    if limit is None:
        return
    learner, recipe = trial.fitted.learner, trial.recipe
    layers, width, heads = _shape(learner)
    # on the host the weights are mapped from their file and not held before they are read
    mapped = 0 if learner.device.type == "cuda" else trial.fitted.size_bytes()
    needs = MemoryNeeds(
        fixed=before.held + mapped,
        learnt={method: count + count // _LEARNT * _MAPPED for method, count in learnt.items()},
        per_token=_with_passing(_FP32 * _KEPT_UNITS * layers * width, width),
        per_pair=_HOLED * _PASSING_PAIRS * _FP32 * _KEPT_PAIRS * layers * heads,
        reading=_FP32 * _READING_UNITS * width,
    )
    if needs.of(lengths, recipe) <= limit.most:
        return
    bare = needs.fixed + needs.learnt[recipe.method]
    if recipe.method == "head":
        if bare > limit.most:
            raise _too_small(bare, limit, None)
        return
    if bare < limit.most:
        per_token, per_pair = _counted(trial, lengths)
        needs = replace(
            needs,
            per_token=_with_passing(per_token, width),
            per_pair=_HOLED * _PASSING_PAIRS * per_pair,
        )
    row = np.array([lengths.max()])
    checked = ((needs.kept(row), limit), (needs.kept(longest), before.deadly))
    for kept, met in checked:
        if met is not None and bare + kept > met.most:
            changes = settings_that_fit(recipe, lengths, needs, most=met.most)
            raise _too_small(bare + kept, met, changes)


def _with_passing(kept: float, width: int) -> float:
    return _HOLED * (_PASSING * kept + _FP32 * _PASSING_UNITS * width)


def _counted(trial: Trial, lengths: IntArray) -> tuple[float, float]:
    """What a pass keeps for a token and for a pair of tokens: what a second short or long row adds to a first one."""
    order = np.argsort(lengths, kind="stable")
    tokens: list[float] = []
    added: list[float] = []
    for row in (order[-1], order[len(order) // 4]):
        tokens.append(float(lengths[row]))
        twice, once = kept_bytes(trial, np.array([row, row])), kept_bytes(trial, np.array([row]))
        added.append((twice - once) / tokens[-1])
    if tokens[0] < 2 * tokens[1]:
        return added[0], 0.0
    per_pair = max(0.0, (added[0] - added[1]) / (tokens[0] - tokens[1]))
    return added[0] - per_pair * tokens[0], per_pair


def _learnt(learner: Learner, recipe: Recipe) -> dict[str, int]:
    """Bytes that training adds for each method: a gradient and two moments of every weight that learns."""
    plain, family = plain_model(learner.model), family_of(learner.model_type)
    heads = tuple(f"{name}." for name in family.head_modules(plain))
    named = [(name, value.numel()) for name, value in plain.named_parameters()]
    head = sum(count for name, count in named if name.startswith(heads))
    targets = re.compile(family.lora_targets(plain))
    adapted = sum(
        (module.in_features + module.out_features) * recipe.lora_rank
        for name, module in plain.named_modules()
        if isinstance(module, nn.Linear) and targets.fullmatch(name)
    )
    counts = {"full": sum(count for _, count in named), "lora": head + adapted, "head": head}
    return {method: count * _FP32 * _LEARNT for method, count in counts.items()}


def _shape(learner: Learner) -> tuple[int, int, int]:
    """Layers, hidden size and heads."""
    config = getattr(plain_model(learner.model), "config", None)
    found = [getattr(config, name, 0) for name in
             ("num_hidden_layers", "hidden_size", "num_attention_heads")]  # fmt: skip
    layers, width, heads = (int(one or 0) for one in found)
    return layers or 12, width or 768, heads or 12


def _memory_of(device: torch.device) -> Memory:
    if device.type != "cuda":
        return host_memory()
    held = torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - held
    return Memory(held, (Limit(held + free, "the device's memory", refuses=True),))


def _peak(device: torch.device) -> int:
    """The most that was held: by the process, or on the device."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_bytes()


def _memory(trial: Trial, before: Memory, earlier_peak: int, learnt: int) -> int:
    """The peak to expect, from that of the warm-up: with holes, and with what saving maps into the process."""
    learner = trial.fitted.learner
    peak = _peak(learner.device)
    if learner.device.type == "cuda":
        return peak
    reading = before.held + trial.fitted.size_bytes() + (_read_bytes(trial) if trial.reads else 0)
    if peak <= earlier_peak:
        return max(peak, reading)  # it has held more before: what the warm-up took does not show
    holes = _HOLES[trial.recipe.method] * (peak - before.held)
    return int(max(peak + holes + learnt // _LEARNT * _MAPPED, reading))


def _read_bytes(trial: Trial) -> int:
    """What the features of the frozen base take, with the probe that looks at all of them in double precision."""
    rows, labels = len(trial.encodings), trial.fitted.learner.n_labels
    width = _shape(trial.fitted.learner)[1]
    tokens = min(READING_TOKENS, sum(len(row) for row in trial.encodings))
    probe = rows * (3 * width + 6 * labels) * 2 if trial.recipe.head_start == "probe" else 0
    return _FP32 * (tokens * _READING_UNITS * width + rows * width + probe)


def _too_small(need: float, limit: Limit, settings: Mapping[str, object] | None) -> BurnishError:
    fix = f"write {spelt(settings)} into recipe.toml" if settings else "take a smaller base model"
    return fail(
        "memory-too-small",
        f"training needs {round(need):,} bytes ({size(need)})",
        where=limit.name,
        expected=f"at most {limit.most:,} bytes ({size(limit.most)}), what this process may hold",
        fix=f"{fix}, or free memory, and run the same command again",
    )
