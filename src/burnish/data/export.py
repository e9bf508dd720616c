"""The door for export formats: a dataset's rows as a file that this or another tool reads.

To add a format, write `data/writers/<name>.py` with the members of `sheet.Writer`, add a row to `WRITERS`,
and run `tests/laws/test_writers.py`, which tests every row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.data.sheet import SPLIT_COLUMN, Line, Sheet, Writer, no_text
from burnish.data.writers import (
    argilla,
    comma,
    folder,
    json_lines,
    json_list,
    label_studio,
    parquet,
    prodigy,
    spreadsheet,
    tab,
)
from burnish.errors import BurnishError, Problem, fail, nearest
from burnish.records.example import Example, Split
from burnish.records.label import label_names
from burnish.records.task import Task

__all__ = ["WRITERS", "Exported", "Writer", "export", "format_of", "sheet_of"]

WRITERS: Mapping[str, Writer] = {
    "csv": comma,
    "tsv": tab,
    "jsonl": json_lines,
    "json": json_list,
    "parquet": parquet,
    "xlsx": spreadsheet,
    "label-studio": label_studio,
    "prodigy": prodigy,
    "argilla": argilla,
    "folder": folder,
}
LISTED_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: where, as what, how many rows of each split, and the columns the format has no place for."""

    path: Path
    format: str
    rows: Mapping[Split, int]
    left_out: tuple[str, ...]


def export(
    task: Task,
    rows: Mapping[Split, Sequence[Example]],
    to: Path,
    *,
    format: str | None = None,
    force: bool = False,
) -> Exported:
    """Write the rows so that reading them with the same task gives the same inputs, labels and columns.

    The format is that of the name's ending when it is not given. With rows of more than one split a
    column `split` says which. Nothing is written when a value cannot be carried unchanged.

    Raises: export-format-unknown, export-exists (without `force`; always for a folder), export-unwritable,
        no-rows-used, extra-missing, and those of durable writes.
    """
    chosen = format_of(to, format=format)
    writer = WRITERS[chosen]
    if to.exists() and (not force or chosen == "folder"):
        raise fail(
            "export-exists",
            "is there already",
            where=str(to),
            expected="a new name",
            fix="choose another name"
            if chosen == "folder"
            else "choose another name, or replace it: --force",
        )
    sheet = sheet_of(task, rows)
    if not sheet.lines:
        raise fail(
            "no-rows-used",
            "no row to export",
            where=", ".join(rows),
            expected="a split that holds rows",
            fix="burnish data list shows how many rows each split has",
        )
    _refuse(sheet, writer, format=chosen)
    writer.write(sheet, to)
    counts: dict[Split, int] = {
        split: len(examples) for split, examples in rows.items() if examples
    }
    return Exported(to, chosen, counts, writer.left_out(sheet))


def format_of(to: Path, *, format: str | None) -> str:
    """The format's name: the one given, else that of the file's ending.

    Raises: export-format-unknown.

    Example:
        >>> format_of(Path("rows.CSV"), format=None), format_of(Path("x.json"), format="argilla")
        ('csv', 'argilla')
    """
    ending = to.suffix.lower().removeprefix(".")
    chosen = format or ("jsonl" if ending == "ndjson" else ending)
    if chosen in WRITERS:
        return chosen
    raise fail(
        "export-format-unknown",
        f'no writer for "{chosen}"' if chosen else "the name has no ending",
        where=str(to),
        expected=f"one of: {', '.join(WRITERS)}",
        fix="give --format one of these, or the file its ending",
        nearest=nearest(chosen, WRITERS),
    )


def sheet_of(task: Task, rows: Mapping[Split, Sequence[Example]]) -> Sheet:
    """The rows as columns and cells; with more than one split, the split becomes a column."""
    examples = [example for found in rows.values() for example in found]
    names: dict[str, None] = {}
    for example in examples:
        names.update(dict.fromkeys(example.columns))
        if task.group is not None and example.group is not None:
            names.setdefault(task.group)
    for taken in (*task.inputs, task.label):
        names.pop(taken, None)
    marked = sum(bool(found) for found in rows.values()) > 1
    mark = SPLIT_COLUMN
    while marked and mark in (*names, *task.inputs, task.label):
        mark = f"{mark}_"
    lines: list[Line] = []
    for split, found in rows.items():
        for example in found:
            columns = {name: example.columns[name] for name in names if name in example.columns}
            if task.group is not None and example.group is not None and task.group in names:
                columns[task.group] = example.group
            lines.append(
                Line(
                    where=example.source.where,
                    split=split,
                    inputs={name: example.inputs.get(name, "") for name in task.inputs},
                    names=label_names(example.label) if example.label is not None else None,
                    columns={**columns, mark: split} if marked else columns,
                )
            )
    return Sheet(
        inputs=task.inputs,
        label=task.label,
        columns=(*names, mark) if marked else tuple(names),
        options=task.label_names,
        several=task.kind == "multilabel",
        separator=task.separator,
        lines=tuple(lines),
    )


def _refuse(sheet: Sheet, writer: Writer, *, format: str) -> None:
    """Raise export-unwritable with the first obstacles and the number of the others."""
    found: list[tuple[str, str]] = [*_everywhere(sheet), *writer.obstacles(sheet)]
    if not found:
        return
    shown = [
        Problem(
            code="export-unwritable",
            what=what,
            where=where,
            expected=f"what {format} can carry unchanged",
            fix="choose another --format, or mend the row and make the dataset again",
            more=len(found) - LISTED_PROBLEMS if place == LISTED_PROBLEMS - 1 else 0,
        )
        for place, (where, what) in enumerate(found[:LISTED_PROBLEMS])
    ]
    raise BurnishError(tuple(shown))


def _everywhere(sheet: Sheet) -> Iterator[tuple[str, str]]:
    """What no format can carry: text that is none, and labels that would be read as others."""
    for name in (*sheet.header, *sheet.options):
        if told := no_text(name):
            yield "the header and the labels", f"{json.dumps(name)} {told}"
    for name in sheet.options if sheet.several else ():
        if _is_list(name):
            yield "the labels", f"{json.dumps(name)} would be read as a list of labels"
    for line in sheet.lines:
        for name, value in (*line.inputs.items(), *line.columns.items()):
            if told := no_text(value):
                yield line.where, f'column "{name}" {told}'
        if sheet.several and line.names is None:
            yield line.where, "has no label yet, and would be read as a row with none of the labels"


def _is_list(name: str) -> bool:
    try:
        return isinstance(json.loads(name), list)
    except (ValueError, RecursionError):
        return False
