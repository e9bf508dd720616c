"""The laws of every model family, for each of its model types: our pass is the stock pass, only flatter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from burnish.encode.pack import pack
from burnish.encode.tokenise import load_tokeniser, tokenise
from burnish.errors import BurnishError
from burnish.models.classifier import (
    TransformersFitted,
    load_calibrated,
    load_fitted,
    new_classifier,
    save_calibrated,
)
from burnish.models.family import FAMILIES, MODEL_TYPES, family_of
from burnish.models.learner import forward, logits_of
from burnish.records.encoding import Batch
from burnish.records.recipe import Recipe
from burnish.tasks.kinds.classification import probabilities
from burnish.train.loop import LoopState, TrainRows, steps
from burnish.train.optimizer import make_optimizer
from tiny_training import sentences, small_recipe, tiny_base

LABELS = ("refund", "delivery", "other")
TEXTS = [text for text, _ in sentences(7, seed=3)] + ["", "ünïcode 🎉 \ufffd"]
TARGETS = np.eye(3)[[0, 1, 2] * 3]
WEIGHTS = np.array([1.0, 2.0, 0.5, 1.0, 1.0, 0.0, 3.0, 1.0, 1.0])


@pytest.fixture(scope="session", params=sorted(MODEL_TYPES))
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base model of each type."""
    return tiny_base(tmp_path_factory.getbasetemp() / "bases", request.param).folder


def recipe_without_dropout(**changes: object) -> Recipe:
    return small_recipe(**{"dropout": 0.0, "head_start": "random", **changes})


def classifier(base: Path) -> TransformersFitted:
    recipe = recipe_without_dropout()
    learner = new_classifier(base, label_names=LABELS, objective="softmax", recipe=recipe)
    # fresh weights answer almost the same to everything: make the texts matter
    with torch.no_grad():
        for weight in learner.model.parameters():
            if weight.ndim > 1:
                weight.mul_(4)
    return TransformersFitted(learner, load_tokeniser(base, max_tokens=24))


def batch_of(fitted: TransformersFitted, texts: list[str] = TEXTS) -> Batch:
    count = len(texts)
    return pack(
        fitted.encode(texts),
        np.arange(count),
        targets_RL=TARGETS[:count],
        weights_R=WEIGHTS[:count],
    )


def row_by_row(model: Any, fitted: TransformersFitted, texts: list[str] = TEXTS) -> torch.Tensor:
    """Plain transformers: every row alone, no padding, no mask."""
    rows = [torch.from_numpy(row.ids_T.astype(np.int64))[None] for row in fitted.encode(texts)]
    return torch.cat([model(input_ids=ids).logits for ids in rows])


def saved(fitted: TransformersFitted, base: Path, folder: Path) -> Path:
    model: Any = fitted.learner.model
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base / name).read_bytes())
    return folder


def test_every_family_says_which_types_it_knows() -> None:
    assert all(family.MODEL_TYPES for family in FAMILIES.values())
    with pytest.raises(BurnishError) as caught:
        family_of("modernbrt")
    assert caught.value.problems[0].nearest == "modernbert"


def test_flat_batch_gives_the_stock_logits(base: Path) -> None:
    fitted = classifier(base)
    fitted.learner.model.eval()
    with torch.no_grad():
        stock = row_by_row(fitted.learner.model, fitted).double().numpy()
    assert np.ptp(stock) > 0.1
    assert_allclose(forward(fitted.learner, batch_of(fitted)), stock, atol=1e-5)
    assert_allclose(fitted.logits(fitted.encode(TEXTS)), stock, atol=1e-5)


def test_head_of_pooled_is_the_stock_forward(base: Path) -> None:
    fitted = classifier(base)
    model, family = fitted.learner.model, family_of(fitted.learner.model_type)
    model.eval()
    with torch.no_grad():
        for row in fitted.encode(TEXTS):
            ids = torch.from_numpy(row.ids_T.astype(np.int64))[None]
            ours = family.head(model, family.pooled(model, ids, None))
            assert_allclose(ours, model(input_ids=ids).logits, atol=1e-6)


