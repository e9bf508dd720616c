"""Forget rows of dataset versions: each version that holds one gets a successor without it, in the same splits."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.data.dataset import (
    FEEDBACK_FILE,
    FORMER_FILE,
    RECORD_FILE,
    REJECTED_FILE,
    ROWS_FILE,
    Born,
    freeze,
    load_dataset,
    load_feedback,
    load_memory,
    load_rejections,
    load_rows,
)
from burnish.data.erased import Erased
from burnish.data.inherit import Inherited
from burnish.data.tombstones import forgotten_row
from burnish.data.wanted import Wanted
from burnish.records.dataset import Dataset
from burnish.records.example import SPLITS, Example, Split
from burnish.records.task import Task
from burnish.store.durable import exchange_folder, new_folder, remove_folder
from burnish.store.workspace import Workspace, names_in


@dataclass(frozen=True, slots=True)
class Holding:
    """A dataset version with the rows that are meant, by split; none in a mere descendant.

    `feedback` are those among the rows that feedback brought, as it brought them.
    """

    dataset: Dataset
    gone: Mapping[Split, tuple[Example, ...]]
    feedback: tuple[Example, ...] = ()

    @property
    def rows(self) -> tuple[Example, ...]:
        """The rows that are meant, of all splits."""
        return tuple(row for split in SPLITS for row in self.gone[split])


def columns_of(task: Task, workspace: Workspace) -> tuple[str, ...]:
    """Every column a condition may name: the task's inputs, and what stands beside them in any version."""
    found: dict[str, None] = dict.fromkeys(task.inputs)
    if task.group:
        found[task.group] = None
    for name in names_in(workspace.datasets):
        for rows in load_rows(workspace, name).values():
            for row in rows:
                found.update(dict.fromkeys(row.inputs))
                found.update(dict.fromkeys(row.columns))
                if row.group is not None:
                    found["group"] = None
    return tuple(found)


def search_datasets(workspace: Workspace, wanted: Wanted) -> tuple[Holding, ...]:
    """What every dataset version holds of the rows that are meant; parents stand before their children.

    Raises: dataset-damaged.
    """
    found: dict[str, Holding] = {}
    for name in names_in(workspace.datasets):
        rows = load_rows(workspace, name)
        gone: dict[Split, tuple[Example, ...]] = {
            split: tuple(row for row in rows[split] if wanted.means(row)) for split in SPLITS
        }
        brought = tuple(row for row in load_feedback(workspace, name) if wanted.means(row))
        found[name] = Holding(load_dataset(workspace, name), gone, brought)
    ordered: list[Holding] = []
    waiting = dict(found)
    while waiting:
        ready = [one for one in waiting.values() if one.dataset.parent_id not in waiting]
        # a ring of parents cannot be: each id is a hash over its parent's
        ordered += ready
        for one in ready:
            del waiting[one.dataset.id]
    return tuple(ordered)


def rewrite_datasets(
    task: Task, workspace: Workspace, holdings: Sequence[Holding], *, erased: Erased
) -> dict[str, str]:
    """Write the successors of all versions that hold a row that is meant, or descend from one; by the old id the new.

    Every other row stays in its split, and each row that goes leaves its place and the reason "forgotten" among the
    rejections, so that rows in = used + rejected still. Findings and rejections that quote what only those rows had
    are marked. The time is the old version's: its order among the versions stays. The old folders stay too: they are
    removed when the tombstone is written.

    Raises: dataset-damaged, disk-full, not-writable.
    """
    successors: dict[str, str] = {}
    for one in holdings:
        old = one.dataset
        rejections = load_rejections(workspace, old.id)
        told = tuple(
            rejection.model_copy(update={"detail": erased.message(rejection.detail)})
            for rejection in rejections
        )
        issues = tuple(
            issue.model_copy(
                update={"what": erased.message(issue.what), "fix": erased.message(issue.fix)}
            )
            for issue in old.issues
        )
        parent = successors.get(old.parent_id, old.parent_id) if old.parent_id else None
        untouched = parent == old.parent_id and told == rejections and issues == old.issues
        if not one.rows and not one.feedback and untouched:
            continue
        rows = load_rows(workspace, old.id)
        gone = {row.row_id for row in one.rows}
        kept: dict[Split, list[Example]] = {
            split: [row for row in rows[split] if row.row_id not in gone] for split in SPLITS
        }
        made = freeze(
            task,
            workspace,
            rows=kept,
            rejections=(*told, *(forgotten_row(row) for row in one.rows)),
            files=old.files,
            rows_in=old.rows_in,
            issues=issues,
            salt=old.salt,
            shares=old.shares,
            parent_id=parent,
            memory=_memory(workspace, one, kept),
            born=Born(
                task_name=old.task_name,
                number=old.number,
                rule=old.rule,
                edits=old.edits,
                feedback=tuple(
                    row for row in load_feedback(workspace, old.id) if row not in one.feedback
                ),
            ),
            at=old.at,
            task_id=old.task_id,
        )
        if made.id != old.id:
            successors[old.id] = made.id
        elif made.issues != issues:
            _rewrite_findings(workspace, made.model_copy(update={"issues": issues}))
    return successors


def _memory(
    workspace: Workspace, one: Holding, kept: Mapping[Split, Sequence[Example]]
) -> Inherited:
    """Where texts and groups are and were, without the hash of a forgotten text and a group that only had such rows."""
    known = load_memory(workspace, one.dataset.id)
    went = (*one.rows, *one.feedback)
    left = {row.group for rows in kept.values() for row in rows}
    texts = {row.input_id for row in went} | {row.source.was for row in went}
    groups = {row.group for row in went} - left
    return Inherited(
        {text: split for text, split in known.inputs.items() if text not in texts},
        {group: split for group, split in known.groups.items() if group not in groups},
    )


def _rewrite_findings(workspace: Workspace, dataset: Dataset) -> None:
    """The same rows under other words of ours: the id, which does not cover findings, stays."""
    old = workspace.datasets / dataset.id
    staged = workspace.exchange / f"datasets.{dataset.id}"
    remove_folder(staged)
    with new_folder(staged) as folder:
        for name in (ROWS_FILE, REJECTED_FILE, FEEDBACK_FILE, FORMER_FILE):
            if (old / name).is_file():
                shutil.copyfile(old / name, folder / name)
        (folder / RECORD_FILE).write_bytes(dataset.model_dump_json(indent=2).encode() + b"\n")
    exchange_folder(old, published=staged)
