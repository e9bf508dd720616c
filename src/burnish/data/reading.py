"""Rows of files one after another, as checks see them: with a task as its examples, without one by their text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from burnish.data.changes import Changes
from burnish.data.evidence import Seen, seen
from burnish.data.examples import ExampleFile, look, to_example
from burnish.data.read import FileFacts, read_rows, sniff
from burnish.data.rows import Row
from burnish.errors import Problem
from burnish.records.dataset import Issue, Rejection
from burnish.records.example import Example, Split, input_id
from burnish.records.label import Label
from burnish.records.task import Task
from burnish.tasks import columns

_LOOKED_AT_ROWS = 200
# a column whose cells have this many words is meant to be read; labels, names and numbers have fewer
_TEXT_WORDS = 3.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Files that can be read again and again. `task` is None where only the text is known.

    `records(changes)` reads them; what the task's rules do to the texts is counted in `changes` when it is given.
    `examples` gives the same rows in the same order as examples; without a task there are none.
    """

    task: Task | None
    names: tuple[str, ...]
    facts: tuple[FileFacts, ...]
    records: Callable[[Changes | None], Iterator[Seen | Rejection]]
    named: tuple[Issue, ...] = ()
    examples: Callable[[], Iterator[Example]] = lambda: iter(())

    @property
    def issues(self) -> tuple[Issue, ...]:
        """What a look at the files and their names showed."""
        return (*self.named, *(issue for one in self.facts for issue in one.issues))

    def recall(self, numbers: Sequence[int]) -> dict[int, Seen]:
        """The rows of those numbers, read again; the files are read no further than the last of them."""
        wanted = set(numbers)
        found: dict[int, Seen] = {}
        for record in self.records(None):
            if len(found) == len(wanted):
                break
            if isinstance(record, Seen) and record.number in wanted:
                found[record.number] = record
        return found

    def recall_examples(self, numbers: Sequence[int]) -> dict[int, Example]:
        """The same rows as examples."""
        wanted = set(numbers)
        every = enumerate(self.examples())
        return {number: example for number, example in every if number in wanted}


def task_reading(
    task: Task, root: Path, *, edit: Callable[[Example], Example | Rejection] = lambda row: row
) -> Reading:
    """The task's files, relative to `root`, each row as `edit` leaves it.

    Raises: task-no-data, and the codes of sniff and check_columns, for all files at once.
    """
    files, named = look(task, root)
    names = tuple(file.name for file in files)
    facts = tuple(file.facts for file in files)

    def records(changes: Changes | None) -> Iterator[Seen | Rejection]:
        number = 0
        for split, found in _examples(task, files, edit, changes):
            if isinstance(found, Example):
                yield seen(number, split, found)
                number += 1
            else:
                yield found

    def examples() -> Iterator[Example]:
        for _, found in _examples(task, files, edit, None):
            if isinstance(found, Example):
                yield found

    return Reading(task, names, facts, records, named, examples)


def text_reading(paths: Sequence[Path]) -> Reading:
    """Files without a task: their columns of words are the inputs, everything else stands beside them.

    Raises: the codes of sniff.
    """
    facts = [sniff(path) for path in paths]
    names = [
        _text_columns(one, _first_rows(path, one)) for path, one in zip(paths, facts, strict=True)
    ]

    def records(changes: Changes | None) -> Iterator[Seen | Rejection]:
        del changes  # without a task there are no rules
        number = 0
        for path, one, inputs in zip(paths, facts, names, strict=True):
            for record in read_rows(path, facts=one):
                if isinstance(record, Rejection):
                    yield record
                    continue
                yield _plain(number, record, inputs=inputs)
                number += 1

    return Reading(None, tuple(path.name for path in paths), tuple(facts), records)


def _examples(
    task: Task,
    files: Sequence[ExampleFile],
    edit: Callable[[Example], Example | Rejection],
    changes: Changes | None,
) -> Iterator[tuple[Split, Example | Rejection]]:
    labels: dict[str, Label | Problem] = {}
    for file in files:
        for record in read_rows(file.path, name=file.name, facts=file.facts):
            if isinstance(record, Row) and changes is not None:
                changes.count(record)
            found = to_example(task, record, labels=labels) if isinstance(record, Row) else record
            if isinstance(found, Example) and isinstance(record, Row) and changes is not None:
                changes.count_turns(record, found)
            yield file.split, edit(found) if isinstance(found, Example) else found


def _plain(number: int, row: Row, *, inputs: Sequence[str]) -> Seen:
    asked = {name: row.fields.get(name, "") for name in inputs}
    return Seen(
        number=number,
        where=row.where,
        split="train",
        inputs=asked,
        label=None,
        input_id=input_id(asked),
        columns={name: value for name, value in row.fields.items() if name not in asked},
    )


def _first_rows(path: Path, facts: FileFacts) -> list[Mapping[str, str]]:
    read = read_rows(path, facts=facts)
    return [row.fields for row in islice(read, _LOOKED_AT_ROWS) if isinstance(row, Row)]


def _text_columns(facts: FileFacts, rows: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    found = columns.look(facts.columns, rows)
    plain = [column for column in found if not column.is_number and not column.is_date]
    words = tuple(column.name for column in plain if column.mean_words >= _TEXT_WORDS)
    return words or tuple(column.name for column in plain) or facts.columns
