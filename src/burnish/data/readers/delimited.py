"""CSV and its cousins, read strictly: every record is a row of the header's width or is rejected by line."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from burnish.data.decode import detect
from burnish.data.rows import (
    MAX_ROW_CHARACTERS,
    UNDECODABLE,
    Asked,
    FileFacts,
    Row,
    make_row,
    named_columns,
    too_long,
)
from burnish.data.stream import open_text, suffix_of, text_lines
from burnish.errors import fail
from burnish.records.dataset import Rejection

DELIMITERS = (",", "\t", ";", "|")
# Tried where none of the four gives a table: exports of Hive (0x01), of mainframes (0x1f), of people.
RARE_DELIMITERS = ("\x01", "\x1f", "\x1e", "^", "~", "\u00a6", "\u00a7", ":")
RARE_BELOW = 0.5  # share of sampled records that fit the usual delimiters' best reading
SAMPLE_CHARACTERS = 1 << 18
SAMPLE_RECORDS = 1000
CLEVER_CHARACTERS = 10_000  # clevercsv needs seconds beyond this
_ENDS = ("\n", "\r")


@dataclass(frozen=True, slots=True)
class _Dialect:
    delimiter: str
    escape: str | None = None


@dataclass(frozen=True, slots=True)
class _Broken:
    """A record that is none: the ledger's reason and what is wrong."""

    reason: str
    detail: str


@dataclass(slots=True)
class _Quoted:
    """The lines of quoted records, taken one by one as the parser asks for them."""

    source: Iterator[str | None]
    waiting: list[str | None]  # next line last
    taken: list[str | None] = field(default_factory=list)
    characters: int = 0

    def __iter__(self) -> _Quoted:
        return self

    def begin(self, line: str) -> None:
        """The next record begins with this line."""
        self.taken.clear()
        self.characters = 0
        self.waiting.append(line)

    def __next__(self) -> str:
        line = self.waiting.pop() if self.waiting else next(self.source)
        self.taken.append(line)
        if line is None:
            raise csv.Error("a quote is still open at a line that is too long to read")
        self.characters += len(line)
        if self.characters > MAX_ROW_CHARACTERS and len(self.taken) > 1:
            raise csv.Error(f"a quote is still open after {MAX_ROW_CHARACTERS:,} characters")
        return line


