"""Rows become Examples: every row of the task's files is used or rejected, and the ledger says which."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from burnish.data.changes import Changes
from burnish.data.named import expand, names_of
from burnish.data.normalise import normalise_inputs
from burnish.data.read import (
    Asked,
    FileFacts,
    Row,
    read_rows,
    refuse_changed,
    sha256_of,
    sniff,
)
from burnish.errors import BurnishError, Problem, fail
from burnish.records.dataset import DataFile, Issue, Rejection
from burnish.records.example import SPLITS, Example, Source, Split, input_id, row_id
from burnish.records.label import Label
from burnish.records.task import Task
from burnish.tasks.kind import any_kind_of
from burnish.tasks.kinds.chat import is_conversation, parted
from burnish.tasks.kinds.extractive_qa import repaired
from burnish.tasks.load import check_columns

# Beyond this share of unknown labels the task or the column is wrong, not the rows.
UNKNOWN_LABELS_FRACTION = 0.10
LISTED_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Everything the files said. rows_in == examples of all splits + rejections, always.

    `examples` has the key "train" for the rows Burnish may split, and "validation" and "test" where
    the task names files for them: those are honoured as published.
    """

    examples: Mapping[Split, tuple[Example, ...]]
    rejections: tuple[Rejection, ...]
    files: tuple[DataFile, ...]
    rows_in: int
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class ExampleFile:
    """A file of the task that was looked at; `name` is relative to task.toml."""

    path: Path
    name: str
    split: Split
    facts: FileFacts


def read_examples(task: Task, root: Path) -> ReadResult:
    """Read the task's files, paths being relative to `root` (the folder of task.toml).

    All files are looked at before the first is read, and all their problems are raised at once.

    Raises: task-no-data, label-unknown (beyond a tenth of the rows), no-rows-used, and the codes of
        read_rows and check_columns.
    """
    examples: dict[Split, list[Example]] = {}
    rejections: list[Rejection] = []
    labels: dict[str, Label | Problem] = {}
    unknown: Counter[tuple[str, str]] = Counter()
    files: list[DataFile] = []
    looked_at, named_issues = look(task, root)
    issues = list(named_issues)
    changes = Changes(task)
    rows_in = moved = 0
    for file in looked_at:
        before = rows_in
        used = examples.setdefault(file.split, [])
        for record in read_rows(file.path, name=file.name, facts=file.facts):
            rows_in += 1
            if isinstance(record, Rejection):
                rejections.append(record)
                continue
            changes.count(record)
            found = to_example(task, record, labels=labels)
            if isinstance(found, Example):
                moved += _was_moved(task, record, found)
                changes.count_turns(record, found)
                used.append(found)
                continue
            rejections.append(found)
            if found.reason == "label-unknown":
                unknown[file.name, _label_cell(task, record)] += 1
        issues.extend(file.facts.issues)
        files.append(
            DataFile(
                name=file.name,
                sha256=sha256_of(file.path, name=file.name),
                encoding=file.facts.encoding,
                rows=rows_in - before,
                split=file.split,
                shape=file.facts.shape,
            )
        )
        # the hash is of the bytes that were read, or there is no dataset
        refuse_changed(file.path, name=file.name, stamp=file.facts.stamp)
    _refuse_unknown_labels(task, unknown, labels, rows_in=rows_in)
    if not any(examples.values()):
        raise _nothing_used(rejections)
    return ReadResult(
        examples={split: tuple(examples[split]) for split in SPLITS if split in examples},
        rejections=tuple(rejections),
        files=tuple(files),
        rows_in=rows_in,
        issues=(*issues, *changes.issues(), *_told_moved(moved)),
    )


def read_spellings(task: Task, root: Path, *, changes: Changes) -> Counter[str]:
    """How many rows spell each label how, whatever the task knows; `changes` counts what the rules for texts do.

    Of several labels in a cell each counts, without the blanks around it, as the task's kind reads them. Rows
    without a label or that cannot be read are left out.

    Raises: task-no-data, and the codes of read_rows and check_columns.
    """
    found: Counter[str] = Counter()
    for file in look(task, root)[0]:
        for record in read_rows(file.path, name=file.name, facts=file.facts):
            if isinstance(record, Rejection):
                continue
            changes.count(record)
            cell = _label_cell(task, record)
            if task.kind == "multilabel":
                found.update({part.strip() for part in cell.split(task.separator)} - {""})
            elif cell.strip():
                found[cell] += 1
    return found


