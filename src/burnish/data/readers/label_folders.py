"""A folder for each label, a text in each file: reviews/pos/1.txt is the row ("...", "pos")."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from burnish.data.decode import GUESS_BYTES, certain_encoding, guess, guessed
from burnish.data.rows import MAX_ROW_CHARACTERS, Asked, FileFacts, Row, make_row, too_long
from burnish.data.stream import decode_text
from burnish.errors import BurnishError
from burnish.records.dataset import Rejection

COLUMNS = ("text", "label")
# Corpora often name their files by a number alone.
ENDINGS = ("", ".txt", ".text")
_WIDEST_BYTES = 4  # of a character, in any encoding


def sniff(path: Path, *, name: str, asked: Asked) -> FileFacts:
    """Columns `text` and `label`, and the one encoding guessed for all files that are not UTF-8.

    Raises: encoding-unclear, encoding-unknown.
    """
    if asked.encoding is not None:
        known = certain_encoding(b"", name=name, encoding=asked.encoding)
        encoding = known.encoding if known else asked.encoding
        return FileFacts(columns=COLUMNS, encoding=encoding, encoding_asked=True)
    sample = bytearray()
    strange: list[str] = []
    for file in files_below(path):
        data = None if _refused(file, path) else _bytes_of(file)
        if not isinstance(data, bytes) or not _is_strange(data):
            continue
        strange.append(_where(file, path, name=name))
        if len(sample) < GUESS_BYTES:
            lines = (line for line in data.splitlines(keepends=True) if not line.isascii())
            sample += b"".join(lines)[: GUESS_BYTES - len(sample)] + b"\n"
    if not strange:
        return FileFacts(columns=COLUMNS, encoding="utf-8")
    found = guess(bytes(sample), name=name)
    issue = guessed(name, found, files=tuple(strange))
    return FileFacts(columns=COLUMNS, encoding=found, issues=(issue,))


def rows(path: Path, *, name: str, facts: FileFacts) -> Iterator[Row | Rejection]:
    """A row for every file in a label's folder, deeper folders included, sorted; `where` is the file.

    Each file has its own encoding: its mark, UTF-8, or the one guess of the folder. Names that begin with a dot
    are passed by; every other file is a row or a rejection.
    """
    for file in files_below(path):
        where = _where(file, path, name=name)
        refused = _refused(file, path)
        data = refused or _bytes_of(file)
        if not isinstance(data, bytes):
            reason, detail = data
            yield Rejection(where=where, reason=reason, detail=detail)
            continue
        encoding = facts.encoding or "utf-8"
        text = _decoded(data, encoding=encoding, always=facts.encoding_asked)
        if text is None:
            yield Rejection(where=where, reason="file-binary", detail="not text")
        elif len(text) > MAX_ROW_CHARACTERS:
            yield too_long(where)
        else:
            yield make_row(where, COLUMNS, (text, file.relative_to(path).parts[0]))


def labels_in(path: Path) -> list[str]:
    """The names of the folders in `path` that hold a file, sorted."""
    below = (file.relative_to(path).parts for file in files_below(path))
    return sorted({parts[0] for parts in below if len(parts) > 1})


def files_below(path: Path) -> Iterator[Path]:
    """Everything below the folder that is not a folder, sorted, without names that begin with a dot.

    Folders behind links are not entered: the links themselves are yielded.
    """
    waiting = [path]
    while waiting:
        here = waiting.pop()
        if here == path or (here.is_dir() and not here.is_symlink()):
            inside = (entry for entry in here.iterdir() if not entry.name.startswith("."))
            waiting += sorted(inside, reverse=True)
        else:
            yield here


def _where(file: Path, path: Path, *, name: str) -> str:
    """The file's place; bytes in its name that are not UTF-8 become question marks, so that it can be stored."""
    place = f"{name.rstrip('/')}/{file.relative_to(path).as_posix()}"
    return os.fsencode(place).decode("utf-8", "replace")


def _refused(file: Path, path: Path) -> tuple[str, str] | None:
    """(reason, detail) for what is no text of a label."""
    if not file.is_file():
        return "file-not-regular", "a link to a folder, a link to nothing, a device or a pipe"
    if file.parent == path:
        return "outside-label-folder", "the file stands beside the labels' folders, not in one"
    if file.suffix.lower() not in ENDINGS:
        return "file-unknown-type", f'ends in "{file.suffix}", texts end in .txt or have no ending'
    return None


def _bytes_of(file: Path) -> bytes | tuple[str, str]:
    """The file's bytes, or (reason, detail)."""
    try:
        if file.stat().st_size > MAX_ROW_CHARACTERS * _WIDEST_BYTES:
            return "row-too-long", too_long("").detail
        return file.read_bytes()
    except OSError as error:
        return "not-readable", f"the system refuses: {error.strerror or error}"


def _decoded(data: bytes, *, encoding: str, always: bool) -> str | None:
    """The text; None when it is none."""
    if not always:
        try:
            encoding = _own_encoding(data) or encoding
        except BurnishError:
            return None
    return decode_text(data, encoding=encoding)


def _is_strange(data: bytes) -> bool:
    """Whether the file is text of which nothing certain is known."""
    try:
        return _own_encoding(data) is None
    except BurnishError:
        return False


def _own_encoding(data: bytes) -> str | None:
    """What the file says or proves of itself.

    Raises: file-binary.
    """
    certain = certain_encoding(data[:GUESS_BYTES], name="")
    if certain is not None:
        return certain.encoding
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"
