"""The parts of an .xlsx file: a ZIP archive of XML, opened as if it were hostile.

Nothing is written where the archive says. A part that would unpack to far more than it holds is refused before it
is unpacked, XML with a document type (where entities are declared) is refused, and no tag may fill the memory.
"""

from __future__ import annotations

import errno
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast
from xml.parsers import expat

from burnish.errors import BurnishError, fail

CHUNK_BYTES = 1 << 16
# XML of sheets shrinks ten to fifty times; beyond this the part was made to fill a memory.
BOMB_BYTES = 1 << 26
BOMB_RATIO = 300
LARGEST_PART_BYTES = 1 << 33
LARGEST_TAG_BYTES = 1 << 20
SMALL_PART_BYTES = 1 << 26  # styles and lists of sheets, which are held in memory
# What zipfile and expat raise on damaged or strangely packed archives.
BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, expat.ExpatError, UnicodeError,
)  # fmt: skip
_OFFICE = "officeDocument"
_ESCAPED = re.compile(r"(?:_x[0-9A-Fa-f]{4}_)+")
# Format numbers that are dates or times in every Excel, and what custom formats spell them with.
_DATE_FORMATS = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}
_ELAPSED_FORMAT = 46
_NOT_SPELLED = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]")
_Attributes = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet: its name, its part in the archive, whether Excel shows it."""

    name: str
    part: str
    hidden: bool


@dataclass(slots=True)
class Workbook:
    """What stands around the sheets. `times` says which cell styles show a number as a "date" or as "elapsed" time."""

    archive: zipfile.ZipFile
    sheets: tuple[Sheet, ...]
    strings_part: str | None
    times: Mapping[int, str]
    since_1904: bool


@dataclass(slots=True)
class _Found:
    """What the small parts say, collected while they are parsed."""

    sheets: list[tuple[str, str, bool]] = field(default_factory=list)
    since_1904: bool = False
    formats: dict[int, str] = field(default_factory=dict)
    styles: list[int] = field(default_factory=list)
    in_styles: bool = False
    links: dict[str, tuple[str, str]] = field(default_factory=dict)


@contextmanager
def open_workbook(path: Path, *, name: str) -> Iterator[Workbook]:
    """The workbook's list of sheets and styles; every error inside the block has our shape.

    Raises: file-broken, file-too-dense, file-binary (with a password, or not a workbook).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield _workbook(archive, name=name)
    except BROKEN as error:
        raise broken(name, str(error)) from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise broken(name, "its table of contents points outside the file") from error


def broken(name: str, what: str) -> BurnishError:
    """The error for an archive or XML that cannot be read to its end."""
    return fail(
        "file-broken",
        f"the workbook cannot be read: {what[:200] or 'damaged'}",
        where=name,
        expected="a whole .xlsx file",
        fix="open it in a spreadsheet program and save it again, or export the sheet as CSV (UTF-8)",
    )


@contextmanager
def open_part(
    book: zipfile.ZipFile, part: str, *, name: str, most_bytes: int = LARGEST_PART_BYTES
) -> Iterator[BinaryIO]:
    """One part as a stream of bytes, its size looked at before anything is unpacked.

    Raises: file-broken (no such part), file-too-dense.
    """
    try:
        info = book.getinfo(part)
    except KeyError as error:
        raise broken(name, f"it lacks its part {part}") from error
    dense = info.file_size > BOMB_BYTES and info.file_size > BOMB_RATIO * info.compress_size
    if dense or info.file_size > most_bytes:
        raise fail(
            "file-too-dense",
            f"{part}: {info.compress_size:,} bytes would unpack to {info.file_size:,}",
            where=name,
            expected=f"at most {BOMB_RATIO} times its size, and {most_bytes:,} bytes",
            fix="export the sheet as CSV (UTF-8)",
        )
    if info.flag_bits & 1:
        raise broken(name, "it has a password")
    with book.open(info) as handle:
        yield cast("BinaryIO", handle)


