"""How a method turns rows into logits: whole forward passes, or the head alone on cached features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.encode.pack import micro_batches, pack
from burnish.models.allocator import return_free_pages
from burnish.models.classifier import TransformersFitted
from burnish.models.family import family_of
from burnish.models.learner import Learner, logits_of, pooled_of
from burnish.records.encoding import Encoding, FloatArray, IntArray

_INFERENCE_TOKENS = 4096
# Validation rows between two looks at `pause`: a few seconds of long rows on a small CPU.
_PAUSE_ROWS = 256


@dataclass(frozen=True, slots=True)
class Forward:
    """`logits` of train rows with gradients, `judged` logits of the validation rows, and each row's cost in tokens."""

    logits: Callable[[IntArray], Tensor]
    judged: Callable[[], FloatArray]
    lengths: IntArray


def forward_of(
    learner: Learner,
    fitted: TransformersFitted,
    encodings: Sequence[Encoding],
    validation: Sequence[Encoding],
    *,
    features_R1H: Tensor | None,
    pause: Callable[[], None],
) -> Forward:
    """The forward passes of a method. With `features_R1H` of the train rows only the head runs in each epoch.

    `pause` is called every few seconds of work that holds no update, and may raise to end it.
    """
    if features_R1H is None:
        lengths = np.array([len(encoding) for encoding in encodings], dtype=np.int64)
        dummy_RL = np.zeros((len(encodings), learner.n_labels))
        ones_R = np.ones(len(encodings))

        def whole(piece: IntArray) -> Tensor:
            batch = pack(encodings, piece, targets_RL=dummy_RL, weights_R=ones_R)
            return logits_of(learner, batch)

        return Forward(whole, lambda: _judged(fitted, validation, pause=pause), lengths)
    family = family_of(learner.model_type)
    train_features = features_R1H
    validation_features = pooled_features(learner, validation, pause=pause)

    def cached(piece: IntArray) -> Tensor:
        return family.head(learner.model, train_features[torch.from_numpy(piece)]).float()

    def judged() -> FloatArray:
        learner.model.eval()
        with torch.inference_mode():
            logits_RL = family.head(learner.model, validation_features)
        return logits_RL.double().cpu().numpy()

    return Forward(cached, judged, np.ones(len(encodings), dtype=np.int64))


def pooled_features(
    learner: Learner, encodings: Sequence[Encoding], *, pause: Callable[[], None]
) -> Tensor:
    """The pooled hidden state of every row, (R, 1, H), without dropout: computed once."""
    learner.model.eval()
    lengths = [len(encoding) for encoding in encodings]
    dummy_RL = np.zeros((len(encodings), 1))
    ones_R = np.ones(len(encodings))
    pieces: list[tuple[IntArray, Tensor]] = []
    every = np.arange(len(encodings))
    with torch.no_grad():
        for rows in micro_batches(every, lengths, batch_tokens=_INFERENCE_TOKENS):
            pause()
            if pieces:
                return_free_pages()
            batch = pack(encodings, rows, targets_RL=dummy_RL, weights_R=ones_R)
            pieces.append((rows, pooled_of(learner, batch).float()))
    width = pieces[0][1].shape[-1] if pieces else 1
    features = torch.zeros(len(encodings), 1, width, device=learner.device)
    for rows, hidden in pieces:
        features[torch.from_numpy(rows)] = hidden
    return features


def _judged(
    fitted: TransformersFitted, encodings: Sequence[Encoding], *, pause: Callable[[], None]
) -> FloatArray:
    """The rows' logits, longest rows first."""
    longest_first = np.argsort([-len(encoding) for encoding in encodings], kind="stable")
    pieces = []
    for start in range(0, len(encodings), _PAUSE_ROWS):
        pause()
        pieces.append(
            fitted.logits([encodings[row] for row in longest_first[start:][:_PAUSE_ROWS]])
        )
    logits_RL = np.concatenate(pieces)
    return logits_RL[np.argsort(longest_first)]
