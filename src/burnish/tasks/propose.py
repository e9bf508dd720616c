"""A file's columns to the tasks it could mean, best first: what `burnish init` shows and writes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from burnish.errors import Problem, fail, nearest
from burnish.records.task import DataFiles, Gate, KindName, Task
from burnish.tasks.columns import Column, look
from burnish.tasks.hints import label_hint
from burnish.tasks.kind import KINDS
from burnish.tasks.labelset import LabelSet, named_labels, ordered_labels, plain_labels
from burnish.tasks.propose_text import text_readings
from burnish.tasks.roles import (
    better_names,
    could_hold_several,
    could_label,
    group_of,
    inputs_of,
    is_derived,
    slices_of,
)
from burnish.tasks.several import is_structured, listed_labels, split_labels

LEAST_SCORE = 0.1  # below that a reading is noise beside any other
SHOWN = 6  # a person compares a handful of readings, not every pair of columns
BALANCED = 0.5  # accuracy says enough while the rarest label has half the rows of the commonest
FEW_LABELS = 20


@dataclass(frozen=True, slots=True)
class Proposal:
    """One reading of a file: the task it would be, how well it fits in [0, 1], and why in a sentence.

    `notes` are sentences about what was decided on the way (spellings merged, slips left out).
    """

    task: Task
    score: float
    because: str
    notes: tuple[str, ...] = ()


def propose(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    *,
    name: str,
    files: DataFiles,
    kind: str | None = None,
) -> tuple[Proposal, ...]:
    """The tasks that a file's columns could mean, best first; none when no column can be a label or an answer.

    Every task proposed passes `load_task` once written. `name` is made to fit (`task_name`); `kind`
    keeps only readings of that kind, also far-fetched ones. `no_proposal` tells why there is none.

    Raises: task-bad-value when `kind` is not a kind.

    Example:
        >>> rows = [{"text": f"free money {n}", "y": "spam"} for n in range(4)]
        >>> rows += [{"text": f"lunch at {n}?", "y": "ham"} for n in range(4)]
        >>> best = propose(["text", "y"], rows, name="Mail 1", files=DataFiles(train=("m.csv",)))[0]
        >>> best.task.name, best.task.inputs, best.task.label, best.task.label_names
        ('mail-1', ('text',), 'y', ('ham', 'spam'))
    """
    if kind is not None and kind not in KINDS:
        raise fail(
            "task-bad-value",
            f'found kind "{kind}"',
            expected=f"one of: {', '.join(KINDS)}",
            fix="name one of these",
            nearest=nearest(kind, KINDS),
        )
    facts = look(columns, rows)
    found: list[Proposal] = []
    for label in facts:
        if not could_label(label) and not could_hold_several(label) and not is_structured(label):
            continue
        inputs = inputs_of(facts, label, rows)
        if not inputs:
            continue
        for reading in _readings(label, facts, rows, forced=kind):
            if kind is None or reading.kind == kind:
                found.append(_proposal(reading, inputs, facts, rows, name=name, files=files))
    texts = text_readings(columns, rows, name=task_name(name), files=files, kind=kind)
    found += [Proposal(one.task, one.score, one.because) for one in texts]
    found.sort(key=lambda proposal: -proposal.score)
    likely = [proposal for proposal in found if proposal.score >= LEAST_SCORE] or found[:1]
    return tuple(likely[:SHOWN])


def no_proposal(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Problem:
    """Why `propose` found nothing, column by column, and what to do about it."""
    facts = look(columns, rows)
    told = "; ".join(f'"{column.name}" {_told(column)}' for column in facts) or "no columns"
    single = next((column for column in facts if column.distinct == 1), None)
    one_class = single is not None and label_hint(single.name) > 0
    return Problem(
        code="no-task-found",
        what=f"{len(rows)} rows, and no column looks like labels for a text: {told}",
        expected="a column of text, and one whose few values repeat: at least two different labels",
        fix=(
            f'add rows with another label than "{next(iter(single.counts))}"'
            if one_class and single is not None
            else "add labelled rows, or write task.toml by hand (docs/define.md has a full example)"
        ),
    )


def task_name(text: str) -> str:
    """A task name made from any text, such as a file's stem.

    Example:
        >>> task_name("Support Tickets (2024)"), task_name("???")
        ('support-tickets-2024', 'task')
    """
    plain = re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).strip("-._")[:64].rstrip("-._")
    return plain or "task"


@dataclass(frozen=True, slots=True)
class _Reading:
    """One column read as one kind of label."""

    kind: KindName
    column: Column
    labels: LabelSet
    weight: float  # how natural this kind is for the column, in [0, 1]
    separator: str = ","
    listed: bool = False


def _readings(
    column: Column,
    facts: Sequence[Column],
    rows: Sequence[Mapping[str, str]],
    *,
    forced: str | None,
) -> Iterator[_Reading]:
    lists = listed_labels(column)
    if lists is not None:
        yield _Reading("multilabel", column, lists.labels, 1.0, lists.separator, listed=True)
    if lists is not None or is_structured(column):
        return
    several = None
    if could_hold_several(column):
        several = split_labels(column, forced=forced == "multilabel")
    if several is not None:
        weight = 1.0 if several.natural else 0.3
        yield _Reading("multilabel", column, several.labels, weight, several.separator)
    plain = plain_labels(column.counts)
    if not could_label(column) or len(plain.labels) < 2:
        return
    scale, sure = ordered_labels(plain, column.name)
    if sure > 0 or forced == "sentiment":
        yield _Reading("sentiment", column, scale, max(sure, 0.2))
    named = named_labels(plain, column.name, better_names(column, facts, rows))
    other = sure >= 1 or (several is not None and several.natural)
    yield _Reading("classification", column, named, 0.6 if other else 1.0)


def _proposal(
    reading: _Reading,
    inputs: Sequence[Column],
    facts: Sequence[Column],
    rows: Sequence[Mapping[str, str]],
    *,
    name: str,
    files: DataFiles,
) -> Proposal:
    column, found = reading.column, reading.labels
    others = [
        other
        for other in facts
        if other.name != column.name and other not in inputs and not is_derived(other, column, rows)
    ]
    metric = _metric(reading)
    group = group_of(others)
    task = Task(
        name=task_name(name),
        kind=reading.kind,
        inputs=tuple(text.name for text in inputs),
        label=column.name,
        labels=found.labels,
        separator=reading.separator,
        group=None if group is None else group.name,
        primary_metric=metric,
        # a model that is not surely better than always saying the commonest label is no model
        gates=(Gate(metric=metric, than="majority", margin=0.0, sure=True),),
        slices=tuple(other.name for other in slices_of(others) if other is not group),
        data=files,
    )
    notes = found.notes
    if reading.kind == "sentiment" and reading.weight < 0.5:
        notes = (*notes, "the order of the labels is a guess: put the worst first")
    return Proposal(task, _score(reading), _because(reading, inputs), notes)


def _metric(reading: _Reading) -> str:
    if reading.kind == "multilabel":
        return KINDS["multilabel"].default_metric
    counts = reading.labels.counts
    balanced = min(counts) >= BALANCED * max(counts) and len(counts) <= FEW_LABELS
    return "accuracy" if balanced else "macro_f1"


def _score(reading: _Reading) -> float:
    """Half of it is the name, the rest what the values look like; weighted by how natural the kind is."""
    column, counts = reading.column, reading.labels.counts
    total = sum(counts)
    evenness = -sum(
        count / total * math.log(count / total) for count in counts if count
    ) / math.log(len(counts))
    few = 1.0 if len(counts) <= 30 else 0.7 if len(counts) <= 100 else 0.4
    looks = 0.4 * few + 0.3 * column.filled_fraction + 0.3 * evenness
    score = 0.5 * max(label_hint(column.name), -0.5) + 0.5 * looks
    return round(max(0.0, min(1.0, score * reading.weight)), 3)


def _because(reading: _Reading, inputs: Sequence[Column]) -> str:
    column, counts = reading.column, reading.labels.counts
    texts = " and ".join(f'"{text.name}"' for text in inputs)
    longest = max(inputs, key=lambda text: text.mean_characters)
    verb = "are" if len(inputs) > 1 else "is"
    what = {
        "classification": f'"{column.name}" repeats {len(counts)} values',
        "sentiment": f'"{column.name}" repeats {len(counts)} values that can stand in order',
        "multilabel": f'"{column.name}" joins {len(counts)} values with "{reading.separator}"',
    }[reading.kind]
    if reading.listed:
        what = f'"{column.name}" holds lists of {len(counts)} values'
    least, most = f"{min(counts):,}", f"{max(counts):,}"
    span = least if least == most else f"{least} to {most}"
    return (
        f"{what} ({span} rows each), and {texts} {verb} text that "
        f"rarely repeats (about {longest.mean_characters:.0f} characters)."
    )


def _told(column: Column) -> str:
    if not column.filled:
        return "is empty"
    if column.distinct == 1:
        return f'is always "{next(iter(column.counts))[:30]}"'
    if column.is_date:
        return "holds dates"
    return f"has {column.distinct:,} different values in {column.filled:,} rows"
