"""What two versions differ in, and where one row stood in all of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from burnish.data.dataset import FROM_FEEDBACK, load_rejections, load_rows
from burnish.data.edits import row_key
from burnish.errors import fail
from burnish.records.dataset import Dataset, Rejection
from burnish.records.difference import Change, DatasetDiff, RowChange, Stood
from burnish.records.edit import Edit
from burnish.records.example import SPLITS, Example, Split
from burnish.records.label import label_names
from burnish.store.workspace import Workspace

Placed = tuple[Split, Example]


def diff(
    workspace: Workspace, before: Dataset, after: Dataset, *, edits: Mapping[str, Edit]
) -> DatasetDiff:
    """Every text that was added, removed, relabelled, redacted or moved from one version to the other, and by whom.

    Texts are compared, not lines: a row on another line is unchanged. `edits` are all there ever were, by id.

    Raises: the codes of load_rows.
    """
    old, new = _texts(load_rows(workspace, before.id)), _texts(load_rows(workspace, after.id))
    reasons = {one.where: one for one in load_rejections(workspace, after.id)}
    acting = [edits[name] for name in after.edits if name in edits]
    changes: list[RowChange] = []
    unchanged = 0
    for text in dict.fromkeys([*old, *new]):
        left, came = list(old.get(text, ())), list(new.get(text, ()))
        for one in list(left):
            same = next((two for two in came if _same(one, two)), None)
            if same is not None:
                left.remove(one)
                came.remove(same)
                unchanged += 1
        for one, two in zip(left, came, strict=False):
            changes += _changed(one, two, edits)
        pairs = min(len(left), len(came))
        changes += [_removed(one, reasons, acting) for one in left[pairs:]]
        changes += [_added(two, edits) for two in came[pairs:]]
    counts: Counter[Change] = Counter(one.change for one in changes)
    names: tuple[Change, ...] = ("added", "removed", "relabelled", "redacted", "moved")
    return DatasetDiff(
        before=before.id,
        after=after.id,
        counts={name: counts[name] for name in names},
        unchanged=unchanged,
        changes=tuple(changes),
    )


def history(workspace: Workspace, versions: Sequence[Dataset], row: str) -> tuple[Stood, ...]:
    """Where a row stood in each version, the oldest first: `row` is a place or the start of a row_id or input_id.

    A place is looked up in the newest version that has it; the text found there is followed through all.

    Raises: row-unknown, and the codes of load_rows.
    """
    loaded = [(one, load_rows(workspace, one.id)) for one in versions]
    texts: set[str] = set()
    for _, rows in reversed(loaded):
        found = [one for many in rows.values() for one in many if _is(one, row)]
        if found:
            texts = {_origin(one) for one in found}
            break
    places: set[str] = {row} if not texts else set()
    stood: list[Stood] = []
    for dataset, rows in loaded:
        here: list[Placed] = [
            (split, one) for split in SPLITS for one in rows[split] if _origin(one) in texts
        ]
        places |= {one.source.where for _, one in here}
        stood += [_stood(dataset, split, one) for split, one in here]
        if not here:
            aside = [one for one in load_rejections(workspace, dataset.id) if one.where in places]
            stood += [_kept_out(dataset, one) for one in aside]
    if not stood:
        raise fail(
            "row-unknown",
            f"no version has a row {row!r}",
            where="datasets",
            expected='a place such as "tickets.csv:812", or the start of a row_id or input_id',
            fix="burnish data diff A B names rows",
        )
    return tuple(stood)


def _texts(rows: Mapping[Split, Sequence[Example]]) -> dict[str, list[Placed]]:
    found: dict[str, list[Placed]] = defaultdict(list)
    for split in SPLITS:
        for row in rows[split]:
            found[_origin(row)].append((split, row))
    return found


def _origin(row: Example) -> str:
    return row.source.was or row.input_id


def _same(one: Placed, two: Placed) -> bool:
    (split, row), (other_split, other) = one, two
    said = (split, row.label, row.input_id, row.source.edits)
    return said == (other_split, other.label, other.input_id, other.source.edits)


def _changed(one: Placed, two: Placed, edits: Mapping[str, Edit]) -> list[RowChange]:
    (split, row), (other_split, other) = one, two
    found: list[Change] = []
    if split != other_split:
        found.append("moved")
    if row.label != other.label:
        found.append("relabelled")
    is_edited = row.source.edits != other.source.edits
    if row.input_id != other.input_id or (is_edited and row.columns != other.columns):
        found.append("redacted")
    newer = [name for name in other.source.edits if name not in row.source.edits]
    undone = [name for name in row.source.edits if name not in other.source.edits]
    by, because = _who(other, newer, edits)
    if undone and not newer:
        because = f"edit {', '.join(undone)} undone"
    return [
        RowChange(
            change=change,
            where=other.source.where,
            text=_text(other),
            label_before=_label(row),
            label_after=_label(other),
            split_before=split,
            split_after=other_split,
            by=by,
            because=because,
        )
        for change in found
    ]


def _added(placed: Placed, edits: Mapping[str, Edit]) -> RowChange:
    split, row = placed
    by, because = _who(row, row.source.edits, edits)
    return RowChange(
        change="added",
        where=row.source.where,
        text=_text(row),
        label_after=_label(row),
        split_after=split,
        by=by,
        because=because,
    )


def _removed(placed: Placed, reasons: Mapping[str, Rejection], acting: Sequence[Edit]) -> RowChange:
    split, row = placed
    key = row_key(row)
    edit = next((one for one in acting if one.action == "drop" and key in one.keys), None)
    aside = reasons.get(row.source.where)
    if edit is not None:
        by, because = edit.by, f"edit {edit.id} ({edit.code})"
    elif aside is not None:
        by, because = "", f"{aside.reason}: {aside.detail}"
    else:
        by, because = "", "not in the files any more"
    return RowChange(
        change="removed",
        where=row.source.where,
        text=_text(row),
        label_before=_label(row),
        split_before=split,
        by=by,
        because=because,
    )


def _who(row: Example, names: Sequence[str], edits: Mapping[str, Edit]) -> tuple[str, str]:
    made = [edits[name] for name in names if name in edits]
    if made:
        return made[-1].by, ", ".join(f"edit {one.id} ({one.code})" for one in made)
    how = "feedback" if row.source.where.startswith(FROM_FEEDBACK) else "file"
    return row.source.by, how


def _is(row: Example, named: str) -> bool:
    if ":" in named:
        return row.source.where == named
    return row.row_id.startswith(named) or row.input_id.startswith(named)


def _stood(dataset: Dataset, split: Split, row: Example) -> Stood:
    return Stood(
        dataset_id=dataset.id,
        number=dataset.number,
        at=dataset.at,
        where=row.source.where,
        text=_text(row),
        split=split,
        label=_label(row),
        by=row.source.by,
        edits=row.source.edits,
    )


def _kept_out(dataset: Dataset, one: Rejection) -> Stood:
    return Stood(
        dataset_id=dataset.id,
        number=dataset.number,
        at=dataset.at,
        where=one.where,
        text="",
        split=None,
        label=None,
        by="",
        reason=f"{one.reason}: {one.detail}" if one.detail else one.reason,
    )


def _text(row: Example) -> str:
    return "\n".join(row.inputs.values())


def _label(row: Example) -> str | None:
    return None if row.label is None else "+".join(label_names(row.label)) or "(none)"
