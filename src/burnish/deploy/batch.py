"""Answer a file of any size: in windows, each sorted by length inside the one prediction path."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, Literal

from burnish.data.normalise import normalise_inputs
from burnish.data.rows import Row
from burnish.evaluate.predict import predict
from burnish.records.dataset import Rejection
from burnish.records.label import label_names
from burnish.records.task import Task

if TYPE_CHECKING:
    from burnish.models.fitted import Fitted

Format = Literal["csv", "jsonl"]

# Enough rows for long and short to find company, few enough to hold in memory.
WINDOW_ROWS = 4096


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Rows read = answered + refused. `truncated` of the answered ones lost their end; `refused` ones
    stand in the output with the reason.
    """

    rows: int
    answered: int
    refused: int
    truncated: int


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the output; `error` is set when there is no answer."""

    row: str
    labels: tuple[str, ...] = ()
    confidence: float | None = None
    probabilities: tuple[float, ...] | None = None
    dropped_characters: int = 0
    error: str | None = None


def predict_file(
    fitted: Fitted,
    task: Task,
    rows: Iterable[Row | Rejection],
    out: IO[str],
    *,
    version: str,
    form: Format = "csv",
    probabilities: bool = False,
    window: int = WINDOW_ROWS,
) -> BatchResult:
    """Write one line per row, in order, as soon as its window is answered.

    The server's own path (`burnish.evaluate.predict.predict`), so the same row gets the same answer.
    Rows that cannot be read or have no text get a line with the error; none is dropped.

    Raises: what the model raises; OSError of `out`.
    """
    make = {"csv": _csv_writer, "jsonl": _jsonl_writer}[form]
    write = make(out, task, version=version, probabilities=probabilities)
    answered = refused = truncated = 0
    for lines in _windows(fitted, task, rows, window):
        for line in lines:
            refused += line.error is not None
            answered += line.error is None
            truncated += line.dropped_characters > 0
            write(line)
    return BatchResult(answered + refused, answered, refused, truncated)


def _windows(
    fitted: Fitted, task: Task, rows: Iterable[Row | Rejection], size: int
) -> Iterator[list[_Line]]:
    source = iter(rows)
    while window := list(islice(source, size)):
        lines = [
            None if (reason := refusal(task, row)) is None else _Line(row=row.where, error=reason)
            for row in window
        ]
        places = [place for place, line in enumerate(lines) if line is None]
        inputs = [inputs_of(task, window[place]) for place in places]
        for place, answer in zip(places, predict(fitted, task, inputs), strict=True):
            lines[place] = _Line(
                row=window[place].where,
                labels=label_names(answer.answer.label),
                confidence=float(answer.answer.confidence),
                probabilities=tuple(map(float, answer.probabilities_L)),
                dropped_characters=answer.encoding.dropped_characters,
            )
        yield [line for line in lines if line is not None]


def refusal(task: Task, row: Row | Rejection) -> str | None:
    """Why a row cannot be answered; None for one that can."""
    if isinstance(row, Rejection):
        return f"{row.reason}: {row.detail}".removesuffix(": ")
    missing = [column for column in task.inputs if column not in row.fields]
    if missing:
        return f"input-missing: {', '.join(missing)}"
    if not any(text.strip() for text in normalise_inputs(task, inputs_of(task, row)).values()):
        return "empty-text"
    return None


def inputs_of(task: Task, row: Row | Rejection) -> dict[str, str]:
    """What the task reads of a row."""
    return {column: row.fields[column] for column in task.inputs} if isinstance(row, Row) else {}


def _csv_writer(
    out: IO[str], task: Task, *, version: str, probabilities: bool
) -> Callable[[_Line], None]:
    """Columns: row, label, confidence, version, dropped_characters, error, then "p:LABEL" if asked for.

    Several labels stand in one cell, joined by the task's separator. Numbers are never rounded.
    """
    writer = csv.writer(out, lineterminator="\n")
    columns = ["row", "label", "confidence", "version", "dropped_characters", "error"]
    shares = [f"p:{name}" for name in task.label_names] if probabilities else []
    writer.writerow([*columns, *shares])

    def write(line: _Line) -> None:
        confidence = "" if line.confidence is None else line.confidence
        label = task.separator.join(line.labels)
        writer.writerow(
            [
                *(line.row, label, confidence, version, line.dropped_characters, line.error or ""),
                *(line.probabilities or [""] * len(shares))[: len(shares)],
            ]
        )

    return write


def _jsonl_writer(
    out: IO[str], task: Task, *, version: str, probabilities: bool
) -> Callable[[_Line], None]:
    """One object a line: row, label (null for several), labels, confidence, version,
    dropped_characters, probabilities if asked for; or row, version and error.
    """

    def write(line: _Line) -> None:
        value: dict[str, object] = {"row": line.row, "version": version}
        if line.error is not None:
            value["error"] = line.error
        else:
            value |= _answer(line, task)
            if probabilities and line.probabilities is not None:
                value["probabilities"] = dict(
                    zip(task.label_names, line.probabilities, strict=True)
                )
        out.write(json.dumps(value, ensure_ascii=False) + "\n")

    return write


def _answer(line: _Line, task: Task) -> Mapping[str, object]:
    return {
        "label": None if task.kind == "multilabel" else line.labels[0],
        "labels": list(line.labels),
        "confidence": line.confidence,
        "dropped_characters": line.dropped_characters,
    }
