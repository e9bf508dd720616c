"""Parquet files, batch by batch, every cell spelled as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.data.rows import (
    MAX_ROW_CHARACTERS,
    UNDECODABLE,
    Asked,
    FileFacts,
    Row,
    make_row,
    too_long,
)
from burnish.errors import BurnishError, fail
from burnish.records.dataset import Rejection

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 256
BATCH_BYTES = 1 << 25
# Real columns of text shrink two to thirty times; beyond this the file was made to fill a memory.
BOMB_BYTES = 1 << 26
BOMB_RATIO = 1000


def sniff(path: Path, *, name: str, asked: Asked) -> FileFacts:
    """The columns of the file's schema.

    Raises: file-broken, file-too-dense, columns-duplicate, file-no-rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = tuple(file.schema_arrow.names)
            rows_in = file.metadata.num_rows
            promised = sum(_group_bytes(file.metadata))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _broken(name, error) from error
    if promised > BOMB_BYTES and promised > BOMB_RATIO * path.stat().st_size:
        raise fail(
            "file-too-dense",
            f"{path.stat().st_size:,} bytes would unpack to {promised:,}",
            where=name,
            expected=f"at most {BOMB_RATIO} times the file's size",
            fix="write the file again without compression",
        )
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
        # without the buffer of whole row groups; repeated texts stay one text
        with pq.ParquetFile(path, pre_buffer=False, read_dictionary=_text_columns(path)) as file:
            for batch in file.iter_batches(batch_size=_batch_rows(file.metadata)):
                columns = [_texts(column) for column in batch.columns]
                for values in zip(*columns, strict=True):
                    number += 1
                    where = f"{name}:{number}"
                    if sum(map(len, values)) > MAX_ROW_CHARACTERS:
                        yield too_long(where)
                    else:
                        yield make_row(where, facts.columns, values)
            missing = file.metadata.num_rows - number
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _broken(name, error) from error
    if missing:
        raise _broken(name, ValueError(f"{missing} of the rows it promises are not there"))


def _group_bytes(metadata: pq.FileMetaData) -> list[int]:
    return [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]


def _batch_rows(metadata: pq.FileMetaData) -> int:
    """So many rows that a batch of average ones stays under BATCH_BYTES."""
    a_row = max(_group_bytes(metadata), default=0) // max(
        1, metadata.num_rows // max(1, metadata.num_row_groups)
    )
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, a_row)))


def _text_columns(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    kinds = (pa.string(), pa.large_string(), pa.binary())
    return [field.name for field in schema if field.type in kinds]


def _texts(column: pa.Array) -> list[str]:
    import pyarrow as pa

    if isinstance(column, pa.DictionaryArray):
        indices = column.indices.to_pylist()
        used = set(indices) - {None}
        if used and not 0 <= min(used) <= max(used) < len(column.dictionary):
            raise ValueError("a value points beyond the dictionary of its column")
        known = {i: _scalar_text(column.dictionary[i]) for i in used}
        return [known.get(i, "") for i in indices]
    try:
        return [_text(value) for value in column.to_pylist()]
    except (UnicodeDecodeError, ValueError, OverflowError, ImportError):
        return [_scalar_text(scalar) for scalar in column]


def _scalar_text(scalar: pa.Scalar) -> str:
    """One value as text; times finer or farther than Python's are spelled by Arrow."""
    import pyarrow as pa

    try:
        return _text(scalar.as_py())
    except UnicodeDecodeError:
        return UNDECODABLE
    except (ValueError, OverflowError, ImportError):
        return str(scalar.cast(pa.string()))


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
