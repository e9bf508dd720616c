"""The base model's view of texts: vectors of a version's own base, loaded only when something is to be judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from burnish.data.dataset import load_rows
from burnish.data.tombstones import standing
from burnish.deploy.bundle import load_bundle
from burnish.encode.render import render
from burnish.errors import BurnishError
from burnish.monitor.reference import Embed
from burnish.records.deployment import Deployment
from burnish.records.encoding import FloatArray
from burnish.records.recipe import Recipe
from burnish.records.task import Task
from burnish.store.workspace import Workspace
from burnish.train.recipe_file import FILE_NAME, load_recipe
from burnish.train.runs import load_run


def embedding_of(
    task: Task,
    workspace: Workspace,
    deployment: Deployment,
    *,
    cache: Path,
    offline: bool,
    announce: Callable[[str], None],
) -> Embed | None:
    """Texts to unit vectors through the base model a version was trained from (a baseline's: the recipe's).

    None, and said, when the base model cannot be had: the other signals go on without it.
    """
    bundle = load_bundle(workspace.bundles / deployment.bundle_id)

    def train_texts() -> list[str]:
        rows = load_rows(workspace, standing(workspace, bundle.dataset_id))["train"]
        return [render(task, row.inputs) for row in rows]

    try:
        from burnish.models.embed import Embedder, load_embedder
        from burnish.models.pretrained import open_pretrained

        recipe = _recipe_of(workspace, bundle.run_id)
        base = open_pretrained(
            recipe.base, cache=cache, texts=train_texts, announce=announce, offline=offline
        )
    except (BurnishError, ModuleNotFoundError) as error:
        announce(f"inputs are not compared, because there is no base model: {error}")
        return None
    if base.writes:
        announce(
            f"inputs are compared by their words alone: {base.spec} writes, and makes no vectors"
        )
        return None
    loaded: list[Embedder] = []

    def embed(texts: Sequence[str]) -> FloatArray:
        # the first text loads it: most looks find nothing to judge
        if not loaded:
            loaded.append(load_embedder(base.folder, max_tokens=recipe.max_tokens))
        return loaded[0].vectors(loaded[0].encode(texts))

    return embed


def _recipe_of(workspace: Workspace, run_id: str | None) -> Recipe:
    if run_id is None:
        return load_recipe(workspace.root / FILE_NAME, overrides={})
    return load_run(workspace.runs / run_id).recipe
