"""What every export format promises: the same rows when they are read again, or a refusal that names the row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.data.examples import read_examples
from burnish.data.export import WRITERS, export, format_of
from burnish.data.read import READERS
from burnish.errors import BurnishError
from burnish.records.example import SPLITS, Example, Source, Split, input_id, row_id
from burnish.records.label import ManyOf, OneOf
from burnish.records.task import DataFiles, LabelSpec, Task

SAMPLES = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
ENDINGS = {
    "csv": ".csv", "tsv": ".tsv", "jsonl": ".jsonl", "json": ".json", "parquet": ".parquet", "xlsx": ".xlsx",
    "label-studio": ".json", "prodigy": ".jsonl", "argilla": ".json", "folder": "",
}  # fmt: skip
TRAPS = [
    "NA", "null", "nan", "007", "1e5", "TRUE", "-0", " padded ", "a,b", 'say "hi"', "two\nlines", "tab\there",
    "=SUM(1)", "+1", "@x", "'quoted", "#N/A", "2024-01-02", "\u2028", "\x85", "\ufeffbom", "é 日本 👍🏽",
    "back\\slash", '""', "[1]", '["a"]', '{"a": 1}', "<b>&amp;</b>", "r\r\nn", "lone\rr", "_x000D_",
]  # fmt: skip
texts = st.one_of(
    st.sampled_from(TRAPS),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
)
SEPARATOR = "|"
# labels a task.toml may have: no blanks around them, no separator, no NUL
label_names = st.lists(
    st.one_of(
        st.sampled_from(["NA", "007", "ham, spam", 'say "x"', "日本", "=1", "[x", "true", "a b"]),
        st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8),
    ).filter(lambda name: SEPARATOR not in name and not _is_json_list(name)),
    min_size=2,
    max_size=4,
    unique=True,
)
column_names = st.lists(
    st.one_of(
        st.sampled_from(["text", "label", "split", "meta", "answer", "data", "id", "customer", "é,x"]),
        st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=6),
    ),
    min_size=4,
    max_size=5,
    unique=True,
)  # fmt: skip
Rows = dict[Split, list[Example]]


def _is_json_list(name: str) -> bool:
    try:
        return isinstance(json.loads(name), list)
    except ValueError:
        return False


@st.composite
def exports(
    draw: st.DrawFn, *, inputs: int | None = None, several: bool | None = None
) -> tuple[Task, Rows]:
    """A task with one or two inputs, a group, other columns, and rows in one to three splits."""
    first, second, label, group, *others = draw(column_names)
    many = draw(st.booleans()) if several is None else several
    columns = (first, second) if (inputs or draw(st.integers(1, 2))) == 2 else (first,)
    beside = [group, *others, *([] if len(columns) == 2 else [second])]
    names = draw(label_names)
    task = Task(
        name="t",
        kind="multilabel" if many else "classification",
        inputs=columns,
        label=label,
        labels=tuple(LabelSpec(name=name) for name in names),
        separator=SEPARATOR,
        group=group,
        primary_metric="micro_f1" if many else "macro_f1",
    )
    rows: Rows = {split: [] for split in SPLITS}
    for number in range(draw(st.integers(1, 5))):
        held = {name: draw(texts) for name in (*columns, *beside)}
        given_text = {name: held.pop(name) for name in columns}
        given_text[columns[0]] += f"{number}."  # a row without any text is none
        chosen = draw(st.sets(st.sampled_from(names))) if many else {draw(st.sampled_from(names))}
        ordered = tuple(name for name in names if name in chosen)
        where = f"t.csv:{number + 2}"
        rows[draw(st.sampled_from(SPLITS))].append(
            Example(
                row_id=row_id(where=where, inputs=given_text, label=None),
                input_id=input_id(given_text),
                inputs=given_text,
                label=ManyOf(names=ordered) if many else OneOf(name=ordered[0]),
                source=Source(where=where),
                group=held[group] or None,
                columns=held,
            )
        )
    return task, rows


def reading(path: Path, task: Task) -> list[Example]:
    """The exported file read with the same task."""
    again = task.model_copy(update={"data": DataFiles(train=(path.name,))})
    read = read_examples(again, path.parent)
    assert read.rejections == ()
    return list(read.examples["train"])


def told(example: Example, *, split: str | None) -> tuple[object, ...]:
    """What must survive an export."""
    columns = dict(example.columns)
    if split is not None:
        columns["split of the export"] = split
    return example.inputs, example.label, example.group, columns


def found_again(example: Example, *, mark: str | None) -> tuple[object, ...]:
    columns = dict(example.columns)
    split = columns.pop(mark) if mark is not None else None
    return told(example.model_copy(update={"columns": columns}), split=split)


def split_column(task: Task, rows: Rows) -> str | None:
    """The column that tells the split: none when all rows are of one."""
    if sum(map(bool, rows.values())) < 2:
        return None
    mark = "split"
    taken = {*task.inputs, task.label, *(n for e in rows.values() for x in e for n in x.columns)}
    while mark in taken:
        mark += "_"
    return mark


def refused(task: Task, rows: Rows, path: Path, format: str) -> bool:
    """Whether the format refuses the rows; then nothing was written, and every problem says where."""
    try:
        export(task, rows, path, format=format)
    except BurnishError as error:
        assert {problem.code for problem in error.problems} == {"export-unwritable"}
        assert all(problem.where and problem.what for problem in error.problems)
        assert not path.exists()
        return True
    return False


def test_every_writer_is_in_these_laws() -> None:
    assert set(ENDINGS) == set(WRITERS)


TABLES = [name for name in WRITERS if name not in ("folder", "xlsx")]


@pytest.mark.parametrize("format", TABLES)
@SAMPLES
@given(drawn=exports())
def test_what_is_written_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, format: str, drawn: tuple[Task, Rows]
) -> None:
    task, rows = drawn
    path = tmp_path_factory.mktemp("x") / f"rows{ENDINGS[format]}"
    assert not refused(task, rows, path, format)
    mark = split_column(task, rows)
    written = [
        told(row, split=split if mark else None) for split, found in rows.items() for row in found
    ]
    assert [found_again(row, mark=mark) for row in reading(path, task)] == written


@SAMPLES
@given(drawn=exports())
def test_a_worksheet_holds_every_cell_as_text_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[Task, Rows]
) -> None:
    task, rows = drawn
    path = tmp_path_factory.mktemp("x") / "rows.xlsx"
    if refused(task, rows, path, "xlsx"):
        spoken = json.dumps(
            [row.model_dump(mode="json") for found in rows.values() for row in found]
        )
        assert any(mark in spoken for mark in ("\\r", "_x", "\\u00", "\\uff")), (
            "refused without a cause"
        )
        return
    header, *lines = openpyxl.load_workbook(path)["rows"].iter_rows()
    assert {cell.data_type for line in lines for cell in line if cell.value is not None} <= {"s"}
    columns = [cell.value for cell in header]
    flat = [{n: c.value or "" for n, c in zip(columns, line, strict=True)} for line in lines]
    beside = [row for found in rows.values() for row in found]
    for row, cells in zip(beside, flat, strict=True):
        assert {name: cells[name] for name in (*row.inputs, *row.columns)} == {
            **row.inputs,
            **row.columns,
        }
    if ".xlsx" in READERS:
        mark = split_column(task, rows)
        written = [
            told(row, split=split if mark else None)
            for split, found in rows.items()
            for row in found
        ]
        assert [found_again(row, mark=mark) for row in reading(path, task)] == written


@SAMPLES
@given(drawn=exports(inputs=1, several=False))
def test_a_folder_holds_every_text_under_its_label(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[Task, Rows]
) -> None:
    task, rows = drawn
    path = tmp_path_factory.mktemp("x") / "rows"
    if refused(task, rows, path, "folder"):
        assert any("/" in name or name.startswith(".") for name in task.label_names)
        return
    held = {
        (file.relative_to(path).parts[:-1], file.read_bytes().decode("utf-8-sig"))
        for file in path.rglob("*.txt")
    }
    assert held == {
        ((split, row.label.name), row.inputs[task.inputs[0]])
        for split, found in rows.items()
        for row in found
    }
    if find_spec("burnish.data.readers.label_folders") is None:
        return
    plain = task.model_copy(update={"inputs": ("text",), "label": "label", "group": None})
    for split, found in rows.items():
        if found:
            again = {(row.inputs["text"], row.label) for row in reading(path / split, plain)}
            assert again == {(row.inputs[task.inputs[0]], row.label) for row in found}


def make(columns: Mapping[str, str], *, kind: str = "classification") -> tuple[Task, Rows]:
    task = Task(
        name="t",
        kind=kind,
        inputs=("text",),
        label="y",
        labels=(LabelSpec(name="a"), LabelSpec(name="b")),
        primary_metric="macro_f1",
    )
    inputs = {"text": "hello"}
    row = Example(
        row_id="r",
        input_id=input_id(inputs),
        inputs=inputs,
        label=ManyOf(names=("a", "b")) if kind == "multilabel" else OneOf(name="a"),
        source=Source(where="t.csv:2"),
        columns=dict(columns),
    )
    return task, {"train": [row], "validation": [], "test": []}


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("value", ["a\0b", "half \ud83d pair"])
def test_what_is_no_text_is_refused_by_every_format(
    tmp_path: Path, format: str, value: str
) -> None:
    task, rows = make({"note": value})
    with pytest.raises(BurnishError) as caught:
        export(task, rows, tmp_path / f"x{ENDINGS[format]}", format=format)
    (problem, *_) = caught.value.problems
    assert (problem.code, problem.where) == ("export-unwritable", "t.csv:2")
    assert 'column "note"' in problem.what
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("x" * 32_768, "32,768 characters"),
        ("👍" * 16_384, "32,768 characters"),
        ("bell \x07", "U+0007"),
        ("r\r\nn", "U+000D"),
        ("\uffff", "U+FFFF"),
        ("_x0041_", "_x0041_"),
    ],
)
def test_excel_limits_are_told(tmp_path: Path, value: str, what: str) -> None:
    task, rows = make({"note": value})
    with pytest.raises(BurnishError, match="export-unwritable") as caught:
        export(task, rows, tmp_path / "x.xlsx")
    (problem,) = caught.value.problems
    assert problem.where == "t.csv:2"
    assert what in problem.what


def test_excel_takes_what_is_just_short_enough(tmp_path: Path) -> None:
    task, rows = make({"note": "x" * 32_767})
    export(task, rows, tmp_path / "x.xlsx")
    assert openpyxl.load_workbook(tmp_path / "x.xlsx").active["C2"].value == "x" * 32_767


@pytest.mark.parametrize("format", ["jsonl", "json"])
def test_a_table_that_looks_like_another_tools_export_is_refused(
    tmp_path: Path, format: str
) -> None:
    task, rows = make({"answer": "accept", "label": "x"})
    with pytest.raises(BurnishError, match="Prodigy"):
        export(task, rows, tmp_path / f"x.{format}")


def test_a_folder_says_what_it_cannot_hold(tmp_path: Path) -> None:
    done = export(*make({"channel": "web"}), tmp_path / "x", format="folder")
    assert done.left_out == ("channel",)
    with pytest.raises(BurnishError, match="may have several"):
        export(*make({}, kind="multilabel"), tmp_path / "y", format="folder")


@pytest.mark.parametrize("format", WRITERS)
def test_nothing_is_overwritten_unasked(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"x{ENDINGS[format]}"
    task, rows = make({})
    export(task, rows, path, format=format)
    before = sorted(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    with pytest.raises(BurnishError) as caught:
        export(task, rows, path, format=format, force=format == "folder")
    assert caught.value.code == "export-exists"
    assert sorted(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()) == before
    if format != "folder":
        export(task, rows, path, format=format, force=True)


@pytest.mark.parametrize(
    ("name", "format", "nearest"),
    [("x.cvs", None, "csv"), ("x", None, None), ("x.csv", "prodgy", "prodigy")],
)
def test_an_unknown_format_is_named_with_the_nearest(
    name: str, format: str | None, nearest: str | None
) -> None:
    with pytest.raises(BurnishError) as caught:
        format_of(Path(name), format=format)
    (problem,) = caught.value.problems
    assert (problem.code, problem.nearest) == ("export-format-unknown", nearest)


def test_tools_find_what_they_need(tmp_path: Path) -> None:
    """The keys that Label Studio, Prodigy and Argilla ask for when they import."""
    task, rows = make({"channel": "web"}, kind="multilabel")
    found: dict[str, Sequence[Mapping[str, object]]] = {}
    for format in ("label-studio", "argilla"):
        export(task, rows, tmp_path / f"{format}.json", format=format)
        found[format] = json.loads((tmp_path / f"{format}.json").read_text())
    export(task, rows, tmp_path / "p.jsonl", format="prodigy")
    (question,) = map(json.loads, (tmp_path / "p.jsonl").read_text().splitlines())
    (one,) = found["label-studio"]
    assert one["data"] == {"text": "hello", "channel": "web"}
    (annotation,) = one["annotations"]
    (result,) = annotation["result"]
    assert {key: result[key] for key in ("from_name", "to_name", "type", "value")} == {
        "from_name": "y",
        "to_name": "text",
        "type": "choices",
        "value": {"choices": ["a", "b"]},
    }
    assert question["text"] == "hello"
    assert [option["id"] for option in question["options"]] == ["a", "b"]
    assert (question["accept"], question["answer"]) == (["a", "b"], "accept")
    (record,) = found["argilla"]
    assert record["fields"] == {"text": "hello"}
    assert record["responses"]["y"][0]["value"] == ["a", "b"]
