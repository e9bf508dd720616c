"""Dataset versions: immutable folders named by their content, each row in its split and in its ledger."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from burnish.data.by_time import ByTime, date_issues
from burnish.data.check import check
from burnish.data.evidence import TokenLengths
from burnish.data.examples import ReadResult
from burnish.data.inherit import Inherited, forgotten_by, inherited, remembered
from burnish.data.settle import settle
from burnish.data.split import SHARES, assign
from burnish.data.tombstones import explained
from burnish.errors import BurnishError, Problem, fail
from burnish.records.dataset import DataFile, Dataset, Issue, Rejection, SplitCount, SplitRule
from burnish.records.example import SPLITS, Example, Split
from burnish.records.label import class_names, label_names
from burnish.records.record import canonical_json, content_id
from burnish.records.task import Task
from burnish.store.durable import new_folder
from burnish.store.manifest import verify_file, verify_folder
from burnish.store.workspace import Workspace, names_in, resolve

RECORD_FILE = "dataset.json"
ROWS_FILE = "rows.jsonl"
REJECTED_FILE = "rejected.jsonl"
# only where there is something to say: feedback among the rows as it came, and where texts were that left
FEEDBACK_FILE = "feedback.jsonl"
FORMER_FILE = "former.json"
FROM_FEEDBACK = "prediction:"


@dataclass(frozen=True, slots=True)
class Born:
    """What a version is told about itself: its lineage, the rule of its splits, what it was made from."""

    task_name: str = ""
    number: int = 1
    rule: SplitRule | None = None
    made_from: str = ""
    edits: tuple[str, ...] = ()
    feedback: tuple[Example, ...] = ()
    issues: tuple[Issue, ...] = ()


def make_dataset(
    task: Task,
    read: ReadResult,
    workspace: Workspace,
    *,
    salt: str,
    shares: tuple[float, float, float] = SHARES,
    at: str,
    parent_id: str | None = None,
    memory: Inherited | None = None,
    born: Born = Born(),
    token_lengths: TokenLengths | None = None,
    limit_tokens: int | None = None,
) -> Dataset:
    """Settle, split and freeze the rows as a dataset version, whole on disk or not there at all.

    The same task, rows, rejections, salt, shares and parent give the same id, and the version that
    is there already is returned as it is. With `parent_id` texts and groups of the parent and its
    ancestors stay in their splits; with `memory` those of the version it was loaded from do.

    Raises: no-rows-used, one-class, bad-shares, id-unknown, dataset-damaged, and those of new_folder.
    """
    parent = None
    if parent_id is not None:
        parent_id = resolve(workspace.datasets, parent_id).name
        parent = memory or load_memory(workspace, parent_id)
    settled = settle(read.examples)
    given = dict(settled.examples)
    pool = given.pop("train", ())
    rule = born.rule or rule_of(task)
    time = None if rule.time is None else ByTime(rule.time, rule.after)
    assignment = assign(pool, salt=salt, shares=shares, given=given, parent=parent, time=time)
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
        *born.issues,
        *read.issues,
        *(
            date_issues(read.examples.get("train", ()), column=rule.time)
            if rule.time is not None
            else ()
        ),
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
        memory=parent,
        born=replace(
            born,
            task_name=born.task_name or task.name,
            rule=rule.model_copy(update={"after": dict(assignment.after)}),
        ),
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
    memory: Inherited | None = None,
    born: Born = Born(),
    at: str,
    task_id: str | None = None,
) -> Dataset:
    """Write rows that have their splits as a dataset version; one with the same content is returned as it is.

    What `memory` knows of texts and groups that are not among the rows is kept for its children.
    `task_id` is the task the rows were labelled for, where that is another than `task`.

    Raises: dataset-damaged, and those of new_folder.
    """
    row_lines = _lines(
        {**_plain(example), "split": split}
        for split, examples in rows.items()
        for example in examples
    )
    feedback_lines = _lines(_plain(example) for example in born.feedback)
    former = forgotten_by(memory or Inherited(), inherited(rows))
    former_lines = b""
    if former.inputs or former.groups:
        former_lines = _lines([{"inputs": dict(former.inputs), "groups": dict(former.groups)}])
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
    besides = {FEEDBACK_FILE: feedback_lines, FORMER_FILE: former_lines}
    identity |= {name: hashlib.sha256(data).hexdigest() for name, data in besides.items() if data}
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
        task_name=born.task_name or task.name,
        number=born.number,
        made_from=born.made_from,
        rule=born.rule or rule_of(task),
        edits=born.edits,
    )
    target = workspace.datasets / dataset.id
    if target.exists():
        return load_dataset(workspace, dataset.id)
    sizes = map(len, (row_lines, rejected_lines, *besides.values()))
    with new_folder(target, needs_bytes=sum(sizes)) as folder:
        record = dataset.model_dump_json(indent=2).encode() + b"\n"
        (folder / RECORD_FILE).write_bytes(record)
        (folder / ROWS_FILE).write_bytes(row_lines)
        (folder / REJECTED_FILE).write_bytes(rejected_lines)
        for name, data in besides.items():
            if data:
                (folder / name).write_bytes(data)
    return load_dataset(workspace, dataset.id)


def load_dataset(workspace: Workspace, id: str) -> Dataset:
    """The dataset whose id is, or starts with, `id`, verified byte by byte.

    Raises: id-invalid, id-unknown, id-ambiguous, dataset-damaged.
    """
    return _read_record(_verified(workspace, id))


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


def load_memory(workspace: Workspace, id: str) -> Inherited:
    """Where the texts and groups of the dataset and of all its ancestors are, or were when they left.

    Raises: as `load_dataset`.
    """
    present = inherited(load_rows(workspace, id))
    path = _verified(workspace, id) / FORMER_FILE
    if not path.is_file():
        return present
    try:
        (former,) = _read_lines(path)
        return remembered(present, inputs=former["inputs"], groups=former["groups"])
    except (KeyError, ValueError, OSError) as error:
        raise _foreign(path.parent, error) from error


def load_feedback(workspace: Workspace, id: str) -> tuple[Example, ...]:
    """The rows that feedback brought into the lineage, as they came: no edit has touched them.

    Raises: as `load_dataset`.
    """
    path = _verified(workspace, id) / FEEDBACK_FILE
    if not path.is_file():  # versions made before lineages have them among their rows alone
        rows = load_rows(workspace, id)
        return tuple(
            row
            for split in SPLITS
            for row in rows[split]
            if row.source.where.startswith(FROM_FEEDBACK) and not row.source.edits
        )
    try:
        return tuple(Example.model_validate(row) for row in _read_lines(path))
    except (ValidationError, ValueError, OSError) as error:
        raise _foreign(path.parent, error) from error


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


def rule_of(task: Task) -> SplitRule:
    """What the task's splits go by, before any moment is fixed."""
    by_time = task.data is not None and task.data.split == "time"
    return SplitRule(
        method="time" if by_time else "random",
        inputs=task.inputs,
        group=task.group,
        time=task.data.time if by_time and task.data is not None else None,
    )


