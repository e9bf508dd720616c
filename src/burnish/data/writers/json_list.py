"""JSON: one list of objects, a row each, several labels as a list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from burnish.data.shape import PLAIN, recognise, title_of
from burnish.data.sheet import Line, Sheet, label_value, write_list


def obstacles(sheet: Sheet) -> Iterator[tuple[str, str]]:
    """Columns that would be read as another tool's export."""
    shape = recognise(_object(sheet, line) for line in sheet.lines)
    if shape != PLAIN:
        yield "the columns", f"would be read as {title_of(shape)}"


def write(sheet: Sheet, to: Path) -> None:
    """UTF-8, an object a line inside the list."""
    write_list((_object(sheet, line) for line in sheet.lines), to)


def left_out(sheet: Sheet) -> tuple[str, ...]:
    """Nothing."""
    return ()


def _object(sheet: Sheet, line: Line) -> dict[str, object]:
    return {**line.inputs, sheet.label: label_value(sheet, line), **line.columns}
