"""An answer as it is written: tokens one by one, and whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Finished = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that could have stood in a place, and its log-probability."""

    token: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of one row's answer, as it is written.

    `logprob` is the model's own, before temperature, penalty and masks. `finished` stands at the row's last piece;
    `stopped_by` is the stop text that ended it, if one did. A row that is cancelled ends with a piece without token.
    """

    row: int
    token: int | None
    logprob: float
    alternatives: tuple[Alternative, ...] = ()
    finished: Finished | None = None
    stopped_by: str | None = None


@dataclass(frozen=True, slots=True)
class Generated:
    """A whole answer: its tokens, the stop token (or the tokens of the stop text) included.

    Units: logprobs in nats, one a token; `logprob` is their sum.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finished: Finished
    stopped_by: str | None = None
    alternatives: tuple[tuple[Alternative, ...], ...] = ()

    @property
    def logprob(self) -> float:
        """The log-probability of the whole answer."""
        return float(sum(self.logprobs))


def spread(answers: Sequence[Generated]) -> list[Piece]:
    """Whole answers as their pieces, one answer after the other."""
    return [
        Piece(
            row,
            token,
            logprob,
            one.alternatives[place] if one.alternatives else (),
            one.finished if place == len(one.ids) - 1 else None,
            one.stopped_by if place == len(one.ids) - 1 else None,
        )
        for row, one in enumerate(answers)
        for place, (token, logprob) in enumerate(zip(one.ids, one.logprobs, strict=True))
    ]


def whole(pieces: Sequence[Piece]) -> Generated:
    """The answer of one row's pieces."""
    last, said = pieces[-1], [piece for piece in pieces if piece.token is not None]
    return Generated(
        ids=tuple(int(piece.token or 0) for piece in said),
        logprobs=tuple(piece.logprob for piece in said),
        finished=last.finished or "length",
        stopped_by=last.stopped_by,
        alternatives=tuple(piece.alternatives for piece in said) if last.alternatives else (),
    )
