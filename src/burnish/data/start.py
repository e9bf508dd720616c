"""The first look at labelled rows: which task they could be, written down as task.toml."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import has_magic
from itertools import islice
from pathlib import Path

from burnish.data.hub import PREFIX
from burnish.data.named import files_of, is_pattern
from burnish.data.read import read_rows, sniff
from burnish.data.rows import Asked, Row
from burnish.data.shape import title_of
from burnish.data.stream import GZIP
from burnish.errors import BurnishError, fail
from burnish.records.task import DataFiles, ShapeName
from burnish.tasks.other_kinds import is_convincing, not_trained, other_kind
from burnish.tasks.propose import Proposal, no_proposal, propose, task_name
from burnish.tasks.write import write_task

# Rows that init looks at: enough to see every label of a hundred, read in well under a second.
_LOOKED_AT_ROWS = 20_000
# A tenth of a small file is too few test rows: at 300 rows an accuracy of 0.9 is known to 3.4 points either way.
_SMALL_ROWS = 5_000
_SMALL_TEST_FRACTION = 0.2
_SAYS_NOTHING = frozenset({"train", "data", "rows", "dataset", "test", "all"})


@dataclass(frozen=True, slots=True)
class Started:
    """What init found: where task.toml was written, how many rows it looked at, and every reading, best first.

    `shape` is what the first file's JSON objects are, `also` a kind that the columns are made for and this
    version does not train.
    """

    path: Path
    rows: int
    columns: tuple[str, ...]
    proposals: tuple[Proposal, ...]
    shape: str | None = None
    also: str | None = None


def start(
    train: Sequence[Path],
    root: Path,
    *,
    test: Path | None = None,
    validation: Path | None = None,
    kind: str | None = None,
    name: str | None = None,
    shape: ShapeName | None = None,
    repair_offsets: bool = False,
    force: bool = False,
) -> Started:
    """Look at labelled rows, propose tasks, and write the best as task.toml into `root`.

    Files are named in it relative to `root`; given validation and test files are honoured as they are.
    `shape` is what the objects of JSON files are taken for, `repair_offsets` that answers are taken from where they
    stand.

    Raises: workspace-missing, task-exists (without `force`), no-task-found, kind-not-trained, and the codes of
        sniff and propose.
    """
    if not root.is_dir():
        raise fail(
            "workspace-missing",
            "is not a folder",
            where=str(root),
            expected="an existing folder to write task.toml into",
            fix=f"mkdir {root}",
        )
    target = root / "task.toml"
    if target.exists() and not force:
        raise fail(
            "task-exists",
            "there is a task.toml already",
            where=str(target),
            expected="a folder without one",
            fix="edit it, or replace it: burnish init --force FILE",
        )
    given = [str(path) for path in (*train, validation, test) if path is not None]
    found = [file for name in given for file in files_of(name, Path())]
    looks = [sniff(path, name=called, asked=Asked(shape=shape)) for path, called in found]
    facts = looks[0]
    rows: list[Mapping[str, str]] = []
    most = max(1, _LOOKED_AT_ROWS * len(given) // len(found))
    for (path, called), look in zip(found, looks, strict=True):
        read = islice(read_rows(path, name=called, facts=look), most)
        rows += [row.fields for row in read if isinstance(row, Row)]
    files = DataFiles(
        train=tuple(_relative(path, root) for path in train),
        validation=(_relative(validation, root),) if validation else (),
        test=(_relative(test, root),) if test else (),
        test_fraction=_SMALL_TEST_FRACTION if not test and len(rows) < _SMALL_ROWS else 0.1,
        shape=shape,
        repair_offsets=repair_offsets,
    )
    first = _titled(train[0])
    alone = len(train) == 1 and first.stem.lower() not in _SAYS_NOTHING
    stem = first.stem if alone or not first.parent.name else first.parent.name
    proposals = propose(facts.columns, rows, name=name or task_name(stem), files=files, kind=kind)
    also = other_kind(facts.columns)
    if (
        also
        and kind is None
        and not any(map(is_convincing, proposals[:1]))
        and not any(not one.task.is_closed for one in proposals[:1])
    ):
        best = proposals[0] if proposals else None
        raise BurnishError(
            (not_trained(also, file=train[0].name, shape=title_of(facts.shape), best=best),)
        )
    if not proposals:
        raise BurnishError((no_proposal(facts.columns, rows),))
    write_task(proposals[0].task, target)
    if not proposals[0].task.is_closed:
        also = None
    return Started(target, len(rows), tuple(facts.columns), proposals, facts.shape, also)


def _titled(path: Path) -> Path:
    """The path whose name says what the rows are: of "tickets/*.csv" the folder, of "a.csv.gz" "a.csv"."""
    name = str(path)
    if name.startswith(PREFIX):
        return Path(name.removeprefix(PREFIX).partition("@")[0])
    if is_pattern(name, Path()):
        while has_magic(path.name):
            path = path.parent
    path = path.resolve()
    return path.with_suffix("") if path.suffix.lower() == GZIP else path


def _relative(path: Path, root: Path) -> str:
    if str(path).startswith(PREFIX):
        return str(path)
    return Path(os.path.relpath(path, root)).as_posix()
