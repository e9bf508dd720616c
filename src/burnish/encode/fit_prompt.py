"""A prompt that is longer than the model reads: refused, or cut the way somebody chose, and what was cut is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from burnish.errors import fail
from burnish.records.encoding import IntArray
from burnish.records.message import Message

# left and right cut the beginning or the end of the last turn's text, window the oldest turns below the system's.
Truncate = Literal["left", "right", "window"]
TRUNCATE: tuple[Truncate, ...] = ("left", "right", "window")


@dataclass(frozen=True, slots=True, eq=False)
class FittedPrompt:
    """The turns that are sent and their tokens. The counts say what was cut; all 0 when nothing was."""

    messages: tuple[Message, ...]
    ids_T: IntArray
    dropped_tokens: int = 0
    dropped_characters: int = 0
    dropped_turns: int = 0


def fit_prompt(
    messages: Sequence[Message],
    *,
    encode: Callable[[Sequence[Message]], IntArray],
    most_tokens: int,
    truncate: Truncate | None = None,
    where: str = "",
) -> FittedPrompt:
    """The prompt within `most_tokens`. `encode` is what the model is fed: `prompt_ids` or `source_ids` of its family.

    A turn is never cut in its marks: the text inside is, or whole turns go, oldest first, so that what is left begins
    with a user's turn. The same call cuts rows for training and requests.

    Raises: prompt-too-long when nothing may be cut, or when cutting everything that may go does not help.
    """
    kept = tuple(messages)
    ids = encode(kept)
    if len(ids) <= most_tokens:
        return FittedPrompt(kept, ids)
    options = _windows(kept) if truncate == "window" else []
    if truncate in ("left", "right") and kept:
        options = _Cuts(kept, truncate)
    # the first that fits: every further one is shorter
    low, high = 0, len(options)
    best: tuple[tuple[Message, ...], IntArray] | None = None
    while low < high:
        middle = (low + high) // 2
        tried = options[middle]
        found = encode(tried)
        if len(found) <= most_tokens:
            best, high = (tried, found), middle
        else:
            low = middle + 1
    if best is None:
        raise fail(
            "prompt-too-long",
            f"has {len(ids)} tokens"
            + (f", too many even with truncate = {truncate}" if truncate else ""),
            where=where,
            expected=f"at most {most_tokens}",
            fix=f"shorten it, or choose truncate = {', '.join(TRUNCATE)}",
        )
    said = sum(len(one.content) for one in kept) - sum(len(one.content) for one in best[0])
    return FittedPrompt(best[0], best[1], len(ids) - len(best[1]), said, len(kept) - len(best[0]))


def _windows(messages: Sequence[Message]) -> list[tuple[Message, ...]]:
    """Fewer and fewer turns: the system's at the start, and all from a user's turn on."""
    system = tuple(messages[:1]) if messages and messages[0].role == "system" else ()
    starts = [
        place for place, one in enumerate(messages) if one.role == "user" and place > len(system)
    ]
    return [(*system, *messages[start:]) for start in starts]


class _Cuts(Sequence[tuple[Message, ...]]):
    """The turns with 1, 2, 3, ... characters of the last one's text gone; at least one is left."""

    def __init__(self, messages: tuple[Message, ...], side: str) -> None:
        self._messages, self._side = messages, side

    def __len__(self) -> int:
        return max(0, len(self._messages[-1].content) - 1)

    def __getitem__(self, index: int) -> tuple[Message, ...]:  # type: ignore[override]
        text, gone = self._messages[-1].content, index + 1
        left = text[gone:] if self._side == "left" else text[: len(text) - gone]
        return (*self._messages[:-1], self._messages[-1].model_copy(update={"content": left}))
