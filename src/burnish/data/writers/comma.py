"""CSV: every cell in quotes, so that nothing in a text can be taken for a delimiter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from burnish.data.sheet import Sheet, unnamed, write_table


def obstacles(sheet: Sheet) -> Iterator[tuple[str, str]]:
    """Only a column without a name."""
    return unnamed(sheet)


def write(sheet: Sheet, to: Path) -> None:
    """UTF-8, a header, one record a row; line ends inside cells stay as they are."""
    write_table(sheet, to, delimiter=",")


def left_out(sheet: Sheet) -> tuple[str, ...]:
    """Nothing."""
    return ()
