"""Dataset versions: immutable folders named by their content, each row in its split and in its ledger."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from burnish.data.check import check
from burnish.data.evidence import TokenLengths
from burnish.data.examples import ReadResult
from burnish.data.inherit import inherited
from burnish.data.settle import settle
from burnish.data.split import SHARES, assign
from burnish.data.tombstones import explained
from burnish.errors import BurnishError, Problem, fail
from burnish.records.dataset import DataFile, Dataset, Issue, Rejection, SplitCount
from burnish.records.example import SPLITS, Example, Split
from burnish.records.label import label_names
from burnish.records.record import canonical_json, content_id
from burnish.records.task import Task
from burnish.store.durable import new_folder
from burnish.store.manifest import verify_folder
from burnish.store.workspace import Workspace, names_in, resolve

RECORD_FILE = "dataset.json"
ROWS_FILE = "rows.jsonl"
REJECTED_FILE = "rejected.jsonl"


def make_dataset(
    task: Task,
    read: ReadResult,
    workspace: Workspace,
    *,
    salt: str,
    shares: tuple[float, float, float] = SHARES,
    at: str,
    parent_id: str | None = None,
    token_lengths: TokenLengths | None = None,
    limit_tokens: int | None = None,
) -> Dataset:
    """Settle, split and freeze the rows as a dataset version, whole on disk or not there at all.

    The same task, rows, rejections, salt, shares and parent give the same id, and the version that
    is there already is returned as it is. With `parent_id` texts and groups of the parent stay in
    their splits.

    Raises: no-rows-used, one-class, bad-shares, id-unknown, dataset-damaged, and those of new_folder.
    """
    parent = None
    if parent_id is not None:
        parent_id = resolve(workspace.datasets, parent_id).name
        parent = inherited(load_rows(workspace, parent_id))
    settled = settle(read.examples)
    given = dict(settled.examples)
    pool = given.pop("train", ())
    assignment = assign(pool, salt=salt, shares=shares, given=given, parent=parent)
    rejections = (*read.rejections, *settled.rejections, *assignment.quarantined)
    rows: dict[Split, list[Example]] = {split: [] for split in SPLITS}
    for example in (*pool, *(row for examples in given.values() for row in examples)):
        if example.row_id in assignment.splits:
            rows[assignment.splits[example.row_id]].append(example)
    _refuse_untrainable(rows, rejections)
    issues = check(
        task,
        read.examples,
        read.rejections,
        token_lengths=token_lengths,
        limit_tokens=limit_tokens,
    )
    issues = (
        *empty_split_issues(rows, shares),
        *read.issues,
        *issues,
        *quarantine_issues(assignment.quarantined),
    )
    return freeze(
        task,
        workspace,
        rows=rows,
        rejections=rejections,
        files=read.files,
        rows_in=read.rows_in,
        issues=issues,
        salt=salt,
        shares=shares,
        parent_id=parent_id,
        at=at,
    )


def freeze(
    task: Task,
    workspace: Workspace,
    *,
    rows: Mapping[Split, Sequence[Example]],
    rejections: Sequence[Rejection],
    files: tuple[DataFile, ...],
    rows_in: int,
    issues: tuple[Issue, ...],
    salt: str,
    shares: tuple[float, float, float],
    parent_id: str | None,
    at: str,
    task_id: str | None = None,
) -> Dataset:
    """Write rows that have their splits as a dataset version; one with the same content is returned as it is.

    `task_id` is the task the rows were labelled for, where that is another than `task`.

    Raises: dataset-damaged, and those of new_folder.
    """
    row_lines = _lines(
        {**example.model_dump(mode="json"), "split": split}
        for split, examples in rows.items()
        for example in examples
    )
    rejected_lines = _lines(rejection.model_dump(mode="json") for rejection in rejections)
    rows_sha256 = hashlib.sha256(row_lines).hexdigest()
    identity = {
        "task": task_id or task.id,
        "salt": salt,
        "shares": list(shares),
        "parent": parent_id,
        "rows": rows_sha256,
        "rejected": hashlib.sha256(rejected_lines).hexdigest(),
    }
    dataset = Dataset(
        id=content_id(identity),
        task_id=task_id or task.id,
        parent_id=parent_id,
        salt=salt,
        shares=shares,
        files=files,
        rows_in=rows_in,
        rows_used=sum(map(len, rows.values())),
        rejected=dict(sorted(Counter(r.reason for r in rejections).items())),
        counts=tuple(_count(split, examples) for split, examples in rows.items()),
        rows_sha256=rows_sha256,
        issues=issues,
        at=at,
    )
    target = workspace.datasets / dataset.id
    if target.exists():
        return load_dataset(workspace, dataset.id)
    with new_folder(target, needs_bytes=len(row_lines) + len(rejected_lines)) as folder:
        record = dataset.model_dump_json(indent=2).encode() + b"\n"
        (folder / RECORD_FILE).write_bytes(record)
        (folder / ROWS_FILE).write_bytes(row_lines)
        (folder / REJECTED_FILE).write_bytes(rejected_lines)
    return load_dataset(workspace, dataset.id)


def load_dataset(workspace: Workspace, id: str) -> Dataset:
    """The dataset whose id is, or starts with, `id`, verified byte by byte.

    Raises: id-invalid, id-unknown, id-ambiguous, dataset-damaged.
    """
    folder = _verified(workspace, id)
    try:
        return Dataset.model_validate_json((folder / RECORD_FILE).read_bytes())
    except (ValidationError, OSError) as error:
        raise _foreign(folder, error) from error


def load_rows(workspace: Workspace, id: str) -> dict[Split, list[Example]]:
    """The dataset's rows by split, in the order of their files; every split has its key.

    Raises: as `load_dataset`.
    """
    folder = _verified(workspace, id)
    rows: dict[Split, list[Example]] = {split: [] for split in SPLITS}
    try:
        for row in _read_lines(folder / ROWS_FILE):
            split = row.pop("split")
            rows[split].append(Example.model_validate(row))
    except (ValidationError, KeyError, ValueError, OSError) as error:
        raise _foreign(folder, error) from error
    return rows


def load_rejections(workspace: Workspace, id: str) -> tuple[Rejection, ...]:
    """The dataset's ledger of rows that were read and not used.

    Raises: as `load_dataset`.
    """
    folder = _verified(workspace, id)
    try:
        found = _read_lines(folder / REJECTED_FILE)
        return tuple(Rejection.model_validate(row) for row in found)
    except (ValidationError, ValueError, OSError) as error:
        raise _foreign(folder, error) from error


def latest_dataset(workspace: Workspace, task_id: str) -> Dataset | None:
    """The newest dataset of the task, a child counting as newer than its ancestors; None without one.

    Raises: dataset-damaged.
    """
    found = [load_dataset(workspace, name) for name in names_in(workspace.datasets)]
    by_id = {dataset.id: dataset for dataset in found}

    def depth(dataset: Dataset) -> int:
        steps = 0
        while dataset.parent_id in by_id:
            dataset, steps = by_id[dataset.parent_id], steps + 1
        return steps

    mine = [dataset for dataset in found if dataset.task_id == task_id]
    return max(mine, key=lambda dataset: (dataset.at, depth(dataset), dataset.id), default=None)


def _refuse_untrainable(
    rows: Mapping[Split, Sequence[Example]], rejections: Sequence[Rejection]
) -> None:
    train = rows["train"]
    if not train:
        reasons = Counter(rejection.reason for rejection in rejections)
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise fail(
            "no-rows-used",
            f"no row is left to train on: {listed or 'there were none'}",
            where="train",
            expected="rows with a text and a label that do not contradict each other",
            fix="burnish data check",
        )
    labels = {label_names(example.label) if example.label else None for example in train}
    if len(labels) < 2:
        only = "+".join(next(iter(labels)) or ()) or "none"
        raise fail(
            "one-class",
            f'all {len(train)} rows to train on carry the same label ("{only}")',
            where="train",
            expected="rows with at least two different labels",
            fix="add rows with the other labels",
        )


def empty_split_issues(
    rows: Mapping[Split, Sequence[Example]], shares: tuple[float, float, float]
) -> tuple[Issue, ...]:
    """One for each split that should have rows and has none."""
    empty = [
        split for split, share in zip(SPLITS, shares, strict=True) if share and not rows[split]
    ]
    return tuple(
        Issue(
            code="split-empty",
            severity="error",
            what=f"{split} has no rows: there are too few texts or groups that may be parted",
            count=0,
            fix="add rows or groups, or name a file for it under [data] in task.toml",
        )
        for split in empty
    )


def quarantine_issues(quarantined: Sequence[Rejection]) -> tuple[Issue, ...]:
    """One for all rows that another split keeps out."""
    if not quarantined:
        return ()
    return (
        Issue(
            code="quarantined",
            severity="warning",
            what=f"{len(quarantined)} rows are kept out because another split holds their text, "
            "nearly their text, or their group",
            count=len(quarantined),
            rows=tuple(rejection.where for rejection in quarantined[:20]),
        ),
    )


def _count(split: Split, examples: Sequence[Example]) -> SplitCount:
    names = Counter(n for e in examples if e.label is not None for n in label_names(e.label))
    return SplitCount(split=split, rows=len(examples), labels=dict(sorted(names.items())))


def _lines(records: Iterable[Mapping[str, object]]) -> bytes:
    return b"".join(canonical_json(record).encode() + b"\n" for record in records)


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as handle:
        for line in handle:
            yield json.loads(line)


def _verified(workspace: Workspace, id: str) -> Path:
    try:
        folder = resolve(workspace.datasets, id)
    except BurnishError as error:
        raise explained(workspace, id, error) from error
    problems = verify_folder(folder)
    if problems:
        raise BurnishError(tuple(_damaged(folder, problem.what) for problem in problems))
    return folder


def _foreign(folder: Path, error: Exception) -> BurnishError:
    return BurnishError((_damaged(folder, f"cannot be understood: {type(error).__name__}"),))


def _damaged(folder: Path, what: str) -> Problem:
    return Problem(
        code="dataset-damaged",
        what=what,
        where=f"dataset {folder.name}",
        expected="the files as they were written",
        fix="remove the folder and make the dataset again: burnish data make",
    )
