"""What a training costs, as arithmetic: the forward passes it is made of, lines through what was measured, and the
settings that would fit a memory. Knows arrays only.

Work is counted in tokens: a row of T tokens is T + T*T / span of them, where `span` is the length at which a row's
attention costs as much as its products.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from burnish.encode.pack import epoch_updates, micro_batches
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.recipe import Recipe

# Epochs are looked through for their longest piece while they hold this many rows in all: about a second.
_ROWS_LOOKED_AT = 500_000
# Works closer than this say nothing about a slope.
_SPREAD = 1.3
_LEAST_BATCH_TOKENS = 16
_LEAST_MAX_TOKENS = 32
# Proposed settings leave this part of the room free: they were not measured.
_SPARE = 0.1
# The rows of one pass without gradients (features of the frozen base): train/forward.py.
READING_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of one forward pass with gradients, their work, and whether it is the only one of its update."""

    rows: IntArray
    work: float
    alone: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """The passes of the first epoch, from the least work to the most; the longest of all epochs; updates an epoch."""

    pieces: Sequence[Piece]
    longest: Piece
    updates: int


def schedule_of(lengths: IntArray, recipe: Recipe, *, span: float) -> Schedule:
    """The forward passes of a training on rows of these lengths, as the loop will make them.

    Shapes: lengths (R,), at least one.
    """
    epochs = min(recipe.epochs, max(1, _ROWS_LOOKED_AT // len(lengths)))
    first = sorted(_epoch(lengths, recipe, epoch=0, span=span), key=lambda piece: piece.work)
    longest = first[-1]
    for epoch in range(1, epochs):
        others = _epoch(lengths, recipe, epoch=epoch, span=span)
        longest = max(longest, *others, key=lambda piece: piece.work)
    return Schedule(first, longest, -(-len(lengths) // recipe.batch_rows))


def work_of(lengths: IntArray, *, span: float) -> float:
    """The work of rows of these lengths.

    Example:
        >>> work_of(np.array([10, 20]), span=100.0)
        35.0
    """
    exact = np.asarray(lengths, dtype=np.float64)
    return float((exact + exact * exact / span).sum())


def _epoch(lengths: IntArray, recipe: Recipe, *, epoch: int, span: float) -> Iterator[Piece]:
    updates = epoch_updates(lengths, batch_rows=recipe.batch_rows, seed=recipe.seed, epoch=epoch)
    for update in updates:
        pieces = micro_batches(update, lengths, batch_tokens=recipe.batch_tokens)
        for rows in pieces:
            yield Piece(rows, work_of(lengths[rows], span=span), len(pieces) == 1)


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds on C clocks as a function of work. Shapes: fixed_C, slope_C (C,)."""

    fixed_C: FloatArray
    slope_C: FloatArray

    def at(self, work: float) -> FloatArray:
        """The seconds of so much work, (C,)."""
        return self.fixed_C + self.slope_C * work


def line_through(works_S: FloatArray, seconds_SC: FloatArray) -> Line:
    """The line nearest to what was measured, neither part of it below zero; through zero where works are all alike.

    Squares are divided by the seconds, so that neither the short nor the long passes decide alone.

    Shapes: works_S (S,) above zero, seconds_SC (S, C), at least one sample.

    Example:
        >>> line = line_through(np.array([1.0, 2.0, 4.0]), np.array([[3.0], [4.0], [6.0]]))
        >>> line.at(10.0).round(6).tolist()
        [12.0]
    """
    found = [_line(works_S, seconds_S) for seconds_S in seconds_SC.T]
    return Line(np.array([fixed for fixed, _ in found]), np.array([slope for _, slope in found]))


def _line(works_S: FloatArray, seconds_S: FloatArray) -> tuple[float, float]:
    seconds_S = np.maximum(seconds_S, 1e-9)
    through_zero = 0.0, float(works_S.sum() / (works_S * works_S / seconds_S).sum())
    if works_S.max() < _SPREAD * works_S.min():
        return 0.0, float(seconds_S.sum() / works_S.sum())
    weights_S = 1 / seconds_S
    mean_work = float(np.average(works_S, weights=weights_S))
    mean_seconds = float(np.average(seconds_S, weights=weights_S))
    off_S = works_S - mean_work
    slope = float((weights_S * off_S * seconds_S).sum() / (weights_S * off_S * off_S).sum())
    fixed = mean_seconds - slope * mean_work
    if fixed < 0:
        return through_zero
    return (fixed, slope) if slope > 0 else (mean_seconds, 0.0)


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds on the clocks (wall, processor) of each part of a training. Shapes: all (2,).

    `start` before the first update, `update` each, `epoch` to judge and save after each, `end` after the last.
    """

    start: FloatArray
    update: FloatArray
    epoch: FloatArray
    end: FloatArray

    def of(self, *, updates: int, epochs: int, ended: bool = True) -> FloatArray:
        """The seconds of so many updates and judged epochs, (2,); not `ended`: stopped in the middle."""
        last = self.end if ended else np.zeros_like(self.end)
        return self.start + updates * self.update + epochs * self.epoch + last


@dataclass(frozen=True, slots=True)
class MemoryNeeds:
    """What a training holds at most, by settings. Units: bytes.

    `fixed` whatever the settings; `learnt` for each method gradients, moments and what saving maps; a pass with
    gradients keeps `per_token` a token and `per_pair` a pair of tokens of one row; one without keeps `reading` a token.
    """

    fixed: float
    learnt: Mapping[str, float]
    per_token: float
    per_pair: float
    reading: float

    def kept(self, lengths: IntArray) -> float:
        """The bytes that a forward pass over rows of these lengths keeps for its backward pass."""
        exact = np.asarray(lengths, dtype=np.float64)
        return float(self.per_token * exact.sum() + self.per_pair * (exact * exact).sum())

    def of(self, lengths: IntArray, recipe: Recipe) -> float:
        """An upper bound for rows of these lengths (before `max_tokens`): the longest rows meet in one update."""
        cut = np.minimum(lengths, recipe.max_tokens)
        rows = np.argsort(-cut, kind="stable")
        reads = recipe.method == "head" or recipe.head_start == "probe"
        reading = self.reading * max(READING_TOKENS, int(cut.max())) if reads else 0.0
        if recipe.method == "head":
            return self.fixed + self.learnt["head"] + reading
        first = micro_batches(rows[: recipe.batch_rows], cut, batch_tokens=recipe.batch_tokens)[0]
        return self.fixed + max(reading, self.learnt[recipe.method] + self.kept(cut[first]))


def settings_that_fit(
    recipe: Recipe, lengths: IntArray, needs: MemoryNeeds, *, most: float
) -> dict[str, object] | None:
    """The changes of the recipe that fit into `most` bytes, the mildest first; None when none does.

    Smaller passes (the gradient stays), then shorter rows, then adapters, then the head alone.
    """
    for changes in _milder(recipe, int(lengths.max())):
        if needs.of(lengths, recipe.model_copy(update=changes)) <= most * (1 - _SPARE):
            return changes
    return None


def spelt(changes: Mapping[str, object]) -> str:
    """Changes as lines of recipe.toml.

    Example:
        >>> spelt({"method": "lora", "batch_tokens": 512})
        'method = "lora", batch_tokens = 512'
    """
    return ", ".join(f"{name} = {json.dumps(value)}" for name, value in changes.items())


def _milder(recipe: Recipe, longest: int) -> Iterator[dict[str, object]]:
    methods = ("full", "lora", "head")
    for method in methods[methods.index(recipe.method) :]:
        changed: dict[str, object] = {} if method == recipe.method else {"method": method}
        if changed:
            yield changed
        if method == "head":
            return  # passes without gradients have a size of their own
        # a row longer than the budget stands alone, so a smaller budget than that changes nothing
        row = min(longest, recipe.max_tokens)
        tokens = min(recipe.batch_tokens, recipe.batch_rows * row)
        for batch_tokens in _halves(tokens, down_to=max(_LEAST_BATCH_TOKENS, row)):
            yield {**changed, "batch_tokens": batch_tokens}
        for max_tokens in _halves(row, down_to=_LEAST_MAX_TOKENS):
            least = max(_LEAST_BATCH_TOKENS, min(max_tokens, recipe.batch_tokens))
            yield {**changed, "batch_tokens": least, "max_tokens": max_tokens}


def _halves(most: int, *, down_to: int) -> Iterator[int]:
    """Powers of two below `most`, the last one `down_to` itself.

    Example:
        >>> list(_halves(4096, down_to=700))
        [2048, 1024, 700]
    """
    size = 1 << max(0, (most - 1).bit_length() - 1)
    while size > down_to:
        yield size
        size //= 2
    if down_to < most:
        yield down_to
