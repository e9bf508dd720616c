"""What gives the label away without reading: a column, a word, the length, the place in the file, the label itself."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from burnish.data.evidence import Finding, Labels, Scene, Seen
from burnish.data.giveaway import FEWEST_ROWS, Giveaway, Told, giveaways, told
from burnish.data.sample import Sample
from burnish.data.tally import finding
from burnish.records.dataset import Issue
from burnish.records.encoding import IntArray

# Rows and signs kept: some 20 MB at the most, and a few microseconds for each row that is kept.
SAMPLED_ROWS = 20_000
_MOST_CHARACTERS = 1000
_MOST_WORDS = 200_000
_MOST_VALUES = 2000  # a column of more is an identifier or a text
_VALUE_CHARACTERS = 500
_FEWEST = 50  # rows; fewer prove nothing
_ROWS_A_VALUE = 5
_KNOWN = 0.9
# Few broad labels have no word of their own; many narrow ones ("passcode_forgotten") do, and rightly.
_FEW_LABELS = 10
_SHOWN = 5
_LONG_VALUE_WORDS = 5.0
_REPEATS = 20  # rows a text, beyond which it is an answer picked from a list
_LENGTH_BINS = 20
_IN_TEXT = 0.5
_NAME_LETTERS = 3
_WORD = re.compile(r"\w+")
FILE = "(file)"


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of a row: its label, its words and its values by number."""

    label: int
    words: array[int]
    values: tuple[tuple[int, int], ...]
    characters: int
    named: bool
    other_named: bool


