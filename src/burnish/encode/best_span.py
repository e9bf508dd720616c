"""From scores of tokens to the best piece of a context, over all its windows.

A window scores each of its tokens as the start and as the end of the answer; its first token stands for "no answer". A
candidate is a start and an end, scored by the sum of both above the same sum of the first token, which makes windows
comparable: each was taught its own odds of an answer against none. Every start is a candidate in the one window it
belongs to.

Source: Devlin et al. (2019), BERT, sections 4.2 and 4.3 (start plus end score, against the first token's for SQuAD 2.0;
answers of bounded length); the odds within a window are ours, where they compare sums across windows.

Shape legend: T tokens of a window, K starts of a window, B ends of a start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burnish.encode.windows import Window, trimmed
from burnish.records.encoding import FloatArray

# Source: Devlin et al. 2019 (max_answer_length of run_squad), for models that do not say.
DEFAULT_ANSWER_TOKENS = 30


@dataclass(frozen=True, slots=True)
class SpanRule:
    """What may be an answer: of at most so many tokens, and whether "no answer" is one."""

    answer_tokens: int = DEFAULT_ANSWER_TOKENS
    may_be_none: bool = True


@dataclass(frozen=True, slots=True)
class BestSpan:
    """Characters [start, end) of the context, None for no answer, and the probability among all candidates."""

    start: int | None
    end: int | None
    confidence: float


def best_span(
    windows: Sequence[Window], scores: Sequence[FloatArray], context: str, *, rule: SpanRule
) -> BestSpan:
    """The best candidate over all windows of a context, of equals the first.

    The confidence is its softmax among the candidates of all windows and, where the rule allows it, "no answer";
    candidates that cut out the same characters (bytes of one letter) count as one. Without any candidate, as in an
    empty context, there is no answer for certain.

    Shapes: scores[w] (T, 2): start and end logits of window w.
    """
    found = [_candidates(*pair, context, rule) for pair in zip(windows, scores, strict=True)]
    tops = [float(one.score_KB.max(initial=-np.inf)) for one in found]
    place = int(np.argmax(tops))
    best, top = found[place], tops[place]
    if rule.may_be_none:
        top = max(top, 0.0)
    if not top > -np.inf:
        return BestSpan(None, None, 1.0)
    total = sum(float(np.exp(one.score_KB - top).sum()) for one in found)
    none = float(np.exp(-top)) if rule.may_be_none else 0.0
    if rule.may_be_none and tops[place] <= 0:
        return BestSpan(None, None, none / (total + none))
    start, end = best.characters(int(np.argmax(best.score_KB)))
    same = sum(
        float(np.exp(one.score_KB[(one.start_K1 == start) & (one.end_KB == end)] - top).sum())
        for one in found
    )
    return BestSpan(start, end, same / (total + none))


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """One window's: scores over "no answer", -inf where there is none, and the characters they cut out."""

    score_KB: FloatArray
    start_K1: NDArray[np.int32]
    end_KB: NDArray[np.int32]

    def characters(self, place: int) -> tuple[int, int]:
        row, column = divmod(place, self.score_KB.shape[1])
        return int(self.start_K1[row, 0]), int(self.end_KB[row, column])


def _candidates(window: Window, scores_T2: FloatArray, context: str, rule: SpanRule) -> _Candidates:
    over_T2 = scores_T2 - scores_T2[0]
    starts_T, ends_T = trimmed(window.offsets_T2, context)
    first_K = np.arange(window.own_first, window.own_last)
    last_KB = first_K[:, None] + np.arange(rule.answer_tokens)
    inside_KB = last_KB < window.last
    last_KB = np.where(inside_KB, last_KB, 0)
    start_K1, end_KB = starts_T[first_K][:, None], ends_T[last_KB]
    holds_T = ends_T > starts_T
    # both ends stand on something that can be seen, and in this order
    fits_KB = inside_KB & holds_T[first_K][:, None] & holds_T[last_KB] & (end_KB > start_K1)
    score_KB = np.where(fits_KB, over_T2[first_K, 0][:, None] + over_T2[last_KB, 1], -np.inf)
    return _Candidates(score_KB, start_K1, end_KB)
