"""Checkpoints: weights, optimizer moments and progress, committed whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from burnish.errors import fail
from burnish.store.durable import make_folder, new_folder, remove_folder
from burnish.store.workspace import names_in
from burnish.train.checkpoint_files import (
    BEST,
    OPTIMIZER,
    PROGRESS,
    WEIGHTS,
    Best,
    Checkpoints,
    Progress,
    best_fault,
    checkpoint_fault,
    read_progress,
)
from burnish.train.loop import LoopState
from burnish.train.optimizer import optimizer_tensors, restore_optimizer, trainable

_KEEP = 2
# Names, shapes, progress and manifest of a checkpoint, at the most.
HEADER_BYTES = 1 << 16


def save_checkpoint(checkpoints: Checkpoints, model: nn.Module, state: LoopState) -> None:
    """Commit the state after `state.step` updates, then drop all but the newest two."""
    target = checkpoints.latest(state.step)
    make_folder(target.parent)
    weights, moments = _weights(model), optimizer_tensors(state.optimizer, model)
    needs = tensor_bytes(weights) + tensor_bytes(moments) + HEADER_BYTES
    with new_folder(target, checksum="xxh3", needs_bytes=needs) as staging:
        save_file(weights, staging / WEIGHTS)
        save_file(moments, staging / OPTIMIZER)
        progress = Progress(
            run_id=checkpoints.run_id,
            step=state.step,
            best_step=state.best_step,
            best_validation=state.best_validation,
            epochs_without_gain=state.epochs_without_gain,
            splits=state.splits.made,
        )
        (staging / PROGRESS).write_text(progress.model_dump_json(), encoding="utf-8")
    for old in names_in(target.parent)[:-_KEEP]:
        remove_folder(target.parent / old)


def save_best(checkpoints: Checkpoints, model: nn.Module, *, step: int) -> None:
    """Commit the weights of the best step so far, then drop earlier ones no checkpoint refers to."""
    target = checkpoints.best(step)
    make_folder(target.parent)
    weights = _weights(model)
    needs = tensor_bytes(weights) + HEADER_BYTES
    with new_folder(target, checksum="xxh3", needs_bytes=needs) as staging:
        save_file(weights, staging / WEIGHTS)
        best = Best(run_id=checkpoints.run_id, step=step)
        (staging / BEST).write_text(best.model_dump_json(), encoding="utf-8")
    # every checkpoint kept refers to one at most, and this one belongs to the next
    for old in names_in(target.parent)[: -(_KEEP + 1)]:
        remove_folder(target.parent / old)


def newest_whole(checkpoints: Checkpoints, *, announce: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that verifies, its best weights included; None when there is none.

    Damaged ones are said and removed, and so is whatever is newer than the one that is taken: training
    writes the same bytes in their place again.
    """
    latest, best = checkpoints.latest(0).parent, checkpoints.best(0).parent
    for name in reversed(names_in(latest)):
        fault = checkpoint_fault(checkpoints, latest / name)
        if fault is None:
            for other in names_in(best):
                if other > name:
                    remove_folder(best / other)
            return latest / name
        announce(f"checkpoint {name} skipped: {fault}")
        remove_folder(latest / name)
    remove_folder(checkpoints.folder)
    return None


def restore(folder: Path, model: nn.Module, state: LoopState) -> None:
    """Put a verified checkpoint back into model and state, bit for bit.

    Raises: checkpoint-other-version when it holds other parameters than the model trains.
    """
    progress = read_progress(folder)
    _restore_weights(model, folder)
    restore_optimizer(state.optimizer, model, load_file(folder / OPTIMIZER))
    state.step = progress.step
    state.best_step = progress.best_step
    state.best_validation = progress.best_validation
    state.epochs_without_gain = progress.epochs_without_gain
    state.splits.join(progress.splits)


def restore_best(checkpoints: Checkpoints, model: nn.Module, *, step: int) -> None:
    """Put the best weights back into the model, after verifying them.

    Raises: run-damaged, checkpoint-other-version.
    """
    folder = checkpoints.best(step)
    if fault := best_fault(checkpoints, step=step):
        raise fail(
            "run-damaged",
            fault,
            where=f"run {checkpoints.run_id}",
            expected="the weights as they were saved",
            fix="run the same command again: it goes on from a checkpoint before them",
        )
    _restore_weights(model, folder)


def weights_are_finite(model: nn.Module) -> bool:
    """False when any weight that trains is infinite or not a number: such a state is never saved."""
    return all(bool(torch.isfinite(value).all()) for value in trainable(model).values())


def tensor_bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    """What the tensors take in a file, its header aside."""
    return sum(value.numel() * value.element_size() for value in tensors.values())


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in trainable(model).items()}


def _restore_weights(model: nn.Module, folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    wanted = trainable(model)
    shapes = {name: value.shape for name, value in tensors.items()}
    if shapes != {name: value.shape for name, value in wanted.items()}:
        raise fail(
            "checkpoint-other-version",
            f"{folder.name} holds other parameters than this model trains",
            where=str(folder),
            expected="a checkpoint of the same version of Burnish",
            fix="remove the checkpoints folder and run the same command: it starts over",
        )
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(tensors[name])
