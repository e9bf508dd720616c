"""Which encoding a file has, told honestly: a mark, a proof, or a guess with a warning."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from burnish.data.rows import UNDECODABLE
from burnish.data.stream import CHUNK_BYTES, decode_text, open_bytes
from burnish.errors import BurnishError, fail
from burnish.records.dataset import Issue
from burnish.tasks.encoding import known_encoding, near_encoding

GUESS_BYTES = 1 << 16
USUAL = "cp1252"
ABOUT_AS_WELL = (
    0.02  # of charset-normalizer's mess ratio, which is 0 for clean text and 1 for noise
)
BINARY_FRACTION = 0.01  # NUL or control bytes beyond this share are not a damaged text but no text
# Lines of another encoding are hardly ever good UTF-8 by chance (in GBK, short ones now and then).
MIXED_FRACTION = 0.2
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its first two bytes are the same
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NEED_A_MARK = ("utf_16", "utf_32", "utf-16", "utf-32")
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_MAGIC = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive (also .xlsx and .docx)",
    b"\x1f\x8b": "a gzip archive (name it .gz)",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"\xd0\xcf\x11\xe0": "an old Office document (.xls), or one with a password",
    b"SQLite format 3\x00": "an SQLite database",
    b"PAR1": "a Parquet file",
    b"\x7fELF": "a program",
}
# 0x01 and 0x1c to 0x1f part fields in exports of Hive and of mainframes: no sign of a binary file
_CONTROLS = bytes(set(range(32)) - set(b"\x01\t\n\v\f\r\x1a\x1b\x1c\x1d\x1e\x1f"))
_WIDE_CONTROL = re.compile(r"[\x00\x02-\x08\x0e-\x19]")
_ASCII = re.compile(r"[\t\n\r -~]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Decoding:
    """The encoding a file is read with, and the issues a person should see before trusting it."""

    encoding: str
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class _Count:
    """Of a file that is not UTF-8: characters and lines that are, and that are not; lines to guess from."""

    good: int
    bad: int
    good_lines: int
    bad_lines: int
    sample: bytes


def detect(path: Path, *, name: str, encoding: str | None = None) -> Decoding:
    """How the bytes of `path` become text: what was asked for, a byte order mark's encoding, UTF-8, or a guess.

    The whole file is read once, in constant memory. A file that is mostly good UTF-8, or has whole lines of it,
    stays UTF-8 and its rows with stray bytes are rejected one by one; only a file whose non-ASCII bytes are not
    UTF-8 is guessed, and the guess is an issue.

    Raises: file-binary, encoding-unclear, encoding-unknown, file-broken (gzip).
    """
    with open_bytes(path) as handle:
        head = _head(handle.read, GUESS_BYTES)
    certain = certain_encoding(head, name=name, encoding=encoding)
    if certain is not None:
        return certain
    if _is_utf8(path):
        return Decoding("utf-8")
    _refuse_controls(head, name=name)
    count = _count(path)
    lines = count.good_lines + count.bad_lines
    if count.good >= count.bad or count.good_lines >= MIXED_FRACTION * lines:
        issue = Issue(
            code="undecodable-bytes",
            severity="warning",
            what=f"{name} is UTF-8 with {count.bad} stray byte sequences in {count.bad_lines} lines "
            f"({count.good_lines} lines with other letters are good); rows that hold one are rejected",
            count=count.bad,
            fix="write the file again as UTF-8",
        )
        return Decoding("utf-8", (issue,))
    found = guess(count.sample, name=name)
    return Decoding(found, (guessed(name, found),))


def certain_encoding(head: bytes, *, name: str, encoding: str | None = None) -> Decoding | None:
    """What the first bytes alone decide: the asked encoding, a mark, wide characters without one; None if nothing.

    Raises: file-binary, encoding-unknown.
    """
    mark = next((codec for bom, codec in _BOMS if head.startswith(bom)), None)
    if encoding is not None:
        known = _asked(encoding, mark, name=name)
        if mark is None and known in _NEED_A_MARK:
            plain = known.replace("_", "-")
            wide = _wide(head) or ""
            return Decoding(wide if wide.startswith(plain) else f"{plain}-le")
        return Decoding(known)
    if mark is not None:
        return Decoding(mark)
    kind = next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None)
    if kind is not None:
        raise _binary(kind, name=name)
    nuls = head.count(0)
    if nuls > len(head) * BINARY_FRACTION + 1:
        wide = _wide(head)
        if wide is None:
            raise _binary(f"{nuls} NUL bytes among its first {len(head)}", name=name)
        return Decoding(wide, (guessed(name, wide),))
    return None


def guess(sample: bytes, *, name: str) -> str:
    """The likeliest encoding of lines that are not UTF-8.

    Raises: encoding-unclear.
    """
    # imported here: it takes a while, and most files are UTF-8
    from charset_normalizer import from_bytes

    # these need a mark, and with one there is nothing to guess
    found = from_bytes(sample, cp_exclusion=list(_NEED_A_MARK))
    best = found.best()
    if best is None:
        raise fail(
            "encoding-unclear",
            "the bytes are not UTF-8 and fit no known encoding",
            where=name,
            expected="UTF-8, or UTF-16 with a byte order mark",
            fix='write the file again as UTF-8, or name its encoding: [data] encoding = "..."',
        )
    # of encodings that read the sample about as well, the one of Windows exports is the likeliest
    usual = (
        match
        for match in found
        if USUAL in (match.encoding, *match.could_be_from_charset)
        and match.chaos <= best.chaos + ABOUT_AS_WELL
    )
    return USUAL if next(usual, None) is not None else best.encoding


def guessed(name: str, encoding: str, *, files: tuple[str, ...] = ()) -> Issue:
    """The warning that goes with a guess."""
    what = f"{len(files)} files of {name} are" if files else f"{name} is"
    return Issue(
        code="encoding-guessed",
        severity="warning",
        what=f"{what} not UTF-8; read as {encoding}, which is a guess",
        count=len(files) or 1,
        rows=files[:20],
        fix=f'look at the accents, then say it: [data] encoding = "{encoding}" (or write UTF-8: '
        f"iconv -f {encoding} -t UTF-8)",
    )


def _asked(encoding: str, mark: str | None, *, name: str) -> str:
    known = known_encoding(encoding)
    if known is None:
        raise fail(
            "encoding-unknown",
            f'there is no text encoding named "{encoding[:60]}"',
            where=name,
            expected="a name such as utf-8, cp1252, utf-16, shift_jis",
            fix="correct [data] encoding in task.toml",
            nearest=near_encoding(encoding),
        )
    # the mark is no text: asked for its family, the codec that takes it away is meant
    family = known.replace("_", "-")[:6].rstrip("-")
    return mark if mark is not None and mark.startswith(family) else known


def _head(read: Callable[[int], bytes], size: int) -> bytes:
    data = b""
    while len(data) < size and (more := read(size - len(data))):
        data += more
    return data


def _refuse_controls(head: bytes, *, name: str) -> None:
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > len(head) * BINARY_FRACTION + 1:
        raise _binary(f"{controls} control bytes among its first {len(head)}", name=name)


def _binary(kind: str, *, name: str) -> BurnishError:
    return fail(
        "file-binary",
        f"not text: {kind}",
        where=name,
        expected="CSV, TSV, JSON or JSON lines as text, or .parquet, .xlsx, .gz under their own endings",
        fix="export the table as CSV (UTF-8)",
    )


def _wide(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: the one that decodes strictly and gives text, not noise."""
    best, most = None, 0
    for encoding in _WIDE:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            text = decoder.decode(head)
        except UnicodeDecodeError:
            continue
        plain = len(_ASCII.findall(text))
        controls = len(_WIDE_CONTROL.findall(text))
        if controls <= len(text) * BINARY_FRACTION and plain > max(most, len(text) // 100):
            best, most = encoding, plain
    return best


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with open_bytes(path) as handle:
            while chunk := handle.read(CHUNK_BYTES):
                # no state is waiting after whole ASCII: most chunks of most files are done here
                if not chunk.isascii() or decoder.getstate()[0]:
                    decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _count(path: Path) -> _Count:
    good = bad = good_lines = bad_lines = 0
    sample = bytearray()
    for line in _byte_lines(path):
        if line.isascii():
            continue
        text = decode_text(line, encoding="utf-8")
        marks = text.count(UNDECODABLE)
        good, bad = good + len(_NOT_ASCII.findall(text)) - marks, bad + marks
        good_lines, bad_lines = good_lines + (marks == 0), bad_lines + (marks > 0)
        if len(sample) < GUESS_BYTES:
            sample += line[: GUESS_BYTES - len(sample)]
    return _Count(good, bad, good_lines, bad_lines, bytes(sample))


def _byte_lines(path: Path) -> Iterator[bytes]:
    """Lines, the longest in pieces: what is counted here does not need them whole."""
    with open_bytes(path) as handle:
        while line := handle.readline(CHUNK_BYTES):
            yield line
