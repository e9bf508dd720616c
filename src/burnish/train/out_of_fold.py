"""Probabilities of rows from models that never saw them: each fold is answered by a model of the other folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from burnish.models.classifier import load_fitted
from burnish.models.source import BaseModel
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.recipe import Recipe
from burnish.records.task import Task
from burnish.train.fit import Surroundings, fit
from burnish.train.objective import Objective
from burnish.train.probe import linear_probe
from burnish.train.rows import LabelledTexts

# of the rows of the other folds, for choosing the best epoch: a tenth, as in a training
_VALIDATION_PART = 10


def head_probabilities(
    vectors_RH: FloatArray,
    targets_RL: FloatArray,
    folds_R: IntArray,
    *,
    objective: Objective,
    announce: Callable[[str], None],
) -> FloatArray:
    """Probabilities (R, L) of a head on the frozen base's vectors, fitted for each fold on the other folds.

    The head is the one that every training starts from (train/probe.py), at its own softness.
    """
    found = np.zeros_like(targets_RL)
    for fold in np.unique(folds_R).tolist():
        announce(f"a head for rows of fold {fold + 1} of {len(np.unique(folds_R))}")
        held = folds_R == fold
        weight_LH, bias_L = linear_probe(
            torch.from_numpy(vectors_RH[~held]).double(),
            torch.from_numpy(targets_RL[~held]),
            objective=objective,
        )
        logits_RL = torch.from_numpy(vectors_RH[held]).double() @ weight_LH.T + bias_L
        found[held] = torch.softmax(logits_RL, dim=1).numpy()
    return found


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the tuned models are made with; `runs` is a folder to train in, which the caller removes."""

    base: BaseModel
    recipe: Recipe
    runs: Path
    around: Surroundings


def tuned_probabilities(
    task: Task,
    labelled: LabelledTexts,
    folds_R: IntArray,
    *,
    objective: Objective,
    tuning: Tuning,
) -> FloatArray:
    """Probabilities (R, L) of models tuned by the recipe, one for each fold, on the other folds.

    Raises: the codes of fit.
    """
    found = np.zeros_like(labelled.targets_RL)
    for fold in np.unique(folds_R).tolist():
        tuning.around.announce(f"tune a model for rows of fold {fold + 1}")
        others = np.flatnonzero(folds_R != fold)
        order = np.random.default_rng(tuning.recipe.seed).permutation(others)
        cut = max(1, len(order) // _VALIDATION_PART)
        validation = _part(labelled, np.sort(order[:cut]))
        run = fit(
            task,
            objective=objective,
            train=_part(labelled, np.sort(order[cut:])),
            validation=validation,
            judge=_accuracy_on(validation.targets_RL),
            base=tuning.base,
            recipe=tuning.recipe,
            dataset_id=f"fold-{fold}",
            runs=tuning.runs,
            around=tuning.around,
        )
        fitted = load_fitted(
            tuning.runs / run.id / "model",
            max_tokens=tuning.recipe.max_tokens,
            precision=tuning.recipe.precision,
        )
        held = np.flatnonzero(folds_R == fold)
        logits_RL = fitted.logits(fitted.encode([labelled.texts[row] for row in map(int, held)]))
        found[held] = torch.softmax(torch.from_numpy(logits_RL), dim=1).numpy()
    return found


def _accuracy_on(targets_RL: FloatArray) -> Callable[[FloatArray], float]:
    right_R = targets_RL.argmax(axis=1)
    return lambda logits_RL: float((logits_RL.argmax(axis=1) == right_R).mean())


def _part(labelled: LabelledTexts, rows: IntArray) -> LabelledTexts:
    return LabelledTexts(
        texts=[labelled.texts[row] for row in map(int, rows)],
        targets_RL=labelled.targets_RL[rows],
        weights_R=labelled.weights_R[rows],
        places=[labelled.places[row] for row in map(int, rows)],
    )