class Shortcuts:
    """`shortcut-column`, `shortcut-word`, `shortcut-length`, `label-in-text` (warnings), `sorted-by-label` (note),
    and `target-repeats`: a text column with few texts for many rows. A sample of large files is looked at.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._sample: Sample[_Kept] = Sample(SAMPLED_ROWS)
        self._words: dict[str, int] = {}
        self._labels: dict[Labels, int] = {}
        self._columns: dict[str, _Values] = {}
        self._before: tuple[str, Labels | None] = ("", None)
        self._runs = 0
        self._rows = 0

    def see(self, row: Seen) -> None:
        label = row.label
        if label is not None:
            self._rows += 1
            if (row.split, label) != self._before:
                self._before = (row.split, label)
                self._runs += 1
        if self._sample.wants(row.input_id):
            self._sample.add(row.input_id, row.number, self._keep(row, label or ()))

    def _keep(self, row: Seen, label: Labels) -> _Kept:
        plain = self._scene.text[:_MOST_CHARACTERS].lower() if label else ""
        words = self._words
        if len(words) < _MOST_WORDS:
            numbers = {words.setdefault(word, len(words)) for word in _WORD.findall(plain)}
        else:
            numbers = {words[word] for word in _WORD.findall(plain) if word in words}
        cells = row.columns if self._scene.task is not None else {**row.inputs, **row.columns}
        values = []
        for name, value in (*cells.items(), (FILE, row.where.rpartition(":")[0])):
            if name not in self._columns:
                self._columns[name] = _Values(len(self._columns))
            number = self._columns[name].number(value)
            if number is not None:
                values.append((self._columns[name].place, number))
        other = next(iter(self._labels), ())
        return _Kept(
            label=self._labels.setdefault(label, len(self._labels)),
            words=array("I", sorted(numbers)),
            values=tuple(values),
            characters=len(self._scene.text),
            named=_names(label, plain),
            other_named=other != label and _names(other, plain),
        )

    def findings(self) -> Iterator[Finding]:
        kept = self._sample.kept()
        if len(kept) < _FEWEST:
            return
        labels = np.array([one.label for _, one in kept])
        told_columns: set[str] = set()
        closed = self._scene.task is None or self._scene.task.is_closed
        if (
            closed and len(np.unique(labels)) > 1
        ):  # texts are no classes that a word could give away
            for found, name in self._telling_columns(kept, labels):
                told_columns.add(name)
                yield found
            yield from self._telling_words(kept, labels)
            yield from self._telling_length(kept, labels)
            yield from self._label_in_text(kept)
            yield from self._sorted()
        yield from self._repeating(kept, told_columns)

    @property
    def _of_sample(self) -> str:
        return (
            f" (in a sample of {len(self._sample.kept())} of {len(self._scene)} rows)"
            if len(self._sample.kept()) < len(self._scene)
            else ""
        )

    def _telling_columns(
        self, kept: list[tuple[int, _Kept]], labels: IntArray
    ) -> Iterator[tuple[Finding, str]]:
        for name, column in self._columns.items():
            rows, values = _values_of(kept, column)
            if len(rows) < _FEWEST or column.many:
                continue
            tells = told(values, labels[rows])
            if tells.distinct < 2 or tells.majority > 1 - FEWEST_ROWS / len(rows):
                continue
            # a label by which values vary may still be told by one of them
            if tells.known >= _KNOWN and tells.distinct * _ROWS_A_VALUE <= len(rows):
                yield self._column(name, column, tells, rows=len(rows)), name
                continue
            single = giveaways([[int(value)] for value in values], labels[rows])
            present = [one for one in single if one.present]
            if present:
                yield (
                    self._value(
                        name, column, present, numbers=[kept[row][0] for row in rows], values=values
                    ),
                    name,
                )

    def _column(self, name: str, column: _Values, tells: Told, *, rows: int) -> Finding:
        texts = "texts" if column.mean_words >= _LONG_VALUE_WORDS else "values"
        where = "the file a row is from" if name == FILE else f'column "{name}"'
        fix = (
            "mix the sources of each label, or collect some of each from every source"
            if name == FILE
            else f'never make "{name}" an input: it is the label written out again; as a target it makes every random '
            "split give all its answers away"
            if texts == "texts"
            else f'keep "{name}" out of the inputs, and ask whether it is known before the label is'
        )
        return Finding(
            Issue(
                code="shortcut-column",
                severity="warning",
                what=f"{where} gives the label away: {tells.distinct} different {texts} for {rows} rows{self._of_sample}, "
                f"{tells.purity:.1%} right by each value's usual label against {tells.majority:.1%} by the most usual "
                "label of all",
                count=rows,
                fix=fix,
            )
        )

    def _value(
        self,
        name: str,
        column: _Values,
        found: list[Giveaway],
        *,
        numbers: list[int],
        values: IntArray,
    ) -> Finding:
        spelt = {number: value for value, number in column.numbers.items()}
        shown = "; ".join(f'"{spelt[one.sign]}" {self._share(one)}' for one in found[:_SHOWN])
        signs = {one.sign for one in found}
        where = "the file a row is from" if name == FILE else f'column "{name}"'
        rows = [n for n, value in zip(numbers, values.tolist(), strict=True) if value in signs]
        return finding(
            self._scene,
            "shortcut-column",
            "warning",
            f"values of {where} give a label away{self._of_sample}: {shown}",
            rows=rows,
            fix=f'keep "{name}" out of the inputs, and ask whether texts of other values look the same'
            if name != FILE
            else "mix the sources of each label, or collect some of each from every source",
        )

    def _share(self, one: Giveaway) -> str:
        names = {number: label for label, number in self._labels.items()}
        label = "+".join(names[one.label])
        absent = "" if one.present else "where it is missing, "
        return f'{absent}"{label}" in {one.right} of {one.rows} rows (of {one.of} of that label)'

    def _telling_words(self, kept: list[tuple[int, _Kept]], labels: IntArray) -> Iterator[Finding]:
        found = giveaways([one.words for _, one in kept], labels)
        if not found:
            return
        spelt = {number: word for word, number in self._words.items()}
        shown = "; ".join(f'"{spelt[one.sign]}": {self._share(one)}' for one in found[:_SHOWN])
        present = {one.sign for one in found if one.present}
        absent = {one.sign for one in found if not one.present}
        rows = [
            number
            for number, one in kept
            if not present.isdisjoint(one.words) or not absent <= set(one.words)
        ]
        few = len(self._labels) <= _FEW_LABELS
        yield finding(
            self._scene,
            "shortcut-word",
            "warning" if few else "note",
            f"{len(found)} single words give a label away{self._of_sample}: {shown}",
            rows=rows,
            fix="read some of the rows: a word that only the collection put there goes out of the texts, "
            "a word that means the label stays, with rows of the label that lack it",
        )

    def _telling_length(self, kept: list[tuple[int, _Kept]], labels: IntArray) -> Iterator[Finding]:
        lengths = np.array([one.characters for _, one in kept])
        bins = np.searchsorted(
            np.unique(np.quantile(lengths, np.linspace(0, 1, _LENGTH_BINS + 1)[1:-1])), lengths
        )
        tells = told(bins, labels)
        gained = (tells.purity - tells.majority) / max(1e-9, 1 - tells.majority)
        if tells.known >= 0.6 and gained >= 0.8:
            yield Finding(
                Issue(
                    code="shortcut-length",
                    severity="warning",
                    what=f"the length of a text alone gives its label away{self._of_sample}: {tells.purity:.1%} right, "
                    f"against {tells.majority:.1%} by the most usual label",
                    count=len(kept),
                    fix="collect the labels in one way: texts of every length for each of them",
                )
            )

    def _label_in_text(self, kept: list[tuple[int, _Kept]]) -> Iterator[Finding]:
        rows = [number for number, one in kept if one.named]
        other = sum(one.other_named for _, one in kept)
        if len(rows) >= max(FEWEST_ROWS, _IN_TEXT * len(kept)) and other < len(rows) / 2:
            yield finding(
                self._scene,
                "label-in-text",
                "warning",
                f"{len(rows)} of {len(kept)} texts{self._of_sample} hold the name of their own label",
                rows=rows,
                fix="take the name out of the texts if it was written into them, or a model learns to copy it",
            )

    def _sorted(self) -> Iterator[Finding]:
        labels = len(self._labels)
        if self._runs <= 3 * labels and self._rows >= 4 * self._runs:
            yield Finding(
                Issue(
                    code="sorted-by-label",
                    severity="note",
                    what=f"the rows are sorted by label: {self._rows} rows change their label {self._runs} times",
                    count=self._rows,
                    fix="nothing to do here: splits go by hash; other tools that cut a file need it shuffled first",
                )
            )

    def _repeating(
        self, kept: list[tuple[int, _Kept]], told_columns: set[str]
    ) -> Iterator[Finding]:
        """Text columns whose texts are picked from a short list while other texts vary."""
        inputs = {word for _, one in kept for word in (one.characters,)}
        sizes = {
            name: (len(_values_of(kept, column)[0]), column)
            for name, column in self._columns.items()
        }
        varied = any(column.many for _, column in sizes.values()) or len(inputs) > _REPEATS
        for name, (rows, column) in sizes.items():
            distinct = len(column.numbers)
            long = column.mean_words >= _LONG_VALUE_WORDS
            if name in told_columns or column.many or not long or distinct < 2 or not varied:
                continue
            if rows >= 2 * _FEWEST and distinct * _REPEATS <= rows:
                yield Finding(
                    Issue(
                        code="target-repeats",
                        severity="warning",
                        what=f'column "{name}" has {distinct} different texts for {rows} rows{self._of_sample}: as a '
                        "target they are labels, and a random split has every one of them on both sides",
                        count=rows,
                        fix=f'classify instead (burnish init), or name "{name}" as the group so that each text stands in '
                        "one split only",
                    )
                )


class _Values:
    """The values of one column, numbered; `many` once there are too many to be one of a list."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.numbers: dict[str, int] = {}
        self.many = False

    def number(self, value: str) -> int | None:
        if self.many or not value or value.isspace():
            return None
        found = self.numbers.get(value[:_VALUE_CHARACTERS])
        if found is None:
            if len(self.numbers) >= _MOST_VALUES:
                self.many = True
                return None
            found = self.numbers[value[:_VALUE_CHARACTERS]] = len(self.numbers)
        return found

    @property
    def mean_words(self) -> float:
        return sum(len(value.split()) for value in self.numbers) / max(1, len(self.numbers))


def _values_of(kept: list[tuple[int, _Kept]], column: _Values) -> tuple[IntArray, IntArray]:
    """The rows that have a value in the column, by their place in the sample, and the values."""
    found = [
        (row, value)
        for row, (_, one) in enumerate(kept)
        for place, value in one.values
        if place == column.place
    ]
    pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _names(label: Labels, plain: str) -> bool:
    """Whether a text in small letters holds the name of its label; names of two letters stand anywhere."""
    return any(
        len(name) >= _NAME_LETTERS
        and (name.lower() in plain or name.lower().replace("_", " ") in plain)
        for name in label
    )
