"""What reading yields: rows as text with the line they stand on, and what is known about their file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from burnish.records.dataset import Issue, Rejection

UNDECODABLE = "\udcff"  # stands where bytes meant nothing in the file's encoding
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row as text: `where` is "tickets.csv:812" (physical line), `fields` the cells by column name."""

    where: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a look at a file's beginning (and, for the encoding, all of it) shows.

    `delimiter` and `escape` are None where the format has none; so is `shape` where rows are no JSON
    objects. `issues` holds what a person should know before trusting the rows (a guessed encoding,
    unnamed columns).
    """

    columns: tuple[str, ...]
    encoding: str | None = None
    delimiter: str | None = None
    escape: str | None = None
    shape: str | None = None
    issues: tuple[Issue, ...] = ()


class Reader(Protocol):
    """The door for file formats: what every reader promises (tests/laws/test_readers.py holds it to that).

    Text is never given a type: "NA", "null", "007" and "1e5" arrive as they were written. Every
    record of the file is yielded once, as a Row or as a Rejection. Nothing but BurnishError is raised.
    """

    def sniff(self, path: Path, *, name: str) -> FileFacts: ...

    def rows(self, path: Path, *, name: str, facts: FileFacts) -> Iterator[Row | Rejection]: ...


def make_row(where: str, names: Sequence[str], values: Sequence[str]) -> Row | Rejection:
    """A Row, or the Rejection of one whose text nobody could store or tokenise faithfully.

    Example:
        >>> make_row("t.csv:2", ["text", "label"], ["hello", "007"])
        Row(where='t.csv:2', fields={'text': 'hello', 'label': '007'})
        >>> make_row("t.csv:3", ["text", "label"], ["a\\0b", "x"]).reason
        'nul-character'
    """
    for name, value in zip(names, values, strict=True):
        if "\x00" in value:
            detail = f'column "{name}" holds a NUL character'
            return Rejection(where=where, reason="nul-character", detail=detail)
        if not value.isascii() and _SURROGATE.search(value):
            detail = f'column "{name}" holds bytes that are not text in the file\'s encoding'
            return Rejection(where=where, reason="undecodable", detail=detail)
    return Row(where=where, fields=dict(zip(names, values, strict=True)))


def columns_among(records: Iterable[Row | Rejection]) -> tuple[str, ...]:
    """Every column name in order of first appearance, for formats where each row names its own."""
    seen: dict[str, None] = {}
    for record in records:
        if isinstance(record, Row):
            seen.update(dict.fromkeys(record.fields))
    return tuple(seen)
