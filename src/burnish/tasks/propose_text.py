"""A file's columns to the tasks whose models write or find a text: told by their names, checked by what stands in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from burnish.records.decoding import Decoding
from burnish.records.example import Example, Source
from burnish.records.label import Spans
from burnish.records.task import DataFiles, Gate, KindName, Task
from burnish.tasks.columns import Column, look
from burnish.tasks.hints import words
from burnish.tasks.kind import KINDS
from burnish.tasks.kinds import extractive_qa
from burnish.tasks.roles import group_of, slices_of
from burnish.tasks.turns import read_turns

# What is given (in this order), what is asked for, the kind, and how plainly the names say so.
_NAMED: tuple[tuple[KindName, tuple[str, ...], str, float], ...] = (
    ("extractive-qa", ("question", "context"), "answers", 0.98),
    ("extractive-qa", ("question", "context"), "answer", 0.98),
    ("qa", ("question", "context"), "answers", 0.95),
    ("qa", ("question", "context"), "answer", 0.95),
    ("qa", ("question",), "answers", 0.94),
    ("qa", ("question",), "answer", 0.94),
    ("chat", ("instruction", "input"), "output", 0.96),
    ("chat", ("instruction",), "output", 0.93),
    ("chat", ("instruction",), "response", 0.93),
    ("chat", ("prompt",), "completion", 0.95),
    ("chat", ("prompt",), "response", 0.93),
)
_DOCUMENTS = frozenset(
    {"document", "article", "dialogue", "dialog", "transcript", "source", "original", "text", "report", "conversation"}
)  # fmt: skip
_SUMMARIES = frozenset(
    {"summary", "highlights", "tldr", "abstract", "note", "target", "section", "headline"}
)
_PLAIN_SUMMARIES = frozenset({"summary", "highlights", "tldr"})
_LONGER = 1.5  # times as many characters has a document as its summary
_LOOKED_AT = 200
# A word is about 1.3 tokens, and a long answer twice as long as the average one.
_TOKENS_PER_CHARACTER = 0.5
_MOST_NEW_TOKENS = 512


@dataclass(frozen=True, slots=True)
class TextReading:
    """One reading of a file as text in, text out: the task, how well it fits in [0, 1], and why."""

    task: Task
    score: float
    because: str


def text_readings(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    *,
    name: str,
    files: DataFiles,
    kind: str | None = None,
) -> tuple[TextReading, ...]:
    """The tasks of kinds that write or find, best first; with `kind` those of that kind alone.

    Example:
        >>> rows = [{"question": f"When was {n}?", "answer": f"In May {n}."} for n in range(4)]
        >>> best = text_readings(["question", "answer"], rows, name="t", files=DataFiles(train=("a.csv",)))[0]
        >>> best.task.kind, best.task.inputs, best.task.label, best.task.primary_metric
        ('qa', ('question',), 'answer', 'f1')
    """
    facts = {column.name: column for column in look(columns, rows) if column.filled}
    found = [
        _reading(one, facts, rows, name=name, files=files)
        for one in (*_conversations(facts, rows), *_by_name(facts, rows), *_summaries(facts))
        if kind is None or one.kind == kind
    ]
    return tuple(sorted(found, key=lambda one: -one.score))


@dataclass(frozen=True, slots=True)
class _Pair:
    kind: KindName
    inputs: tuple[str, ...]
    label: str
    score: float
    because: str


def _conversations(
    facts: Mapping[str, Column], rows: Sequence[Mapping[str, str]]
) -> Iterator[_Pair]:
    if "messages" not in facts:
        return
    cells = _cells(rows, "messages")
    if cells and all(not isinstance(read_turns(cell), str) for cell in cells[:_LOOKED_AT]):
        turns = [len(json.loads(cell)) for cell in cells[:_LOOKED_AT] if cell.startswith("[")]
        mean = sum(turns) / len(turns) if turns else 0
        because = f'"messages" holds conversations of {mean:.0f} turns on average.'
        yield _Pair("chat", ("messages",), "messages", 1.0, because)


def _by_name(facts: Mapping[str, Column], rows: Sequence[Mapping[str, str]]) -> Iterator[_Pair]:
    named = {column.casefold(): column for column in facts}
    for kind, given, asked, score in _NAMED:
        if asked not in named or any(one not in named for one in given):
            continue
        inputs, label = tuple(named[one] for one in given), named[asked]
        if kind == "extractive-qa" and not _stands_in(rows, inputs, label):
            continue
        shown = " and ".join(f'"{one}"' for one in inputs)
        what = {
            "extractive-qa": f'{shown} with pieces of the context in "{label}", each with its start.',
            "qa": f'{shown} {"give" if len(inputs) > 1 else "gives"} "{label}".',
        }.get(kind, f'{shown} {"give" if len(inputs) > 1 else "gives"} the answer "{label}".')
        yield _Pair(kind, inputs, label, score, what)


def _summaries(facts: Mapping[str, Column]) -> Iterator[_Pair]:
    for label in facts.values():
        said = set(words(label.name))
        if not said & _SUMMARIES:
            continue
        documents = [
            one
            for one in facts.values()
            if one is not label
            and one.mean_characters >= _LONGER * label.mean_characters
            and one.distinct_fraction > 0.5
        ]
        if not documents or label.mean_words < 2:
            continue
        best = max(
            documents,
            key=lambda one: (bool(set(words(one.name)) & _DOCUMENTS), one.mean_characters),
        )
        sure = bool(said & _PLAIN_SUMMARIES) + bool(set(words(best.name)) & _DOCUMENTS)
        because = (
            f'"{label.name}" (about {label.mean_characters:.0f} characters) says shortly what "{best.name}" says '
            f"(about {best.mean_characters:.0f})."
        )
        yield _Pair("summarization", (best.name,), label.name, (0.5, 0.9, 0.97)[sure], because)


def _stands_in(rows: Sequence[Mapping[str, str]], inputs: tuple[str, ...], label: str) -> bool:
    """Whether the answers come with starts that can be read, and most of them stand there."""
    task = Task(name="look", kind="extractive-qa", inputs=inputs, label=label, primary_metric="f1")
    whole = looked = 0
    for row in rows[:_LOOKED_AT]:
        cell = row.get(label, "")
        if not cell.strip():
            continue
        looked += 1
        found = extractive_qa.parse(task, cell)
        if isinstance(found, Spans):
            texts = {one: row.get(one, "") for one in inputs}
            example = Example(
                row_id="", input_id="", inputs=texts, label=found, source=Source(where="")
            )
            whole += not extractive_qa.check(task, example)
    return whole > looked / 2


def _reading(
    pair: _Pair,
    facts: Mapping[str, Column],
    rows: Sequence[Mapping[str, str]],
    *,
    name: str,
    files: DataFiles,
) -> TextReading:
    kind = KINDS[pair.kind]
    others = [one for one in facts.values() if one.name not in (*pair.inputs, pair.label)]
    group = _group(pair, facts, others)
    task = Task(
        name=name,
        kind=pair.kind,
        inputs=pair.inputs,
        label=pair.label,
        group=group,
        instruction=_INSTRUCTIONS.get(pair.kind, ""),
        decoding=Decoding() if pair.kind == "extractive-qa" else _decoding(pair, rows),
        primary_metric=kind.default_metric,
        # a base finds nothing before it is tuned: what it must beat is the most similar sentence
        gates=(
            Gate(
                metric=kind.default_metric,
                than="sentence" if pair.kind == "extractive-qa" else "base",
                margin=0.0,
                sure=True,
            ),
        ),
        slices=tuple(one.name for one in slices_of(others) if one.name != group),
        data=files,
    )
    return TextReading(task, pair.score, pair.because)


_INSTRUCTIONS: Mapping[str, str] = {
    "summarization": "Summarize the following text.",
    "qa": "Answer the question.",
}


def _group(pair: _Pair, facts: Mapping[str, Column], others: Sequence[Column]) -> str | None:
    """Questions about one text or one title belong together; elsewhere what `group_of` finds."""
    found = group_of(others)
    if found is None and pair.kind in ("extractive-qa", "qa"):
        title = facts.get("title")
        if title is not None and title.distinct > 1 and title.distinct_fraction < 0.5:
            return "title"
    return found.name if found else None


def _decoding(pair: _Pair, rows: Sequence[Mapping[str, str]]) -> Decoding:
    """Room for the longest answers that were looked at, rounded up to a power of two."""
    longest = max((len(cell) for cell in _cells(rows, pair.label)[:_LOOKED_AT]), default=0)
    if pair.inputs == (pair.label,):
        longest = max(
            (_last_turn(cell) for cell in _cells(rows, pair.label)[:_LOOKED_AT]), default=0
        )
    wanted = max(16, int(longest * _TOKENS_PER_CHARACTER))
    return Decoding(max_new_tokens=min(_MOST_NEW_TOKENS, 1 << (wanted - 1).bit_length()))


def _last_turn(cell: str) -> int:
    turns = read_turns(cell)
    return (
        0 if isinstance(turns, str) else max((len(content) for _, content, _ in turns), default=0)
    )


def _cells(rows: Sequence[Mapping[str, str]], column: str) -> list[str]:
    return [row[column] for row in rows if row.get(column, "").strip()]
