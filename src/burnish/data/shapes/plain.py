"""A plain table: every object is a row, every key a column."""

from __future__ import annotations

from collections.abc import Iterator

from burnish.data.json_cells import JsonObject, row_of
from burnish.data.rows import Row
from burnish.records.dataset import Rejection

title = "table"


def fits(found: JsonObject) -> bool:
    """Whether the object is a row: always."""
    return True


def rows(found: JsonObject, *, where: str) -> Iterator[Row | Rejection]:
    """The object as one row."""
    yield row_of(found, where=where)
