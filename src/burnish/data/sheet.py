"""Rows on their way out: a dataset as columns and cells, and what keeps a cell from being written."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from burnish.records.example import Split
from burnish.store.durable import replacing

SPLIT_COLUMN = "split"
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Line:
    """One row: its place of origin, its split, the inputs, the label's names (None: no label yet), the other columns."""

    where: str
    split: Split
    inputs: Mapping[str, str]
    names: tuple[str, ...] | None
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything that is exported. `several` when a row may have any number of labels; `options` are all of them.

    `columns` are the names of the columns beside inputs and label; the split's is among them when rows of
    more than one split are exported.
    """

    inputs: tuple[str, ...]
    label: str
    columns: tuple[str, ...]
    options: tuple[str, ...]
    several: bool
    separator: str
    lines: tuple[Line, ...]

    @property
    def header(self) -> tuple[str, ...]:
        """Every column, in the order a table has them."""
        return (*self.inputs, self.label, *self.columns)


class Writer(Protocol):
    """The door for export formats: what every writer promises (tests/laws/test_writers.py holds it to that).

    What was written reads back as the same rows, or is refused before anything is written: `obstacles`
    tells what keeps the sheet out of the format, as (place, what). `write` leaves the old file or the
    whole new one. `left_out` are the columns that the format has no place for.
    """

    def obstacles(self, sheet: Sheet) -> Iterator[tuple[str, str]]: ...

    def write(self, sheet: Sheet, to: Path) -> None: ...

    def left_out(self, sheet: Sheet) -> tuple[str, ...]: ...


def cells(sheet: Sheet, line: Line) -> dict[str, str]:
    """The line as the cells of a table, several labels in one cell."""
    beside = {name: line.columns.get(name, "") for name in sheet.columns}
    return {**line.inputs, sheet.label: label_cell(sheet, line), **beside}


def label_cell(sheet: Sheet, line: Line) -> str:
    """The label as the reader takes it: a name, or names with the separator between."""
    if not line.names:
        return ""
    if not sheet.several:
        return line.names[0]
    joined = sheet.separator.join(line.names)
    # a cell that begins like a JSON list is read as one, so it must be one
    return json.dumps(line.names, ensure_ascii=False) if joined.startswith("[") else joined


def label_value(sheet: Sheet, line: Line) -> str | list[str]:
    """The label as JSON has it: a name, or a list of names."""
    if sheet.several:
        return list(line.names or ())
    return line.names[0] if line.names else ""


def no_text(value: str) -> str | None:
    """What no reader takes back, in words; None for text that every format can carry.

    Example:
        >>> no_text("a\\0b"), no_text("=SUM(1)") is None
        ('holds a NUL character', True)
    """
    if "\0" in value:
        return "holds a NUL character"
    if not value.isascii() and _SURROGATE.search(value):
        return "holds half of a UTF-16 pair"
    return None


def write_list(objects: Iterable[Mapping[str, object]], to: Path) -> None:
    """One JSON list, an object a line, durably.

    Raises: disk-full, not-writable, write-failed.
    """
    with replacing(to) as out:
        mark = "[\n"
        for found in objects:
            out.write(mark + json.dumps(found, ensure_ascii=False))
            mark = ",\n"
        out.write("\n]\n")


def write_table(sheet: Sheet, to: Path, *, delimiter: str) -> None:
    """Delimited text with every cell in quotes, UTF-8, a header, one record a row, durably.

    Raises: disk-full, not-writable, write-failed.
    """
    with replacing(to) as out:
        table = csv.DictWriter(
            out, sheet.header, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n"
        )
        table.writeheader()
        table.writerows(cells(sheet, line) for line in sheet.lines)


def unnamed(sheet: Sheet) -> Iterator[tuple[str, str]]:
    """The obstacle of a column without a name, which a table's header would rename on reading."""
    if "" in sheet.header:
        yield "the header", "a column has no name"
