"""Parquet: every column as text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from burnish.data.sheet import Sheet, cells
from burnish.store.durable import write_file


def obstacles(sheet: Sheet) -> Iterator[tuple[str, str]]:
    """None: Parquet carries any text."""
    return iter(())


def write(sheet: Sheet, to: Path) -> None:
    """One table of string columns; the column's order is the header's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [cells(sheet, line) for line in sheet.lines]
    columns = [pa.array([row[name] for row in rows], pa.string()) for name in sheet.header]
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, names=list(sheet.header)), buffer)
    write_file(to, buffer.getvalue())


def left_out(sheet: Sheet) -> tuple[str, ...]:
    """Nothing."""
    return ()