def sniff(path: Path, *, name: str, asked: Asked) -> FileFacts:
    """Encoding, delimiter and columns.

    Raises: file-binary, encoding-unclear, encoding-unknown, header-broken, columns-duplicate, file-no-rows.
    """
    decoding = detect(path, name=name, encoding=asked.encoding)
    with open_text(path, encoding=decoding.encoding, newline="") as handle:
        sample = handle.read(SAMPLE_CHARACTERS)
        whole = not handle.read(1)
    lines = _whole_lines(sample) if not whole else _split(sample)
    dialect = _dialect(lines, path=path, delimiter=asked.delimiter)
    records = _records(iter(lines), dialect)
    header = next(records, None)
    if header is None:
        raise fail("file-empty", "holds blank lines only", where=name, fix="check the export")
    if isinstance(header[1], _Broken):
        raise fail(
            "header-broken",
            f"the header does not parse: {header[1].detail}",
            where=f"{name} line {header[0]}",
            expected="column names, separated by comma, tab, semicolon, bar or [data] delimiter",
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
    columns, issues = named_columns(header[1], name=name, line=header[0])
    return FileFacts(
        columns=columns,
        encoding=decoding.encoding,
        delimiter=dialect.delimiter,
        escape=dialect.escape,
        issues=(*decoding.issues, *issues),
    )


def rows(path: Path, *, name: str, facts: FileFacts) -> Iterator[Row | Rejection]:
    """The rows below the header, in order, with the physical line each starts on.

    Blank lines are no rows. A line of more than MAX_ROW_CHARACTERS is passed by and told. A record that breaks
    the quoting rules costs its first line only: reading goes on with the next line.
    """
    width = len(facts.columns)
    dialect = _Dialect(facts.delimiter or ",", facts.escape)
    with open_text(path, encoding=facts.encoding or "utf-8", newline="") as handle:
        records = _records(text_lines(handle, ends=_ENDS), dialect)
        next(records, None)
        for line, record in records:
            where = f"{name}:{line}"
            if isinstance(record, _Broken):
                yield Rejection(where=where, reason=record.reason, detail=record.detail)
            elif len(record) != width:
                detail = f"{len(record)} fields, the header has {width}"
                yield Rejection(where=where, reason="ragged-row", detail=detail)
            else:
                yield make_row(where, facts.columns, record)


def _records(
    source: Iterator[str | None], dialect: _Dialect
) -> Iterator[tuple[int, list[str] | _Broken]]:
    """(first physical line, cells) of every record; for a broken one (line, what is wrong)."""
    # the limit is the process's, and its default of 131,072 characters would refuse long texts
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    delimiter, escape = dialect.delimiter, dialect.escape
    waiting: list[str | None] = []  # lines that a broken record took and gave back, next line last
    # the parser is strict about quotes that are doubled, and takes anything after one that is escaped
    form = _escaped_form(dialect) if escape is not None else None
    quoted = _Quoted(source, waiting)
    parser = _parser(quoted, dialect)
    number = 0
    while True:
        try:
            line = waiting.pop() if waiting else next(source)
        except StopIteration:
            return
        number += 1
        if line is None:
            yield number, _Broken("row-too-long", too_long("").detail)
        elif '"' not in line and (escape is None or escape not in line):
            # what the parser would do, four times as fast: without quotes there is nothing to parse
            if text := line.rstrip("\r\n"):
                yield number, text.split(delimiter)
        else:
            quoted.begin(line)
            try:
                record = next(parser)
                if form is not None and not form.fullmatch("".join(map(str, quoted.taken))):
                    raise csv.Error("a quote closes inside a field")
            except csv.Error as error:
                # the first line is the rejected one, the others are read again
                waiting.extend(reversed(quoted.taken[1:]))
                parser = _parser(quoted, dialect)
                yield number, _Broken("broken-quoting", str(error))
                continue
            yield number, record
            number += len(quoted.taken) - 1


def _escaped_form(dialect: _Dialect) -> re.Pattern[str]:
    r"""What a record with quotes escaped looks like: quoted fields end where their quote closes.

    Example:
        >>> form = _escaped_form(_Dialect(",", "\\"))
        >>> [bool(form.fullmatch(text)) for text in ('"a\\"b",c 5" d', '"a"b,c')]
        [True, False]
    """
    escape, mark = re.escape(dialect.escape or ""), re.escape(dialect.delimiter)
    quoted = rf'"(?:[^"{escape}]|{escape}.)*+"'
    bare = rf'(?:(?:[^"{escape}{mark}\r\n]|{escape}.)(?:[^{escape}{mark}\r\n]|{escape}.)*+)?+'
    field = rf"(?:{quoted}|{bare})"
    return re.compile(rf"{field}(?:{mark}{field})*+[\r\n]*+", re.DOTALL)


def _parser(lines: Iterable[str], dialect: _Dialect) -> Iterator[list[str]]:
    return csv.reader(
        lines,
        delimiter=dialect.delimiter,
        escapechar=dialect.escape,
        doublequote=dialect.escape is None,
        strict=True,
    )


def _dialect(lines: list[str | None], *, path: Path, delimiter: str | None) -> _Dialect:
    """The dialect in which most sampled records have the header's width."""
    suffix = suffix_of(path)
    candidates = DELIMITERS
    if delimiter is not None or suffix == ".tsv":
        candidates = (delimiter or "\t",)
    best, fit = _best([_Dialect(mark) for mark in candidates], lines)
    if fit == 1.0:
        return best
    # backslash-quoted exports (MySQL) show by being cleaner than the doubled-quote reading
    escaped, escaped_fit = _best([_Dialect(mark, "\\") for mark in candidates], lines)
    if escaped_fit > fit:
        best, fit = escaped, escaped_fit
    if candidates is not DELIMITERS:
        return best
    if fit < RARE_BELOW:
        rare, rare_fit = _best([_Dialect(mark) for mark in RARE_DELIMITERS], lines)
        if rare_fit > max(fit, RARE_BELOW):
            return rare
    if (best is not escaped and suffix == ".txt") or (fit == 0.0 and _header_breaks(lines, best)):
        return _clever(lines) or best
    return best


def _best(dialects: list[_Dialect], lines: list[str | None]) -> tuple[_Dialect, float]:
    fits = [(_fit(dialect, lines), -order) for order, dialect in enumerate(dialects)]
    fit, order = max(fits)
    return dialects[-order], fit


def _fit(dialect: _Dialect, lines: list[str | None]) -> float:
    records = [record for _, record in islice(_records(iter(lines), dialect), SAMPLE_RECORDS)]
    if not records or isinstance(records[0], _Broken) or len(records[0]) < 2:
        return 0.0
    width = len(records[0])
    return sum(not isinstance(r, _Broken) and len(r) == width for r in records) / len(records)


def _header_breaks(lines: list[str | None], dialect: _Dialect) -> bool:
    first = next(_records(iter(lines), dialect), None)
    return first is not None and isinstance(first[1], _Broken)


def _clever(lines: list[str | None]) -> _Dialect | None:
    import clevercsv  # slow to import and seldom needed

    sample = "".join(line or "" for line in lines)[:CLEVER_CHARACTERS].replace(UNDECODABLE, "?")
    try:
        found = clevercsv.Sniffer().sniff(sample, delimiters=list(DELIMITERS))
    except clevercsv.Error:
        return None
    if found is None or found.delimiter not in DELIMITERS:
        return None
    return _Dialect(found.delimiter, found.escapechar or None)


def _split(text: str) -> list[str | None]:
    """Lines as a file opened with newline="" yields them: broken at \\n, \\r and \\r\\n only."""
    return list(io.StringIO(text, newline=""))


def _whole_lines(text: str) -> list[str | None]:
    lines = _split(text)
    return lines[:-1] if len(lines) > 1 else lines
