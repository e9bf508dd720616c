"""The door of shapes: what a file's JSON objects are exports of, and the plain rows they hold.

To add a shape, write `data/shapes/<name>.py` with the members of `Shape`, add a row to `SHAPES` and its
name to `records.task.ShapeName`, and run `tests/laws/test_shapes.py`, which tests every row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from burnish.data.json_cells import JsonObject, too_deep
from burnish.data.rows import FileFacts, Row, columns_among
from burnish.data.shapes import (
    argilla,
    chat,
    label_studio,
    label_studio_min,
    plain,
    prodigy,
    self_instruct,
    squad,
)
from burnish.records.dataset import Rejection

__all__ = ["SHAPES", "Placed", "Shape", "recognise", "rows_in", "shaped", "title_of"]

# A mixed file shows its majority within these; its columns need more, since some are rare.
RECOGNISED_RECORDS = 100
SAMPLE_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class Placed:
    """One record of a JSON file: its place, and the object that stands there or why there is none."""

    where: str
    found: JsonObject | Rejection


class Shape(Protocol):
    """What objects of one shape look like and which rows they hold (tests/laws/test_shapes.py holds it to that).

    `rows` is called with objects that fit; it tells everything an object holds, as rows or as
    rejections. Where an object holds more than one record, places add the path in it
    ("tasks.json:12#annotations[1]"), so that none is told twice.
    """

    title: str

    def fits(self, found: JsonObject) -> bool: ...

    def rows(self, found: JsonObject, *, where: str) -> Iterator[Row | Rejection]: ...


# In the order they are asked; an object that fits nothing else is a row of a plain table.
SHAPES: Mapping[str, Shape] = {
    "label-studio": label_studio,
    "label-studio-min": label_studio_min,
    "prodigy": prodigy,
    "argilla": argilla,
    "squad": squad,
    "self-instruct": self_instruct,
    "chat": chat,
    "plain": plain,
}
PLAIN = "plain"


def recognise(objects: Iterable[JsonObject]) -> str:
    """The name of the first shape that more than half of the objects fit.

    Example:
        >>> recognise([{"text": "a", "answer": "accept", "label": "x"}, {"text": "b", "y": "1"}])
        'plain'
        >>> recognise([{"messages": [{"role": "user", "content": "hello"}]}])
        'chat'
    """
    fitting: Counter[str] = Counter()
    total = 0
    for found in objects:
        total += 1
        fitting.update(name for name, shape in SHAPES.items() if shape.fits(found))
    return next((name for name in SHAPES if 2 * fitting[name] > total), PLAIN)


def shaped(facts: FileFacts, objects: Callable[[], Iterator[Placed]]) -> FileFacts:
    """The facts with the shape of the file's first objects and the columns that their rows have.

    `objects` starts to read the file; it is called twice, so that no object has to be kept.
    """
    first = (one.found for one in objects() if not isinstance(one.found, Rejection))
    shape = recognise(islice(first, RECOGNISED_RECORDS))
    columns = columns_among(islice(rows_in(objects(), shape=shape), SAMPLE_RECORDS))
    return replace(facts, columns=columns, shape=shape)


def rows_in(objects: Iterable[Placed], *, shape: str | None) -> Iterator[Row | Rejection]:
    """Every row that the objects hold; one that is not of the shape is rejected as such."""
    chosen = SHAPES[shape or PLAIN]
    for one in objects:
        if isinstance(one.found, Rejection):
            yield one.found
        elif not chosen.fits(one.found):
            keys = ", ".join(list(one.found)[:6]) or "none"
            detail = f"not of the file's shape ({chosen.title}); its keys: {keys}"
            yield Rejection(where=one.where, reason="shape-mismatch", detail=detail)
        else:
            try:
                held = list(chosen.rows(one.found, where=one.where))
            except RecursionError:
                held = [too_deep(one.where)]
            yield from held


def title_of(shape: str | None) -> str | None:
    """What people call the shape; None for a plain table or a format without shapes.

    Example:
        >>> title_of("squad"), title_of("plain"), title_of(None)
        ('SQuAD questions', None, None)
    """
    return None if shape in (None, PLAIN) else SHAPES[shape].title
