"""Files in, answers out: every row, in order, by the server's own path."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.rows import Row
from burnish.deploy.batch import BatchResult, predict_file
from burnish.deploy.engines.majority import MajorityFitted
from burnish.evaluate.predict import predict
from burnish.records.dataset import Rejection
from support_task import make_task

TASK = make_task()
FITTED = MajorityFitted((0.6, 0.3, 0.1), sigmoid=False, max_tokens=4)


def run(
    rows: list[Row | Rejection], *, form: str = "csv", probabilities: bool = False, window: int = 3
) -> tuple[BatchResult, str]:
    out = io.StringIO()
    result = predict_file(
        FITTED,
        TASK,
        iter(rows),
        out,
        version="support-1",
        form=form,  # type: ignore[arg-type]
        probabilities=probabilities,
        window=window,
    )
    return result, out.getvalue()


def row(number: int, text: str) -> Row:
    return Row(where=f"t.csv:{number}", fields={"text": text, "more": "x"})


def test_csv_has_a_line_for_every_row() -> None:
    rows = [
        row(2, "hello there"),
        Rejection(where="t.csv:3", reason="ragged-row", detail="3 cells, expected 2"),
        row(4, "  "),
        Row(where="t.csv:5", fields={"more": "x"}),
        row(6, "one two three four five six"),
    ]
    result, text = run(rows, probabilities=True)
    assert result == BatchResult(rows=5, answered=2, refused=3, truncated=1)
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["row"] for line in lines] == [r.where for r in rows]
    assert [line["error"] for line in lines] == [
        "",
        "ragged-row: 3 cells, expected 2",
        "empty-text",
        "input-missing: text",
        "",
    ]
    assert [line["label"] for line in lines] == ["refund", "", "", "", "refund"]
    assert lines[4]["dropped_characters"] == str(len(" five six"))
    assert abs(float(lines[0]["p:delivery"]) - 0.3) < 1e-12
    assert lines[1]["p:delivery"] == lines[1]["confidence"] == ""


def test_jsonl_and_several_labels() -> None:
    task = make_task(kind="multilabel")
    fitted = MajorityFitted((0.6, 0.7, 0.1), sigmoid=True, max_tokens=4)
    out = io.StringIO()
    predict_file(
        fitted,
        task,
        [row(2, "a"), row(3, "")],
        out,
        version="v-1",
        form="jsonl",
        probabilities=True,
    )
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first["label"] is None and first["labels"] == ["refund", "delivery"]
    assert set(first["probabilities"]) == set(task.label_names)
    assert second == {"row": "t.csv:3", "version": "v-1", "error": "empty-text"}


def test_no_rows_is_a_header() -> None:
    assert run([])[1].count("\n") == 1
    assert run([], form="jsonl")[1] == ""


def test_it_streams() -> None:
    """Output of a window is there before the next one is read."""
    out = io.StringIO()
    seen: list[int] = []

    def rows() -> Iterator[Row]:
        for number in range(9):
            seen.append(out.getvalue().count("\n"))
            yield row(number, "hello")

    predict_file(FITTED, TASK, rows(), out, version="v", window=3)
    assert seen == [1, 1, 1, 4, 4, 4, 7, 7, 7]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=20), st.integers(1, 7))
def test_the_window_changes_nothing(texts: list[str], window: int) -> None:
    rows: list[Row | Rejection] = [row(n, text) for n, text in enumerate(texts)]
    result, text = run(rows, form="jsonl", window=window)
    assert text == run(rows, form="jsonl", window=1000)[1]
    assert result.rows == len(rows) == result.answered + result.refused
    answers = [json.loads(line) for line in text.splitlines()]
    told = [a for a in answers if "error" not in a]
    asked = [{"text": value} for value in texts if value.strip()]
    expected = [p.answer.confidence for p in predict(FITTED, TASK, asked)]
    assert [a["confidence"] for a in told] == expected
