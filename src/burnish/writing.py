"""The verbs of kinds whose models write: the same as lifecycle.py's, which hands over to these.

Nothing here prints; rooms with torch are imported where they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burnish.curate import Prepared
from burnish.project import Edge, Project
from burnish.records.recipe import Recipe
from burnish.records.run import Run
from burnish.store.workspace import lock

if TYPE_CHECKING:
    from burnish.decide.endpoint import Endpoint
    from burnish.decide.prove import Proof
    from burnish.models.fitted_text import FittedText
    from burnish.models.source import BaseModel


def fetch(project: Project, prepared: Prepared, recipe: Recipe, edge: Edge) -> BaseModel:
    """The recipe's base model, past the safety gate; a tiny one learns its words from prompts and answers."""
    from burnish.models.pretrained import open_pretrained
    from burnish.train.text_lessons import labelled, turns_of

    def texts() -> list[str]:
        turns = [turns_of(project.task, row) for row in labelled(prepared.rows["train"])]
        return [turn.content for row in turns for turn in row]

    return open_pretrained(
        recipe.base, cache=edge.cache, texts=texts, announce=edge.announce, offline=edge.offline
    )


def train(
    project: Project, prepared: Prepared, recipe: Recipe, edge: Edge, *, base: BaseModel
) -> Run:
    """Fine-tune by the recipe on what the model is to say; the same call again continues, and returns at once when
    it is done.

    Raises: the codes of lessons_of and fit_text.
    """
    from burnish.models.chat_model import open_codec
    from burnish.train.fit_text import fit_text
    from burnish.train.follow import Surroundings
    from burnish.train.text_lessons import labelled, lessons_of

    task, rows = project.task, prepared.rows
    if task.decoding.json_schema is not None:
        from burnish.models.json_schema import need_json

        need_json()  # before an hour of training, not after it
    codec = open_codec(
        base.folder,
        max_tokens=recipe.max_tokens,
        new_tokens=task.decoding.max_new_tokens,
        template=recipe.template,
        truncate=task.truncate,
    )
    learnt, judged = (
        lessons_of(task, codec, list(labelled(rows[split]))) for split in ("train", "validation")
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
    endpoint: Endpoint | None = None,
) -> Proof:
    """Measure the tuned model (None: only what needs no training), the prompted base and every baseline on the test
    rows; decide; judge the gates. `endpoint` is a further candidate, asked over HTTP.
    """
    from burnish.decide.prove_text import prove_texts

    return prove_texts(
        project.task,
        prepared.rows,
        dataset_id=prepared.dataset.id,
        base=base.folder,
        recipe=recipe,
        run=run,
        run_folder=project.workspace.runs / run.id if run else None,
        live=live,
        at=edge.now(),
        announce=edge.announce,
        wanted=wanted,
        endpoint=endpoint,
    )
