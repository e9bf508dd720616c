"""What a template may spend while it is rendered: steps and characters, counted before they are used up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

FREE_STEPS = 20_000
FREE_CHARACTERS = 500_000
# Of an argument: a width, an indent, a number of times.
_MOST_NUMBER = 10_000


class Overspent(Exception):
    """The rendering asked for more than its budget. The text says for what."""


@dataclass(slots=True)
class Budget:
    """What is left."""

    steps: int
    characters: int

    def spend(self, *, steps: int = 0, characters: int = 0) -> None:
        """Take so much away, or stop the rendering."""
        self.steps -= steps
        self.characters -= characters
        if self.steps < 0:
            raise Overspent("takes more steps than its messages can need")
        if self.characters < 0:
            raise Overspent("makes more text than its messages can need")

    def weigh(self, value: object) -> None:
        """Spend what it takes to write a value out. Shared parts count each time: so they would be written."""
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                self.spend(characters=len(one))
            elif isinstance(one, Mapping):
                self.spend(steps=len(one))
                waiting += one.keys()
                waiting += one.values()
            elif isinstance(one, list | tuple | set | frozenset):
                self.spend(steps=len(one))
                waiting += one


# Outside a rendering, that is while a template is compiled, hardly anything may be spent.
BUDGET: ContextVar[Budget] = ContextVar("budget")


def spending() -> Budget:
    """The budget of the rendering that runs."""
    try:
        return BUDGET.get()
    except LookupError:
        return Budget(FREE_STEPS, FREE_CHARACTERS)


def pay_for(value: Any) -> None:
    """Spend what it takes to copy a text or a list, whatever is in it."""
    if isinstance(value, str):
        spending().spend(characters=len(value))
    elif hasattr(value, "__len__"):
        spending().spend(steps=len(value))


def kept_list(items: Iterable[Any]) -> list[Any]:
    """The items of an iterator, each paid for."""
    budget, kept = spending(), []
    for one in items:
        budget.spend(steps=1)
        kept.append(one)
    return kept


def pay_method(owner: Any, name: str, args: Sequence[Any]) -> None:
    """What a method costs: its text and its result, which `replace` and `join` can make much longer."""
    pay_for(owner)
    check_numbers(args)
    budget = spending()
    if (
        name == "replace"
        and len(args) > 1
        and isinstance(args[0], str)
        and isinstance(args[1], str)
    ):
        budget.spend(characters=owner.count(args[0]) * len(args[1]))
    elif name == "join" and args:
        parts = kept_list(args[0]) if isinstance(args[0], Iterator) else args[0]
        budget.weigh(parts)
        budget.spend(characters=len(owner) * (len(parts) if hasattr(parts, "__len__") else 0))
    elif name in ("split", "rsplit", "splitlines"):
        budget.spend(steps=1, characters=len(owner))
    for one in args:
        budget.weigh(one)


def check_numbers(values: Iterable[Any]) -> None:
    """Refuse widths and counts that no text needs."""
    if any(isinstance(one, int) and abs(one) > _MOST_NUMBER for one in values):
        raise Overspent(f"gives a filter or method a number above {_MOST_NUMBER}")


def bits(value: Any) -> int:
    """How long a whole number is; 0 for anything else."""
    return value.bit_length() if isinstance(value, int) else 0
