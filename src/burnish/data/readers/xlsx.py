"""Excel workbooks, values only: the first sheet that shows and holds something, row by row, every cell as text.

Read with the standard library. Of the libraries tried, one gives empty cells for errors (#N/A) and for formulas
whose value was never saved, spells 7 as 7.0 and holds the sheet in memory; the other tells those formulas from empty
cells neither, takes thirteen times as long, and raises six kinds of exceptions on damaged files.
"""

from __future__ import annotations

import re
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from burnish.data.rows import (
    MAX_ROW_CHARACTERS,
    Asked,
    FileFacts,
    Row,
    make_row,
    named_columns,
    too_long,
)
from burnish.data.workbook import (
    CHUNK_BYTES,
    LARGEST_TAG_BYTES,
    Sheet,
    Workbook,
    broken,
    open_part,
    open_workbook,
    parse,
    unescaped,
    whole_number,
)
from burnish.errors import BurnishError, fail
from burnish.records.dataset import Issue, Rejection

STRINGS_IN_MEMORY_BYTES = 1 << 26
MOST_COLUMNS = 16_384  # Excel's own
_KEPT_TEXTS = 1 << 16
_KEPT_CHARACTERS = 64
_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_REFERENCE = re.compile(r"([A-Z]{1,3})[0-9]+")
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z0-9:]+)"')
_HIDDEN_ROW = re.compile(rb'<(?:\w+:)?row\s[^>]*?\bhidden="(?:1|true)"')
_LAST_DAY = 2_958_466  # the year 10,000 begins
_1904_DAYS = 1462


@dataclass(slots=True)
class _Line:
    """One row of a sheet as it is parsed: cells by column number from 0, or what is wrong with it."""

    number: int
    cells: dict[int, str] = field(default_factory=dict)
    reason: str = ""
    detail: str = ""
    characters: int = 0

    def spoil(self, reason: str, detail: str) -> None:
        if not self.reason:
            self.reason, self.detail = reason, detail


def sniff(path: Path, *, name: str, asked: Asked) -> FileFacts:
    """The sheet that is read, its columns (the first row that holds something), and what a person should know.

    Raises: file-broken, file-too-dense, header-broken, columns-duplicate, file-no-rows.
    """
    with open_workbook(path, name=name) as book, _open_strings(book, name=name) as strings:
        first: dict[str, list[_Line]] = {}
        for sheet in book.sheets:
            lines = _lines(book, sheet, strings, name=name)
            first[sheet.part] = list(islice((one for one in lines if _holds(one)), 2))
        holding = [sheet for sheet in book.sheets if first[sheet.part]]
        shown = [sheet for sheet in holding if not sheet.hidden]
        if not shown:
            raise _no_rows(name, "no sheet that shows holds anything")
        sheet = shown[0]
        header, *rest = first[sheet.part]
        if header.reason:
            raise fail(
                "header-broken",
                f"the header is broken: {header.detail}",
                where=f"{name} line {header.number}",
                expected="column names in the first row that holds something",
                fix="mend that cell and save the workbook",
            )
        width = max(column for column, text in header.cells.items() if text) + 1
        cells = [header.cells.get(column, "") for column in range(width)]
        columns, unnamed = named_columns(cells, name=name, line=header.number)
        if not rest:
            raise _no_rows(name, f'sheet "{sheet.name}" holds a header and no rows')
        others = [one.name for one in holding if one is not sheet]
        issues = (*unnamed, *_unread(name, sheet, others), *_remarks(book, sheet, name=name))
    return FileFacts(columns=columns, issues=issues, sheet=sheet.name)


