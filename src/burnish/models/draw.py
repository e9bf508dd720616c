"""Which token comes next: the likeliest, or one drawn; among those a mask allows.

Shape legend: R rows of a batch, V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burnish.records.decoding import Decoding

# From the answer so far to the ids that may come next (None: any). A token is only ever added behind the ids that the
# mask saw last, so it may keep where it stands.
Mask = Callable[[Sequence[int]], NDArray[np.int64] | None]


def pick(
    logits_RV: Tensor,
    decoding: Decoding,
    *,
    seen_RV: Tensor | None,
    allowed: Sequence[NDArray[np.int64] | None],
    randoms: Sequence[np.random.Generator],
) -> Tensor:
    """The next token of each row, (R,): repetition penalty, mask, temperature, top-p, in that order.

    The likeliest at temperature 0. A drawn token is where the row's own random number falls among the cumulated
    probabilities, so it does not depend on the other rows.
    """
    scores_RV = logits_RV
    if seen_RV is not None:
        scores_RV = penalised(scores_RV, seen_RV, penalty=decoding.repetition_penalty)
    if any(ids is not None for ids in allowed):
        scores_RV = _masked(scores_RV, allowed)
    if decoding.temperature == 0:
        return scores_RV.argmax(dim=1)
    chances_RV = torch.softmax(scores_RV.double() / decoding.temperature, dim=1)
    order_RV: Tensor | None = None
    if decoding.top_p < 1:
        chances_RV, order_RV = chances_RV.sort(dim=1, descending=True, stable=True)
        # a token stays if those before it do not hold the share already: the likeliest always does
        before_RV = chances_RV.cumsum(1) - chances_RV
        chances_RV = chances_RV.masked_fill(before_RV >= decoding.top_p, 0.0)
    sums_RV = chances_RV.cumsum(1)
    drawn = np.array([random.random() for random in randoms])[:, None]
    at_R1 = torch.searchsorted(
        sums_RV, torch.from_numpy(drawn).to(sums_RV) * sums_RV[:, -1:], right=True
    ).clamp(max=sums_RV.shape[1] - 1)
    return (at_R1 if order_RV is None else order_RV.gather(1, at_R1))[:, 0]


def penalised(scores_RV: Tensor, seen_RV: Tensor, *, penalty: float) -> Tensor:
    """Scores of tokens that were read or said already, made smaller (Keskar et al. 2019, CTRL)."""
    lowered = torch.where(scores_RV < 0, scores_RV * penalty, scores_RV / penalty)
    return torch.where(seen_RV, lowered, scores_RV)


def seen_tokens(said: Sequence[Sequence[int]], *, like: Tensor) -> Tensor:
    """Which tokens stand in each row, (R, V)."""
    seen = torch.zeros(like.shape, dtype=torch.bool, device=like.device)
    for row, ids in enumerate(said):
        seen[row, torch.tensor(list(ids), dtype=torch.long, device=like.device)] = True
    return seen


def choice_mask(choices: Sequence[Sequence[int]]) -> Mask:
    """Only these token sequences, each with its stop token, may be written: a prefix tree over them.

    Example:
        >>> mask = choice_mask([[5, 6, 2], [5, 7, 2]])
        >>> mask([]).tolist(), mask([5]).tolist(), mask([5, 7]).tolist()
        ([5], [6, 7], [2])
    """
    if not choices or not all(choices):
        raise ValueError("a choice needs at least one token")
    following: dict[tuple[int, ...], set[int]] = {}
    for choice in choices:
        for at, token in enumerate(choice):
            following.setdefault(tuple(choice[:at]), set()).add(token)
    table = {key: np.array(sorted(ids), dtype=np.int64) for key, ids in following.items()}

    def mask(ids: Sequence[int]) -> NDArray[np.int64] | None:
        return table.get(tuple(ids))

    return mask


def _masked(scores_RV: Tensor, allowed: Sequence[NDArray[np.int64] | None]) -> Tensor:
    masked_RV = torch.full_like(scores_RV, float("-inf"))
    for row, ids in enumerate(allowed):
        if ids is None:
            masked_RV[row] = scores_RV[row]
        else:
            kept = torch.from_numpy(ids).to(scores_RV.device)
            masked_RV[row, kept] = scores_RV[row, kept]
    return masked_RV
