"""Answer a file of any size with texts: window by window, each batched by length inside the one prediction path."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, TYPE_CHECKING

from burnish.data.rows import Row
from burnish.deploy.batch import BatchResult, Format, inputs_of, refusal
from burnish.errors import BurnishError
from burnish.records.dataset import Rejection
from burnish.records.task import Task

if TYPE_CHECKING:
    from burnish.models.fitted_text import FittedText, TextAnswer

# Answers come token by token: fewer rows a window than labels have, so that some are on the disk soon.
WINDOW_ROWS = 256
COLUMNS = ("row", "text", "finish_reason", "start", "end", "confidence", "version",
           "dropped_characters", "error")  # fmt: skip


def predict_text_file(
    fitted: FittedText,
    task: Task,
    rows: Iterable[Row | Rejection],
    out: IO[str],
    *,
    version: str,
    form: Format = "csv",
    window: int = WINDOW_ROWS,
) -> BatchResult:
    """Write one line per row, in order, as soon as its window is answered.

    The server's own path, so the same row gets the same answer. Rows that cannot be read or asked (too long, turns out
    of order) get a line with the error; none is dropped.

    Raises: what the model raises; OSError of `out`.
    """
    write = (_csv_writer if form == "csv" else _jsonl_writer)(out)
    answered = refused = truncated = 0
    for line in _lines(fitted, task, rows, window):
        refused += "error" in line
        answered += "error" not in line
        truncated += bool(line.get("dropped_characters"))
        write(line | {"version": version})
    return BatchResult(answered + refused, answered, refused, truncated)


def _lines(
    fitted: FittedText, task: Task, rows: Iterable[Row | Rejection], size: int
) -> Iterator[dict[str, object]]:
    source = iter(rows)
    while window := list(islice(source, size)):
        reasons = [refusal(task, row) or _unasked(fitted, task, row) for row in window]
        inputs = [
            inputs_of(task, row)
            for row, reason in zip(window, reasons, strict=True)
            if reason is None
        ]
        answers = iter(fitted.answer(task, inputs) if inputs else ())
        for row, reason in zip(window, reasons, strict=True):
            line: dict[str, object] = {"row": row.where}
            if reason is None:
                yield line | _answer(next(answers), task)
            else:
                yield line | {"error": reason}


def _unasked(fitted: FittedText, task: Task, row: Row | Rejection) -> str | None:
    """Why the model cannot be asked this row; None when it can."""
    try:
        fitted.check(task, [inputs_of(task, row)])
    except BurnishError as error:
        first = error.problems[0]
        return f"{first.code}: {first.what}"
    return None


def _answer(answer: TextAnswer, task: Task) -> dict[str, object]:
    start = answer.start
    return {
        "text": answer.text,
        "finish_reason": "stop" if answer.finished else "length",
        "start": start,
        "end": None if start is None else start + len(answer.text),
        "confidence": answer.confidence if task.finds else None,
        "dropped_characters": answer.dropped_characters,
    }


def _csv_writer(out: IO[str]) -> Callable[[Mapping[str, object]], None]:
    """The columns of COLUMNS; what there is none of is an empty cell. Numbers are never rounded."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(line: Mapping[str, object]) -> None:
        cells = (line.get(name) for name in COLUMNS)
        writer.writerow(["" if cell is None else cell for cell in cells])

    return write


def _jsonl_writer(out: IO[str]) -> Callable[[Mapping[str, object]], None]:
    """One object a line: row, text, finish_reason, start, end, confidence, dropped_characters, version; or row, error
    and version.
    """

    def write(line: Mapping[str, object]) -> None:
        out.write(json.dumps(line, ensure_ascii=False) + "\n")

    return write