def to_example(
    task: Task, row: Row, *, labels: dict[str, Label | Problem] | None = None
) -> Example | Rejection:
    """One row as an Example, or why it is none: empty-text, empty-label, label-unknown, label-shape.

    Its inputs are as the task's rules leave them, so that what is one text for the model is one text for every
    check, split and id. `labels` remembers what each cell means from row to row: finding the nearest name is slow.
    """
    asked = _asked(task, row)
    if isinstance(asked, Problem):
        return Rejection(where=row.where, reason=asked.code, detail=asked.what)
    inputs, cell = asked
    if not any(text.strip() for text in inputs.values()):
        columns = " and ".join(f'"{name}"' for name in task.inputs)
        return Rejection(where=row.where, reason="empty-text", detail=f"nothing in {columns}")
    kind = any_kind_of(task)
    # texts hardly ever repeat: to remember them all is to hold the file
    known = {} if labels is None or not task.is_closed else labels
    is_new = cell not in known
    if is_new:
        known[cell] = kind.parse(task, cell)
    label = known[cell]
    if isinstance(label, Problem):
        if not cell.strip():
            detail = f'nothing in "{task.label}"'
            return Rejection(where=row.where, reason="empty-label", detail=detail)
        if label.code != "label-unknown":
            return Rejection(where=row.where, reason=label.code, detail=label.what)
        near = f', nearest "{label.nearest}"' if label.nearest else ""
        return Rejection(where=row.where, reason="label-unknown", detail=f'"{cell}"{near}')
    example = Example(
        row_id=row_id(where=row.where, inputs=inputs, label=cell),
        input_id=input_id(inputs),
        inputs=inputs,
        label=label,
        source=Source(where=row.where),
        group=(row.fields.get(task.group) or None) if task.group else None,
        columns={
            name: value
            for name, value in row.fields.items()
            if name != task.label and name not in inputs
        },
    )
    # one look a label, not one a row; what fails stays unknown
    problems = kind.check(task, example) if is_new else ()
    if problems and may_repair(task):
        example = repaired(task, example)
        problems = kind.check(task, example)
    if problems:
        del known[cell]
        return Rejection(where=row.where, reason=problems[0].code, detail=problems[0].what)
    return example


def may_repair(task: Task) -> bool:
    """Whether answers are taken from where they stand, whatever their offset says."""
    return task.finds and task.data is not None and task.data.repair_offsets


def look(task: Task, root: Path) -> tuple[list[ExampleFile], tuple[Issue, ...]]:
    """Every file of the task with its facts, and what to know about their names.

    Raises: BurnishError with the problems of all files at once.
    """
    if task.data is None or not task.data.train:
        raise fail(
            "task-no-data",
            "the task names no files to read",
            where="task.toml",
            expected='[data] train = ["FILE"]',
            fix="add the file's name under [data] in task.toml",
        )
    named = expand(names_of(task.data), root)
    asked = Asked(delimiter=task.data.delimiter, encoding=task.data.encoding, shape=task.data.shape)
    found: list[ExampleFile] = []
    problems = list(named.problems)
    for file in named.files:
        try:
            facts = sniff(file.path, name=file.name, asked=asked)
        except BurnishError as error:
            problems.extend(error.problems)
            continue
        problems.extend(check_columns(task, root / "task.toml", facts.columns, file=file.name))
        found.append(ExampleFile(file.path, file.name, file.split, facts))
    if problems:
        raise BurnishError(tuple(problems))
    return found, named.issues


def _was_moved(task: Task, row: Row, used: Example) -> bool:
    return may_repair(task) and any_kind_of(task).parse(task, _label_cell(task, row)) != used.label


def _told_moved(rows: int) -> tuple[Issue, ...]:
    if not rows:
        return ()
    what = f"{rows} rows have answers that were taken from the nearest place where they stand (repair_offsets)"
    return (Issue(code="offsets-repaired", severity="note", what=what, count=rows),)


def _asked(task: Task, row: Row) -> tuple[dict[str, str], str] | Problem:
    """What the row gives and the cell with what is right, each as the task's kind reads its columns."""
    fields = row.fields
    if is_conversation(task):
        parts = parted(task, fields.get(task.label, ""))
        if isinstance(parts, Problem):
            return parts
        inputs, cell = {task.label: parts[0]}, parts[1]
    else:
        inputs = {name: fields.get(name, "") for name in task.inputs}
        cell = _label_cell(task, row)
    return normalise_inputs(task, inputs), cell


def _label_cell(task: Task, row: Row) -> str:
    """The label as the kind reads it; a JSON list of labels becomes a cell with separators."""
    cell = row.fields.get(task.label, "")
    if task.kind == "multilabel" and cell.startswith("["):
        try:
            names = json.loads(cell)
        except (ValueError, RecursionError):
            return cell
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return task.separator.join(names)
    return cell


def _refuse_unknown_labels(
    task: Task,
    unknown: Counter[tuple[str, str]],
    labels: Mapping[str, Label | Problem],
    *,
    rows_in: int,
) -> None:
    rows = unknown.total()
    if rows <= rows_in * UNKNOWN_LABELS_FRACTION:
        return
    problems = [
        Problem(
            code="label-unknown",
            what=f"{rows} of {rows_in} rows hold labels that the task does not know "
            f"({len(unknown)} spellings)",
            where=f'column "{task.label}"',
            expected=f"at most {UNKNOWN_LABELS_FRACTION:.0%}, to be set aside row by row",
            fix="burnish data check --suggest  (says which spelling means which label), or correct label "
            "or [[labels]] in task.toml",
        )
    ]
    for (file, cell), count in unknown.most_common(LISTED_PROBLEMS):
        problem = labels[cell]
        if isinstance(problem, Problem):
            what = f"{problem.what.rstrip('.')} in {count} rows"
            problems.append(replace(problem, what=what, where=f'{file}, column "{task.label}"'))
    raise BurnishError(tuple(problems))


def _nothing_used(rejections: Sequence[Rejection]) -> BurnishError:
    reasons = Counter(rejection.reason for rejection in rejections)
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return fail(
        "no-rows-used",
        f"every row was rejected: {listed}",
        where=rejections[0].where if rejections else "",
        expected="rows with a text and a label",
        fix="look at the first rows: are the columns named right in task.toml?",
    )
