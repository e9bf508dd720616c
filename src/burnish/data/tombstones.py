"""Tombstones: which dataset stands in the place of a forgotten one, and which rows must not come in again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from burnish.data.examples import ReadResult
from burnish.data.fold import fold
from burnish.errors import BurnishError, fail
from burnish.records.dataset import Issue, Rejection
from burnish.records.example import Example, Split
from burnish.records.forgotten import Forgotten
from burnish.records.record import canonical_json
from burnish.store.keyed import keyed, read_key
from burnish.store.ledger import Ledger, events, open_ledger
from burnish.store.workspace import Workspace

EVENT_KIND = "forgotten"
MARK = "[forgotten]"


@dataclass(frozen=True, slots=True)
class Tombstones:
    """Everything forgotten in a workspace. Empty before the first time."""

    key: bytes = b""
    hashes: frozenset[str] = frozenset()
    successors: Mapping[str, Forgotten] = field(default_factory=dict)

    def knows(self, example: Example) -> bool:
        """Whether this very row, or its text, was forgotten."""
        if not self.hashes:
            return False
        return bool(self.hashes & {text_hash(self.key, example), row_hash(self.key, example)})

    def standing(self, id: str) -> str:
        """The id of the dataset that stands in the place of `id`: itself, unless rows of it were forgotten."""
        seen: set[str] = set()
        while id in self.successors and id not in seen:
            seen.add(id)
            id = self.successors[id].datasets[id]
        return id


def text_hash(key: bytes, example: Example) -> str:
    """The keyed hash of a row's inputs: any row with this text is meant."""
    return keyed(key, canonical_json(["text", _folded(example.inputs)]))


def row_hash(key: bytes, example: Example) -> str:
    """The keyed hash of a row's inputs and its other columns, without the label: this row alone is meant."""
    cells = [_folded(example.inputs), _folded(example.columns)]
    return keyed(key, canonical_json(["row", *cells]))


def tombstones_in(ledger: Ledger) -> list[Forgotten]:
    """Every forgetting, oldest first."""
    return [Forgotten.model_validate(one.payload) for one in events(ledger, kind=EVENT_KIND)]


def load_tombstones(workspace: Workspace) -> Tombstones:
    """The workspace's tombstones; cheap while nothing was ever forgotten.

    Raises: forget-key-damaged, ledger-damaged.
    """
    key = read_key(workspace.forget_key_path)
    if key is None or not workspace.ledger_path.exists():
        return Tombstones()
    with open_ledger(workspace.ledger_path) as ledger:
        found = tombstones_in(ledger)
    return Tombstones(
        key,
        frozenset(one for stone in found for one in stone.hashes),
        {old: stone for stone in found for old in stone.datasets},
    )


def standing(workspace: Workspace, id: str) -> str:
    """The id of the dataset that stands in the place of `id` today."""
    if (workspace.datasets / id).is_dir():
        return id
    return load_tombstones(workspace).standing(id)


def without_forgotten(workspace: Workspace, read: ReadResult) -> ReadResult:
    """The rows of files without those that were forgotten, which are set aside with the reason "forgotten".

    What an error quoted of a forgotten row is blanked too.
    """
    known = load_tombstones(workspace)
    if not known.hashes:
        return read
    examples: dict[Split, tuple[Example, ...]] = {}
    aside: list[Rejection] = []
    for split, rows in read.examples.items():
        examples[split] = tuple(row for row in rows if not known.knows(row))
        aside += [forgotten_row(row) for row in rows if known.knows(row)]
    rejections = [
        one.model_copy(update={"detail": MARK})
        if one.detail and keyed(known.key, one.detail) in known.hashes
        else one
        for one in read.rejections
    ]
    if not aside:
        return replace(read, rejections=tuple(rejections))
    if not any(examples.values()):
        raise fail(
            "no-rows-used",
            f"every row was rejected: {_reasons([*rejections, *aside])}",
            where=aside[0].where,
            expected="rows that were not forgotten",
            fix="add other rows to the files of [data] in task.toml",
        )
    issue = Issue(
        code="forgotten-rows",
        severity="warning",
        what=f"{len(aside)} rows were forgotten and are kept out; they still stand in the files",
        count=len(aside),
        rows=tuple(one.where for one in aside[:20]),
        fix="remove these lines from the files",
    )
    return replace(
        read,
        examples=examples,
        rejections=(*rejections, *aside),
        issues=(*read.issues, issue),
    )


def forgotten_row(row: Example) -> Rejection:
    """What stays of a row in its dataset's ledger: its place."""
    return Rejection(where=row.source.where, reason="forgotten")


def explained(workspace: Workspace, id: str, error: BurnishError) -> BurnishError:
    """The error for a dataset that is not there, told with its tombstone where it has one."""
    if error.code != "id-unknown":
        return error
    known = load_tombstones(workspace)
    old = next((one for one in known.successors if one.startswith(id)), None)
    if old is None:
        return error
    stone, now = known.successors[old], known.standing(old)
    return fail(
        "dataset-forgotten",
        f"rows of it were forgotten at {stone.at} by {stone.by}",
        where=f"dataset {old}",
        expected=f"dataset {now}, which holds its other rows",
        fix=f"use {now}",
    )


def _folded(cells: Mapping[str, str]) -> dict[str, str]:
    return {name: fold(cell) for name, cell in cells.items()}


def _reasons(rejections: list[Rejection]) -> str:
    reasons = Counter(one.reason for one in rejections)
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
