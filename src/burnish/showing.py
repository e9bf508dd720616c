"""Rows as the model sees them in training, for people: the same encoding that training takes, whatever the kind and the base.

Nothing here prints; rooms with torch are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from burnish import choosing, curate, lifecycle
from burnish.curate import Prepared
from burnish.encode.show import TokenView, show, shown_cut, shown_prompt, shown_tokens, shown_window
from burnish.errors import fail
from burnish.models.source import BaseModel
from burnish.project import Edge, Project, using_rows
from burnish.records.example import Example
from burnish.records.label import label_names
from burnish.records.recipe import Recipe
from burnish.records.task import Task


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One row: where it stands, its split and target, and its tokens; of a question with a context window by window."""

    where: str
    split: str
    labels: tuple[str, ...]
    parts: tuple[tuple[TokenView, ...], ...]
    dropped_tokens: int
    in_windows: bool = False


def show_rows(
    project: Project, edge: Edge, *, recipe: Recipe, row: str | None, count: int
) -> list[ShownRow]:
    """The row at that place, or the first `count`, as the recipe's base sees them.

    Raises: row-unknown, and the codes of encoding.
    """
    with using_rows(project):
        prepared = curate.prepare(project, edge, recipe=recipe)
        base = lifecycle.fetch(project, prepared, recipe, edge)
    chosen = _chosen(prepared, row)[:count]
    examples = [example for _, example in chosen]
    task = project.task
    if task.finds:
        shown = _found(task, examples, recipe, base)
    elif not task.is_closed:
        shown = _written(task, examples, recipe, base)
    elif base.writes:
        shown = _said(task, examples, recipe, base)
    else:
        shown = _scored(task, examples, recipe, base)
    return [replace(one, split=split) for one, (split, _) in zip(shown, chosen, strict=True)]


def _chosen(prepared: Prepared, row: str | None) -> list[tuple[str, Example]]:
    found = [
        (split, example)
        for split, rows in prepared.rows.items()
        for example in rows
        if row is None or example.source.where == row
    ]
    if not found:
        raise fail(
            "row-unknown",
            f'no row "{row}" in dataset {prepared.dataset.id}',
            expected='a place such as "tickets.csv:812" of a row that is used',
            fix="burnish data check shows the rows that were rejected",
        )
    return found


def _shown(
    example: Example, *parts: Sequence[TokenView], dropped: int = 0, in_windows: bool = False
) -> ShownRow:
    names = label_names(example.label) if example.label else ()
    told = tuple(tuple(part) for part in parts)
    return ShownRow(example.source.where, "", tuple(names), told, dropped, in_windows)


def _scored(
    task: Task, examples: Sequence[Example], recipe: Recipe, base: BaseModel
) -> list[ShownRow]:
    """An encoder with a head of labels: the pooled token carries the loss."""
    from burnish.encode.render import render
    from burnish.encode.tokenise import load_tokeniser, tokenise

    tokeniser = load_tokeniser(base.folder, max_tokens=recipe.max_tokens)
    encodings = tokenise(tokeniser, [render(task, one.inputs) for one in examples])
    return [
        _shown(one, show(encoding, tokeniser=tokeniser), dropped=encoding.dropped_tokens)
        for one, encoding in zip(examples, encodings, strict=True)
    ]


def _said(
    task: Task, examples: Sequence[Example], recipe: Recipe, base: BaseModel
) -> list[ShownRow]:
    """A base that writes, of a closed set: the label's tokens carry the loss."""
    from burnish.encode.render import render
    from burnish.models.choice_model import choice_codec
    from burnish.tasks.choice import choice_prompt
    from burnish.train.text_lessons import lessons_from

    codec = choice_codec(base.folder, task, max_tokens=recipe.max_tokens, template=recipe.template)
    tokenizer = codec.tokeniser.tokenizer
    shown: list[ShownRow] = []
    for one in examples:
        if taught := choosing.taught(task, [one]):
            lessons = lessons_from(codec, taught)
            views = shown_tokens(lessons.rows.rows[0], tokenizer=tokenizer)
            shown.append(_lesson(one, views, lessons.dropped_tokens[0]))
        else:
            prompt = codec.prompt(choice_prompt(task, render(task, one.inputs)))
            views = shown_prompt(prompt, tokenizer=tokenizer)
            shown.append(_shown(one, views, dropped=prompt.dropped_tokens))
    return shown


def _lesson(example: Example, views: Sequence[TokenView], dropped: int) -> ShownRow:
    return _shown(example, [*views, *shown_cut(dropped)], dropped=dropped)


def _written(
    task: Task, examples: Sequence[Example], recipe: Recipe, base: BaseModel
) -> list[ShownRow]:
    """Texts: what the model is to say carries the loss, with the stop token; a row without an answer is a prompt."""
    from burnish.models.chat_model import open_codec
    from burnish.models.task_prompts import task_prompts
    from burnish.train.text_lessons import lessons_of, references_of

    codec = open_codec(
        base.folder,
        max_tokens=recipe.max_tokens,
        new_tokens=task.decoding.max_new_tokens,
        template=recipe.template,
        truncate=task.truncate,
    )
    tokenizer = codec.tokeniser.tokenizer
    shown: list[ShownRow] = []
    for one in examples:
        if references_of(one):
            lessons = lessons_of(task, codec, [one])
            views = shown_tokens(lessons.rows.rows[0], tokenizer=tokenizer)
            shown.append(_lesson(one, views, lessons.dropped_tokens[0]))
        else:
            (prompt,) = task_prompts(
                codec, task, [one.inputs], new_tokens=task.decoding.max_new_tokens
            )
            views = shown_prompt(prompt, tokenizer=tokenizer)
            shown.append(_shown(one, views, dropped=prompt.dropped_tokens))
    return shown


def _found(
    task: Task, examples: Sequence[Example], recipe: Recipe, base: BaseModel
) -> list[ShownRow]:
    """Pieces of a context: the answer's tokens carry the loss, and the first of a window that does not show it."""
    from burnish.encode.windows import load_pair_tokeniser, windows_of
    from burnish.models.span_model import pair_of
    from burnish.records.label import Spans
    from burnish.train.span_lessons import span_lessons

    tokeniser = load_pair_tokeniser(base.folder, max_tokens=recipe.max_tokens)
    shown: list[ShownRow] = []
    for one in examples:
        if isinstance(one.label, Spans):
            rows = span_lessons(task, tokeniser, [one]).rows
            aims = [(int(first), int(last)) for first, last in rows.targets_R2]
            told = list(zip(rows.windows, aims, strict=True))
        else:
            pair = pair_of(task, one.inputs)
            (windows,) = windows_of(tokeniser, [pair], places=[one.source.where])
            told = [(window, None) for window in windows]
        views = [shown_window(w, target, tokenizer=tokeniser.tokenizer) for w, target in told]
        shown.append(_shown(one, *views, in_windows=True))
    return shown
