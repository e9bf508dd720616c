"""Lineages: every version of a task's data descends from the one before, and what did not change is the same version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from burnish.data.dataset import (
    Born,
    all_datasets,
    load_dataset,
    load_feedback,
    load_memory,
    make_dataset,
    rule_of,
)
from burnish.data.edits import apply_edits
from burnish.data.evidence import TokenLengths
from burnish.data.examples import ReadResult
from burnish.records.dataset import Dataset, Issue, SplitRule
from burnish.records.edit import Edit
from burnish.records.example import Example
from burnish.records.record import canonical_json, content_id
from burnish.records.task import Task
from burnish.store.ledger import Ledger, events, record_event
from burnish.store.workspace import Workspace

CURRENT = "dataset-current"


def versions_of(workspace: Workspace, task: Task) -> tuple[Dataset, ...]:
    """Every version of the task's name, the oldest first; older records, which have no name, by the task's id.

    Raises: dataset-damaged.
    """
    return tuple(
        one
        for one in all_datasets(workspace)
        if one.task_name == task.name or (not one.task_name and one.task_id == task.id)
    )


def next_version(
    task: Task,
    workspace: Workspace,
    read: ReadResult,
    *,
    ledger: Ledger | None,
    edits: Sequence[Edit],
    salt: str,
    shares: tuple[float, float, float],
    at: str,
    token_lengths: TokenLengths | None = None,
    limit_tokens: int | None = None,
) -> Dataset:
    """The version of these rows: one that is there already when nothing changed, else a child of the current one.

    `read` is what the files say; `edits` and the feedback of the lineage are put to it here. Texts and groups stay
    in the splits they had in any version. Where the rule of the splits changed (the inputs, the group, by time or not)
    rows are placed anew, and an issue says so. Call it under the workspace's lock "dataset".

    Raises: the codes of make_dataset and load_dataset.
    """
    every = versions_of(workspace, task)
    rule = rule_of(task)
    known = [one for one in every if _same_rule(one, rule)]
    feedback = load_feedback(workspace, every[-1].id) if every else ()
    whole = with_feedback(task, read, feedback, edits=edits)
    made_from = fingerprint(task, whole, rule=rule, salt=salt, shares=shares)
    for one in reversed(known):
        if one.made_from == made_from:
            return load_dataset(workspace, one.id)
    parent = current_of(known, ledger, task.name)
    if known:
        rule = rule.model_copy(update={"after": (known[-1].rule or rule).after})
    return make_dataset(
        task,
        whole,
        workspace,
        salt=salt,
        shares=shares,
        parent_id=parent.id if parent else None,
        memory=load_memory(workspace, known[-1].id) if known else None,
        born=Born(
            task_name=task.name,
            number=every[-1].number + 1 if every else 1,
            rule=rule,
            made_from=made_from,
            edits=tuple(edit.id for edit in edits),
            feedback=feedback,
            issues=_restarted(every[-1], rule) if every and not known else (),
        ),
        at=at,
        token_lengths=token_lengths,
        limit_tokens=limit_tokens,
    )


def current_of(
    versions: Sequence[Dataset], ledger: Ledger | None, task_name: str
) -> Dataset | None:
    """The version that the last run was about: the newest, or an older one whose rows came back (an undo)."""
    if not versions:
        return None
    if ledger is not None:
        said = events(ledger, kind=CURRENT, subject=task_name)
        if said and said[-1].payload["newest"] == versions[-1].id:
            named = said[-1].payload["dataset"]
            return next((one for one in versions if one.id == named), versions[-1])
    return versions[-1]


def note_current(
    ledger: Ledger,
    versions: Sequence[Dataset],
    dataset: Dataset,
    *,
    task_name: str,
    by: str,
    at: str,
) -> None:
    """Write down that `dataset` is the current version, where that cannot be seen from the versions."""
    current = current_of(versions, ledger, task_name)
    if current is None or current.id == dataset.id:
        return
    payload = {"dataset": dataset.id, "newest": versions[-1].id}
    record_event(ledger, kind=CURRENT, subject=task_name, by=by, at=at, payload=payload)


def with_feedback(
    task: Task, read: ReadResult, feedback: Sequence[Example], *, edits: Sequence[Edit]
) -> ReadResult:
    """Everything a version is made of: the files' rows, then the feedback the lineage holds, as the edits leave them."""
    train = (*read.examples.get("train", ()), *feedback)
    whole = replace(
        read,
        examples={**read.examples, "train": train},
        rows_in=read.rows_in + len(feedback),
    )
    return apply_edits(whole, edits, task=task)


def fingerprint(
    task: Task,
    whole: ReadResult,
    *,
    rule: SplitRule,
    salt: str,
    shares: tuple[float, float, float],
) -> str:
    """The hash of everything that decides what a version holds, but for its ancestors."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        digest.update(canonical_json(value).encode("utf-8", "surrogatepass") + b"\n")

    add([task.id, rule.model_dump(mode="json", exclude={"after"}), salt, list(shares)])
    for split, rows in whole.examples.items():
        add([split, len(rows)])
        for row in rows:
            add(row.model_dump(mode="json"))
    for rejection in whole.rejections:
        add(rejection.model_dump(mode="json"))
    return content_id(digest.hexdigest())


def _same_rule(dataset: Dataset, rule: SplitRule) -> bool:
    """Whether the version's splits may be inherited; one without a rule is the same task by its id."""
    if dataset.rule is None:
        return rule.method == "random"
    return dataset.rule.model_copy(update={"after": {}}) == rule


def _restarted(before: Dataset, rule: SplitRule) -> tuple[Issue, ...]:
    old = before.rule or SplitRule()
    changed = [
        f"{name} ({getattr(old, name) or 'none'} to {getattr(rule, name) or 'none'})"
        for name in ("method", "inputs", "group", "time")
        if getattr(old, name) != getattr(rule, name)
    ]
    return (
        Issue(
            code="lineage-restarted",
            severity="warning",
            what=f"what the splits go by changed since {before.id}: {', '.join(changed)}. Rows are placed "
            "anew, so rows that older models learned from may test now",
            count=1,
            fix="do not compare with older reports, nor start from older weights",
        ),
    )
