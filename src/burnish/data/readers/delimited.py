"""CSV and its cousins, read strictly: every record is a row of the header's width or is rejected by line."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from burnish.data.decode import detect, open_text
from burnish.data.rows import UNDECODABLE, FileFacts, Row, make_row
from burnish.errors import fail
from burnish.records.dataset import Issue, Rejection

DELIMITERS = (",", "\t", ";", "|")
SAMPLE_CHARACTERS = 1 << 18
SAMPLE_RECORDS = 1000
CLEVER_CHARACTERS = 10_000  # clevercsv needs seconds beyond this
# A quote that never closes would otherwise hold the rest of the file in memory.
MAX_ROW_CHARACTERS = 1 << 24


@dataclass(frozen=True, slots=True)
class _Dialect:
    delimiter: str
    escape: str | None = None


@dataclass(slots=True)
class _Lines:
    """Physical lines with their number, able to hand back the lines of a record that did not parse."""

    source: Iterator[str]
    number: int = 0
    taken: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)  # next line last
    characters: int = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.waiting.pop() if self.waiting else next(self.source)
        self.number += 1
        self.taken.append(line)
        self.characters += len(line)
        if self.characters > MAX_ROW_CHARACTERS and len(self.taken) > 1:
            raise csv.Error(f"a quote is still open after {MAX_ROW_CHARACTERS:,} characters")
        return line

    def begin(self) -> int:
        self.taken.clear()
        self.characters = 0
        return self.number + 1

    def hand_back(self) -> None:
        """Keep the first line of the broken record (it is the rejected one), read the others again."""
        rest = self.taken[1:]
        self.waiting.extend(reversed(rest))
        self.number -= len(rest)


def sniff(path: Path, *, name: str) -> FileFacts:
    """Encoding, delimiter and columns.

    Raises: file-binary, encoding-unclear, header-broken, columns-duplicate, file-no-rows.
    """
    decoding = detect(path, name=name)
    with open_text(path, encoding=decoding.encoding, newline="") as handle:
        sample = handle.read(SAMPLE_CHARACTERS)
        whole = not handle.read(1)
    lines = _whole_lines(sample) if not whole else _split(sample)
    dialect = _dialect(lines, path=path)
    records = _records(iter(lines), dialect)
    header = next(records, None)
    if header is None:
        raise fail("file-empty", "holds blank lines only", where=name, fix="check the export")
    if isinstance(header[1], str):
        raise fail(
            "header-broken",
            f"the header does not parse: {header[1]}",
            where=f"{name} line {header[0]}",
            expected="column names, separated by one of comma, tab, semicolon, bar",
            fix="mend the quotes in the first line",
        )
    if whole and next(records, None) is None:
        raise fail(
            "file-no-rows",
            "holds a header and no rows",
            where=name,
            expected="at least one row below the header",
            fix="check the export",
        )
    columns, issues = _columns(header[1], name=name)
    return FileFacts(
        columns=columns,
        encoding=decoding.encoding,
        delimiter=dialect.delimiter,
        escape=dialect.escape,
        issues=(*decoding.issues, *issues),
    )


def rows(path: Path, *, name: str, facts: FileFacts) -> Iterator[Row | Rejection]:
    """The rows below the header, in order, with the physical line each starts on.

    Blank lines are no rows. A record that breaks the quoting rules costs its first line only:
    reading goes on with the next line.
    """
    width = len(facts.columns)
    dialect = _Dialect(facts.delimiter or ",", facts.escape)
    with open_text(path, encoding=facts.encoding or "utf-8", newline="") as handle:
        records = _records(iter(handle), dialect)
        next(records, None)
        for line, record in records:
            where = f"{name}:{line}"
            if isinstance(record, str):
                yield Rejection(where=where, reason="broken-quoting", detail=record)
            elif len(record) != width:
                detail = f"{len(record)} fields, the header has {width}"
                yield Rejection(where=where, reason="ragged-row", detail=detail)
            else:
                yield make_row(where, facts.columns, record)


def _records(source: Iterator[str], dialect: _Dialect) -> Iterator[tuple[int, list[str] | str]]:
    """(first physical line, cells) of every record; for a broken one (line, what is wrong)."""
    # the limit is the process's, and its default of 131,072 characters would refuse long texts
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    lines = _Lines(source)
    reader = _reader(lines, dialect)
    while True:
        line = lines.begin()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.hand_back()
            reader = _reader(lines, dialect)
            yield line, str(error)
            continue
        if record:
            yield line, record


def _reader(lines: Iterable[str], dialect: _Dialect) -> Iterator[list[str]]:
    return csv.reader(
        lines,
        delimiter=dialect.delimiter,
        escapechar=dialect.escape,
        doublequote=dialect.escape is None,
        strict=True,
    )


def _dialect(lines: list[str], *, path: Path) -> _Dialect:
    """The dialect in which most sampled records have the header's width."""
    if path.suffix.lower() == ".tsv":
        candidates: tuple[str, ...] = ("\t",)
    else:
        candidates = DELIMITERS
    best, fit = _best([_Dialect(mark) for mark in candidates], lines)
    if fit == 1.0:
        return best
    # backslash-quoted exports (MySQL) show by being cleaner than the doubled-quote reading
    escaped, escaped_fit = _best([_Dialect(mark, "\\") for mark in candidates], lines)
    if escaped_fit > fit:
        return escaped
    if path.suffix.lower() == ".txt" or (fit == 0.0 and _header_breaks(lines, best)):
        return _clever(lines) or best
    return best


