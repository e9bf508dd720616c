"""What memory allowed: every pass that had to be cut, what is allowed from there on, and where that is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from burnish.models.room import Room
from burnish.models.shortage import Shortage, row_too_large
from burnish.records.run import Split

During = Literal["update", "features", "judging"]
_DOING = {
    "update": "the forward and backward pass of",
    "features": "the base's forward pass of",
    "judging": "the forward pass of",
}


def _ignore(split: Split) -> None:
    del split


@dataclass(slots=True)
class Splits:
    """The splits of one run so far, oldest first. `note` hears of each new one before anything goes on with it.

    The budget of a pass is a pure function of its step and the splits, so whoever has them continues bit for bit.
    """

    made: tuple[Split, ...] = ()
    note: Callable[[Split], None] = _ignore

    def tokens(self, during: During, *, step: int, most: int) -> int:
        """Tokens a pass of this kind may take at this step.

        Example:
            >>> splits = Splits((Split(step=3, during="update", before=64, tokens=32),))
            >>> [splits.tokens("update", step=step, most=64) for step in (2, 3, 4)]
            [64, 32, 32]
        """
        allowed = [one.tokens for one in self.made if one.during == during and one.step <= step]
        return min((most, *allowed))

    def cut(self, shortage: Shortage, *, during: During, step: int, place: str) -> None:
        """From this step on half of what found no memory.

        Raises: memory-full when it was a single row.
        """
        if shortage.rows == 1:
            raise row_too_large(shortage, place=place, doing=_DOING[during])
        split = Split(step=step, during=during, before=shortage.tokens, tokens=shortage.half)
        self.join([split])
        self.note(split)

    def join(self, others: Iterable[Split]) -> None:
        """Take in what another record of the same run knows."""
        every = {one.model_dump_json(): one for one in (*self.made, *others)}
        self.made = tuple(
            sorted(every.values(), key=lambda one: (one.step, one.during, -one.tokens))
        )

    def room(self, during: During, *, step: int, most: int) -> Room:
        """The room of passes without gradients at this step."""

        def lowered(shortage: Shortage) -> None:
            self.cut(shortage, during=during, step=step, place="")

        return Room(self.tokens(during, step=step, most=most), lowered)