def parse(
    handle: BinaryIO,
    *,
    name: str,
    start: Callable[[str, _Attributes], None],
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Feed the part's XML to the callbacks, a chunk at a time; tags come without their prefix.

    Raises: file-broken, and expat's and zipfile's errors, which `open_workbook` translates.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(doctype: str, system: str | None, public: str | None, internal: int) -> None:
        raise broken(name, "its XML declares a document type, which no spreadsheet program writes")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda tag, found: start(tag.rpartition(":")[2], found)
    if end is not None:
        parser.EndElementHandler = lambda tag: end(tag.rpartition(":")[2])
    if text is not None:
        parser.CharacterDataHandler = text
    fed = 0
    while chunk := handle.read(CHUNK_BYTES):
        parser.Parse(chunk)
        fed += len(chunk)
        if fed - parser.CurrentByteIndex > LARGEST_TAG_BYTES:
            raise broken(name, f"a tag is longer than {LARGEST_TAG_BYTES:,} bytes")
        yield
    parser.Parse(b"", True)
    yield


def unescaped(text: str) -> str:
    """Text with Excel's spelling of control characters undone: "_x000D_" is a carriage return.

    Example:
        >>> unescaped("a_x005F_b"), unescaped("a_b"), unescaped("x_xD83D__xDE00_")
        ('a_b', 'a_b', 'x😀')
    """
    if "_x" not in text:
        return text

    def undo(match: re.Match[str]) -> str:
        units = bytes.fromhex("".join(match[0][i + 2 : i + 6] for i in range(0, len(match[0]), 7)))
        return units.decode("utf-16-be", "surrogatepass")

    return _ESCAPED.sub(undo, text)


def _workbook(archive: zipfile.ZipFile, *, name: str) -> Workbook:
    main = next(
        (target for kind, target in _links(archive, "", name=name).values() if kind == _OFFICE),
        None,
    )
    if main is None:
        raise broken(name, "it is a ZIP archive without a workbook")
    links = _links(archive, main, name=name)
    found = _Found()

    def start(tag: str, attributes: _Attributes) -> None:
        if tag == "workbookPr":
            found.since_1904 = attributes.get("date1904", "0") in ("1", "true")
        elif tag == "sheet":
            link = next((v for k, v in attributes.items() if k.rpartition(":")[2] == "id"), "")
            hidden = attributes.get("state", "visible") != "visible"
            found.sheets.append((attributes.get("name", ""), link, hidden))

    _parse_all(archive, main, name=name, start=start)
    sheets = tuple(
        Sheet(title, links[link][1], hidden)
        for title, link, hidden in found.sheets
        if links.get(link, ("", ""))[0] == "worksheet"
    )
    parts = dict(links.values())
    times = _times(archive, parts["styles"], name=name) if "styles" in parts else {}
    return Workbook(archive, sheets, parts.get("sharedStrings"), times, found.since_1904)


def _links(archive: zipfile.ZipFile, part: str, *, name: str) -> dict[str, tuple[str, str]]:
    """(kind, target part) by id of what `part` refers to; links out of the archive are left out."""
    folder, _, own = part.rpartition("/")
    relations = f"{folder}/_rels/{own}.rels".lstrip("/")
    found: dict[str, tuple[str, str]] = {}

    def start(tag: str, attributes: _Attributes) -> None:
        if tag == "Relationship" and attributes.get("TargetMode") != "External":
            target = attributes.get("Target", "")
            whole = target.lstrip("/") if target.startswith("/") else f"{folder}/{target}"
            kind = attributes.get("Type", "").rpartition("/")[2]
            found[attributes.get("Id", "")] = (kind, _straight(whole))

    _parse_all(archive, relations, name=name, start=start)
    return found


def _straight(part: str) -> str:
    steps: list[str] = []
    for step in part.split("/"):
        if step == "..":
            steps = steps[:-1]
        elif step not in ("", "."):
            steps.append(step)
    return "/".join(steps)


def _times(archive: zipfile.ZipFile, part: str, *, name: str) -> dict[int, str]:
    found = _Found(formats=dict.fromkeys(_DATE_FORMATS, "date"))
    found.formats[_ELAPSED_FORMAT] = "elapsed"

    def start(tag: str, attributes: _Attributes) -> None:
        if tag == "numFmt":
            shown = time_format(attributes.get("formatCode", ""))
            found.formats[whole_number(attributes.get("numFmtId"))] = shown
        elif tag == "cellXfs":
            found.in_styles = True
        elif tag == "xf" and found.in_styles:
            found.styles.append(whole_number(attributes.get("numFmtId")))

    def end(tag: str) -> None:
        if tag == "cellXfs":
            found.in_styles = False

    _parse_all(archive, part, name=name, start=start, end=end)
    shown = ((style, found.formats.get(number, "")) for style, number in enumerate(found.styles))
    return {style: form for style, form in shown if form}


def time_format(code: str) -> str:
    """Whether a number format spells a "date" (or time of day), "elapsed" time, or neither ("").

    Example:
        >>> [time_format(code) for code in ("yyyy-mm-dd", "[h]:mm", '0.00" days"', "[Red]0")]
        ['date', 'elapsed', '', '']
    """
    spelled = _NOT_SPELLED.sub("", code.partition(";")[0]).lower()
    if _ELAPSED.search(spelled):
        return "elapsed"
    return "date" if spelled != "general" and any(mark in spelled for mark in "ymdhs") else ""


def whole_number(text: str | None, *, default: int = -1) -> int:
    """The digits as a number, `default` where there are none."""
    return int(text) if text and len(text) < 10 and text.isascii() and text.isdigit() else default


def _parse_all(
    archive: zipfile.ZipFile,
    part: str,
    *,
    name: str,
    start: Callable[[str, _Attributes], None],
    end: Callable[[str], None] | None = None,
) -> None:
    with open_part(archive, part, name=name, most_bytes=SMALL_PART_BYTES) as handle:
        for _ in parse(handle, name=name, start=start, end=end):
            pass