def _best(dialects: list[_Dialect], lines: list[str]) -> tuple[_Dialect, float]:
    fits = [(_fit(dialect, lines), -order) for order, dialect in enumerate(dialects)]
    fit, order = max(fits)
    return dialects[-order], fit


def _fit(dialect: _Dialect, lines: list[str]) -> float:
    records = [record for _, record in islice(_records(iter(lines), dialect), SAMPLE_RECORDS)]
    if not records or isinstance(records[0], str) or len(records[0]) < 2:
        return 0.0
    width = len(records[0])
    return sum(not isinstance(r, str) and len(r) == width for r in records) / len(records)


def _header_breaks(lines: list[str], dialect: _Dialect) -> bool:
    first = next(_records(iter(lines), dialect), None)
    return first is not None and isinstance(first[1], str)


def _clever(lines: list[str]) -> _Dialect | None:
    import clevercsv  # slow to import and seldom needed

    sample = "".join(lines)[:CLEVER_CHARACTERS].replace(UNDECODABLE, "?")
    try:
        found = clevercsv.Sniffer().sniff(sample, delimiters=list(DELIMITERS))
    except clevercsv.Error:
        return None
    if found is None or found.delimiter not in DELIMITERS:
        return None
    return _Dialect(found.delimiter, found.escapechar or None)


def _columns(header: list[str], *, name: str) -> tuple[tuple[str, ...], tuple[Issue, ...]]:
    if any(UNDECODABLE in column or "\0" in column for column in header):
        raise fail(
            "header-broken",
            "the header holds bytes that are not text in the file's encoding",
            where=f"{name} line 1",
            expected="column names",
            fix="write the file again as UTF-8",
        )
    twice = sorted({column for column in header if column and header.count(column) > 1})
    if twice:
        listed = ", ".join(f'"{column}"' for column in twice)
        raise fail(
            "columns-duplicate",
            f"columns that stand twice in the header: {listed}",
            where=f"{name} line 1",
            expected="every column name once",
            fix="rename or remove one of each",
        )
    if "" not in header:
        return tuple(header), ()
    named = tuple(
        column or _free_name(number, header) for number, column in enumerate(header, start=1)
    )
    issue = Issue(
        code="columns-unnamed",
        severity="note",
        what=f"{name} has {header.count('')} columns without a name, called column_N",
        count=header.count(""),
        rows=(f"{name}:1",),
    )
    return named, (issue,)


def _free_name(number: int, header: list[str]) -> str:
    name = f"column_{number}"
    while name in header:
        name += "_"
    return name


def _split(text: str) -> list[str]:
    """Lines as a file opened with newline="" yields them: broken at \\n, \\r and \\r\\n only."""
    return list(io.StringIO(text, newline=""))


def _whole_lines(text: str) -> list[str]:
    lines = _split(text)
    return lines[:-1] if len(lines) > 1 else lines
