"""Bytes to text: which encoding a file has, told honestly, and a stream that marks what is not text."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from burnish.data.rows import UNDECODABLE
from burnish.errors import BurnishError, fail
from burnish.records.dataset import Issue

CHUNK_BYTES = 1 << 20
GUESS_BYTES = 1 << 16
USUAL = "cp1252"
ABOUT_AS_WELL = (
    0.02  # of charset-normalizer's mess ratio, which is 0 for clean text and 1 for noise
)
BINARY_FRACTION = 0.01  # NUL or control bytes beyond this share are not a damaged text but no text
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its first two bytes are the same
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive (also .xlsx and .docx)",
    b"\x1f\x8b": "a gzip archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"\xd0\xcf\x11\xe0": "an old Office document (.xls)",
    b"SQLite format 3\x00": "an SQLite database",
    b"PAR1": "a Parquet file",
    b"\x7fELF": "a program",
}
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b"))
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ERRORS = "burnish-undecodable"


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return UNDECODABLE, error.end


codecs.register_error(_ERRORS, _mark)


@dataclass(frozen=True, slots=True)
class Decoding:
    """The encoding a file is read with, and the issues a person should see before trusting it."""

    encoding: str
    issues: tuple[Issue, ...] = ()


def detect(path: Path, *, name: str) -> Decoding:
    """How the bytes of `path` become text: UTF-8, a byte order mark's encoding, or a guess with a warning.

    The whole file is read once, in constant memory. A file that is mostly good UTF-8 stays UTF-8, and
    its rows with stray bytes are rejected one by one; only a file whose non-ASCII bytes are not
    UTF-8 is guessed.

    Raises: file-binary, encoding-unclear.
    """
    with path.open("rb") as handle:
        head = handle.read(GUESS_BYTES)
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return Decoding(encoding)
    _refuse_binary(head, name=name)
    if _is_utf8(path):
        return Decoding("utf-8")
    _refuse_controls(head, name=name)
    good, bad, sample = _count(path)
    if good >= bad:
        issue = Issue(
            code="undecodable-bytes",
            severity="warning",
            what=f"{name} is UTF-8 with {bad} stray byte sequences; rows that hold one are rejected",
            count=bad,
            fix="write the file again as UTF-8",
        )
        return Decoding("utf-8", (issue,))
    return _guess(sample, name=name)


def open_text(path: Path, *, encoding: str, newline: str) -> TextIO:
    """The file as text, with U+DCFF where bytes mean nothing in `encoding`; newlines stay as written."""
    return path.open(encoding=encoding, errors=_ERRORS, newline=newline)


def _refuse_binary(head: bytes, *, name: str) -> None:
    kind = next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None)
    nuls = head.count(0)
    if kind is None and nuls > len(head) // 4 and _looks_like_utf16(head):
        raise fail(
            "encoding-unclear",
            "looks like UTF-16 without a byte order mark",
            where=name,
            expected="UTF-8, or UTF-16 that says so in its first two bytes",
            fix=f"iconv -f UTF-16LE -t UTF-8 {name} > utf8-{name}",
        )
    if kind is None and nuls > len(head) * BINARY_FRACTION + 1:
        kind = f"{nuls} NUL bytes among its first {len(head)}"
    if kind is not None:
        raise _binary(kind, name=name)


def _refuse_controls(head: bytes, *, name: str) -> None:
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > len(head) * BINARY_FRACTION + 1:
        raise _binary(f"{controls} control bytes among its first {len(head)}", name=name)


def _binary(kind: str, *, name: str) -> BurnishError:
    return fail(
        "file-binary",
        f"not text: {kind}",
        where=name,
        expected="CSV, TSV, JSON or JSON lines as text, or Parquet named .parquet",
        fix="export the table as CSV (UTF-8)",
    )


def _looks_like_utf16(head: bytes) -> bool:
    even, odd = head[::2].count(0), head[1::2].count(0)
    return max(even, odd) > 0.4 * len(head) / 2 and min(even, odd) <= 0.05 * len(head) / 2


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as handle:
            while chunk := handle.read(CHUNK_BYTES):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _count(path: Path) -> tuple[int, int, bytes]:
    """Characters beyond ASCII that are good UTF-8, sequences that are not, and lines to guess from."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors=_ERRORS)
    good = bad = 0
    sample = bytearray()
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK_BYTES):
            text = decoder.decode(chunk)
            marks = text.count(UNDECODABLE)
            good, bad = good + len(_NOT_ASCII.findall(text)) - marks, bad + marks
            if len(sample) < GUESS_BYTES:
                lines = (line for line in chunk.splitlines(keepends=True) if not line.isascii())
                sample += b"".join(lines)[: GUESS_BYTES - len(sample)]
        bad += decoder.decode(b"", final=True).count(UNDECODABLE)
    return good, bad, bytes(sample)


def _guess(sample: bytes, *, name: str) -> Decoding:
    # imported here: it takes a while, and most files are UTF-8
    from charset_normalizer import from_bytes

    found = from_bytes(sample)
    best = found.best()
    if best is None:
        raise fail(
            "encoding-unclear",
            "the bytes are not UTF-8 and fit no known encoding",
            where=name,
            expected="UTF-8, or UTF-16 with a byte order mark",
            fix="write the file again as UTF-8",
        )
    # of encodings that read the sample about as well, the one of Windows exports is the likeliest
    usual = (
        match
        for match in found
        if USUAL in (match.encoding, *match.could_be_from_charset)
        and match.chaos <= best.chaos + ABOUT_AS_WELL
    )
    encoding = USUAL if next(usual, None) is not None else best.encoding
    issue = Issue(
        code="encoding-guessed",
        severity="warning",
        what=f"{name} is not UTF-8; read as {encoding}, which is a guess",
        count=1,
        fix=f"look at the accents, then: iconv -f {encoding} -t UTF-8 {name} > utf8-{name}",
    )
    return Decoding(encoding, (issue,))
