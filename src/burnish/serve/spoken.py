"""An answer as it is written: what of its text can be said already, so that the pieces together are the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from burnish.records.decoding import Decoding

if TYPE_CHECKING:
    from burnish.models.chat_model import ChatModel
    from burnish.models.pieces import Piece

_UNFINISHED = "\ufffd"


@dataclass(slots=True)
class Spoken:
    """The tokens of one answer so far. Joined, what `hear` returns is the text of the whole answer."""

    chat: ChatModel
    decoding: Decoding
    ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    pieces: list[Piece] = field(default_factory=list["Piece"])
    said: str = ""
    finished: str | None = None

    def hear(self, piece: Piece) -> str:
        """The text that this token makes sure: held back are half a character, blanks at the end, and what may become
        a stop text.
        """
        if piece.token is not None:
            self.ids.append(piece.token)
            self.logprobs.append(piece.logprob)
            self.pieces.append(piece)
        text = self.chat.codec.text(self.ids)
        if piece.finished is not None:
            self.finished = piece.finished
            if piece.stopped_by is not None and piece.stopped_by in text:
                text = text[: text.index(piece.stopped_by)]
            sure = text
        else:
            sure = _sure(text, self.decoding.stop)
        if not sure.startswith(self.said):
            return ""  # a token changed how the ones before it read; the rest comes with the end
        new = sure[len(self.said) :]
        self.said = sure
        return new

    @property
    def prediction_scores(self) -> dict[str, float]:
        """What the journal keeps of how it was written."""
        return {
            "completion_tokens": float(len(self.ids)),
            "finished": float(self.finished == "stop"),
        }


def _sure(text: str, stops: tuple[str, ...]) -> str:
    text = text.rstrip(_UNFINISHED).rstrip()
    for stop in stops:
        for size in range(min(len(stop) - 1, len(text)), 0, -1):
            if text.endswith(stop[:size]):
                text = text[: len(text) - size]
                break
    return text
