"""Parquet files, batch by batch, every cell spelled as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.data.rows import UNDECODABLE, FileFacts, Row, make_row
from burnish.errors import BurnishError, fail
from burnish.records.dataset import Rejection

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 256


def sniff(path: Path, *, name: str) -> FileFacts:
    """The columns of the file's schema.

    Raises: file-broken, columns-duplicate, file-no-rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = tuple(file.schema_arrow.names)
            rows_in = file.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _broken(name, error) from error
    if len(set(columns)) < len(columns):
        raise fail(
            "columns-duplicate",
            "a column name stands twice in the schema",
            where=name,
            expected="every column name once",
            fix="rename or remove one of them",
        )
    if rows_in == 0 or not columns:
        raise fail(
            "file-no-rows", "holds no rows", where=name, expected="rows", fix="check the export"
        )
    return FileFacts(columns=columns)


def rows(path: Path, *, name: str, facts: FileFacts) -> Iterator[Row | Rejection]:
    """The rows in order; `where` counts them from 1, since Parquet has no lines.

    Text stays as it is, null is the empty cell, other types are spelled: integers in digits, floats
    in the shortest form that reads back equal, true and false, ISO dates, lists and structs as JSON.

    Raises: file-broken.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                columns = [_texts(column) for column in batch.columns]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield make_row(f"{name}:{number}", facts.columns, values)
            missing = file.metadata.num_rows - number
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _broken(name, error) from error
    if missing:
        raise _broken(name, ValueError(f"{missing} of the rows it promises are not there"))


def _texts(column: pa.Array) -> list[str]:
    try:
        return [_text(value) for value in column.to_pylist()]
    except UnicodeDecodeError:
        return [_scalar_text(scalar) for scalar in column]


def _scalar_text(scalar: pa.Scalar) -> str:
    try:
        return _text(scalar.as_py())
    except UnicodeDecodeError:
        return UNDECODABLE


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_text)
    return str(value)


def _broken(name: str, error: Exception) -> BurnishError:
    return fail(
        "file-broken",
        f"Parquet cannot be read: {str(error).splitlines()[0][:200] if str(error) else 'unknown'}",
        where=name,
        expected="a whole Parquet file",
        fix="the file looks damaged or cut off: export or copy it again",
    )
