"""For tests: bundles of classifiers, fresh from their seeds."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import torch

from burnish.deploy.bundle import make_bundle
from burnish.models.classifier import copy_tokenizer, load_fitted, new_classifier
from burnish.models.pretrained import open_pretrained
from burnish.records.deployment import Bundle
from burnish.records.recipe import Recipe
from burnish.store.workspace import Workspace
from deployed import AT, GOLDEN
from support_task import make_task
from written_bundles import TALK

MAX_TOKENS = 64


@cache
def classifier_folder(cache_folder: Path, model_type: str) -> Path:
    """A tiny encoder with a fresh head that has opinions."""
    base = open_pretrained(
        f"tiny:{model_type}", cache=cache_folder, texts=lambda: TALK, announce=lambda line: None
    )
    recipe = Recipe.model_validate({"base": base.spec})
    learner = new_classifier(
        base.folder, label_names=make_task().label_names, objective="softmax", recipe=recipe
    )
    with torch.no_grad():
        for name, parameter in learner.model.named_parameters():
            if "classifier" in name and parameter.ndim == 2:
                parameter.normal_(std=1.0, generator=torch.Generator().manual_seed(4))
    folder = cache_folder / f"classifier-{model_type}"
    folder.mkdir()
    learner.model.save_pretrained(folder)  # pyright: ignore
    copy_tokenizer(base.folder, folder)
    return folder


def classifier_bundle(workspace: Workspace, cache_folder: Path, model_type: str) -> Bundle:
    """A bundle of it."""
    folder = classifier_folder(cache_folder, model_type)

    def write(target: Path) -> None:
        shutil.copytree(folder, target, dirs_exist_ok=True)

    return make_bundle(
        make_task(),
        load_fitted(folder, max_tokens=MAX_TOKENS, precision="fp32"),
        model_folder_writer=write,
        workspace=workspace,
        engine="transformers",
        run_id=None,
        dataset_id="d" * 16,
        report_id="e" * 16,
        golden_inputs=[row for row in GOLDEN if "\ud800" not in row["text"]],
        precision="fp32",
        max_tokens=MAX_TOKENS,
        card="# Card\n",
        at=AT,
        verdict="passed",
    )