def rows(path: Path, *, name: str, facts: FileFacts) -> Iterator[Row | Rejection]:
    """The rows below the header, `where` being the sheet's own row number. Rows that hold nothing are no rows.

    Text stays as it is ("007"), numbers have the shortest spelling (7, 0.1), dates are ISO, booleans TRUE and FALSE.
    A row with an error (#N/A), or with a formula whose value was never saved, is rejected.

    Raises: file-broken, file-too-dense.
    """
    width = len(facts.columns)
    with open_workbook(path, name=name) as book, _open_strings(book, name=name) as strings:
        sheet = next((one for one in book.sheets if one.name == facts.sheet), None)
        if sheet is None:
            raise broken(name, f'it has no sheet "{facts.sheet}" any more')
        lines = (line for line in _lines(book, sheet, strings, name=name) if _holds(line))
        next(lines, None)
        for line in lines:
            where = f"{name}:{line.number}"
            last = max((column for column, text in line.cells.items() if text), default=0)
            if line.reason:
                yield Rejection(where=where, reason=line.reason, detail=line.detail)
            elif last >= width:
                detail = f"a value in column {last + 1}, the header has {width}"
                yield Rejection(where=where, reason="ragged-row", detail=detail)
            else:
                cells = [line.cells.get(column, "") for column in range(width)]
                yield make_row(where, facts.columns, cells)


def _holds(line: _Line) -> bool:
    return bool(line.reason) or any(line.cells.values())


