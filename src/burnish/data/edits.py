"""Edits: fixes that change no file. They stand in the ledger, act between reading and settling, and can be taken back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from burnish.data.examples import ReadResult
from burnish.data.redact import redact
from burnish.errors import fail, nearest
from burnish.records.dataset import Issue, Rejection
from burnish.records.edit import Action, Edit
from burnish.records.example import Example, Split, input_id
from burnish.records.label import Label, ManyOf, OneOf, label_names
from burnish.records.record import content_id
from burnish.records.task import Redaction, Task
from burnish.store.ledger import Ledger, events, record_event

MADE = "edit"
UNDONE = "edit-undone"


def row_key(example: Example) -> str:
    """What an edit calls a row: the hash of its inputs and its label, wherever it stands.

    Rows that say the same share it, and an edit acts on all of them.
    """
    names = None if example.label is None else sorted(label_names(example.label))
    return content_id([example.inputs, names])


def make_edit(
    rows: Iterable[Example],
    *,
    code: str,
    action: Action,
    to: Sequence[str] = (),
    kinds: Sequence[Redaction] = (),
    by: str,
    at: str,
) -> Edit:
    """The edit that does `action` to these rows, as they are now (edits that act already included).

    `to` are the label names of a relabel (none: "no label" of a multilabel task), `kinds` what a redaction takes out.
    Give at least one row.
    """
    keys = tuple(sorted({row_key(row) for row in rows}))
    identity = [code, action, list(keys), list(to), sorted(kinds)]
    return Edit(
        id=content_id(identity),
        code=code,
        action=action,
        keys=keys,
        to=tuple(to),
        kinds=tuple(sorted(kinds)),
        by=by,
        at=at,
    )


def record_edits(
    ledger: Ledger, edits: Sequence[Edit], *, task_name: str, at: str
) -> tuple[Edit, ...]:
    """Write down the edits that do not act yet, and return those. A fix made twice is recorded once.

    The next dataset that is made (curate.prepare) has them. Raises: the codes of record_event.
    """
    acting = {edit.id for edit in edits_of(ledger, task_name)}
    new: list[Edit] = []
    for edit in edits:
        if edit.id in acting:
            continue
        record_event(
            ledger,
            kind=MADE,
            subject=task_name,
            by=edit.by,
            at=at,
            payload=edit.model_dump(mode="json"),
        )
        acting.add(edit.id)
        new.append(edit)
    return tuple(new)


def undo_edit(ledger: Ledger, edit: str | None, *, task_name: str, by: str, at: str) -> Edit:
    """Take back the edit whose id is, or starts with, `edit` (None: the newest that acts).

    Raises: edit-unknown, and the codes of record_event.
    """
    acting = edits_of(ledger, task_name)
    named = acting[-1:] if edit is None else [one for one in acting if one.id.startswith(edit)]
    if len(named) != 1:
        ids = [one.id for one in acting]
        raise fail(
            "edit-unknown",
            f"{len(named) or 'no'} edits that act {'are' if len(named) > 1 else 'is'} named {edit!r}"
            if edit is not None
            else "no edit acts on this task's rows",
            where=task_name,
            expected=f"one of: {', '.join(ids[-5:])}" if ids else "an edit that was not undone yet",
            fix="burnish data edits lists them",
            nearest=nearest(edit, ids) if edit else None,
        )
    (found,) = named
    record_event(ledger, kind=UNDONE, subject=task_name, by=by, at=at, payload={"edit": found.id})
    return found


def edits_of(ledger: Ledger, task_name: str) -> tuple[Edit, ...]:
    """The edits that act on a task's rows, in the order they were made; those undone are left out."""
    acting: dict[str, Edit] = {}
    for event in events(ledger, subject=task_name):
        if event.kind == MADE:
            edit = Edit.model_validate(event.payload)
            acting[edit.id] = edit
        elif event.kind == UNDONE:
            acting.pop(event.payload["edit"], None)
    return tuple(acting.values())


def every_edit(ledger: Ledger, task_name: str) -> dict[str, Edit]:
    """All edits there ever were, by id, those undone too."""
    made = (
        Edit.model_validate(one.payload) for one in events(ledger, kind=MADE, subject=task_name)
    )
    return {edit.id: edit for edit in made}


