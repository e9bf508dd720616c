"""Answers that stand in a context: the ways a cell tells them, and where they really stand."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claimed:
    """An answer's text and where its row says that it starts, in characters; None where the row says nothing."""

    text: str
    start: int | None


def nearest(context: str, text: str, start: int) -> int | None:
    """Where the text stands in the context, as near to `start` as possible; the earlier of two equally near.

    Example:
        >>> nearest("a b a b", "b", 4), nearest("a b a b", "c", 4)
        (2, None)
    """
    at = min(max(start, 0), len(context))
    before = context.rfind(text, 0, at + len(text))
    after = context.find(text, at)
    if before < 0 or after < 0:
        found = max(before, after)
        return found if found >= 0 else None
    return before if at - before <= after - at else after


def holds_json(cell: str) -> bool:
    """Whether the cell is a list or a table of answers and no plain text."""
    return cell.startswith(("{", "["))


def read_answers(cell: str, start: str | None) -> list[Claimed]:
    """The answers of a cell: {"text": [], "answer_start": []}, a list of {"text", "answer_start"} or of [text, start],
    or a plain text with its start in a column of its own.

    Raises: ValueError saying what is wrong.
    """
    if not holds_json(cell):
        if start is None or not start.strip():
            return [Claimed(cell, None)]
        return [Claimed(cell, int(start))]
    said = json.loads(cell)
    if isinstance(said, dict):
        texts, starts = said.get("text", []), said.get("answer_start", said.get("start"))
        if isinstance(texts, str):
            texts, starts = [texts], None if starts is None else [starts]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError('"text" is no list of texts')
        if starts is None:
            return [Claimed(text, None) for text in texts]
        if not isinstance(starts, list) or len(starts) != len(texts):
            raise ValueError('"text" and "answer_start" are not equally long')
        return [Claimed(text, _whole(place)) for text, place in zip(texts, starts, strict=True)]
    found: list[Claimed] = []
    for one in said:
        if isinstance(one, str):
            found.append(Claimed(one, None))
        elif isinstance(one, dict) and isinstance(one.get("text"), str):
            place = one.get("answer_start", one.get("start"))
            found.append(Claimed(one["text"], None if place is None else _whole(place)))
        elif isinstance(one, list) and len(one) == 2 and isinstance(one[0], str):
            found.append(Claimed(one[0], _whole(one[1])))
        else:
            raise ValueError("an answer is neither a text nor a text with its start")
    return found


def _whole(place: object) -> int:
    if isinstance(place, int) and not isinstance(place, bool):
        return place
    if isinstance(place, str) and place.strip().isdecimal():
        return int(place)
    raise ValueError(f"{json.dumps(place)} is no offset")
