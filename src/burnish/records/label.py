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


class Texts(Record):
    """A text to write. Any of `texts` is right; training says the first."""

    type: Literal["texts"] = "texts"
    texts: tuple[str, ...] = Field(min_length=1)


class Span(Record):
    """A piece of the context: `context[start : start + len(text)] == text`, in characters."""

    text: str = Field(min_length=1)
    start: int = Field(ge=0)


class Spans(Record):
    """A piece of the context to find. Any of `spans` is right, training aims at the first; none: no answer is there."""

    type: Literal["spans"] = "spans"
    spans: tuple[Span, ...]


Label = Annotated[OneOf | ManyOf | Texts | Spans, Field(discriminator="type")]


def label_names(label: Label) -> tuple[str, ...]:
    """What a label says: names it says yes to, texts or pieces that are right.

    Example:
        >>> label_names(OneOf(name="spam")), label_names(ManyOf(names=("a", "b")))
        (('spam',), ('a', 'b'))
        >>> label_names(Spans(spans=()))
        ()
    """
    match label:
        case OneOf():
            return (label.name,)
        case ManyOf():
            return label.names
        case Texts():
            return label.texts
        case Spans():
            return tuple(dict.fromkeys(one.text for one in label.spans))


def class_names(label: Label) -> tuple[str, ...]:
    """The classes a label belongs to: its names where labels are a closed set, none where answers are texts.

    Example:
        >>> class_names(OneOf(name="spam")), class_names(Texts(texts=("in May",)))
        (('spam',), ())
    """
    return label_names(label) if isinstance(label, OneOf | ManyOf) else ()
