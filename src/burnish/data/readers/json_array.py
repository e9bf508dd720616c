"""A JSON list of objects, or an object whose "data" is that list (SQuAD), read one element at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from burnish.data.decode import detect
from burnish.data.json_cells import parse_object
from burnish.data.rows import MAX_ROW_CHARACTERS, Asked, FileFacts, Row, too_long
from burnish.data.shape import Placed, rows_in, shaped
from burnish.data.stream import open_text
from burnish.errors import BurnishError, fail
from burnish.records.dataset import Rejection

CHUNK_CHARACTERS = 1 << 16
MOST_AT_ONCE_CHARACTERS = 1 << 21
# Inside a list only these decide where an element ends: a whole string, a bracket or a comma.
# A string cut off by the chunk's end matches as a bare quote; _STRING then takes it piece by piece.
# Possessive, so that nothing is remembered for a way back: a string of millions of escapes would fill the memory.
_MARKS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_STRING = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_BLANK = " \t\r\n"
# {"version": "1.1", "data": [ ... ]}: plain values may stand before and after the list
_PLAIN = r'"(?:[^"\\]|\\.)*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[-+.\w]+)'
_AROUND = re.compile(rf'\{{\s*(?:{_PLAIN}\s*,\s*)*"data"\s*:\s*\[')
_AFTER = re.compile(rf"(?:\s*,\s*{_PLAIN})*\s*\}}\s*")


def sniff(path: Path, *, name: str, asked: Asked) -> FileFacts:
    """Encoding, shape and columns: those of the first 1,000 objects, in order of appearance.

    Raises: file-binary, encoding-unclear, encoding-unknown, json-not-a-list, json-unclosed, file-no-rows.
    """
    decoding = detect(path, name=name, encoding=asked.encoding)
    facts = FileFacts(columns=(), encoding=decoding.encoding, issues=decoding.issues)
    facts = shaped(facts, lambda: _objects(path, name=name, facts=facts))
    if not facts.columns:
        raise fail(
            "file-no-rows",
            "the list holds no object with columns",
            where=name,
            expected='a list such as [{"text": "...", "label": "..."}]',
            fix="check the export",
        )
    return facts


def rows(path: Path, *, name: str, facts: FileFacts) -> Iterator[Row | Rejection]:
    """The rows of every element of the list, in the file's shape, with the line the element starts on: "t.json:812", and
    "t.json:812#2" for the second that starts there.

    A damaged element costs only itself. Where the list itself is broken (it never closes, a bracket
    too many) nobody can tell how many rows are missing, so the file is refused.

    Raises: json-not-a-list, json-unclosed.
    """
    return rows_in(_objects(path, name=name, facts=facts), shape=facts.shape)


def _objects(path: Path, *, name: str, facts: FileFacts) -> Iterator[Placed]:
    with open_text(path, encoding=facts.encoding or "utf-8", newline="") as handle:
        last = again = 0
        for line, text in _elements(handle, name=name):
            again = again + 1 if line == last else 1
            last = line
            where = f"{name}:{line}" if again == 1 else f"{name}:{line}#{again}"
            yield Placed(
                where, too_long(where) if text is None else parse_object(text, where=where)
            )


def _elements(handle: TextIO, *, name: str) -> Iterator[tuple[int, str | None]]:
    """(first line, text) of every element between the outermost brackets; None for one too long to hold."""
    text, line, wrapped = _opening(handle, name=name)
    start = position = depth = commas = 0
    inside = False  # in a string whose end was not yet read
    long_since: int | None = None  # the first line of an element whose text is let go
    while True:
        if inside:
            position = _string_end(text, position)
            inside = text[position : position + 1] != '"'
            position += not inside
        match = None if inside else _MARKS.search(text, position)
        if match is not None:
            position = match.end()
            if match.group() == '"':
                inside = True
                continue
        else:
            position = position if inside else len(text)
            if long_since is not None or len(text) - start > MAX_ROW_CHARACTERS:
                # a \r stays: its \n may be the next character
                cut = max(start, position - text.endswith("\r", start, position))
                gone = text[start:cut]
                if long_since is None and (stripped := gone.lstrip(_BLANK)):
                    long_since = line + _newlines(gone[: len(gone) - len(stripped)])
                line, start = line + _newlines(gone), cut
            # as much again as is waiting, so that a long text is copied few times
            waiting = min(len(text) - start, MOST_AT_ONCE_CHARACTERS)
            more = handle.read(max(CHUNK_CHARACTERS, waiting))
            if not more:
                raise _unclosed(name, line=long_since or line)
            text, position, start = text[start:] + more, position - start, 0
            continue
        mark = match.group()
        if mark in "[{":
            depth += 1
        elif mark in "}]" and depth:
            depth -= 1
        elif mark == "}":
            raise _unclosed(name, line=line + _newlines(text[start:position]))
        elif mark in ",]" and not depth:
            element = text[start : match.start()]
            stripped = element.lstrip(_BLANK)
            first = line + _newlines(element[: len(element) - len(stripped)])
            if long_since is not None or len(stripped) > MAX_ROW_CHARACTERS:
                yield long_since or first, None
            # the last element may be no element at all: [] and [1,] have nothing before "]"
            elif stripped or mark == "," or commas:
                yield first, stripped
            line, start, commas = line + _newlines(element), position, commas + 1
            long_since = None
            if mark == "]":
                _closing(text[position:], handle, name=name, line=line, wrapped=wrapped)
                return


def _string_end(text: str, position: int) -> int:
    """Where the string that `position` is in ends, or where `text` says nothing more about it."""
    found = _STRING.match(text, position)
    return found.end() if found else position


def _opening(handle: TextIO, *, name: str) -> tuple[str, int, bool]:
    """What follows the list's bracket, the line it stands on, and whether an object is around the list."""
    line = 1
    while chunk := handle.read(CHUNK_CHARACTERS):
        stripped = chunk.lstrip(_BLANK)
        line += _newlines(chunk[: len(chunk) - len(stripped)])
        if stripped.startswith("["):
            return stripped[1:], line, False
        if around := _AROUND.match(stripped):
            return stripped[around.end() :], line + _newlines(around.group()), True
        if stripped:
            fix = "wrap the objects in [ and ]"
            if stripped.startswith("{"):
                fix = f"if every line is one object: mv {name} {Path(name).with_suffix('.jsonl')}"
            raise fail(
                "json-not-a-list",
                f"the file begins with {stripped[:20]!r}",
                where=f"{name} line {line}",
                expected='a list such as [{"text": "...", "label": "..."}], or {"data": [...]}',
                fix=fix,
            )
    raise fail("file-empty", "holds white space only", where=name, fix="check the export")


def _closing(rest: str, handle: TextIO, *, name: str, line: int, wrapped: bool) -> None:
    if wrapped:
        rest += handle.read(CHUNK_CHARACTERS)
        after = _AFTER.match(rest)
        if after is None:
            raise _unclosed(name, line=line)
        rest = rest[after.end() :]
    while rest or (rest := handle.read(CHUNK_CHARACTERS)):
        if rest.strip(_BLANK):
            raise fail(
                "json-unclosed",
                "text follows the end of the list",
                where=f"{name} line {line}",
                expected="one list and nothing after it",
                fix="remove what follows the last ]",
            )
        rest = ""


def _unclosed(name: str, *, line: int) -> BurnishError:
    return fail(
        "json-unclosed",
        "the list, or a text or bracket in it, never closes",
        where=f"{name}, in the element that starts on line {line}",
        expected="a whole file",
        fix="the file looks cut off: export or copy it again",
    )


def _newlines(text: str) -> int:
    """Line ends in `text`: \\n, \\r\\n and a lone \\r each count once."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")
