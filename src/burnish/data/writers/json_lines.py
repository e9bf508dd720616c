"""JSON lines: one object a row, a column a key, several labels as a list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from burnish.data.shape import PLAIN, recognise, title_of
from burnish.data.sheet import Sheet, label_value
from burnish.store.durable import replacing


def obstacles(sheet: Sheet) -> Iterator[tuple[str, str]]:
    """Columns that would be read as another tool's export."""
    shape = recognise(_objects(sheet))
    if shape != PLAIN:
        yield "the columns", f"would be read as {title_of(shape)}"


def write(sheet: Sheet, to: Path) -> None:
    """UTF-8, one object a line; a column that a row does not have is left out of it."""
    with replacing(to) as out:
        for found in _objects(sheet):
            out.write(json.dumps(found, ensure_ascii=False) + "\n")


def left_out(sheet: Sheet) -> tuple[str, ...]:
    """Nothing."""
    return ()


def _objects(sheet: Sheet) -> Iterator[dict[str, object]]:
    for line in sheet.lines:
        yield {**line.inputs, sheet.label: label_value(sheet, line), **line.columns}
