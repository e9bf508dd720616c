"""How a method turns rows into logits: whole forward passes, or the head alone on cached features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.encode.pack import pack
from burnish.models.allocator import return_free_pages
from burnish.models.classifier import INFERENCE_TOKENS, row_logits
from burnish.models.family import family_of
from burnish.models.learner import Learner, logits_of, pooled_of
from burnish.models.room import passes
from burnish.records.encoding import Encoding, FloatArray, IntArray
from burnish.train.splits import Splits

_FEATURE_TOKENS = 4096
# Validation rows between two looks at `pause`: a few seconds of long rows on a small CPU.
_PAUSE_ROWS = 256


@dataclass(frozen=True, slots=True)
class Forward:
    """`logits` of train rows with gradients, `judged` logits of the validation rows at a step, and each row's cost
    in tokens.
    """

    logits: Callable[[IntArray], Tensor]
    judged: Callable[[int], FloatArray]
    lengths: IntArray


@dataclass(frozen=True, slots=True)
class Placed:
    """Rows as the model sees them, and where each stands in its file."""

    encodings: Sequence[Encoding]
    places: Sequence[str]


def forward_of(
    learner: Learner,
    train: Placed,
    validation: Placed,
    *,
    features_R1H: Tensor | None,
    splits: Splits,
    pause: Callable[[], None],
) -> Forward:
    """The forward passes of a method. With `features_R1H` of the train rows only the head runs in each epoch.

    `pause` is called every few seconds of work that holds no update, and may raise to end it.
    """
    encodings = train.encodings
    if features_R1H is None:
        lengths = np.array([len(encoding) for encoding in encodings], dtype=np.int64)
        dummy_RL = np.zeros((len(encodings), learner.n_labels))
        ones_R = np.ones(len(encodings))

        def whole(piece: IntArray) -> Tensor:
            batch = pack(encodings, piece, targets_RL=dummy_RL, weights_R=ones_R)
            return logits_of(learner, batch)

        def answered(step: int) -> FloatArray:
            return _judged(learner, validation, step=step, splits=splits, pause=pause)

        return Forward(whole, answered, lengths)
    family = family_of(learner.model_type)
    train_features = features_R1H
    validation_features = pooled_features(learner, validation, splits=splits, pause=pause)

    def cached(piece: IntArray) -> Tensor:
        return family.head(learner.model, train_features[torch.from_numpy(piece)]).float()

    def judged(step: int) -> FloatArray:
        del step
        learner.model.eval()
        with torch.inference_mode():
            logits_RL = family.head(learner.model, validation_features)
        return logits_RL.double().cpu().numpy()

    return Forward(cached, judged, np.ones(len(encodings), dtype=np.int64))


def pooled_features(
    learner: Learner, rows: Placed, *, splits: Splits, pause: Callable[[], None]
) -> Tensor:
    """The pooled hidden state of every row, (R, 1, H), without dropout: computed once.

    Raises: memory-full.
    """
    learner.model.eval()
    encodings = rows.encodings
    lengths = [len(encoding) for encoding in encodings]
    dummy_RL = np.zeros((len(encodings), 1))
    ones_R = np.ones(len(encodings))

    def pooled(piece: IntArray) -> Tensor:
        pause()
        batch = pack(encodings, piece, targets_RL=dummy_RL, weights_R=ones_R)
        with torch.no_grad():
            return pooled_of(learner, batch).float()

    room = splits.room("features", step=0, most=_FEATURE_TOKENS)
    every = np.arange(len(encodings))
    place = rows.places.__getitem__
    features = torch.zeros(len(encodings), 1, 1, device=learner.device)
    for piece, hidden_R1H in passes(every, lengths, room=room, compute=pooled, place=place):
        if features.shape[-1] != hidden_R1H.shape[-1]:
            features = hidden_R1H.new_zeros(len(encodings), 1, hidden_R1H.shape[-1])
        features[torch.from_numpy(piece)] = hidden_R1H
        del hidden_R1H
        if len(piece) < len(encodings):
            return_free_pages()
    return features


def _judged(
    learner: Learner,
    rows: Placed,
    *,
    step: int,
    splits: Splits,
    pause: Callable[[], None],
) -> FloatArray:
    """The rows' logits, longest rows first."""
    lengths = [-len(encoding) for encoding in rows.encodings]
    longest_first: list[int] = np.argsort(lengths, kind="stable").tolist()
    room = splits.room("judging", step=step, most=INFERENCE_TOKENS)
    answers: list[FloatArray] = []
    for start in range(0, len(longest_first), _PAUSE_ROWS):
        pause()
        some = longest_first[start : start + _PAUSE_ROWS]
        answers.append(
            row_logits(
                learner,
                [rows.encodings[row] for row in some],
                room=room,
                place=[rows.places[row] for row in some].__getitem__,
            )
        )
    logits_RL = np.concatenate(answers)
    return logits_RL[np.argsort(longest_first)]
