"""The loop's arithmetic: exact losses, schedules, patience, and numbers that are not finite."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor, nn

from burnish.errors import BurnishError
from burnish.records.encoding import IntArray
from burnish.records.recipe import Recipe
from burnish.records.run import Step
from burnish.train.loop import LoopState, TrainRows, rows_of_update, steps
from burnish.train.objective import row_losses
from burnish.train.optimizer import make_optimizer, optimizer_tensors, restore_optimizer
from burnish.train.schedule import learning_rate
from tiny_training import small_recipe

ROWS, WIDTH, LABELS = 12, 5, 3


def linear(dtype: torch.dtype = torch.float64) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(WIDTH, LABELS).to(dtype)


def rows_of(weights_R: np.ndarray | None = None, *, length: int = 4) -> TrainRows:
    random = np.random.default_rng(1)
    return TrainRows(
        np.full(ROWS, length),
        np.eye(LABELS)[random.integers(0, LABELS, ROWS)],
        random.uniform(0.1, 3.0, ROWS) if weights_R is None else weights_R,
        [f"t.csv:{row + 2}" for row in range(ROWS)],
    )


def gradient(parameter: Tensor) -> np.ndarray:
    assert parameter.grad is not None
    return parameter.grad.numpy()


FEATURES = torch.from_numpy(np.random.default_rng(2).normal(size=(ROWS, WIDTH)))


def stream_of(
    model: nn.Linear,
    rows: TrainRows,
    recipe: Recipe,
    *,
    judge: Callable[[], float] = lambda: 0.0,
    logits: Callable[[IntArray], Tensor] | None = None,
    state: LoopState | None = None,
):
    state = state or LoopState(make_optimizer(model, recipe, head_modules=()))
    features = FEATURES.to(model.weight.dtype)
    return steps(
        model,
        rows,
        recipe,
        objective="softmax",
        logits=logits or (lambda piece: model(features[torch.from_numpy(piece)])),
        judge=judge,
        state=state,
    )


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("pieces", [1, 2, 4, ROWS])
def test_the_gradient_does_not_depend_on_the_cut(
    pieces: int, dtype: torch.dtype, tolerance: float
) -> None:
    """Rows of 4 tokens: a budget of 4 n tokens is a forward pass of n rows."""
    rows, model = rows_of(), linear(dtype)
    recipe = small_recipe(batch_rows=ROWS, batch_tokens=max(16, 4 * ROWS // pieces), clip_norm=1e9)
    if pieces == ROWS:
        rows = rows_of(length=recipe.batch_tokens)
    cut: list[int] = []

    def logits(piece: IntArray) -> Tensor:
        cut.append(len(piece))
        return model(FEATURES.to(dtype)[torch.from_numpy(piece)])

    step = next(stream_of(model, rows, recipe, logits=logits))
    reference = linear(torch.float64)
    losses = torch.nn.functional.cross_entropy(
        reference(FEATURES), torch.from_numpy(rows.targets_RL.argmax(1)), reduction="none"
    )
    weights = torch.from_numpy(rows.weights_R)
    expected = (losses * weights).sum() / weights.sum()
    expected.backward()
    assert len(cut) >= min(pieces, 3) and sum(cut) == ROWS
    assert step.loss == pytest.approx(float(expected.detach()), abs=tolerance)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        assert_allclose(gradient(ours), gradient(theirs), atol=tolerance)


def test_a_row_that_weighs_nothing_teaches_nothing() -> None:
    weights = np.ones(ROWS)
    weights[3:] = 0.0
    recipe = small_recipe(batch_rows=ROWS, clip_norm=1e9)
    model, other = linear(), linear()
    next(stream_of(model, rows_of(weights), recipe))
    losses = torch.nn.functional.cross_entropy(
        other(FEATURES[:3]), torch.from_numpy(rows_of().targets_RL[:3].argmax(1))
    )
    losses.backward()
    assert_allclose(gradient(model.weight), gradient(other.weight), atol=1e-12)
    silent = linear()
    step = next(stream_of(silent, rows_of(np.zeros(ROWS)), recipe))
    assert step.loss == 0.0 and step.gradient_norm == 0.0


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    smoothing=st.floats(0, 0.9),
    objective=st.sampled_from(["softmax", "sigmoid"]),
)
def test_row_losses_equal_torchs(seed: int, smoothing: float, objective: str) -> None:
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(scale=20, size=(6, 4)))
    if objective == "softmax":
        answers = torch.from_numpy(random.integers(0, 4, 6))
        targets = torch.nn.functional.one_hot(answers, 4).double()
        want = torch.nn.functional.cross_entropy(
            logits, answers, label_smoothing=smoothing, reduction="none"
        )
        ours = row_losses(logits, targets, objective="softmax", label_smoothing=smoothing)
    else:
        targets = torch.from_numpy(random.integers(0, 2, (6, 4))).double()
        ours = row_losses(logits, targets, objective="sigmoid", label_smoothing=smoothing)
        smooth = targets * (1 - smoothing) + smoothing / 2
        said = torch.nn.functional.logsigmoid(logits), torch.nn.functional.logsigmoid(-logits)
        want = -(smooth * said[0] + (1 - smooth) * said[1]).mean(1)
    assert_allclose(ours, want, atol=1e-10)


@settings(max_examples=200, deadline=None)
@given(
    of=st.integers(1, 300),
    warmup=st.floats(0, 0.99),
    name=st.sampled_from(["linear", "cosine", "constant"]),
)
def test_the_schedule_rises_to_its_peak_and_never_ends_at_nothing(
    of: int, warmup: float, name: str
) -> None:
    recipe = small_recipe(learning_rate=2.0, warmup_fraction=warmup, schedule=name)
    rates = [learning_rate(recipe, step=step, of=of) for step in range(1, of + 1)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(2.0)
    assert all(rate > 0 for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_linear_schedule_is_that_of_the_stock_library() -> None:
    from transformers import get_linear_schedule_with_warmup

    recipe = small_recipe(learning_rate=1.0, warmup_fraction=0.0)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_linear_schedule_with_warmup(optimizer, 0, 10)
    theirs = []
    for _ in range(10):
        theirs.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert [learning_rate(recipe, step=k, of=10) for k in range(1, 11)] == pytest.approx(theirs)


def test_every_row_is_learnt_once_an_epoch_and_update_k_is_known_beforehand() -> None:
    recipe = small_recipe(batch_rows=5, epochs=3, patience=9)
    seen: list[list[int]] = []
    model = linear()

    def logits(piece: IntArray) -> Tensor:
        seen.append(sorted(piece.tolist()))
        return model(FEATURES[torch.from_numpy(piece)])

    told = list(stream_of(model, rows_of(), recipe, logits=logits))
    assert [step.step for step in told] == list(range(1, 10))
    assert [step.epoch for step in told] == [1] * 3 + [2] * 3 + [3] * 3
    for epoch in range(3):
        assert sorted(chain(*seen[3 * epoch : 3 * epoch + 3])) == list(range(ROWS))
    for number, rows in enumerate(seen, start=1):
        assert sorted(rows_of_update(rows_of(), recipe, step=number).tolist()) == rows


def judged(values: list[float], *, patience: int) -> tuple[list[Step], LoopState]:
    recipe = small_recipe(batch_rows=6, epochs=len(values), patience=patience)
    model = linear()
    state = LoopState(make_optimizer(model, recipe, head_modules=()))
    answers = iter(values)
    told = list(stream_of(model, rows_of(), recipe, judge=lambda: next(answers), state=state))
    return told, state


def test_patience_counts_epochs_without_gain() -> None:
    told, state = judged([0.1, 0.5, 0.5, 0.4, 0.9], patience=2)
    assert [step.validation for step in told if step.validation is not None] == [0.1, 0.5, 0.5, 0.4]
    assert state.best_step == 4 and state.best_validation == 0.5
    assert [step.step for step in told if step.best] == [2, 4]
    patient, end = judged([0.1, 0.5, 0.5, 0.4, 0.9], patience=3)
    assert len(patient) == 10 and end.best_step == 10


def test_a_metric_that_is_not_a_number_is_worse_than_any() -> None:
    _, state = judged([math.nan, 0.2, math.nan, 0.1], patience=4)
    assert state.best_validation == 0.2 and state.best_step == 4


@pytest.mark.parametrize("wrong", [math.inf, math.nan])
def test_a_broken_weight_names_its_row(wrong: float) -> None:
    weights = np.ones(ROWS)
    weights[7] = wrong
    model = linear()
    before = model.weight.detach().clone()
    with pytest.raises(BurnishError) as caught:
        list(stream_of(model, rows_of(weights), small_recipe(batch_rows=ROWS)))
    (problem,) = caught.value.problems
    assert problem.code == "loss-not-finite"
    assert "t.csv:9" in problem.where
    if math.isinf(wrong):
        assert problem.where == "rows t.csv:9"
    assert torch.equal(model.weight, before)


def test_a_broken_gradient_names_its_row() -> None:
    """The loss of row 5 is finite, its gradient is not."""
    model = linear()
    before = model.weight.detach().clone()

    def logits(piece: IntArray) -> Tensor:
        clean = model(FEATURES[torch.from_numpy(piece)])
        if 5 not in piece:
            return clean
        bad = torch.from_numpy((piece == 5).astype(np.float64))[:, None]
        return clean + bad * torch.sqrt((clean * 0).abs())

    with pytest.raises(BurnishError) as caught:
        list(stream_of(model, rows_of(), small_recipe(batch_rows=ROWS), logits=logits))
    assert caught.value.problems[0].where == "rows t.csv:7"
    assert "gradient" in caught.value.problems[0].what
    assert torch.equal(model.weight, before)


def test_long_lists_of_rows_end_in_a_number() -> None:
    with pytest.raises(BurnishError) as caught:
        list(stream_of(linear(), rows_of(np.full(ROWS, math.nan)), small_recipe(batch_rows=ROWS)))
    assert caught.value.problems[0].where.endswith("and 4 more")


def test_optimizer_state_comes_back_bit_for_bit() -> None:
    recipe = small_recipe(batch_rows=4, epochs=4, patience=9)
    model, other = linear(torch.float32), linear(torch.float32)
    state = LoopState(make_optimizer(model, recipe, head_modules=()))
    stream = stream_of(model, rows_of(), recipe, state=state)
    for _ in range(3):
        next(stream)
    with torch.no_grad():
        for ours, theirs in zip(other.parameters(), model.parameters(), strict=True):
            ours.copy_(theirs)
    again = dataclasses.replace(state, optimizer=make_optimizer(other, recipe, head_modules=()))
    restore_optimizer(again.optimizer, other, optimizer_tensors(state.optimizer, model))
    rest = list(stream)
    assert list(stream_of(other, rows_of(), recipe, state=again)) == rest
    assert torch.equal(model.weight, other.weight)


def test_the_head_has_a_rate_of_its_own_and_biases_do_not_decay() -> None:
    model = nn.ModuleDict({"body": nn.Linear(2, 2), "classifier": nn.Linear(2, 2)})
    recipe = small_recipe(head_learning_rate_factor=10.0, weight_decay=0.1)
    groups = make_optimizer(model, recipe, head_modules=("classifier",)).param_groups
    found = {(group["factor"], group["weight_decay"]): len(group["params"]) for group in groups}
    assert found == {(1.0, 0.1): 1, (1.0, 0.0): 1, (10.0, 0.1): 1, (10.0, 0.0): 1}
