"""On which line each key of a TOML text stands, so that a problem can name it.

`tomllib` gives values without places. This reader keeps places without values; it is only asked
about texts that `tomllib` has accepted, so it need not judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}\r\n#]+")


def key_lines(text: str) -> Mapping[Path, int]:
    """The line (from 1) of every key, table and array element, by path.

    Example:
        >>> lines = key_lines('name = "t"\\n\\n[[labels]]\\nname = "spam"\\nvalues = ["1"]\\n')
        >>> lines[("name",)], lines[("labels", 0)], lines[("labels", 0, "values", 0)]
        (1, 3, 5)
    """
    reader = _Reader(text)
    reader.document()
    return reader.lines


class _Reader:
    """A cursor over the text; `lines` fills as it moves."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        self.blank()
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self.header(2)
            elif self.text[self.at] == "[":
                table = self.header(1)
            else:
                self.pair(table)
            self.blank()

    def header(self, brackets: int) -> Path:
        line = self.line()
        self.at += brackets
        keys = self.dotted()
        self.blank()
        self.at += brackets
        path: Path = ()
        for place, key in enumerate(keys):
            path = (*path, key)
            last = place == len(keys) - 1
            if last and brackets == 2:
                self.lines.setdefault(path, line)
                self.counts[path] = self.counts.get(path, -1) + 1
                path = (*path, self.counts[path])
            elif path in self.counts:  # [labels.more] speaks of the newest [[labels]]
                path = (*path, self.counts[path])
            self.lines.setdefault(path, line)
        return path

    def pair(self, table: Path) -> None:
        line = self.line()
        path = table
        for key in self.dotted():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self.blank()
        self.at += 1  # the equals sign
        self.blank()
        self.value(path)

    def value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening in "\"'":
            self.string()
        elif opening == "[":
            self.at += 1
            self.blank()
            place = 0
            while self.text[self.at] != "]":
                self.lines[(*path, place)] = self.line()
                self.value((*path, place))
                place += 1
                self.comma()
            self.at += 1
        elif opening == "{":
            self.at += 1
            self.blank()
            while self.text[self.at] != "}":
                self.pair(path)
                self.comma()
            self.at += 1
        else:
            scalar = _SCALAR.match(self.text, self.at)
            self.at = scalar.end() if scalar else self.at + 1

    def comma(self) -> None:
        self.blank()
        if self.text[self.at] == ",":
            self.at += 1
            self.blank()

    def dotted(self) -> list[str]:
        keys = [self.key()]
        self.blank()
        while self.text[self.at] == ".":
            self.at += 1
            self.blank()
            keys.append(self.key())
            self.blank()
        return keys

    def key(self) -> str:
        self.blank()
        if self.text[self.at] in "\"'":
            return self.string()
        bare = _BARE.match(self.text, self.at)
        if bare is None:  # unreachable for text that tomllib accepted; never loop on one spot
            self.at += 1
            return ""
        self.at = bare.end()
        return bare.group()

    def string(self) -> str:
        quote = self.text[self.at]
        if self.text.startswith(quote * 3, self.at):
            start = self.at = self.at + 3
            while not self.text.startswith(quote * 3, self.at):
                self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
            end = self.at
            self.at += 3
            while self.at < len(self.text) and self.text[self.at] == quote:
                self.at += 1  # up to two quotes may belong to the text itself
            return self.text[start:end]
        start = self.at = self.at + 1
        while self.text[self.at] != quote:
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        raw = self.text[start : self.at]
        self.at += 1
        return _unescaped(raw) if quote == '"' else raw

    def blank(self) -> None:
        blank = _BLANK.match(self.text, self.at)
        self.at = blank.end() if blank else self.at

    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1


_ESCAPE = re.compile(r"\\(?:U([0-9A-Fa-f]{8})|u([0-9A-Fa-f]{4})|(.))")
_LETTERS = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


def _unescaped(raw: str) -> str:
    def character(found: re.Match[str]) -> str:
        digits = found[1] or found[2]
        return chr(int(digits, 16)) if digits else _LETTERS.get(found[3], found[3])

    return _ESCAPE.sub(character, raw)