class _Strings:
    """The workbook's table of texts: in memory while it is small, in a nameless file beyond."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=STRINGS_IN_MEMORY_BYTES)  # noqa: SIM115
        self._ends = array("Q")
        self._kept: dict[int, str] = {}

    def close(self) -> None:
        self._file.close()

    def add(self, text: str | None) -> None:
        """The next text; None for one that is too long to hold."""
        # 0xff is never the beginning of UTF-8
        self._file.write(b"\xff" if text is None else text.encode("utf-8", "surrogatepass"))
        self._ends.append(self._file.tell())

    def text(self, place: int) -> str | None:
        """The text at this place, None where it was too long.

        Raises: IndexError where there is none.
        """
        if place in self._kept:
            return self._kept[place]
        if place < 0:
            raise IndexError(place)
        begin = self._ends[place - 1] if place else 0
        self._file.seek(begin)
        data = self._file.read(self._ends[place] - begin)
        if data == b"\xff":
            return None
        text = data.decode("utf-8", "surrogatepass")
        if len(text) <= _KEPT_CHARACTERS and len(self._kept) < _KEPT_TEXTS:
            self._kept[place] = text
        return text


@contextmanager
def _open_strings(book: Workbook, *, name: str) -> Iterator[_Strings]:
    strings = _Strings()
    try:
        if book.strings_part is not None:
            _fill(strings, book, book.strings_part, name=name)
        yield strings
    finally:
        strings.close()


def _fill(strings: _Strings, book: Workbook, part: str, *, name: str) -> None:
    collected = _Collected()

    def start(tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "si":
            collected.clear()
        collected.enter(tag)

    def end(tag: str) -> None:
        collected.leave(tag)
        if tag == "si":
            strings.add(collected.text())

    with open_part(book.archive, part, name=name) as handle:
        for _ in parse(handle, name=name, start=start, end=end, text=collected.take):
            pass


@dataclass(slots=True)
class _Collected:
    """Character data of <t> and <v>, without the readings (rPh) that stand over East Asian text."""

    parts: list[str] = field(default_factory=list)
    characters: int = 0
    open: bool = False
    reading: bool = False

    def clear(self) -> None:
        self.parts.clear()
        self.characters, self.open, self.reading = 0, False, False

    def enter(self, tag: str) -> None:
        if tag == "rPh":
            self.reading = True
        elif tag in ("t", "v"):
            self.open = not self.reading

    def leave(self, tag: str) -> None:
        if tag == "rPh":
            self.reading = False
        elif tag in ("t", "v"):
            self.open = False

    def take(self, data: str) -> None:
        if self.open:
            self.characters += len(data)
            if self.characters <= MAX_ROW_CHARACTERS:
                self.parts.append(data)
            else:
                self.parts.clear()

    def text(self) -> str | None:
        return None if self.characters > MAX_ROW_CHARACTERS else unescaped("".join(self.parts))


def _lines(book: Workbook, sheet: Sheet, strings: _Strings, *, name: str) -> Iterator[_Line]:
    """Every row element of the sheet, in order."""
    reading = _SheetReading(book, strings, name)
    with open_part(book.archive, sheet.part, name=name) as handle:
        fed = parse(
            handle, name=name, start=reading.start, end=reading.end, text=reading.collected.take
        )
        for _ in fed:
            yield from reading.done
            reading.done.clear()


class _SheetReading:
    """What the parser's callbacks know between one tag and the next."""

    def __init__(self, book: Workbook, strings: _Strings, name: str) -> None:
        self.book = book
        self.strings = strings
        self.name = name
        self.collected = _Collected()
        self.done: list[_Line] = []
        self.line = _Line(0)
        self.inside = False
        self.column = -1
        self.kind = "n"
        self.style = -1
        self.formula = False
        self.valued = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "c":
            self._begin_cell(attributes)
        elif tag == "row":
            number = whole_number(attributes.get("r"), default=self.line.number + 1)
            if number <= self.line.number:
                raise broken(self.name, f"row {number} follows row {self.line.number}")
            self.line, self.column, self.inside = _Line(number), -1, True
        elif tag == "f":
            self.formula = True
        else:
            self.valued = self.valued or tag in ("v", "is")
            self.collected.enter(tag)

    def end(self, tag: str) -> None:
        if tag == "c":
            self._end_cell()
        elif tag == "row" and self.inside:
            self.done.append(self.line)
            self.inside = False
        else:
            self.collected.leave(tag)

    def _begin_cell(self, attributes: Mapping[str, str]) -> None:
        column = self.column + 1
        reference = attributes.get("r")
        if reference is not None:
            found = _REFERENCE.fullmatch(reference)
            column = _column_number(found[1]) if found else -1
        if column <= self.column or column >= MOST_COLUMNS:
            self.line.spoil("broken-cell", f"cell {str(reference)[:20]} is out of its place")
            column = self.column
        self.column = column
        self.kind = attributes.get("t", "n")
        self.style = whole_number(attributes.get("s"), default=0)
        self.formula = self.valued = False
        self.collected.clear()

    def _end_cell(self) -> None:
        line = self.line
        if line.reason or self.column < 0:
            return
        if not self.valued:
            if self.formula:
                line.spoil("formula-unsaved", f"{self._here()} is a formula without a saved value")
            return
        text = self._value(self.collected.text())
        line.characters += len(text or "")
        if line.characters > MAX_ROW_CHARACTERS:
            line.spoil("row-too-long", too_long("").detail)
        if line.reason:
            line.cells.clear()
        elif text:
            line.cells[self.column] = text

    def _value(self, text: str | None) -> str | None:
        if self.kind == "s" and text is not None:
            try:
                text = self.strings.text(whole_number(text))
            except IndexError:
                self.line.spoil("broken-cell", f"{self._here()} names a text that is not there")
                return None
        if text is None:
            self.line.spoil("row-too-long", too_long("").detail)
            return None
        if self.kind in ("s", "str", "inlineStr", "d"):
            return text
        if self.kind == "e":
            self.line.spoil("cell-error", f"{self._here()} holds the error {text[:20]}")
        elif self.kind == "b" and text in ("0", "1"):
            return "TRUE" if text == "1" else "FALSE"
        elif self.kind == "n":
            spelled = _number(text, self.book.times.get(self.style, ""), book=self.book)
            if spelled is not None:
                return spelled
        self.line.spoil("broken-cell", f"{self._here()} holds {text[:40]!r}, which is no value")
        return None

    def _here(self) -> str:
        letters, column = "", self.column + 1
        while column:
            column, letter = divmod(column - 1, 26)
            letters = chr(65 + letter) + letters
        return f"cell {letters}{self.line.number}"


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _number(text: str, form: str, *, book: Workbook) -> str | None:
    """A number cell as text: a date where its format says so, else its shortest spelling; None if it is none."""
    text = text.strip()
    if not text:
        return ""
    if not _NUMBER.fullmatch(text) or (value := float(text)) in (float("inf"), float("-inf")):
        return None
    if form and (shown := _time(value, form, since_1904=book.since_1904)):
        return shown
    if _INTEGER.fullmatch(text):
        return str(int(text))
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _time(days: float, form: str, *, since_1904: bool) -> str | None:
    """The number of days as an ISO date, time or both, as elapsed time, or None where Excel shows none either."""
    if days < 0 or days >= _LAST_DAY:
        return None
    milliseconds = round(days * 86_400_000)
    if form == "elapsed":
        minutes, seconds = divmod(milliseconds / 1000, 60)
        return f"{int(minutes // 60)}:{int(minutes % 60):02}:{int(seconds):02}"
    if milliseconds < 86_400_000 and not since_1904:
        return (datetime(1900, 1, 1) + timedelta(milliseconds=milliseconds)).time().isoformat()  # noqa: DTZ001 - workbooks have no time zone
    if since_1904:
        milliseconds += _1904_DAYS * 86_400_000
    day = milliseconds // 86_400_000
    if day == 60:
        return None  # the 29th of February 1900, which Excel has and the calendar has not
    begin = datetime(1899, 12, 31 if day < 60 else 30)  # noqa: DTZ001
    try:
        moment = begin + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
    whole = milliseconds % 86_400_000 == 0
    return moment.date().isoformat() if whole else moment.isoformat()