def latest_dataset(workspace: Workspace, task_id: str) -> Dataset | None:
    """The newest dataset of the task, a child counting as newer than its ancestors; None without one.

    Raises: dataset-damaged.
    """
    mine = [one for one in all_datasets(workspace) if one.task_id == task_id]
    return load_dataset(workspace, mine[-1].id) if mine else None


def all_datasets(workspace: Workspace) -> tuple[Dataset, ...]:
    """The record of every version, the oldest first, each verified; their rows are not read here.

    Raises: dataset-damaged.
    """
    found: dict[str, Dataset] = {}
    for name in names_in(workspace.datasets):
        folder = workspace.datasets / name
        if problems := verify_file(folder, RECORD_FILE):
            raise BurnishError(tuple(_damaged(folder, problem.what) for problem in problems))
        found[name] = _read_record(folder)

    def depth(dataset: Dataset) -> int:
        steps = 0
        while dataset.parent_id in found:
            dataset, steps = found[dataset.parent_id], steps + 1
        return steps

    def age(dataset: Dataset) -> tuple[int, str, int, str]:
        return dataset.number, dataset.at, depth(dataset), dataset.id

    return tuple(sorted(found.values(), key=age))


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
    names = Counter(n for e in examples if e.label is not None for n in class_names(e.label))
    return SplitCount(split=split, rows=len(examples), labels=dict(sorted(names.items())))


def _plain(example: Example) -> dict[str, Any]:
    """The row as JSON has it; what only edited rows have is left out of the others."""
    plain = example.model_dump(mode="json")
    for name in ("edits", "was"):
        if not plain["source"][name]:
            del plain["source"][name]
    return plain


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
    _read_record(folder)
    return folder


def _read_record(folder: Path) -> Dataset:
    """The record in a folder whose bytes were verified; the whole folder of another version is refused."""
    try:
        found = Dataset.model_validate_json((folder / RECORD_FILE).read_bytes())
    except (ValidationError, OSError) as error:
        raise _foreign(folder, error) from error
    if found.id != folder.name:
        raise BurnishError((_damaged(folder, f"its files are those of dataset {found.id}"),))
    return found


def _foreign(folder: Path, error: Exception) -> BurnishError:
    return BurnishError((_damaged(folder, f"cannot be understood: {type(error).__name__}"),))


def _damaged(folder: Path, what: str) -> Problem:
    return Problem(
        code="dataset-damaged",
        what=what,
        where=f"dataset {folder.name}",
        expected="the files as they were written",
        fix="remove the folder; burnish run makes the dataset again",
    )
