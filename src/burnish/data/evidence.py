"""What a check may look at, and the groupings that several checks and the settling of rows share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from burnish.records.dataset import Issue, Rejection
from burnish.records.example import Example, Split
from burnish.records.task import Task

LISTED_ROWS = 20
TokenLengths = Callable[[Sequence[Mapping[str, str]]], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The rows as read. `token_lengths` counts tokens of inputs, `limit_tokens` is the model's limit."""

    task: Task
    examples: Mapping[Split, Sequence[Example]]
    rejections: Sequence[Rejection] = ()
    token_lengths: TokenLengths | None = None
    limit_tokens: int | None = None

    def all_examples(self) -> Iterable[Example]:
        """Every example of every given split, in order."""
        for examples in self.examples.values():
            yield from examples


Check = Callable[[Evidence], tuple[Issue, ...]]


def by_input(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """Examples that ask the same, together, in order of first appearance."""
    together: dict[str, list[Example]] = {}
    for example in examples:
        together.setdefault(example.input_id, []).append(example)
    return together


def disagree(examples: Sequence[Example]) -> bool:
    """Whether rows that ask the same are answered differently."""
    return any(example.label != examples[0].label for example in examples[1:])


def places(examples: Iterable[Example]) -> tuple[str, ...]:
    """Where the first twenty stand."""
    return tuple(example.source.where for example, _ in zip(examples, range(LISTED_ROWS)))


def excerpt(example: Example, *, characters: int = 60) -> str:
    """The beginning of a row's text on one line, in quotes."""
    text = " ".join(" ".join(example.inputs.values()).split())
    cut = text if len(text) <= characters else text[: characters - 1] + "…"
    return f'"{cut}"'