def apply_edits(read: ReadResult, edits: Sequence[Edit], *, task: Task) -> ReadResult:
    """The rows as the edits leave them, each edit acting on what those before it made; twice is once.

    A dropped row becomes the rejection "edited"; a relabelled one has the new label, and the editor as
    its source's `by` and `at`; a redacted one has its text without what was asked. `row_id` stays: it names the row
    of the file. An edit that matches no row any more is told by the issue edit-unmatched.
    """
    kept = tuple(issue for issue in read.issues if issue.code != "edit-unmatched")
    if not edits:
        return replace(read, issues=kept)
    order = {edit.id: place for place, edit in enumerate(edits)}
    edit_row = editor(edits, task=task)
    acted = {name for name in order for one in read.rejections if _says(one, name)}
    aside: list[Rejection] = []
    examples: dict[Split, tuple[Example, ...]] = {}
    for split, rows in read.examples.items():
        left: list[Example] = []
        for row in rows:
            found = edit_row(row)
            acted.update(row.source.edits)
            if isinstance(found, Rejection):
                aside.append(found)
                acted.update(name for name in order if _says(found, name))
                continue
            acted.update(found.source.edits)
            left.append(found)
        examples[split] = tuple(left)
    return replace(
        read,
        examples=examples,
        rejections=(*read.rejections, *aside),
        issues=(*kept, *_unmatched([edit for edit in edits if edit.id not in acted])),
    )


def editor(edits: Sequence[Edit], *, task: Task) -> Callable[[Example], Example | Rejection]:
    """What the edits do to one row after another."""
    order = {edit.id: place for place, edit in enumerate(edits)}
    by_key: dict[str, list[Edit]] = defaultdict(list)
    for edit in edits:
        for key in edit.keys:
            by_key[key].append(edit)
    if not by_key:
        return lambda row: row
    return lambda row: _edited(row, by_key, order, task)


def redacted(
    row: Example, kinds: Sequence[Redaction], *, task: Task
) -> tuple[dict[str, str], dict[str, str]]:
    """A row's inputs and other columns without what was asked. Its label and its group stay: they say what is right,
    and what belongs together.
    """
    inputs = {name: redact(text, kinds).text for name, text in row.inputs.items()}
    columns = {
        name: text if name == task.group else redact(text, kinds).text
        for name, text in row.columns.items()
    }
    return inputs, columns


def _edited(
    row: Example,
    by_key: Mapping[str, Sequence[Edit]],
    order: Mapping[str, int],
    task: Task,
) -> Example | Rejection:
    """The row after every edit that meets it; those at or before the last that made it are behind it."""
    while True:
        done = max((order.get(name, -1) for name in row.source.edits), default=-1)
        edit = next((one for one in by_key.get(row_key(row), ()) if order[one.id] > done), None)
        if edit is None:
            return row
        if edit.action == "drop":
            return _aside(row, edit, "edited", f"{edit.code}, by {edit.by}")
        if edit.action == "redact":
            inputs, columns = redacted(row, edit.kinds, task=task)
            was = row.source.was or row.input_id
            source = {"was": was} if inputs != row.inputs else {}
            changes = {"inputs": inputs, "input_id": input_id(inputs), "columns": columns}
        else:
            unknown = [name for name in edit.to if name not in task.label_names]
            if unknown or (task.kind != "multilabel" and len(edit.to) != 1):
                said = "+".join(edit.to) or "no label"
                return _aside(row, edit, "label-unknown", f'relabelled "{said}" by {edit.by}')
            source = {"by": edit.by, "at": edit.at}
            changes = {"label": _label(task, edit.to)}
        source["edits"] = (*row.source.edits, edit.id)  # type: ignore[assignment]
        row = row.model_copy(update={**changes, "source": row.source.model_copy(update=source)})


def _label(task: Task, names: Sequence[str]) -> Label:
    if task.kind == "multilabel":
        return ManyOf(names=tuple(name for name in task.label_names if name in names))
    return OneOf(name=names[0])


def _aside(row: Example, edit: Edit, reason: str, detail: str) -> Rejection:
    return Rejection(where=row.source.where, reason=reason, detail=f"edit {edit.id}: {detail}")


def _says(rejection: Rejection, edit: str) -> bool:
    return rejection.detail.startswith(f"edit {edit}: ")


def _unmatched(edits: Sequence[Edit]) -> tuple[Issue, ...]:
    if not edits:
        return ()
    names = ", ".join(f"{edit.id} ({edit.action}, {edit.code})" for edit in edits[:3])
    return (
        Issue(
            code="edit-unmatched",
            severity="note",
            what=f"{len(edits)} edits meet no row any more: {names}"
            f"{' and others' if len(edits) > 3 else ''}",
            count=len(edits),
            fix=f"burnish data undo {edits[0].id}",
        ),
    )
