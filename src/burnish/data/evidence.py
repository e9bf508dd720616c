"""What a check may look at: rows one after another, in memory that does not grow with the file.

A check is handed a `Scene` once and every row as `Seen`, and says at the end what it found. What it must remember about
every row it keeps in a `Column` or `Buckets` (data/spill.py), or it asks the scene, which remembers for all checks
where each row stands, what its label is and which rows ask the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from burnish.data.spill import Buckets, Column
from burnish.records.dataset import Issue, Rejection
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.example import SPLITS, Example, Split
from burnish.records.label import Spans, Texts, label_names
from burnish.records.task import Task

LISTED_ROWS = 20
_ODD = re.compile(r"[^A-Za-z0-9 \n,.'\"?!()/_%$;*+-]")
Labels = tuple[str, ...]
TokenLengths = Callable[[Sequence[Mapping[str, str]]], Sequence[int]]
# texts, their labels and their folds -> probabilities of each row from models that saw the other folds
OutOfFold = Callable[[Sequence[str], Sequence[str], IntArray], FloatArray]


@dataclass(frozen=True, slots=True)
class Seen:
    """One row. `number` counts the rows from 0 over all files; `label` is None where none is known;
    `columns` hold what is neither input nor label.
    """

    number: int
    where: str
    split: Split
    inputs: Mapping[str, str]
    label: Labels | None
    input_id: str
    group: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All inputs, a line each."""
        return "\n".join(self.inputs.values())


def seen(number: int, split: Split, example: Example) -> Seen:
    """An example as checks see it."""
    return Seen(
        number=number,
        where=example.source.where,
        split=split,
        inputs=example.inputs,
        label=label_names(example.label) if example.label else None,
        input_id=example.input_id,
        group=example.group,
        columns=example.columns,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """An issue and all rows it is about, by number; `rows` of the issue are the first twenty of them.

    A mend says what `--fix` does with them: "drop", or "relabel" to the label of the same place in `labels`, or "redact".
    None: only a person can tell.
    """

    issue: Issue
    numbers: Sequence[int] = ()
    mend: str | None = None
    labels: Sequence[Labels] = ()


class Inspector(Protocol):
    """One check at work on one reading."""

    def see(self, row: Seen) -> None: ...

    def findings(self) -> Iterable[Finding]: ...


class Scene:
    """What all checks of one reading share. Without a `task` there are no labels.

    `token_lengths` counts tokens of inputs, `limit_tokens` is the model's limit. `recall` gives rows again by number.
    `vectors` embeds texts, `out_of_fold` gives label probabilities of rows from models that never saw them, shape
    (rows, labels in the task's order); None: not asked for, and the checks that need them are silent.

    Of the row that is remembered last, `text` is its text and `odd` says whether there is any sign in it but ASCII letters,
    digits, blanks and the usual punctuation: most checks for signs need no second look at a text without.
    """

    def __init__(
        self,
        task: Task | None,
        *,
        recall: Callable[[Sequence[int]], Mapping[int, Seen]],
        token_lengths: TokenLengths | None = None,
        limit_tokens: int | None = None,
        vectors: Callable[[Sequence[str]], FloatArray] | None = None,
        out_of_fold: OutOfFold | None = None,
    ) -> None:
        self.task = task
        self.recall = recall
        self.token_lengths = token_lengths
        self.limit_tokens = limit_tokens
        self.vectors = vectors
        self.out_of_fold = out_of_fold
        self.rejections: dict[str, Rejected] = {}
        self.text = ""
        self.odd = False
        self._same = Buckets()
        self._labels = Column()
        self._splits = Column()
        self._lines = Column()
        self._files = Column()
        # both grow with the labels and the files, not with the rows; dicts keep the order of arrival
        self._label_numbers: dict[Labels | None, int] = {}
        self._label_list: list[Labels | None] = []
        self._file_numbers: dict[str, int] = {}
        self._file_list: list[str] = []

    def __len__(self) -> int:
        """How many rows were seen."""
        return len(self._labels)

    def remember(self, row: Seen) -> None:
        """Take note of a row for every check. Rows come in the order of their numbers."""
        self.text = row.text
        self.odd = _ODD.search(self.text) is not None
        self._same.add(int(row.input_id, 16), row.number)
        if row.label not in self._label_numbers:
            self._label_numbers[row.label] = len(self._label_list)
            self._label_list.append(row.label)
        self._labels.add(self._label_numbers[row.label])
        self._splits.add(SPLITS.index(row.split))
        file, _, line = row.where.rpartition(":")
        if not line.isdecimal():
            file, line = row.where, "-1"
        if file not in self._file_numbers:
            self._file_numbers[file] = len(self._file_list)
            self._file_list.append(file)
        self._files.add(self._file_numbers[file])
        self._lines.add(int(line))

    def reject(self, rejection: Rejection) -> None:
        """Take note of a record that is no row."""
        self.rejections.setdefault(rejection.reason, Rejected()).add(rejection)

    def place(self, number: int) -> str:
        """Where a row stands."""
        file = self._file_list[self._files[number]]
        line = self._lines[number]
        return file if line < 0 else f"{file}:{line}"

    def places(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Where the first twenty stand."""
        return tuple(self.place(number) for number, _ in zip(numbers, range(LISTED_ROWS)))

    def label(self, number: int) -> Labels | None:
        """A row's label."""
        return self._label_list[self._labels[number]]

    def label_number(self, number: int) -> int:
        """A number for a row's label: equal labels, equal numbers."""
        return self._labels[number]

    def split(self, number: int) -> Split:
        """The split of the file a row is from."""
        return SPLITS[self._splits[number]]

    def same_inputs(self) -> Iterator[IntArray]:
        """The numbers of rows that ask word for word the same, for each text that stands twice or more."""
        return self._same.groups()

    def excerpt(self, number: int) -> str:
        """The beginning of a row's text on one line, in quotes."""
        row = self.recall([number]).get(number)
        return excerpt(row.text) if row is not None else '""'


@dataclass(slots=True)
class Rejected:
    """Rejections of one reason: how many, the first of them, and how often each detail."""

    count: int = 0
    first: list[Rejection] = field(default_factory=list)
    details: dict[str, int] = field(default_factory=dict)

    def add(self, rejection: Rejection) -> None:
        self.count += 1
        if len(self.first) < LISTED_ROWS:
            self.first.append(rejection)
        # details name columns and spellings, so they repeat; those that do not would fill the memory
        if rejection.detail in self.details or len(self.details) < 1000:
            self.details[rejection.detail] = self.details.get(rejection.detail, 0) + 1


def by_input(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """Examples that ask the same, together, in order of first appearance."""
    together: dict[str, list[Example]] = {}
    for example in examples:
        together.setdefault(example.input_id, []).append(example)
    return together


def disagree(examples: Sequence[Example]) -> bool:
    """Whether rows that ask the same are answered differently. Several texts may be right; that there is an answer and
    that there is none may not.
    """
    labels = [example.label for example in examples]
    if all(isinstance(label, Texts) for label in labels):
        return False
    if all(isinstance(label, Spans) for label in labels):
        return len({bool(label_names(label)) for label in labels if label}) > 1
    return any(label != labels[0] for label in labels[1:])


def excerpt(text: str, *, characters: int = 60) -> str:
    """The beginning of a text on one line, in quotes.

    Example:
        >>> excerpt("Where\\n is it?")
        '"Where is it?"'
    """
    line = " ".join(text[: characters * 10].split())
    cut = line if len(line) <= characters else line[: characters - 1] + "…"
    return f'"{cut}"'
