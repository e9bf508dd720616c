"""Whose rows are meant: whole texts, rows of a file, pieces of a text, or columns that must hold a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.data.fold import fold
from burnish.data.read import read_rows, sniff
from burnish.errors import BurnishError, Problem, fail, nearest
from burnish.records.dataset import Rejection
from burnish.records.example import Example
from burnish.records.task import Task

# A shorter piece is in rows of half the people.
SHORTEST_PIECE = 4
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What rows are looked for, every text folded. A row is meant when any of the four says so.

    `texts` equal a whole input; `rows` equal in every column they name; `pieces` (lower case) stand anywhere in a
    row; `columns` must all hold their value.
    """

    texts: frozenset[str] = frozenset()
    rows: tuple[Mapping[str, str], ...] = ()
    pieces: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()

    @property
    def by_column(self) -> bool:
        """Whether only the named rows are meant, and not every row of the same text."""
        return bool(self.columns)

    def means(self, example: Example) -> bool:
        """Whether a row of a dataset or a file is meant."""
        return self.means_cells(_cells(example), inputs=example.inputs)

    def means_inputs(self, inputs: Mapping[str, str]) -> bool:
        """Whether a text of the journal is meant; it has no other columns."""
        return self.means_cells(inputs, inputs=inputs)

    def means_cells(self, cells: Mapping[str, str], *, inputs: Mapping[str, str]) -> bool:
        """Whether a row with these cells, the inputs among them, is meant."""
        if self.texts and not self.texts.isdisjoint({fold(text) for text in inputs.values()}):
            return True
        if self.rows:
            folded = {name: fold(text) for name, text in cells.items()}
            if any(all(folded.get(n) == v for n, v in row.items()) for row in self.rows):
                return True
        if self.pieces and any(self.has_piece(text) for text in cells.values()):
            return True
        return bool(self.columns) and all(
            name in cells and fold(cells[name]) == value for name, value in self.columns
        )

    def has_piece(self, text: str) -> bool:
        """Whether one of the pieces stands in a text."""
        if not self.pieces:
            return False
        found = fold(text).casefold()
        return any(piece in found for piece in self.pieces)


def read_match(path: Path, task: Task, *, containing: bool) -> Wanted:
    """What a match file asks for: a text or piece a line, or rows under the names of the task's inputs.

    Raises: match-file-unreadable, match-file-empty, match-too-short, column-unknown, and those of read_rows.
    """
    if path.suffix.lower() in _TABLES and not containing:
        return _read_table(path, task)
    lines = [fold(line) for line in _text(path).splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise _empty(path)
    if not containing:
        return Wanted(texts=frozenset(lines))
    short = [number for number, line in enumerate(lines, 1) if len(line) < SHORTEST_PIECE]
    if short:
        raise fail(
            "match-too-short",
            f"{len(short)} of {len(lines)} pieces have fewer than {SHORTEST_PIECE} characters",
            where=f"{path.name} entry {short[0]}",
            expected=f"pieces of at least {SHORTEST_PIECE} characters: shorter ones stand in rows of many people",
            fix="write more of it: a full name, a whole number, an address",
        )
    return Wanted(pieces=tuple(dict.fromkeys(line.casefold() for line in lines)))


def read_where(conditions: Sequence[str], known: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`column=value` conditions over the known columns.

    Raises: where-invalid, column-unknown.

    Example:
        >>> read_where(["customer=4711"], ["customer", "text"])
        (('customer', '4711'),)
    """
    problems: list[Problem] = []
    found: list[tuple[str, str]] = []
    for number, condition in enumerate(conditions, 1):
        name, sign, value = condition.partition("=")
        if not sign or not name.strip() or not fold(value):
            problems.append(
                Problem(
                    code="where-invalid",
                    what="a condition needs a column, = and a value",
                    where=f"--where number {number}",
                    expected="column=value",
                    fix="write it as --where customer=4711",
                )
            )
        elif name.strip() not in known:
            problems.append(_unknown(name.strip(), known, where=f"--where number {number}"))
        else:
            found.append((name.strip(), fold(value)))
    if problems:
        raise BurnishError(tuple(problems))
    return tuple(found)


def _read_table(path: Path, task: Task) -> Wanted:
    if not path.is_file():
        raise _unreadable(path, "no such file")
    facts = sniff(path, name=path.name)
    named = [name for name in task.inputs if name in facts.columns]
    if not named:
        columns = facts.columns
        raise BurnishError((_unknown(task.inputs[0], columns, where=path.name),))
    rows: list[Mapping[str, str]] = []
    for row in read_rows(path, name=path.name, facts=facts):
        if isinstance(row, Rejection):
            raise _unreadable(path, f"the row at {row.where} cannot be read ({row.reason})")
        cells = {name: fold(row.fields.get(name, "")) for name in named}
        if any(cells.values()):
            rows.append(cells)
    if not rows:
        raise _empty(path)
    return Wanted(rows=tuple(rows))


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, (error.strerror or str(error)).lower()) from error
    if b"\0" in data:
        raise _unreadable(path, "it holds NUL bytes, so it is no text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"byte {error.start} is not UTF-8") from error


def _unreadable(path: Path, what: str) -> BurnishError:
    return fail(
        "match-file-unreadable",
        what,
        where=path.name,
        expected="a UTF-8 text file with one text a line, or a table of rows",
        fix="check the path; save the file as UTF-8",
    )


def _empty(path: Path) -> BurnishError:
    return fail(
        "match-file-empty",
        "it names nothing",
        where=path.name,
        expected="one text a line, or rows",
        fix="write into it what is to be forgotten",
    )


def _unknown(name: str, known: Sequence[str], *, where: str) -> Problem:
    return Problem(
        code="column-unknown",
        what=f'no column "{name}"',
        where=where,
        expected=f"one of: {', '.join(known) or '(none)'}",
        fix="correct the name",
        nearest=nearest(name, known),
    )


def _cells(example: Example) -> dict[str, str]:
    group = {} if example.group is None else {"group": example.group}
    return {**group, **example.columns, **example.inputs}
