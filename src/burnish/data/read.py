"""The door for files: one reader per format, one way to open a file, one shape of rows.

To add a format, write `data/readers/<name>.py` with the members of `rows.Reader`, add its file
endings to `READERS`, and run `tests/laws/test_readers.py`, which tests every row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from burnish.data.readers import delimited, json_array, jsonl, parquet
from burnish.data.rows import FileFacts, Reader, Row, columns_among
from burnish.data.shape import SAMPLE_RECORDS
from burnish.errors import BurnishError, fail, nearest
from burnish.records.dataset import Rejection

__all__ = [
    "READERS", "FileFacts", "Reader", "Row",
    "columns_of", "read_rows", "reader_of", "sha256_of", "sniff",
]  # fmt: skip

READERS: Mapping[str, Reader] = {
    ".csv": delimited,
    ".tsv": delimited,
    ".txt": delimited,
    ".jsonl": jsonl,
    ".ndjson": jsonl,
    ".json": json_array,
    ".parquet": parquet,
}
HASH_BYTES = 1 << 20


def read_rows(
    path: Path, *, name: str | None = None, facts: FileFacts | None = None
) -> Iterator[Row | Rejection]:
    """Every record of the file once, in order, as a Row or as the Rejection that says why not.

    `name` is what places are called ("data/tickets.csv" in "data/tickets.csv:812"), the file's own
    name by default. `facts` saves the look at the file when `sniff` was already called.

    Raises: file-missing, file-is-a-folder, file-not-regular, not-readable, file-empty,
        file-unknown-type, file-binary, encoding-unclear, header-broken, columns-duplicate,
        file-no-rows, json-not-a-list, json-unclosed, file-broken.
    """
    called = name or path.name
    known = facts or sniff(path, name=called)
    return _guarded(reader_of(path, name=called).rows(path, name=called, facts=known), called)


def sniff(path: Path, *, name: str | None = None, shape: str | None = None) -> FileFacts:
    """What a look at the file shows: columns, encoding, delimiter, and what to know before trusting it.

    `shape` is what the objects of a JSON file are taken for, whatever they look like.

    Raises: as `read_rows`, and shape-mismatch.
    """
    called = name or path.name
    _check_file(path, name=called)
    try:
        reader = reader_of(path, name=called)
        facts = reader.sniff(path, name=called)
        if shape is None or facts.shape in (None, shape):
            return facts
        return _taken_for(shape, reader, path, name=called, facts=facts)
    except OSError as error:
        raise _not_readable(called, error) from error


def _taken_for(shape: str, reader: Reader, path: Path, *, name: str, facts: FileFacts) -> FileFacts:
    told = replace(facts, shape=shape)
    sample = islice(reader.rows(path, name=name, facts=told), SAMPLE_RECORDS)
    columns = columns_among(sample)
    if not columns:
        raise fail(
            "shape-mismatch",
            f'none of the first objects has the shape "{shape}"',
            where=name,
            expected=f'objects of that shape; these look like "{facts.shape}"',
            fix="correct shape under [data] in task.toml, or remove it",
        )
    return replace(told, columns=columns)


def columns_of(path: Path) -> list[str]:
    """The file's column names in order."""
    return list(sniff(path).columns)


def reader_of(path: Path, *, name: str) -> Reader:
    """The reader for the file's ending.

    Raises: file-unknown-type.
    """
    suffix = path.suffix.lower()
    if suffix in READERS:
        return READERS[suffix]
    raise fail(
        "file-unknown-type",
        f'no reader for files that end in "{suffix}"' if suffix else "the name has no ending",
        where=name,
        expected=f"one of {', '.join(READERS)}",
        fix="export the table as CSV (UTF-8), or give the file its right ending",
        nearest=nearest(suffix, READERS),
    )


def sha256_of(path: Path, *, name: str) -> str:
    """The SHA-256 of a file's bytes, read in constant memory."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as handle:
            while chunk := handle.read(HASH_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise _not_readable(name, error) from error
    return digest.hexdigest()


def _guarded(records: Iterator[Row | Rejection], name: str) -> Iterator[Row | Rejection]:
    try:
        yield from records
    except OSError as error:
        raise _not_readable(name, error) from error


def _check_file(path: Path, *, name: str) -> None:
    try:
        if path.is_dir():
            inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in READERS)
            raise fail(
                "file-is-a-folder",
                "is a folder, a file was meant",
                where=name,
                expected="one file of rows",
                fix=f"name the file in it: {name.rstrip('/')}/{inside[0] if inside else 'FILE'}",
            )
        if not path.exists():
            raise _missing(path, name=name)
        if not path.is_file():
            raise fail(
                "file-not-regular",
                "is a device, pipe or socket",
                where=name,
                expected="a regular file",
                fix="write the rows to a file first",
            )
        size = path.stat().st_size
    except OSError as error:
        raise _not_readable(name, error) from error
    if size == 0:
        raise fail(
            "file-empty",
            "holds no bytes",
            where=name,
            expected="a header and rows",
            fix="check the export",
        )


def _missing(path: Path, *, name: str) -> BurnishError:
    beside = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
    close = nearest(path.name, beside)
    return fail(
        "file-missing",
        "no such file",
        where=name,
        expected="a file of rows",
        fix="check the spelling and the folder",
        nearest=close,
    )


def _not_readable(name: str, error: OSError) -> BurnishError:
    return fail(
        "not-readable",
        f"the system refuses: {error.strerror or error}",
        where=name,
        expected="a file this user may read",
        fix=f"chmod u+r {name}",
    )
