"""JSON lines: one object per line, each line standing for itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from burnish.data.decode import detect
from burnish.data.json_cells import parse_object
from burnish.data.rows import Asked, FileFacts, Row, columns_among, too_long
from burnish.data.stream import open_text, text_lines
from burnish.errors import fail
from burnish.records.dataset import Rejection

SAMPLE_RECORDS = 1000


def sniff(path: Path, *, name: str, asked: Asked) -> FileFacts:
    """Encoding and columns: the keys of the first 1,000 objects, in order of appearance.

    Raises: file-binary, encoding-unclear, encoding-unknown, file-no-rows.
    """
    decoding = detect(path, name=name, encoding=asked.encoding)
    facts = FileFacts(columns=(), encoding=decoding.encoding, issues=decoding.issues)
    columns = columns_among(islice(rows(path, name=name, facts=facts), SAMPLE_RECORDS))
    if not columns:
        raise fail(
            "file-no-rows",
            "no line is a JSON object with columns",
            where=name,
            expected='lines such as {"text": "...", "label": "..."}',
            fix="check the export",
        )
    return FileFacts(columns=columns, encoding=decoding.encoding, issues=decoding.issues)


def rows(path: Path, *, name: str, facts: FileFacts) -> Iterator[Row | Rejection]:
    """Every line that is not blank, as a row or a rejection."""
    # only \n ends a line: a lone \r is white space between JSON tokens
    with open_text(path, encoding=facts.encoding or "utf-8", newline="\n") as handle:
        for number, line in enumerate(text_lines(handle, ends=("\n",)), start=1):
            if line is None:
                yield too_long(f"{name}:{number}")
            elif not line.isspace() or line.strip(" \t\r\n"):
                yield parse_object(line, where=f"{name}:{number}")
