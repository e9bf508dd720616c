"""Labels: the right answer for a row, independent of any model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from burnish.records.record import Record


class OneOf(Record):
    """Exactly one of the task's labels."""

    type: Literal["one_of"] = "one_of"
    name: str


class ManyOf(Record):
    """Any number of the task's labels, also none; kept in the task's label order."""

    type: Literal["many_of"] = "many_of"
    names: tuple[str, ...]


Label = Annotated[OneOf | ManyOf, Field(discriminator="type")]


def label_names(label: OneOf | ManyOf) -> tuple[str, ...]:
    """The names a label says yes to.

    Example:
        >>> label_names(OneOf(name="spam")), label_names(ManyOf(names=("a", "b")))
        (('spam',), ('a', 'b'))
    """
    return (label.name,) if isinstance(label, OneOf) else label.names
