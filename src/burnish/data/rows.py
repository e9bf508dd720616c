"""What reading yields: rows as text with the line they stand on, and what is known about their file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from burnish.errors import fail
from burnish.records.dataset import Issue, Rejection

# A row beyond this is told and passed by: it is a broken file far more often than a text to learn from, and
# no row may fill the memory. Sixteen times the longest book chapter; a cell of Excel holds 32,767.
MAX_ROW_CHARACTERS = 1 << 24
UNDECODABLE = "\udcff"  # stands where bytes meant nothing in the file's encoding


@dataclass(frozen=True, slots=True)
class Row:
    """One row as text: `where` is "tickets.csv:812" (physical line), `fields` the cells by column name."""

    where: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the person said about the files, which no look at them overrules: [data] delimiter, encoding and shape."""

    delimiter: str | None = None
    encoding: str | None = None
    shape: str | None = None


NOTHING_ASKED = Asked()


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a look at a file's beginning (and, for the encoding, all of it) shows.

    `delimiter` and `escape` are None where the format has none; so is `shape` where rows are no JSON
    objects. `issues` holds what a person should know before trusting the rows (a guessed encoding,
    unnamed columns).
    `encoding_asked` says that a person
    named the encoding, `sheet` the workbook's sheet that is read, `stamp` what the file system said of the file at that look (`read.stamp_of`).
    """

    columns: tuple[str, ...]
    encoding: str | None = None
    delimiter: str | None = None
    escape: str | None = None
    shape: str | None = None
    issues: tuple[Issue, ...] = ()
    sheet: str | None = None
    encoding_asked: bool = False
    stamp: str | None = None


class Reader(Protocol):
    """The door for file formats: what every reader promises (tests/laws/test_readers.py holds it to that).

    Text is never given a type: "NA", "null", "007" and "1e5" arrive as they were written. Every
    record of the file is yielded once, as a Row or as a Rejection. Nothing but BurnishError is raised.
    """

    def sniff(self, path: Path, *, name: str, asked: Asked) -> FileFacts: ...

    def rows(self, path: Path, *, name: str, facts: FileFacts) -> Iterator[Row | Rejection]: ...


def make_row(where: str, names: Sequence[str], values: Sequence[str]) -> Row | Rejection:
    """A Row, or the Rejection of one whose text nobody could store or tokenise faithfully.

    Example:
        >>> make_row("t.csv:2", ["text", "label"], ["hello", "007"])
        Row(where='t.csv:2', fields={'text': 'hello', 'label': '007'})
        >>> make_row("t.csv:3", ["text", "label"], ["a\\0b", "x"]).reason
        'nul-character'
    """
    if not is_text("".join(values)):
        return _untellable(where, names, values)
    return Row(where, dict(zip(names, values, strict=True)))


def is_text(text: str) -> bool:
    """Whether the text can be stored and tokenised faithfully: no NUL, no half characters."""
    if "\x00" in text:
        return False
    if not text.isascii():
        try:
            text.encode()  # ten times as fast as a search for half characters
        except UnicodeEncodeError:
            return False
    return True


def _untellable(where: str, names: Sequence[str], values: Sequence[str]) -> Rejection:
    name, value = next(
        (name, value) for name, value in zip(names, values, strict=True) if not is_text(value)
    )
    if "\x00" in value:
        detail = f'column "{name}" holds a NUL character'
        return Rejection(where=where, reason="nul-character", detail=detail)
    detail = f'column "{name}" holds bytes that are not text in the file\'s encoding'
    return Rejection(where=where, reason="undecodable", detail=detail)


def too_long(where: str) -> Rejection:
    """The Rejection of a row beyond MAX_ROW_CHARACTERS."""
    detail = f"more than {MAX_ROW_CHARACTERS:,} characters"
    return Rejection(where=where, reason="row-too-long", detail=detail)


def named_columns(
    header: Sequence[str], *, name: str, line: int
) -> tuple[tuple[str, ...], tuple[Issue, ...]]:
    """The header's cells as column names; cells without a name are called column_N, and said.

    Raises: header-broken, columns-duplicate.
    """
    where = f"{name} line {line}"
    if not is_text("".join(header)):
        raise fail(
            "header-broken",
            "the header holds bytes that are not text in the file's encoding",
            where=where,
            expected="column names",
            fix="write the file again as UTF-8",
        )
    counts = Counter(header)
    twice = sorted(column for column, count in counts.items() if column and count > 1)
    if twice:
        listed = ", ".join(f'"{column}"' for column in twice)
        raise fail(
            "columns-duplicate",
            f"columns that stand twice in the header: {listed}",
            where=where,
            expected="every column name once",
            fix="rename or remove one of each",
        )
    if not counts[""]:
        return tuple(header), ()
    named = tuple(
        column or _free_name(number, counts) for number, column in enumerate(header, start=1)
    )
    issue = Issue(
        code="columns-unnamed",
        severity="note",
        what=f"{name} has {counts['']} columns without a name, called column_N",
        count=counts[""],
        rows=(f"{name}:{line}",),
    )
    return named, (issue,)


def _free_name(number: int, header: Mapping[str, int]) -> str:
    name = f"column_{number}"
    while name in header:
        name += "_"
    return name


def columns_among(records: Iterable[Row | Rejection]) -> tuple[str, ...]:
    """Every column name in order of first appearance, for formats where each row names its own."""
    seen: dict[str, None] = {}
    for record in records:
        if isinstance(record, Row):
            seen.update(dict.fromkeys(record.fields))
    return tuple(seen)
