"""The verbs: what is asked for, what would go, and the forgetting itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from burnish.data.forget import columns_of
from burnish.data.tombstones import load_tombstones, row_hash, text_hash
from burnish.data.wanted import Wanted, read_match, read_where
from burnish.errors import fail
from burnish.forgetting.rewrite import finish_earlier, rewrite
from burnish.forgetting.search import Found, search
from burnish.project import Edge, Project
from burnish.records.forgotten import Learnt
from burnish.records.record import content_id
from burnish.store.keyed import own_key
from burnish.store.workspace import lock

# Whoever holds one of these reads rows or writes what was made from them.
_LOCKS = ("rows", "retrain", "train", "schedule")


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What a forgetting found, or with `done` took. `files` are the places in the user's own files where the rows
    stand still; `models` those that met the rows; `command` trains again without them.
    """

    id: str
    done: bool
    counts: Mapping[str, int]
    datasets: Mapping[str, str]
    files: tuple[str, ...]
    models: tuple[Learnt, ...]
    command: str
    unread: str


def asked(
    project: Project, *, match: Path | None, containing: bool, where: Sequence[str]
) -> Wanted:
    """What is to be forgotten, as the person asked for it.

    Raises: forget-what, and the codes of read_match and read_where.
    """
    if (match is None) == (not where):
        raise fail(
            "forget-what",
            "nothing says whose rows are meant"
            if match is None
            else "both a file and --where are given",
            expected="either --match FILE or --where column=value",
            fix="burnish forget --match FILE, or burnish forget --where customer=4711",
        )
    if match is not None:
        return read_match(match, project.task, containing=containing)
    return Wanted(columns=read_where(where, columns_of(project.task, project.workspace)))


def look(project: Project, edge: Edge, wanted: Wanted) -> Forgetting:
    """What would be forgotten: counts, models and places. Changes nothing.

    Raises: nothing-matches, and the codes of whatever is damaged.
    """
    found = search(project, edge, wanted)
    _refuse_nothing(project, found)
    return _told(project, found, id="", datasets={}, done=False)


def forget(
    project: Project, edge: Edge, wanted: Wanted, *, because: str, fresh_key: Callable[[], bytes]
) -> Forgetting:
    """Take the rows out of every file of the workspace, and write down by keyed hashes and counts that it was done.

    The same call after a kill or a full disk ends the work; after a finished one it changes nothing. Servers go on
    answering; trainings and other readers of rows must have ended.

    Raises: nothing-matches, busy, forget-incomplete, disk-full, not-writable, ledger-busy, and the codes of whatever is
        damaged.
    """
    workspace = project.workspace
    with ExitStack() as held:
        for name in _LOCKS:
            held.enter_context(lock(workspace, name))
        finish_earlier(workspace)
        found = search(project, edge, wanted)
        _refuse_nothing(project, found)
        key = own_key(workspace.forget_key_path, fresh=fresh_key)
        hashes = _hashes(key, found)
        new = not set(hashes) <= load_tombstones(workspace).hashes
        if found.is_empty and not new:
            return _told(project, found, id="", datasets={}, done=True)
        id = content_id([project.task.name, edge.now(), *hashes])
        # a person's own words for it may name the person
        why = found.erased.remark(because)
        stone, datasets = rewrite(project, edge, found, id=id, hashes=hashes, because=why)
        left = search(project, edge, wanted, also=found.rows)
        if not left.is_empty:
            raise fail(
                "forget-incomplete",
                f"something is left, or came meanwhile: {_listed(left.counts)}",
                expected="nothing",
                fix="run the same command again",
            )
    return _told(project, replace(found, models=stone.models), id=id, datasets=datasets, done=True)


def _hashes(key: bytes, found: Found) -> tuple[str, ...]:
    """What lets an import know these rows again. Asked by column, the very rows; else every row of their text."""
    known = [*found.rows, *found.in_files]
    by = row_hash if found.wanted.by_column else text_hash
    return tuple(sorted({by(key, row) for row in known}))


def _refuse_nothing(project: Project, found: Found) -> None:
    if found.is_empty and not found.in_files:
        compared = (
            "a column's value is compared whole"
            if found.wanted.by_column
            else "texts are compared whole"
        )
        raise fail(
            "nothing-matches",
            "no row, journalled text, report or model of this workspace holds what you look for",
            where=project.task.name,
            expected=f"at least one match; {compared}, white space folded",
            fix="check the spelling; --containing looks for pieces of a text",
        )


def _told(
    project: Project, found: Found, *, id: str, datasets: Mapping[str, str], done: bool
) -> Forgetting:
    del project
    trained = any(one.how == "trained" for one in found.models)
    reason = f"forget {id}" if id else "forget"
    return Forgetting(
        id=id,
        done=done,
        counts=found.counts,
        datasets=datasets,
        files=tuple(row.source.where for row in found.in_files),
        models=found.models,
        command=f'burnish retrain --because "{reason}"' if trained else "",
        unread=found.unread,
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {place}" for place, count in counts.items())
