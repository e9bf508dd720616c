"""Rows whose answers are texts, as the loop takes them: costs, shares of an update's loss, and the judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.encode.pack import pack_tokens
from burnish.errors import fail
from burnish.models.room import Room, passes
from burnish.models.writer import Writer, supervised_losses
from burnish.records.encoding import FloatArray, IntArray, TokenRow
from burnish.train.loop import Shares

# Tokens of one forward pass without gradients.
INFERENCE_TOKENS = 4096
# Rows an error names; beyond these a number says enough.
_NAMED_ROWS = 8


@dataclass(frozen=True, slots=True)
class TextRows:
    """Token rows of one split with their places for messages, as `updates` takes them.

    Every row must ask for a token (checked by `text_rows`). Shapes: lengths, weights_R (R,).
    """

    rows: Sequence[TokenRow]
    places: Sequence[str]
    lengths: IntArray
    weights_R: FloatArray

    def places_of(self, rows: IntArray) -> list[str]:
        """Where these rows stand in their files."""
        return [self.places[int(row)] for row in rows]

    def refuse_longer(self, most: int | None) -> None:
        """Refuse rows that reach beyond a model's positions.

        Raises: row-beyond-model naming them.
        """
        if most is None:
            return
        longest_R = [
            max(len(row), 0 if row.source_T is None else len(row.source_T)) for row in self.rows
        ]
        over = np.flatnonzero(np.array(longest_R) > most)
        if len(over):
            named = ", ".join(self.places_of(over[:_NAMED_ROWS]))
            more = len(over) - _NAMED_ROWS
            raise fail(
                "row-beyond-model",
                f"has up to {max(longest_R)} tokens, and the model reads {most}",
                where=f"rows {named} and {more} more" if more > 0 else f"rows {named}",
                expected=f"at most {most} tokens",
                fix="lower max_tokens, set truncate in the task, or choose a base that reads more",
            )


def text_rows(rows: Sequence[TokenRow], *, places: Sequence[str]) -> TextRows:
    """Token rows ready to be learnt: a row costs its tokens (source included), and weighs its supervised ones.

    Raises: row-unsupervised naming every row that asks for nothing, before anything is trained.
    """
    supervised_R = np.array([int((row.targets_T >= 0).sum()) for row in rows], dtype=np.int64)
    idle = np.flatnonzero(supervised_R == 0)
    if len(idle):
        pack_tokens(rows, idle, places=places)  # raises, and knows how to say it
    lengths = [len(row) + (0 if row.source_T is None else len(row.source_T)) for row in rows]
    weights_R = np.array([row.weight for row in rows], dtype=np.float64) * supervised_R
    return TextRows(rows, places, np.array(lengths, dtype=np.int64), weights_R)


def token_shares(writer: Writer, rows: TextRows) -> Shares:
    """Each row's part of an update's loss: its weighted token losses over the update's weighted supervised tokens.

    One division by the count of the whole update, so that cutting it into passes changes nothing.
    """

    def shares(piece: IntArray, weight_sum: float) -> Tensor:
        batch = pack_tokens(rows.rows, piece, places=rows.places)
        losses_S = supervised_losses(writer, batch)
        scaled_S = losses_S * (torch.from_numpy(batch.weights_S) / weight_sum).to(losses_S)
        owners_S = torch.from_numpy(batch.owners_S).to(losses_S.device)
        return scaled_S.new_zeros(len(piece)).index_add(0, owners_S, scaled_S)

    return shares


def mean_token_loss(
    writer: Writer, rows: TextRows, *, room: Room, pause: Callable[[], None]
) -> float:
    """The mean loss of the rows' supervised tokens, weighted, in nats, without dropout: exp of it is the perplexity.

    `pause` is called before passes and may raise. Not a number where an answer is not finite.

    Raises: memory-full naming a row that alone does not fit.
    """
    was_training = writer.model.training
    writer.model.eval()

    def summed(piece: IntArray) -> float:
        pause()
        batch = pack_tokens(rows.rows, piece, places=rows.places)
        losses_S = supervised_losses(writer, batch).double().cpu().numpy()
        return float(losses_S @ batch.weights_S)

    every = np.arange(len(rows.rows))
    place = rows.places.__getitem__
    try:
        with torch.inference_mode():
            made = passes(every, rows.lengths, room=room, compute=summed, place=place)
            total = sum(part for _, part in made)
    finally:
        writer.model.train(was_training)
    return total / float(rows.weights_R.sum())
