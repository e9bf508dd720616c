"""The verbs of closed label sets on a base that writes: it learns to say the label; the rest of the circle is lifecycle.py's.

Nothing here prints; rooms with torch are imported where they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burnish.curate import Prepared
from burnish.errors import fail
from burnish.project import Edge, Project
from burnish.records.message import Message
from burnish.records.recipe import Recipe
from burnish.records.run import Run
from burnish.records.task import Task
from burnish.store.workspace import lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from burnish.models.source import BaseModel
    from burnish.records.example import Example


def texts_of(task: Task, rows: Sequence[Example]) -> list[str]:
    """What a tiny base that writes learns its words from: questions and labels."""
    return [turn.content for turns, _, _ in taught(task, rows) for turn in turns]


def train(
    project: Project, prepared: Prepared, recipe: Recipe, edge: Edge, *, base: BaseModel
) -> Run:
    """Teach the base to answer each text with its label; the same call again continues, and returns at once when done.

    Raises: base-writes for a task with several labels a row, labels-same-tokens, and the codes of lessons_from and fit_text.
    """
    from burnish.models.choice_model import choice_codec
    from burnish.train.fit_text import fit_text
    from burnish.train.follow import Surroundings
    from burnish.train.text_lessons import lessons_from

    task, rows = project.task, prepared.rows
    if task.kind == "multilabel":
        raise fail(
            "base-writes",
            f'{recipe.base} answers with one label, and kind = "multilabel" asks for any number',
            where="recipe",
            expected="an encoder as base model",
            fix="take an encoder: burnish run without --base uses one",
        )
    codec = choice_codec(base.folder, task, max_tokens=recipe.max_tokens, template=recipe.template)
    learnt, judged = (
        lessons_from(codec, taught(task, rows[split])) for split in ("train", "validation")
    )
    with lock(project.workspace, "train"), edge.interruptible() as stop:
        return fit_text(
            task,
            train=learnt.rows,
            validation=judged.rows,
            stop_ids=codec.stop_ids,
            template=None if codec.template is None else codec.template.text,
            truncated=learnt.dropped_tokens,
            base=base,
            recipe=recipe,
            dataset_id=prepared.dataset.id,
            runs=project.workspace.runs,
            around=Surroundings(
                edge.now, edge.announce, edge.on_step, stop, edge.save_every_seconds
            ),
        )


def taught(task: Task, rows: Sequence[Example]) -> list[tuple[tuple[Message, ...], str, float]]:
    """What the base is asked for each labelled row, and the label that it is to say, with place and weight."""
    from burnish.encode.render import render
    from burnish.records.label import label_names
    from burnish.tasks.choice import choice_prompt

    return [
        (
            (
                *choice_prompt(task, render(task, row.inputs)),
                Message(role="assistant", content=label_names(row.label)[0]),
            ),
            row.source.where,
            row.weight,
        )
        for row in rows
        if row.label is not None
    ]