def _unread(name: str, sheet: Sheet, others: list[str]) -> tuple[Issue, ...]:
    if not others:
        return ()
    listed = ", ".join(f'"{one}"' for one in others[:10])
    issue = Issue(
        code="sheets-unread",
        severity="warning",
        what=f'{name} has several sheets; "{sheet.name}" is read, {listed} is not',
        count=len(others),
        fix="save other sheets as files of their own, and name them under [data]",
    )
    return (issue,)


def _remarks(book: Workbook, sheet: Sheet, *, name: str) -> Iterator[Issue]:
    """Merged cells and hidden rows, found without parsing: they stand where a reader of rows comes too late."""
    merged: list[str] = []
    ranges = hidden = 0
    rest = b""
    with open_part(book.archive, sheet.part, name=name) as handle:
        while chunk := handle.read(CHUNK_BYTES):
            data = rest + chunk
            cut = data.rfind(b"<")
            rest = data[cut:] if cut >= 0 and b">" not in data[cut:] else b""
            rest = b"" if len(rest) > LARGEST_TAG_BYTES else rest  # parsing will refuse it
            whole = data[: len(data) - len(rest)]
            found = _MERGED.findall(whole)
            merged += [one.decode() for one in found[: 20 - len(merged)]]
            ranges, hidden = ranges + len(found), hidden + len(_HIDDEN_ROW.findall(whole))
    if ranges:
        listed = ", ".join(merged[:5])
        yield Issue(
            code="cells-merged",
            severity="warning",
            what=f"{name} has {ranges} ranges of merged cells ({listed}); only the first cell of each holds the value",
            count=ranges,
            fix="unmerge them in the spreadsheet program and fill every cell",
        )
    if hidden:
        yield Issue(
            code="rows-hidden",
            severity="note",
            what=f"{name} has {hidden} hidden rows (a filter, perhaps); they are read like the others",
            count=hidden,
            fix="delete them in the spreadsheet program if they are not meant",
        )


def _no_rows(name: str, what: str) -> BurnishError:
    return fail(
        "file-no-rows", what, where=name, expected="a header and rows", fix="check the file"
    )
