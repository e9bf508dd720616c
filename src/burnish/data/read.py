"""The door for files: one reader per format, one way to open a file, one shape of rows.

To add a format, write `data/readers/<name>.py` with the members of `rows.Reader`, add its file
endings to `READERS`, and run `tests/laws/test_readers.py`, which tests every row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

from burnish.data.readers import delimited, json_array, jsonl, label_folders, parquet, xlsx
from burnish.data.rows import NOTHING_ASKED, Asked, FileFacts, Reader, Row, columns_among
from burnish.data.shape import SAMPLE_RECORDS
from burnish.data.stream import GZIP, GZIP_ERRORS, gzip_broken, suffix_of
from burnish.errors import BurnishError, fail, nearest
from burnish.records.dataset import Rejection

__all__ = [
    "READERS", "Asked", "FileFacts", "Reader", "Row",
    "columns_of", "read_rows", "reader_of", "refuse_changed", "sha256_of", "sniff", "stamp_of",
]  # fmt: skip

FOLDER = "/"  # stands for the ending of a folder
READERS: Mapping[str, Reader] = {
    ".csv": delimited,
    ".tsv": delimited,
    ".txt": delimited,
    ".jsonl": jsonl,
    ".ndjson": jsonl,
    ".json": json_array,
    ".parquet": parquet,
    ".xlsx": xlsx,
    FOLDER: label_folders,
}
_NOT_TEXT = (parquet, xlsx)
HASH_BYTES = 1 << 20


def read_rows(
    path: Path, *, name: str | None = None, facts: FileFacts | None = None
) -> Iterator[Row | Rejection]:
    """Every record of the file once, in order, as a Row or as the Rejection that says why not.

    `name` is what places are called ("data/tickets.csv" in "data/tickets.csv:812"), the file's own
    name by default. `facts` saves the look at the file when `sniff` was already called. A file that is not the one
    that was looked at, when it was looked at again after its last row, is an error: take nothing of it.

    Raises: file-missing, file-is-a-folder, file-not-regular, not-readable, file-empty, file-changed,
        file-unknown-type, file-binary, encoding-unclear, header-broken, columns-duplicate,
        file-no-rows, file-too-dense, json-not-a-list, json-unclosed, file-broken.
    """
    called = name or path.name
    known = facts or sniff(path, name=called)
    records = reader_of(path, name=called).rows(path, name=called, facts=known)
    return _guarded(records, path, name=called, stamp=known.stamp)


def sniff(path: Path, *, name: str | None = None, asked: Asked = NOTHING_ASKED) -> FileFacts:
    """What a look at the file shows: columns, encoding, delimiter, and what to know before trusting it.

    `asked` holds what a person said about the file; it is believed.

    Raises: as `read_rows`, encoding-unknown, shape-mismatch.
    """
    called = name or path.name
    _check_file(path, name=called)
    reader = reader_of(path, name=called)
    with _told(called):
        stamp = stamp_of(path)
        facts = replace(reader.sniff(path, name=called, asked=asked), stamp=stamp)
        if asked.shape is None or facts.shape in (None, asked.shape):
            return facts
        return _taken_for(asked.shape, reader, path, name=called, facts=facts)


def stamp_of(path: Path) -> str:
    """What the file system says of a file, or of every file of a folder: it changes when they do.

    Raises: OSError.
    """
    files = [path] if not path.is_dir() else list(label_folders.files_below(path))
    told = hashlib.sha256()
    for file in files:
        found = file.stat()
        told.update(
            f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}\n".encode()
        )
    return told.hexdigest()


def refuse_changed(path: Path, *, name: str, stamp: str | None) -> None:
    """Raise when the file is not the one that was stamped.

    Raises: file-changed, not-readable.
    """
    with _told(name):
        if stamp is None or stamp_of(path) == stamp:
            return
    raise fail(
        "file-changed",
        "was written to, or replaced, while it was read",
        where=name,
        expected="a file that nobody writes to",
        fix="wait until it is whole, then run the same command again; nothing of it was taken",
    )


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
    """The reader for the file's ending (".gz" aside, for formats that are text), or for a folder.

    Raises: file-unknown-type.
    """
    if path.is_dir():
        return READERS[FOLDER]
    suffix = suffix_of(path)
    packed = path.suffix.lower() == GZIP
    if suffix in READERS and not (packed and READERS[suffix] in _NOT_TEXT):
        return READERS[suffix]
    what = f'no reader for files that end in "{suffix}"' if suffix else "the name has no ending"
    if packed and suffix in READERS:
        what = f"{suffix} files are packed already and are not read out of .gz"
    raise fail(
        "file-unknown-type",
        what,
        where=name,
        expected=f"one of {', '.join(one for one in READERS if one != FOLDER)}; of texts also .gz",
        fix=f"gunzip {name}"
        if packed
        else "export the table as CSV (UTF-8), or give the file its right ending",
        nearest=nearest(suffix, READERS),
    )


def sha256_of(path: Path, *, name: str) -> str:
    """The SHA-256 of a file's bytes, read in constant memory; of a folder, that of its files' names and bytes.

    Raises: not-readable.
    """
    with _told(name):
        if not path.is_dir():
            return _digest(path)
        whole = hashlib.sha256()
        for file in label_folders.files_below(path):
            whole.update(f"{file.relative_to(path).as_posix()} {_digest(file)}\n".encode())
        return whole.hexdigest()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(HASH_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What the system or gzip raises, in our shape."""
    try:
        yield
    except GZIP_ERRORS as error:
        raise gzip_broken(name, error) from error
    except OSError as error:
        raise _not_readable(name, error) from error


def _guarded(
    records: Iterator[Row | Rejection], path: Path, *, name: str, stamp: str | None
) -> Iterator[Row | Rejection]:
    try:
        with _told(name):
            yield from records
    except BurnishError:
        # a file that shrinks under the reader looks damaged: say what it is
        if path.exists():
            refuse_changed(path, name=name, stamp=stamp)
        raise
    refuse_changed(path, name=name, stamp=stamp)


def _check_file(path: Path, *, name: str) -> None:
    try:
        if path.is_dir():
            if label_folders.labels_in(path):
                return
            inside = sorted(p.name for p in path.iterdir() if suffix_of(p) in READERS)
            raise fail(
                "file-is-a-folder",
                "is a folder without folders of text files in it",
                where=name,
                expected="one file of rows, or a folder for each label with a text in each file",
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
