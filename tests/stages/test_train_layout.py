"""How batches are laid out is recorded in the run, replayed when it goes on, and said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from burnish.errors import BurnishError
from burnish.models import attention
from burnish.models.classifier import new_classifier
from burnish.models.embed import load_embedder
from burnish.models.learner import PADDED_BODY, Layout, settle_body
from burnish.records.recipe import Recipe
from burnish.records.run import Step
from burnish.train.environment import environment
from tiny_training import small_recipe, tiny_base, train_tiny

RECIPE = small_recipe(head_start="random")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bases")


def learner_of(root: Path, recipe: Recipe = RECIPE):
    base = tiny_base(root).folder
    return new_classifier(base, label_names=("a", "b"), objective="softmax", recipe=recipe)


def test_a_run_says_how_its_rows_lay(root: Path, tmp_path: Path) -> None:
    found = train_tiny(root, tmp_path, RECIPE).environment
    assert (found.rows, found.attention) == ("packed", "rows")


def test_a_padded_model_says_why(root: Path) -> None:
    learner = learner_of(root)
    learner.layout = Layout(PADDED_BODY, "its convolution would mix rows")
    found = environment(learner)
    assert (found.rows, found.attention) == ("padded: its convolution would mix rows", "sdpa")


def test_a_resumed_run_takes_the_body_it_recorded(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while "dense" was the choice; "rows" is the choice when it goes on, and is not taken."""
    monkeypatch.setattr(attention, "_CPU_ORDER", ("dense",))
    whole = train_tiny(root, tmp_path / "whole", RECIPE)
    made: list[Step] = []
    with pytest.raises(BurnishError):
        train_tiny(
            root, tmp_path / "cut", RECIPE, on_step=made.append, stop=lambda: 143 if made else None
        )
    monkeypatch.undo()
    (folder,) = (tmp_path / "cut").iterdir()
    assert json.loads((folder / "run.json").read_text())["environment"]["attention"] == "dense"
    again = train_tiny(root, tmp_path / "cut", RECIPE)
    assert again.environment.attention == "dense"
    assert again.weights_sha256 == whole.weights_sha256
    # another body is another order of adding: had it been taken, this would not hold
    assert train_tiny(root, tmp_path / "rows", RECIPE).weights_sha256 != whole.weights_sha256


def test_a_recorded_body_that_cannot_run_here_is_chosen_anew(root: Path) -> None:
    learner = learner_of(root)
    for recorded in ("varlen", "of another version", "", None):
        settle_body(learner, typical_tokens=9, recorded=recorded)
        assert learner.layout == Layout("rows")


def test_vectors_of_packed_rows_are_those_of_padded_ones(root: Path) -> None:
    embedder = load_embedder(tiny_base(root).folder, max_tokens=24)
    rows = embedder.encode(["refund the payment", "x", "where is my order since monday please", ""])
    packed = embedder.vectors(rows)
    embedder.model.set_attn_implementation("sdpa")  # type: ignore[operator]
    padded = type(embedder)(
        embedder.model, embedder.tokeniser, embedder.device, Layout(PADDED_BODY, "to compare")
    ).vectors(rows)
    torch.testing.assert_close(packed, padded, atol=1e-6, rtol=0)
