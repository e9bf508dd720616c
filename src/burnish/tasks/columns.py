"""What a column looks like: how often its values repeat, how long they are, what they are made of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SAMPLED = 2000  # values looked at for words and dates; counts are always over every row

_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?",
        r"\d{1,2}[-/.]\d{1,2}[-/.](\d{2}|\d{4})([T ,].*)?",
        r"(\w{3,9},? )?\d{1,2}\.? \w{3,9}\.?,? \d{4}.*",
        r"(\w{3,9},? )?[a-z]{3,9}\.? \d{1,2},? (\d{2}:\d{2}.*)?\d{4}.*",
        r"\d{1,2}:\d{2}(:\d{2})?( ?[ap]m)?",
    )
)
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d+)*|[.,]\d+)([eE][-+]?\d+)?%?")
_CODE = re.compile(r"(?=\S*\d)[\w#.:/+-]{2,64}")
# scripts written without spaces between words: Thai, kana, Chinese characters
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Column:
    """One column's facts.

    `counts` are the filled values with their numbers of rows; `filled` the rows whose value is not
    blank. `dates`, `numbers` and `codes` (a digit, no blank: "C-1043") are shares of the filled
    values sampled; `mean_words` and `mean_characters` are over the same sample.
    """

    name: str
    rows: int
    filled: int
    counts: Mapping[str, int]
    mean_characters: float
    mean_words: float
    dates: float
    numbers: float
    codes: float

    @property
    def distinct(self) -> int:
        """How many different filled values there are."""
        return len(self.counts)

    @property
    def distinct_fraction(self) -> float:
        """Different values over filled rows; 1 means that nothing repeats."""
        return self.distinct / self.filled if self.filled else 0.0

    @property
    def filled_fraction(self) -> float:
        """Filled rows over all rows."""
        return self.filled / self.rows if self.rows else 0.0

    @property
    def is_date(self) -> bool:
        """Whether nearly every value is a date or a time."""
        return self.dates >= 0.9

    @property
    def is_number(self) -> bool:
        """Whether nearly every value is a number."""
        return self.numbers >= 0.95

    @property
    def is_code(self) -> bool:
        """Whether nearly every value looks like an identifier."""
        return self.codes >= 0.9 and not self.is_date


def look(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> tuple[Column, ...]:
    """The facts of every column, in order.

    Example:
        >>> facts = look(["text", "y"], [{"text": "a b", "y": "1"}, {"text": "c d e", "y": "1"}])
        >>> [(column.distinct, column.mean_words, column.is_number) for column in facts]
        [(2, 2.5, False), (1, 1.0, True)]
    """
    return tuple(_column(name, [row.get(name) or "" for row in rows]) for name in columns)


def one_to_one(first: Column, second: Column, rows: Sequence[Mapping[str, str]]) -> bool:
    """Whether each value of one column goes with exactly one value of the other, both ways."""
    if first.distinct != second.distinct:
        return False
    pairs = {(row.get(first.name) or "", row.get(second.name) or "") for row in rows}
    filled = {pair for pair in pairs if pair[0].strip() and pair[1].strip()}
    return len(filled) == first.distinct


def _column(name: str, values: Sequence[str]) -> Column:
    counts = Counter(value for value in values if value.strip())
    filled = counts.total()
    step = max(1, len(values) // SAMPLED)
    sample = [value.strip() for value in values[::step] if value.strip()]
    size = max(1, len(sample))
    return Column(
        name=name,
        rows=len(values),
        filled=filled,
        counts=counts,
        mean_characters=sum(map(len, sample)) / size,
        mean_words=sum(map(_word_count, sample)) / size,
        dates=sum(any(form.fullmatch(value) for form in _DATES) for value in sample) / size,
        numbers=sum(_NUMBER.fullmatch(value) is not None for value in sample) / size,
        codes=sum(_CODE.fullmatch(value) is not None for value in sample) / size,
    )


def _word_count(value: str) -> float:
    # about two characters a word where nothing is put between words
    return len(value.split()) + len(_UNSPACED.findall(value)) / 2