def test_adapters_in_the_way_change_nothing(base: Path) -> None:
    from burnish.models.classifier import choose_trainable

    fitted = classifier(base)
    learner = fitted.learner
    choose_trainable(learner, small_recipe(method="lora", lora_rank=2))
    with torch.no_grad():
        for name, weight in learner.model.named_parameters():
            if ".lora_B" in name:
                weight.normal_(std=0.5)
    learner.model.eval()
    with torch.no_grad():
        stock = row_by_row(learner.model, fitted).double().numpy()
        plain = row_by_row(classifier(base).learner.model.eval(), fitted).double().numpy()
    assert np.abs(stock - plain).max() > 0.01
    assert_allclose(forward(learner, batch_of(fitted)), stock, atol=1e-5)


def test_a_decoder_made_classifier_keeps_its_causal_mask(tmp_path: Path) -> None:
    base = tiny_base(tmp_path, "bert").folder
    fitted = classifier(base)
    model: Any = fitted.learner.model
    plain = forward(fitted.learner, batch_of(fitted))
    for part in model.modules():
        if hasattr(part, "is_decoder"):
            part.is_decoder = True
        if hasattr(part, "is_causal"):
            part.is_causal = True
    model.config.is_decoder = True
    model.eval()
    with torch.no_grad():
        stock = row_by_row(model, fitted).double().numpy()
    assert np.abs(stock - plain).max() > 0.01
    assert_allclose(forward(fitted.learner, batch_of(fitted)), stock, atol=1e-5)


def test_mean_pooling_leaves_padding_out(tmp_path: Path) -> None:
    base = tiny_base(tmp_path, "modernbert").folder
    fitted = classifier(base)
    model: Any = fitted.learner.model
    model.config.classifier_pooling = "mean"
    family = family_of("modernbert")
    rows = [torch.from_numpy(row.ids_T.astype(np.int64)) for row in fitted.encode(TEXTS[:2])]
    longest = max(map(len, rows))
    grid = torch.stack([torch.nn.functional.pad(row, (0, longest - len(row))) for row in rows])
    mask = torch.stack([(torch.arange(longest) < len(row)).long() for row in rows])
    model.eval()
    with torch.no_grad():
        ours = family.head(model, family.pooled(model, grid, mask))
        assert_allclose(ours, model(input_ids=grid, attention_mask=mask).logits, atol=1e-6)
        alone = torch.cat([model(input_ids=row[None]).logits for row in rows])
    assert_allclose(ours, alone, atol=1e-5)


def test_one_update_has_the_gradient_of_a_plain_loop(base: Path) -> None:
    fitted, plain = classifier(base), classifier(base)
    learner, reference = fitted.learner, plain.learner.model
    reference.train()
    losses = torch.nn.functional.cross_entropy(
        row_by_row(reference, plain), torch.from_numpy(TARGETS.argmax(1)), reduction="none"
    )
    weights = torch.from_numpy(WEIGHTS).float()
    expected = (losses * weights).sum() / weights.sum()
    expected.backward()

    recipe = recipe_without_dropout(batch_rows=9, epochs=1, clip_norm=1e9, batch_tokens=64)
    encodings = fitted.encode(TEXTS)
    rows = TrainRows(
        np.array([len(row) for row in encodings]), TARGETS, WEIGHTS, [f"row {i}" for i in range(9)]
    )
    optimizer = make_optimizer(
        learner.model,
        recipe,
        head_modules=family_of(learner.model_type).head_modules(learner.model),
    )
    stream = steps(
        learner.model,
        rows,
        recipe,
        objective="softmax",
        logits=lambda piece: logits_of(
            learner, pack(encodings, piece, targets_RL=TARGETS, weights_R=WEIGHTS)
        ),
        judge=lambda: 0.0,
        state=LoopState(optimizer),
    )
    step = next(stream)
    assert step.loss == pytest.approx(float(expected.detach()), abs=1e-5)
    theirs = dict(reference.named_parameters())
    for name, parameter in learner.model.named_parameters():
        want = theirs[name].grad
        if want is None:
            assert parameter.grad is None or not parameter.grad.any(), name
        else:
            assert parameter.grad is not None, name
            assert_allclose(parameter.grad, want, atol=1e-5, err_msg=name)


