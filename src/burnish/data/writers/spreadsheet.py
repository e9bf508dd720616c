"""Excel: one worksheet whose cells are all text, also what looks like a number or a formula."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.data.sheet import Sheet, cells, unnamed
from burnish.errors import fail
from burnish.store.durable import write_file

# Source: Microsoft's "Excel specifications and limits".
MOST_CHARACTERS = 32_767  # UTF-16 units in a cell
MOST_ROWS = 1_048_576
MOST_COLUMNS = 16_384
# what XML 1.0 has no way to write, and a carriage return, which reading XML turns into a line feed
_NOT_XML = re.compile("[\x00-\x08\x0b-\x0d\x0e-\x1f\ufffe\uffff]")
# Excel's own spelling of a character, which programs decode or do not
_ESCAPE = re.compile("_x[0-9A-Fa-f]{4}_")


def obstacles(sheet: Sheet) -> Iterator[tuple[str, str]]:
    """Cells beyond Excel's limits or outside XML, and tables that are too large."""
    yield from unnamed(sheet)
    if len(sheet.lines) + 1 > MOST_ROWS or len(sheet.header) > MOST_COLUMNS:
        size = f"{len(sheet.lines):,} rows of {len(sheet.header):,} columns"
        yield "the table", f"{size} are more than a worksheet holds"
    for name in sheet.header:
        if told := _unfit(name):
            yield "the header", f"column {name!r} {told}"
    for line in sheet.lines:
        for name, value in cells(sheet, line).items():
            if told := _unfit(value):
                yield line.where, f'column "{name}" {told}'


def write(sheet: Sheet, to: Path) -> None:
    """Rows below a header, every cell of type text.

    Raises: extra-missing.
    """
    try:
        from openpyxl import Workbook
        from openpyxl.cell import WriteOnlyCell
    except ImportError as error:
        raise fail(
            "extra-missing",
            "the package openpyxl is not installed",
            where="this environment",
            expected="the excel extra",
            fix="pip install 'burnish[excel]'",
        ) from error
    book = Workbook(write_only=True)
    page = book.create_sheet("rows")

    def text(value: str) -> Any:
        cell = WriteOnlyCell(page, value=value)
        # "=SUM(1)" is a text here, not a formula, and "#N/A" no error
        cell.data_type = "s"
        return cell

    page.append([text(name) for name in sheet.header])
    for line in sheet.lines:
        found = cells(sheet, line)
        page.append([text(found[name]) for name in sheet.header])
    buffer = io.BytesIO()
    book.save(buffer)
    write_file(to, buffer.getvalue())


def left_out(sheet: Sheet) -> tuple[str, ...]:
    """Nothing."""
    return ()


def _unfit(value: str) -> str | None:
    units = len(value.encode("utf-16-le", "surrogatepass")) // 2
    if units > MOST_CHARACTERS:
        return f"holds {units:,} characters, Excel's cells {MOST_CHARACTERS:,} at most"
    if bad := _NOT_XML.search(value):
        return f"holds the control character U+{ord(bad.group()):04X}"
    if bad := _ESCAPE.search(value):
        return f"holds {bad.group()}, which Excel takes for another character"
    return None
