"""The next version of a dataset: every old row where it was, new labels and feedback beside them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from burnish.data.by_time import ByTime, placer
from burnish.data.check import check
from burnish.data.dataset import (
    Born,
    empty_split_issues,
    freeze,
    load_feedback,
    load_memory,
    load_rows,
    quarantine_issues,
    rule_of,
)
from burnish.data.edits import apply_edits, row_key
from burnish.data.evidence import TokenLengths
from burnish.data.examples import ReadResult
from burnish.data.inherit import (
    ONLY_TRAIN,
    Inherited,
    extend,
    holder_of,
    inherited,
    leak,
    part,
    remembered,
)
from burnish.data.lineage import fingerprint, with_feedback
from burnish.data.settle import settle
from burnish.data.split import SHARES, open_shares
from burnish.data.units import nearness_of
from burnish.errors import fail
from burnish.records.dataset import DataFile, Dataset, Issue, Rejection, SplitRule
from burnish.records.edit import Edit
from burnish.records.example import SPLITS, Example, Split
from burnish.records.task import Task
from burnish.retrain.merge import Merged, beside
from burnish.store.workspace import Workspace

# Half of the audited rows test, four tenths train: docs/decisions/0010-audited-rows-test-first.md.
AUDIT_SHARES = (0.4, 0.1, 0.5)
Rows = Mapping[Split, Sequence[Example]]


def child_dataset(
    task: Task,
    workspace: Workspace,
    *,
    parent: Dataset,
    read: ReadResult | None,
    merged: Merged,
    salt: str,
    shares: tuple[float, float, float] = SHARES,
    edits: Sequence[Edit] = (),
    memory: Inherited | None = None,
    number: int | None = None,
    at: str,
    token_lengths: TokenLengths | None = None,
    limit_tokens: int | None = None,
) -> Dataset:
    """Freeze the parent's rows, the rows that files hold beyond them, and feedback as a new version.

    Every row of the parent stays in its split, published test files with their duplicates included. New file
    rows go by the hash of group, else text, with `shares`; audited feedback likewise with AUDIT_SHARES, also where
    the test file was given; disputed feedback trains. Rows tied to old ones follow them; a new row that another
    split holds, or nearly holds, is kept out, never moved. The same inputs give the same id.

    `edits` act on new rows as on those of files, and `memory` (the parent's without it) says where texts were that left.
    The version remembers its feedback as it came, so that the next run has it too.

    `rows_in` counts the parent's used rows, and of the files and the feedback what the parent did not have.

    Raises: parent-other-task, nothing-new, bad-shares, dataset-damaged, and those of new_folder.
    """
    if parent.task_id != task.id:
        raise fail(
            "parent-other-task",
            f"the dataset was made for task {parent.task_id}, this is {task.id}",
            where=f"dataset {parent.id}",
            expected="a parent with the same kind, inputs, labels and gates",
            fix="make a first dataset for the changed task: burnish run",
        )
    old = load_rows(workspace, parent.id)
    memory = memory or load_memory(workspace, parent.id)
    fed_before = load_feedback(workspace, parent.id)
    raw, merged = merged, _edited(task, merged, edits)
    read = None if read is None else apply_edits(read, edits, task=task)
    aside: list[Rejection] = []
    rows: dict[Split, list[Example]] = {split: list(old[split]) for split in SPLITS}
    if read is not None:
        found, known = _beyond(read.examples, rows)
        aside += [*read.rejections, *known]
        aside += _given(rows, found, memory)
        settled = settle({"train": found["train"]})
        aside += settled.rejections
        files: set[Split] = {file.split for file in read.files if file.split is not None}
        opened = open_shares(shares, given=files - {"train"})
        rule = parent.rule or rule_of(task)
        new = settled.examples["train"]
        aside += _grow(rows, new, memory, shares=opened, salt=salt, rule=rule)
    fed, known = _beyond({"train": merged.examples}, rows)
    feedback_aside = [*merged.rejections, *known]
    # audited rows first: were they placed beside disputed ones, what people dispute would leave the fresh test
    audited = [row for row in fed["train"] if row.source.chosen not in ONLY_TRAIN]
    disputed = [row for row in fed["train"] if row.source.chosen in ONLY_TRAIN]
    for new in (audited, disputed):
        aside += _grow(rows, new, memory, shares=open_shares(AUDIT_SHARES, given=()), salt=salt)
    aside += feedback_aside
    used = sum(map(len, rows.values()))
    if used == parent.rows_used:
        raise _nothing_new(parent, aside)
    refused = {one.where for one in feedback_aside}
    refused |= {one.where for one in aside if one.reason == "leakage"}
    fed_now = tuple(row for row in raw.examples if row.source.where not in refused)
    feedback = (*fed_before, *fed_now)
    issues = (
        *empty_split_issues(rows, shares),
        *(read.issues if read is not None else ()),
        *check(
            task,
            rows,
            read.rejections if read is not None else (),
            token_lengths=token_lengths,
            limit_tokens=limit_tokens,
        ),
        *_feedback_issues(feedback_aside, given=len(merged.examples) + len(merged.rejections)),
        *quarantine_issues([one for one in aside if one.reason == "leakage"]),
    )
    return freeze(
        task,
        workspace,
        rows=rows,
        rejections=aside,
        files=_files(parent, read),
        rows_in=used + len(aside),
        issues=issues,
        salt=salt,
        shares=shares,
        parent_id=parent.id,
        memory=memory,
        born=Born(
            task_name=task.name,
            number=parent.number + 1 if number is None else number,
            rule=parent.rule or rule_of(task),
            made_from=_made_from(task, read, feedback, rows, edits=edits, salt=salt, shares=shares),
            edits=tuple(edit.id for edit in edits),
            feedback=feedback,
        ),
        at=at,
    )


def _edited(task: Task, merged: Merged, edits: Sequence[Edit]) -> Merged:
    as_read = ReadResult({"train": merged.examples}, (), (), len(merged.examples))
    left = apply_edits(as_read, edits, task=task)
    return Merged(left.examples["train"], (*merged.rejections, *left.rejections))


def _made_from(
    task: Task,
    read: ReadResult | None,
    feedback: Sequence[Example],
    rows: Rows,
    *,
    edits: Sequence[Edit],
    salt: str,
    shares: tuple[float, float, float],
) -> str:
    """What a run over the same files, feedback and edits would be made from; "" where this version holds more.

    It does where a person took rows out of the files, or changed their labels, since the parent was made: then the
    next run makes a version without them.
    """
    if read is None:
        return ""
    whole = with_feedback(task, read, feedback, edits=edits)
    there = {row_key(row) for many in whole.examples.values() for row in many}
    if any(row_key(row) not in there for many in rows.values() for row in many):
        return ""
    return fingerprint(task, whole, rule=rule_of(task), salt=salt, shares=shares)


def fresh_audited(child: Rows, *, parent: Rows) -> tuple[Example, ...]:
    """The test rows that audits brought since the parent: live traffic nobody trained on or chose a model by."""
    old = {row.row_id for row in parent["test"]}
    return tuple(
        row for row in child["test"] if row.source.chosen == "random" and row.row_id not in old
    )


def _beyond(
    examples: Rows, held: Mapping[Split, Collection[Example]]
) -> tuple[dict[Split, list[Example]], list[Rejection]]:
    """The examples whose texts are not held, and those that give a held text another label.

    A text held with the same label is the row that is there already, unless it came by itself: then it is
    counted as a duplicate.
    """
    known: dict[str, list[Example]] = defaultdict(list)
    for row in (row for rows in held.values() for row in rows):
        known[row.input_id].append(row)
    found: dict[Split, list[Example]] = {split: [] for split in SPLITS}
    aside: list[Rejection] = []
    for split, rows in examples.items():
        for row in rows:
            same = known.get(row.input_id)
            if same is None:
                found[split].append(row)
                continue
            rejection = beside(row, same)
            from_feedback = row.source.where.startswith("prediction:")
            if from_feedback or rejection.reason != "duplicate":
                aside.append(rejection)
    return found, aside


def _given(rows: dict[Split, list[Example]], found: Rows, memory: Inherited) -> list[Rejection]:
    """Put new rows of given test and validation files where the files say, unless another split holds them."""
    aside: list[Rejection] = []
    given: tuple[Split, ...] = ("test", "validation")
    for split in given:
        held = remembered(inherited(rows), inputs=memory.inputs, groups=memory.groups)
        new: list[Example] = []
        for row in found[split]:
            holder = holder_of(row, held)
            if holder in (None, split):
                new.append(row)
            else:
                aside.append(leak(row, split, holder))
        if not new:
            continue
        pool: list[Example] = []
        splits: dict[int, Split] = {}
        placed: list[tuple[Split, list[Example]]] = [*rows.items(), (split, new)]
        for one, many in placed:
            for row in many:
                splits[len(pool)] = one
                pool.append(row)
        old = len(pool) - len(new)
        leaks = part(pool, nearness_of(pool), splits, spare=frozenset(range(old)))
        aside += [leak(pool[row], *told) for row, told in sorted(leaks.items())]
        rows[split] += [row for place, row in enumerate(new, old) if place not in leaks]
    return aside


def _grow(
    rows: dict[Split, list[Example]],
    new: Sequence[Example],
    memory: Inherited,
    *,
    shares: Mapping[Split, float],
    salt: str,
    rule: SplitRule | None = None,
) -> list[Rejection]:
    """Add new rows to their splits; those that may be in none come back."""
    if not new:
        return []
    old = [row for split in SPLITS for row in rows[split]]
    pool = [*old, *new]
    held = remembered(inherited(rows), inputs=memory.inputs, groups=memory.groups)
    place = None
    if rule is not None and rule.time is not None:
        place = placer(pool, ByTime(rule.time, rule.after))
    grown = extend(pool, held, shares=shares, salt=salt, place=place)
    for place, row in enumerate(new, len(old)):
        if place in grown.splits:
            rows[grown.splits[place]].append(row)
    return [leak(pool[row], split, holder) for row, split, holder in grown.leaks if row >= len(old)]


def _nothing_new(parent: Dataset, aside: Sequence[Rejection]) -> Exception:
    reasons = Counter(one.reason for one in aside)
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return fail(
        "nothing-new",
        f"no row is new since dataset {parent.id}{f' (set aside: {listed})' if listed else ''}",
        expected="feedback that says what is right, or labelled rows in the files of [data]",
        fix="answer an audit (burnish feedback list --audit), or add rows to the training file",
    )


def _feedback_issues(aside: Sequence[Rejection], *, given: int) -> tuple[Issue, ...]:
    if not aside:
        return ()
    reasons = Counter(one.reason for one in aside)
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return (
        Issue(
            code="feedback-set-aside",
            severity="note",
            what=f"{len(aside)} of {given} pieces of feedback are no new rows: {listed}",
            count=len(aside),
            rows=tuple(one.where for one in aside[:20]),
        ),
    )


def _files(parent: Dataset, read: ReadResult | None) -> tuple[DataFile, ...]:
    """The files as they are now, and those only the parent was made from."""
    now = read.files if read is not None else ()
    names = {file.name for file in now}
    return (*now, *(file for file in parent.files if file.name not in names))
