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
from burnish.models.classifier import TransformersFitted, weights_bytes
from burnish.models.family import family_of
from burnish.models.hostile_weights import check_weights
from burnish.models.learner import Learner, plain_model
from burnish.records.encoding import Encoding, IntArray
from burnish.records.recipe import Recipe
from burnish.records.run import Estimate
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
from burnish.train.memory import Room, host_room, peak_bytes
from burnish.train.objective import Objective
from burnish.train.spoken import difference, duration, size
from burnish.train.warm_up import Speeds, Trial, kept_bytes, measure, untouched

_FP32 = 4
# Beside each weight that learns: its gradient and AdamW's two moments.
_LEARNT = 3
# Saving ends with the best weights mapped from their file beside all that training holds.
_MAPPED = 1
# The length of a row, in hidden sizes, at which its attention costs as much as its products: 6 by counting
# multiplications, and attention does them at half the speed.
_SPAN = 3
# An upper bound for what a pass keeps: fp32 numbers a layer for each hidden unit of a token, and for each pair of
# tokens of a head. Counted exactly when this does not fit. Measured: MiniLM 24 of the first kind.
_KEPT_UNITS = 64
_KEPT_PAIRS = 4
# What passes allocate for a moment, and what the allocator cannot use again, beside what they keep.
_PASSING = 1.3
# Passes of other shapes leave holes that the allocator cannot use again: by this part of what the warm-up took, real
# trainings peaked above it (0.10 to 0.18; head 0.46, whose one kind of pass the warm-up sees little of).
_HOLES = {"full": 0.12, "lora": 0.12, "head": 0.4}
# fp32 numbers a token and hidden unit that a pass without gradients holds. Measured: MiniLM 30.
_READING_UNITS = 32
# Off by more than this on the wall clock alone, the machine is named as the reason.
_BUSY = 0.2


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


