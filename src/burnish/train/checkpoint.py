"""Checkpoints: weights, optimizer moments and progress, committed whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from burnish.store.durable import make_folder, new_folder, remove_folder, verify_folder
from burnish.train.loop import LoopState
from burnish.train.optimizer import optimizer_tensors, restore_optimizer, trainable

_KEEP = 2


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where one run keeps its checkpoints: `latest/step-N` to resume from, `best/step-N` to end with."""

    folder: Path

    def latest(self, step: int) -> Path:
        """The folder of the resumable state after `step` updates."""
        return self.folder / "latest" / f"step-{step:08d}"

    def best(self, step: int) -> Path:
        """The folder of the weights that were best at `step`."""
        return self.folder / "best" / f"step-{step:08d}"


def save_checkpoint(checkpoints: Checkpoints, model: nn.Module, state: LoopState) -> None:
    """Commit the state after `state.step` updates, then drop all but the newest two."""
    target = checkpoints.latest(state.step)
    make_folder(target.parent)
    with new_folder(target, checksum="xxh3") as staging:
        save_file(_weights(model), staging / "weights.safetensors")
        save_file(optimizer_tensors(state.optimizer, model), staging / "optimizer.safetensors")
        progress = {
            "step": state.step,
            "best_step": state.best_step,
            "best_validation": state.best_validation,
            "epochs_without_gain": state.epochs_without_gain,
        }
        (staging / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
    for old in sorted(target.parent.glob("step-*"))[:-_KEEP]:
        remove_folder(old)


def save_best(checkpoints: Checkpoints, model: nn.Module, *, step: int) -> None:
    """Commit the weights of the best step so far, then drop earlier ones no checkpoint refers to."""
    target = checkpoints.best(step)
    make_folder(target.parent)
    with new_folder(target, checksum="xxh3") as staging:
        save_file(_weights(model), staging / "weights.safetensors")
    for old in sorted(target.parent.glob("step-*"))[: -(_KEEP + 1)]:
        remove_folder(old)


def resume(
    checkpoints: Checkpoints, model: nn.Module, state: LoopState, *, announce: Callable[[str], None]
) -> bool:
    """Continue from the newest checkpoint that verifies; say which were skipped. False when none does."""
    for folder in sorted((checkpoints.folder / "latest").glob("step-*"), reverse=True):
        problems = verify_folder(folder)
        progress = None if problems else json.loads((folder / "progress.json").read_text("utf-8"))
        if progress and progress["best_step"] is not None:
            problems = verify_folder(checkpoints.best(progress["best_step"]))
        if progress is None or problems:
            announce(f"checkpoint {folder.name} skipped: {problems[0].what}")
            continue
        _restore(model, load_file(folder / "weights.safetensors"))
        restore_optimizer(state.optimizer, model, load_file(folder / "optimizer.safetensors"))
        state.step = progress["step"]
        state.best_step = progress["best_step"]
        state.best_validation = progress["best_validation"]
        state.epochs_without_gain = progress["epochs_without_gain"]
        return True
    return False


def restore_best(checkpoints: Checkpoints, model: nn.Module, *, step: int) -> None:
    """Put the best weights back into the model."""
    _restore(model, load_file(checkpoints.best(step) / "weights.safetensors"))


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in trainable(model).items()}


def _restore(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            parameter.copy_(tensors[name])
