"""Prodigy's JSONL: accepted choices, ready for its database (`prodigy db-in`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from burnish.data.sheet import Line, Sheet
from burnish.store.durable import replacing

TEXT = "text"


def obstacles(sheet: Sheet) -> Iterator[tuple[str, str]]:
    """None: text, options and meta are any text."""
    return iter(())


def write(sheet: Sheet, to: Path) -> None:
    """One question a line: the options, those accepted, every other column in meta.

    Prodigy shows the key "text": the input of that name, else the last one. `_columns` keeps the names
    that these had here, and Prodigy keeps it.
    """
    shown = TEXT if TEXT in sheet.inputs else sheet.inputs[-1]
    with replacing(to) as out:
        for line in sheet.lines:
            out.write(json.dumps(_question(sheet, line, shown), ensure_ascii=False) + "\n")


def left_out(sheet: Sheet) -> tuple[str, ...]:
    """Nothing."""
    return ()


def _question(sheet: Sheet, line: Line, shown: str) -> dict[str, object]:
    beside = {name: text for name, text in line.inputs.items() if name != shown}
    answered = "accept" if line.names is not None else "ignore"
    return {
        TEXT: line.inputs[shown],
        "options": [{"id": name, "text": name} for name in sheet.options],
        "accept": list(line.names or ()),
        "answer": answered,
        "meta": {**beside, **line.columns},
        "config": {"choice_style": "multiple" if sheet.several else "single"},
        "_view_id": "choice",
        "_columns": {TEXT: shown, "label": sheet.label},
    }