def refuse_too_large(folder: Path, recipe: Recipe) -> None:
    """Stop before a base model is loaded whose weights alone, with what training adds to them, cannot fit.

    Raises: memory-too-small.
    """
    weights = sum(check_weights(path).elements for path in sorted(folder.glob("*.safetensors")))
    room = _room(torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu"))
    parts = {"full": 1 + _LEARNT, "lora": 1, "head": 1}
    need = room.held + weights * _FP32 * parts[recipe.method]
    if room.most is not None and need > room.most:
        fits = room.held + weights * _FP32 <= room.most and recipe.method == "full"
        raise _too_small(need, room, spelt({"method": "lora"}) if fits else None)


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
    """Measure a little and say what the training will take from here on; None when no update is left.

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
    before = _room(learner.device)
    learnt = _learnt(learner, recipe)
    longest = lengths[:0] if head else lengths[schedule.longest.rows]
    earlier_peak = _peak(learner.device)
    if learner.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(learner.device)
    with untouched(learner, recipe):
        _refuse(trial, lengths, longest=longest, before=before, learnt=learnt)
        speeds = measure(trial, schedule, span=span, folder=folder, pause=pause)
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
    said = Estimate(
        seconds=float(wall),
        cpu_seconds=float(processor),
        updates=updates,
        memory_bytes=_memory(trial, before, earlier_peak, learnt[recipe.method]),
        room_bytes=before.most,
        room_limit=before.limit,
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


def announced(said: Estimate, recipe: Recipe) -> str:
    """The estimate in a sentence."""
    most = "" if said.room_bytes is None else f" of {size(said.room_bytes)}"
    return (
        f"about {duration(said.seconds)} for at most {recipe.epochs} epochs ({said.updates:,} updates), "
        f"{size(said.memory_bytes)}{most} memory"
    )


def told(estimate: Estimate) -> str:
    """What it took beside what had been said, in a sentence."""
    took, expected = estimate.took_seconds or 0.0, estimate.expected_seconds or 0.0
    peak = estimate.peak_bytes or 0
    whole = estimate.made_updates == estimate.updates
    words = (
        f"took {duration(took)}, estimated {duration(expected)}{'' if whole else ' for what was run'} "
        f"({difference(expected, took)}); memory {size(peak)}, estimated {size(estimate.memory_bytes)} "
        f"({difference(estimate.memory_bytes, peak)})"
    )
    own_took, own = estimate.took_cpu_seconds or 0.0, estimate.expected_cpu_seconds or 0.0
    if took and own_took and abs(expected / took - 1) > _BUSY >= abs(own / own_took - 1):
        words += f"; processor time {difference(own, own_took)}: the machine had other work"
    return words


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
        end=speeds.saving.at(weights_bytes(trial.fitted)),
    )


def _refuse(
    trial: Trial,
    lengths: IntArray,
    *,
    longest: IntArray,
    before: Room,
    learnt: Mapping[str, int],
) -> None:
    """Stop what cannot fit. A generous bound goes first; only when that does not fit are single rows counted."""
    if before.most is None:
        return
    learner, recipe = trial.fitted.learner, trial.recipe
    layers, width, heads = _shape(learner)
    # on the host the weights are mapped from their file and not held before they are read
    mapped = 0 if learner.device.type == "cuda" else weights_bytes(trial.fitted)
    needs = MemoryNeeds(
        fixed=before.held + mapped,
        learnt={method: count + count // _LEARNT * _MAPPED for method, count in learnt.items()},
        per_token=_PASSING * _FP32 * _KEPT_UNITS * layers * width,
        per_pair=_PASSING * _FP32 * _KEPT_PAIRS * layers * heads,
        reading=_FP32 * _KEPT_UNITS * width,
    )
    if needs.of(lengths, recipe) <= before.most:
        return
    bare = needs.fixed + needs.learnt[recipe.method]
    if recipe.method == "head":
        if bare > before.most:
            raise _too_small(bare, before, None)
        return
    if bare < before.most:
        per_token, per_pair = _counted(trial, lengths)
        needs = replace(needs, per_token=_PASSING * per_token, per_pair=_PASSING * per_pair)
    need = bare + needs.kept(longest)
    if need <= before.most:
        return
    changes = settings_that_fit(recipe, lengths, needs, most=before.most)
    raise _too_small(need, before, None if changes is None else spelt(changes))


def _counted(trial: Trial, lengths: IntArray) -> tuple[float, float]:
    """What a pass keeps for a token and for a pair of tokens, from one short and one long row."""
    order = np.argsort(lengths, kind="stable")
    short, long = order[len(order) // 4 :][:1], order[-1:]
    tokens = float(lengths[long[0]]), float(lengths[short[0]])
    kept = float(kept_bytes(trial, long)), float(kept_bytes(trial, short))
    if tokens[0] < 2 * tokens[1]:
        return kept[0] / tokens[0], 0.0
    per_pair = (kept[0] / tokens[0] - kept[1] / tokens[1]) / (tokens[0] - tokens[1])
    per_pair = max(0.0, per_pair)
    return kept[0] / tokens[0] - per_pair * tokens[0], per_pair


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


def _room(device: torch.device) -> Room:
    if device.type != "cuda":
        return host_room()
    held = torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - held
    return Room(held, held + free, "the device's memory")


def _peak(device: torch.device) -> int:
    """The most that was held: by the process, or on the device."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_bytes()


def _memory(trial: Trial, before: Room, earlier_peak: int, learnt: int) -> int:
    """The peak to expect, from that of the warm-up: with holes, and with what saving maps into the process."""
    learner = trial.fitted.learner
    peak = _peak(learner.device)
    if learner.device.type == "cuda":
        return peak
    reading = before.held + weights_bytes(trial.fitted) + (_read_bytes(trial) if trial.reads else 0)
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


def _too_small(need: float, room: Room, settings: str | None) -> BurnishError:
    most = room.most or 0
    fix = f"write {settings} into recipe.toml" if settings else "take a smaller base model"
    return fail(
        "memory-too-small",
        f"training needs {round(need):,} bytes ({size(need)})",
        where=room.limit,
        expected=f"at most {most:,} bytes ({size(most)}), what this process may hold",
        fix=f"{fix}, or free memory, and run the same command again",
    )
