"""Extractive answers: do they stand in their context, where their offset says?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from burnish.data.evidence import Finding, Scene, Seen, excerpt
from burnish.data.tally import Tally
from burnish.tasks.spans import Claimed, holds_json, nearest, read_answers

_CONTEXTS = ("context", "passage", "paragraph")
_ANSWERS = ("answers", "answer")
_NAMES = frozenset(_ANSWERS)
_TRUE = frozenset({"true", "1", "yes"})
_SHOWN = 5


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
        if not holds_json(answers) and start is None:
            return  # a plain answer claims no place
        try:
            found = read_answers(answers, start)
        except (ValueError, RecursionError) as error:
            self._broken.add(row.number, str(error))
            return
        if not any(one.text for one in found):
            if cells.get("is_impossible", "").lower() not in _TRUE and _promises(cells):
                self._empty.add(row.number)
            return
        self._place(row, context, found)

    def _place(self, row: Seen, context: str, answers: list[Claimed]) -> None:
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
                else "repair_offsets = true under [data] in task.toml takes the positions told here (the nearest ones); look "
                "at the rows if the answer stands more than once",
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


def _promises(cells: Mapping[str, str]) -> bool:
    return "question" in cells or "is_impossible" in cells
