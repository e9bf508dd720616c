"""Argilla records, as its `records.from_json` takes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from burnish.data.sheet import Line, Sheet, label_value, write_list

# Argilla wants to know who answered; whoever imports puts their own user's id here.
NOBODY = "00000000-0000-0000-0000-000000000000"


def obstacles(sheet: Sheet) -> Iterator[tuple[str, str]]:
    """None: fields, responses and metadata are any text."""
    return iter(())


def write(sheet: Sheet, to: Path) -> None:
    """A list of records: inputs as fields, the label as a response, other columns as metadata."""
    write_list((_record(sheet, line) for line in sheet.lines), to)


def left_out(sheet: Sheet) -> tuple[str, ...]:
    """Nothing."""
    return ()


def _record(sheet: Sheet, line: Line) -> dict[str, object]:
    said = [{"value": label_value(sheet, line), "user_id": NOBODY}]
    return {
        "fields": dict(line.inputs),
        "metadata": dict(line.columns),
        "suggestions": {},
        "responses": {sheet.label: said} if line.names is not None else {},
        "vectors": {},
    }
