"""JSON lines: one object per line, each line standing for itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from burnish.data.decode import detect
from burnish.data.json_cells import parse_object
from burnish.data.rows import Asked, FileFacts, Row, too_long
from burnish.data.shape import Placed, rows_in, shaped
from burnish.data.stream import open_text, text_lines
from burnish.errors import fail
from burnish.records.dataset import Rejection


def sniff(path: Path, *, name: str, asked: Asked) -> FileFacts:
    """Encoding, shape and columns: those of the first 1,000 objects, in order of appearance.

    Raises: file-binary, encoding-unclear, encoding-unknown, file-no-rows.
    """
    decoding = detect(path, name=name, encoding=asked.encoding)
    facts = FileFacts(columns=(), encoding=decoding.encoding, issues=decoding.issues)
    facts = shaped(facts, lambda: _objects(path, name=name, facts=facts))
    if not facts.columns:
        raise fail(
            "file-no-rows",
            "no line is a JSON object with columns",
            where=name,
            expected='lines such as {"text": "...", "label": "..."}',
            fix="check the export",
        )
    return facts


def rows(path: Path, *, name: str, facts: FileFacts) -> Iterator[Row | Rejection]:
    """The rows of every line that is not blank, in the file's shape, or the line's rejection."""
    return rows_in(_objects(path, name=name, facts=facts), shape=facts.shape)


def _objects(path: Path, *, name: str, facts: FileFacts) -> Iterator[Placed]:
    # only \n ends a line: a lone \r is white space between JSON tokens
    with open_text(path, encoding=facts.encoding or "utf-8", newline="\n") as handle:
        for number, line in enumerate(text_lines(handle, ends=("\n",)), start=1):
            where = f"{name}:{number}"
            if line is None:
                yield Placed(where, too_long(where))
            elif not line.isspace() or line.strip(" \t\r\n"):
                yield Placed(where, parse_object(line, where=where))