def test_temperature_is_folded_exactly(base: Path, tmp_path: Path) -> None:
    folder = saved(classifier(base), base, tmp_path)
    plain = load_fitted(folder, max_tokens=24, precision="fp32")
    calibrated = load_calibrated(folder, max_tokens=24, precision="fp32", temperature=2.5)
    rows = plain.encode(TEXTS)
    want = probabilities(plain.logits(rows) / 2.5)
    assert np.ptp(want) > 0.02
    assert_allclose(probabilities(calibrated.logits(rows)), want, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_calibrated_copy_answers_bit_for_bit_like_the_model_that_was_measured(
    base: Path, tmp_path: Path, precision: str
) -> None:
    folder = saved(classifier(base), base, tmp_path / "run")
    target = tmp_path / "bundle"
    target.mkdir()
    save_calibrated(folder, target, temperature=1.7)
    measured = load_calibrated(folder, max_tokens=24, precision=precision, temperature=1.7)
    served = load_fitted(target, max_tokens=24, precision=precision)
    rows = measured.encode(TEXTS)
    assert_array_equal(measured.logits(rows), served.logits(rows))


def test_plain_transformers_loads_the_calibrated_copy(base: Path, tmp_path: Path) -> None:
    folder = saved(classifier(base), base, tmp_path / "run")
    target = tmp_path / "bundle"
    target.mkdir()
    save_calibrated(folder, target, temperature=1.7)
    ours = load_calibrated(folder, max_tokens=24, precision="fp32", temperature=1.7)
    tokenizer = AutoTokenizer.from_pretrained(target)
    model: Any = AutoModelForSequenceClassification.from_pretrained(target).eval()
    assert [model.config.id2label[place] for place in range(3)] == list(LABELS)
    rows = ours.encode(TEXTS)
    want = probabilities(ours.logits(rows))
    for text, row, expected in zip(TEXTS, rows, want, strict=True):
        ids = tokenizer(text, truncation=True, max_length=24, return_tensors="pt")["input_ids"]
        assert ids[0].tolist() == row.ids_T.tolist()
        with torch.no_grad():
            theirs = torch.softmax(model(input_ids=ids).logits[0], 0)
        assert_allclose(theirs, expected, atol=1e-5)


def test_a_row_does_not_see_its_neighbours(base: Path) -> None:
    fitted = classifier(base)
    rows = tokenise(fitted.tokeniser, [TEXTS[0], TEXTS[1], "quite another text of its own, longer"])
    one, two = (
        pack(rows, np.array(pair), targets_RL=TARGETS, weights_R=WEIGHTS)
        for pair in ((0, 1), (2, 1))
    )
    before, after = forward(fitted.learner, one), forward(fitted.learner, two)
    assert np.abs(before[0] - after[0]).max() > 1e-4
    assert_allclose(before[1], after[1], atol=1e-6)


def test_a_base_that_was_a_classifier_gets_a_fresh_head(base: Path, tmp_path: Path) -> None:
    trained = saved(classifier(base), base, tmp_path)
    recipe = recipe_without_dropout()
    learner = new_classifier(
        trained, label_names=("x", "y", "z"), objective="softmax", recipe=recipe
    )
    last = family_of(learner.model_type).last_linear(learner.model)
    assert float(last.weight.detach().abs().max()) < 0.1
    assert not last.bias.detach().any()


def test_the_head_is_a_function_of_the_seed(base: Path) -> None:
    def head(seed: int) -> np.ndarray:
        recipe = recipe_without_dropout(seed=seed)
        learner = new_classifier(base, label_names=LABELS, objective="softmax", recipe=recipe)
        last = family_of(learner.model_type).last_linear(learner.model)
        return last.weight.detach().numpy().copy()

    assert_array_equal(head(1), head(1))
    assert not np.array_equal(head(1), head(2))


def test_adapters_reach_every_block_and_no_base_weight_learns(base: Path) -> None:
    from burnish.models.classifier import choose_trainable

    fitted = classifier(base)
    choose_trainable(fitted.learner, small_recipe(method="lora", lora_rank=2))
    learning = [n for n, p in fitted.learner.model.named_parameters() if p.requires_grad]
    adapted = {name.split(".lora_")[0] for name in learning if ".lora_" in name}
    linears = {
        name
        for name, part in fitted.learner.model.named_modules()
        if hasattr(part, "base_layer") and isinstance(part.base_layer, torch.nn.Linear)
    }
    assert adapted == linears and len(adapted) >= 8
    assert all(".lora_" in name or "modules_to_save" in name for name in learning)
