"""Extractive answers: do they stand in their context, where their offset says?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from burnish.data.evidence import Finding, Scene, Seen, excerpt
from burnish.data.tally import Tally

_CONTEXTS = ("context", "passage", "paragraph")
_ANSWERS = ("answers", "answer")
_NAMES = frozenset(_ANSWERS)
_TRUE = frozenset({"true", "1", "yes"})
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    start: int | None


class AnswerOffsets:
    """For rows with a context and answers: missing from the context, elsewhere, counted in other units, empty, broken.

    The true position told is the nearest to the one given. Silent for rows without these columns.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._missing, self._moved, self._empty, self._broken = Tally(), Tally(), Tally(), Tally()
        self._units: Counter[str] = Counter()
        self._moves: list[str] = []

    def see(self, row: Seen) -> None:
        if _NAMES.isdisjoint(row.columns) and _NAMES.isdisjoint(row.inputs):
            return
        cells = {**row.inputs, **row.columns}
        answers = next((cells[name] for name in _ANSWERS if name in cells), None)
        if answers is None:
            return
        context = next((cells[name] for name in _CONTEXTS if name in cells), None)
        if context is None:
            return
        start = cells.get("answer_start", cells.get("start"))
        if not _is_spans(answers) and start is None:
            return  # a plain answer claims no place
        try:
            found = _read(answers, start)
        except (ValueError, RecursionError) as error:
            self._broken.add(row.number, str(error))
            return
        if not any(one.text for one in found):
            if cells.get("is_impossible", "").lower() not in _TRUE and _promises(cells):
                self._empty.add(row.number)
            return
        self._place(row, context, found)

    def _place(self, row: Seen, context: str, answers: list[_Answer]) -> None:
        for answer in answers:
            start = answer.start
            if not answer.text or (
                start is not None and start >= 0 and context.startswith(answer.text, start)
            ):
                continue
            true = nearest(context, answer.text, start or 0)
            if true is None:
                self._missing.add(row.number, excerpt(answer.text))
            elif start is not None:
                self._moved.add(row.number)
                self._units[_unit(context, start=start, true=true, text=answer.text)] += 1
                if len(self._moves) < _SHOWN:
                    self._moves.append(
                        f"{row.where}: {excerpt(answer.text, characters=30)} stands at {true}, not at {start}"
                    )

    def findings(self) -> Iterator[Finding]:
        scene = self._scene
        if len(self._broken):
            yield self._broken.finding(
                scene,
                "answers-broken",
                "error",
                f"{len(self._broken)} rows have answers that cannot be read ({self._broken.first})",
                fix='write {"text": ["..."], "answer_start": [0]}; burnish data check --fix answers-broken drops the rows',
                mend="drop",
            )
        if len(self._missing):
            yield self._missing.finding(
                scene,
                "answer-missing",
                "error",
                f"{len(self._missing)} rows have an answer that does not stand in their context, "
                f"for instance {self._missing.first}",
                fix="correct the answer's wording; burnish data check --fix answer-missing drops the rows",
                mend="drop",
            )
        if len(self._moved):
            units, rows = self._units.most_common(1)[0]
            counted = (
                f"; {rows} offsets are right when counted in {units} instead of characters"
                if units != _NEITHER
                else ""
            )
            yield self._moved.finding(
                scene,
                "answer-offset",
                "error",
                f"{len(self._moved)} rows have an answer that stands elsewhere in its context than its offset "
                f"says{counted}: {'; '.join(self._moves)}",
                fix=f"count offsets in characters instead of {units}"
                if counted
                else "take the positions told here (the nearest ones), and look at the rows if the answer stands more than once",
            )
        if len(self._empty):
            yield self._empty.finding(
                scene,
                "answer-empty",
                "warning",
                f"{len(self._empty)} rows have no answer and do not say that they are impossible to answer",
                fix="give the answer, or set is_impossible to true",
            )


_NEITHER = "neither"


def _unit(context: str, *, start: int, true: int, text: str) -> str:
    """The unit in which the offset is right: UTF-8 bytes, UTF-16 units, or neither."""
    for name, encoding, size in (("UTF-8 bytes", "utf-8", 1), ("UTF-16 units", "utf-16-le", 2)):
        places = _places(context, text, around=true)
        if any(
            len(context[:place].encode(encoding, "replace")) == start * size for place in places
        ):
            return name
    return _NEITHER


def _places(context: str, text: str, *, around: int, most: int = 100) -> list[int]:
    """Where the text stands, the nearest to a place among them."""
    found = [around]
    place = context.find(text)
    while place >= 0 and len(found) < most:
        found.append(place)
        place = context.find(text, place + 1)
    return found


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


def _is_spans(cell: str) -> bool:
    return cell.startswith(("{", "["))


def _promises(cells: Mapping[str, str]) -> bool:
    return "question" in cells or "is_impossible" in cells


def _read(cell: str, start: str | None) -> list[_Answer]:
    """The answers of a cell: {"text": [], "answer_start": []}, a list of {"text", "answer_start"} or of [text, start],
    or a plain text with its start in a column of its own.

    Raises: ValueError saying what is wrong.
    """
    if not _is_spans(cell):
        if start is None or not start.strip():
            return [_Answer(cell, None)]
        return [_Answer(cell, int(start))]
    said = json.loads(cell)
    if isinstance(said, dict):
        texts, starts = said.get("text", []), said.get("answer_start", said.get("start"))
        if isinstance(texts, str):
            texts, starts = [texts], None if starts is None else [starts]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError('"text" is no list of texts')
        if starts is None:
            return [_Answer(text, None) for text in texts]
        if not isinstance(starts, list) or len(starts) != len(texts):
            raise ValueError('"text" and "answer_start" are not equally long')
        return [_Answer(text, _whole(place)) for text, place in zip(texts, starts, strict=True)]
    found: list[_Answer] = []
    for one in said:
        if isinstance(one, str):
            found.append(_Answer(one, None))
        elif isinstance(one, dict) and isinstance(one.get("text"), str):
            place = one.get("answer_start", one.get("start"))
            found.append(_Answer(one["text"], None if place is None else _whole(place)))
        elif isinstance(one, list) and len(one) == 2 and isinstance(one[0], str):
            found.append(_Answer(one[0], _whole(one[1])))
        else:
            raise ValueError("an answer is neither a text nor a text with its start")
    return found


def _whole(place: object) -> int:
    if isinstance(place, int) and not isinstance(place, bool):
        return place
    if isinstance(place, str) and place.strip().isdecimal():
        return int(place)
    raise ValueError(f"{json.dumps(place)} is no offset")
