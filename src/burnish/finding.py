"""The verbs of kinds whose answers are found in a context: the same as lifecycle.py's, which hands over to these.

Nothing here prints; rooms with torch are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from burnish.curate import Prepared
from burnish.project import Edge, Project
from burnish.records.recipe import Recipe
from burnish.records.run import Run
from burnish.store.workspace import lock

if TYPE_CHECKING:
    from burnish.decide.prove import Proof
    from burnish.models.fitted_text import FittedText
    from burnish.models.source import BaseModel


def fetch(project: Project, prepared: Prepared, recipe: Recipe, edge: Edge) -> BaseModel:
    """The recipe's base model, past the safety gate; a tiny one learns its words from questions and contexts."""
    from burnish.models.pretrained import open_pretrained

    return open_pretrained(
        recipe.base,
        cache=edge.cache,
        texts=lambda: [
            row.inputs[name] for row in prepared.rows["train"] for name in project.task.inputs
        ],
        announce=edge.announce,
        offline=edge.offline,
    )


def train(
    project: Project, prepared: Prepared, recipe: Recipe, edge: Edge, *, base: BaseModel
) -> Run:
    """Fine-tune by the recipe on where answers stand; the same call again continues, and returns at once when it is
    done.

    Raises: the codes of load_pair_tokeniser, span_lessons and fit_spans.
    """
    from burnish.decide.asked import quality
    from burnish.encode.windows import load_pair_tokeniser
    from burnish.train.fit_span import fit_spans
    from burnish.train.follow import Surroundings
    from burnish.train.span_lessons import span_lessons
    from burnish.train.text_lessons import labelled, references_of

    task = project.task
    learnt, judged = (list(labelled(prepared.rows[split])) for split in ("train", "validation"))
    tokeniser = load_pair_tokeniser(base.folder, max_tokens=recipe.max_tokens)
    lessons, held = (span_lessons(task, tokeniser, rows) for rows in (learnt, judged))
    if lessons.straddling:
        edge.announce(
            f"{lessons.straddling} of {len(learnt)} train answers begin or end inside a token: "
            "the model learns the whole token"
        )
    references = [references_of(one) for one in judged]

    def judge(said: Sequence[str]) -> float:
        return quality(task.primary_metric, said, references)

    with lock(project.workspace, "train"), edge.interruptible() as stop:
        return fit_spans(
            task,
            train=lessons,
            validation=held,
            tokeniser=tokeniser,
            judge=judge,
            base=base,
            recipe=recipe,
            dataset_id=prepared.dataset.id,
            runs=project.workspace.runs,
            around=Surroundings(
                edge.now, edge.announce, edge.on_step, stop, edge.save_every_seconds
            ),
        )


def prove(
    project: Project,
    prepared: Prepared,
    recipe: Recipe,
    edge: Edge,
    *,
    base: BaseModel,
    run: Run | None,
    live: FittedText | None,
    wanted: str | None = None,
) -> Proof:
    """Measure the tuned model (None: only what needs no training) and every baseline on the test rows; decide; judge
    the gates.
    """
    from burnish.decide.prove_span import prove_spans

    del base  # it finds nothing before it is tuned
    return prove_spans(
        project.task,
        prepared.rows,
        dataset_id=prepared.dataset.id,
        recipe=recipe,
        run=run,
        run_folder=project.workspace.runs / run.id if run else None,
        live=live,
        at=edge.now(),
        announce=edge.announce,
        wanted=wanted,
    )
