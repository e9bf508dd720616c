"""A file as a stream of bytes or text: gzip undone on the way, lines never longer than a stated limit."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import BinaryIO, TextIO, cast

from burnish.data.rows import MAX_ROW_CHARACTERS, UNDECODABLE
from burnish.errors import BurnishError, fail

GZIP = ".gz"
GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 1 << 20
# What a damaged or cut gzip stream raises while it is read (gzip.BadGzipFile is an OSError).
GZIP_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)
_SKIP_CHARACTERS = 1 << 16
_ERRORS = "burnish-undecodable"


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return UNDECODABLE, error.end


codecs.register_error(_ERRORS, _mark)


def suffix_of(path: PurePath) -> str:
    """The ending that names the format, in small letters; ".gz" is taken off first.

    Example:
        >>> suffix_of(PurePath("tickets.CSV.gz")), suffix_of(PurePath("tickets.tsv"))
        ('.csv', '.tsv')
    """
    suffix = path.suffix.lower()
    return PurePath(path.stem).suffix.lower() if suffix == GZIP else suffix


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes as a stream; what a name that ends in .gz holds is unpacked piece by piece.

    Raises: file-broken (named .gz and not gzip), and while it is read GZIP_ERRORS.
    """
    if path.suffix.lower() != GZIP:
        return path.open("rb")
    handle = path.open("rb")
    if handle.peek(2)[:2] != GZIP_MAGIC:
        handle.close()
        raise fail(
            "file-broken",
            "the name ends in .gz, the content is not gzip",
            where=path.name,
            expected="a gzip file",
            fix=f"if it is plain already: mv {path.name} {path.stem}",
        )
    # GzipFile(filename) closes what it opens; its own buffer keeps memory constant
    handle.close()
    return cast("BinaryIO", gzip.open(path, "rb"))


def open_text(path: Path, *, encoding: str, newline: str) -> TextIO:
    """The file as text, with U+DCFF where bytes mean nothing in `encoding`; newlines stay as written."""
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, errors=_ERRORS, newline=newline)


def decode_text(data: bytes, *, encoding: str) -> str:
    """All of `data` as text, with U+DCFF where bytes mean nothing in `encoding`."""
    return data.decode(encoding, _ERRORS)


def text_lines(
    handle: TextIO, *, ends: tuple[str, ...], most: int = MAX_ROW_CHARACTERS
) -> Iterator[str | None]:
    """Every line with its end; None stands for a line of more than `most` characters, which is never held whole.

    `ends` are the marks that may end a line of this handle: "\\n" alone, or "\\n" and "\\r".

    Example:
        >>> list(text_lines(io.StringIO("ab\\nabcdef\\nc"), ends=("\\n",), most=4))
        ['ab\\n', None, 'c']
    """
    begun = ""
    readline, limit = handle.readline, most + 1
    while line := begun + readline(limit - len(begun)) if begun else readline(limit):
        begun = ""
        if len(line) <= most:
            yield line
            continue
        yield None
        while line and not line.endswith(ends):
            line = handle.readline(_SKIP_CHARACTERS)
        if line.endswith("\r"):
            # the piece may have ended between \r and its \n
            begun = handle.readline(1).removeprefix("\n")
            while begun == "\r":
                begun = handle.readline(1)
                yield "\r\n" if begun == "\n" else "\r"
                begun = begun.removeprefix("\n")


def gzip_broken(name: str, error: BaseException) -> BurnishError:
    """The error for a gzip stream that is cut off or damaged: nobody can tell which rows are missing."""
    return fail(
        "file-broken",
        f"the gzip stream is damaged or cut off: {str(error)[:200] or type(error).__name__}",
        where=name,
        expected="a whole gzip file",
        fix=f"gzip -t {name}  tests it; copy or export it again",
    )
