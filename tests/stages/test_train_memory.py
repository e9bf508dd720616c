"""Memory runs out: a pass that found none is cut in two, nothing is counted twice, and whoever resumes cuts alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import nn

from burnish.errors import BurnishError
from burnish.models.classifier import INFERENCE_TOKENS, load_fitted
from burnish.models.embed import load_embedder
from burnish.models.room import Room, passes
from burnish.models.shortage import Shortage, is_shortage, shortage_told, told_of
from burnish.records.encoding import IntArray
from burnish.records.recipe import Recipe
from burnish.records.run import Run, Split, Step
from burnish.train.loop import LoopState, TrainRows, steps
from burnish.train.optimizer import make_optimizer
from burnish.train.runs import load_run, load_steps
from burnish.train.splits import Splits
from greedy import ABSURD_BYTES, ask, greedy
from tiny_training import sentences, small_recipe, tiny_base, train_tiny

LADDER = Path(__file__).parents[1] / "soak" / "memory_ladder.py"
# 24 rows in 3 updates an epoch; the head's dropout and the layers' make every piece's gradient its own.
RECIPE = small_recipe(epochs=3, patience=9, head_start="random")
# Tokens of a pass that fit: the longest row, and fewer than any update has.
TIGHT = 24


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "bases"


def bold(logits_RL: np.ndarray) -> float:
    """A judge who likes the last epoch best, so that its weights are what the run ends with."""
    return float(np.abs(logits_RL).sum())


def model_bytes(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


# ---- one update


def deep() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3)
    ).double()


def updates(
    recipe: Recipe, lengths: IntArray, weights_R: np.ndarray, splits: Splits
) -> tuple[list[Step], nn.Sequential]:
    """Two updates of a small network in fp64, one vector a row; its gradients are those of the last one."""
    random = np.random.default_rng(3)
    count = len(lengths)
    features = torch.from_numpy(random.normal(size=(count, 5)))
    rows = TrainRows(
        lengths,
        np.eye(3)[random.integers(0, 3, count)],
        weights_R,
        [f"t.csv:{row + 2}" for row in range(count)],
    )
    model = deep()
    state = LoopState(make_optimizer(model, recipe, head_modules=()), splits=splits)
    stream = steps(
        model,
        rows,
        recipe,
        objective="softmax",
        logits=lambda piece: model(features[torch.from_numpy(piece)]),
        judge=lambda: 0.0,
        state=state,
    )
    return list(stream), model


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=2, max_size=24),
    fits=st.integers(1, 23),
    backward=st.booleans(),
    layer=st.sampled_from(["first", "any"]),
    seed=st.integers(0, 99),
)
def test_a_pass_cut_for_lack_of_memory_changes_no_loss_and_no_gradient(
    lengths: list[int], fits: int, backward: bool, layer: str, seed: int
) -> None:
    """The forward or the backward pass fails, the latter when some gradients have been added to already."""
    weights_R = np.random.default_rng(seed).uniform(0.1, 3.0, len(lengths))
    recipe = small_recipe(
        epochs=2, patience=9, batch_rows=len(lengths), clip_norm=1e9, batch_tokens=10**6
    )
    sizes = np.array(lengths)
    want, reference = updates(recipe, sizes, weights_R, Splits())
    calls = iter(range(10**6))
    # "first": the last of the backward pass's three layers, so that two have their gradients by then
    only = (lambda: True) if layer == "any" else (lambda: next(calls) % 3 == 0)
    noted: list[Split] = []
    with greedy(fits, backward=backward, when=only) as failed:
        got, model = updates(recipe, sizes, weights_R, Splits(note=noted.append))
    assert bool(failed) == bool(noted)
    if layer == "any":
        assert bool(noted) == (fits < len(lengths))
    for ours, theirs in zip(got, want, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, abs=1e-10)
        assert ours.gradient_norm == pytest.approx(theirs.gradient_norm, abs=1e-10)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        assert_allclose(ours.grad, theirs.grad, atol=1e-10)
        assert_allclose(ours.detach(), theirs.detach(), atol=1e-10)


def test_the_smaller_budget_stays_and_halving_goes_on_until_it_fits() -> None:
    noted: list[Split] = []
    recipe = small_recipe(epochs=3, patience=9, batch_rows=16, batch_tokens=1000)
    with greedy(4) as failed:
        updates(recipe, np.full(16, 10), np.ones(16), Splits(note=noted.append))
    assert noted == [
        Split(step=1, during="update", before=160, tokens=80),
        Split(step=1, during="update", before=80, tokens=40),
    ]
    assert failed == [16, 8]


@pytest.mark.parametrize("backward", [False, True])
def test_a_row_that_alone_does_not_fit_is_named(backward: bool) -> None:
    lengths = np.array([3, 3, 9, 3])
    recipe = small_recipe(epochs=1, batch_rows=4, batch_tokens=1000)
    with greedy(0, backward=backward), pytest.raises(BurnishError) as caught:
        updates(recipe, lengths, np.ones(4), Splits())
    (problem,) = caught.value.problems
    assert problem.code == "memory-full" and problem.where == "row t.csv:4"
    assert "one row of 9 tokens" in problem.what and f"{ABSURD_BYTES:,} bytes" in problem.what
    assert all(word in problem.fix for word in ("max_tokens", "lora", "head", "base"))


def test_what_a_failed_pass_held_is_let_go_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one tensor of the failed pass lives when memory is given back."""
    import gc
    import weakref

    from burnish.train import loop

    kept: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []
    give_back = loop.collect_memory

    def counted() -> None:
        alive.append(sum(one() is not None for one in kept))
        give_back()

    monkeypatch.setattr(loop, "collect_memory", counted)
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, inputs, output: kept.append(weakref.ref(output))
    )
    gc.disable()
    try:
        with greedy(4, backward=True):
            updates(
                small_recipe(epochs=1, batch_rows=8, batch_tokens=1000),
                np.full(8, 4),
                np.ones(8),
                Splits(),
            )
    finally:
        gc.enable()
        handle.remove()
    assert kept and alive == [0]


def test_other_errors_of_a_pass_are_not_taken_for_shortages() -> None:
    def broken(module: nn.Module, inputs: object, output: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    handle = torch.nn.modules.module.register_module_forward_hook(broken)
    try:
        with pytest.raises(RuntimeError, match="mat1"):
            updates(small_recipe(batch_rows=4), np.full(4, 4), np.ones(4), Splits())
    finally:
        handle.remove()


def test_the_allocators_own_errors_are_known() -> None:
    for act in (
        lambda: ask(torch.empty(0)),
        lambda: np.empty(ABSURD_BYTES, np.uint8),
        lambda: bytes(1 << 62),
    ):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            act()
        assert is_shortage(caught.value)
    with pytest.raises(BurnishError, match=f"{ABSURD_BYTES:,} bytes"), shortage_told():
        ask(torch.empty(0))
    with pytest.raises(RuntimeError, match="size"), shortage_told():
        torch.ones(2) @ torch.ones(3)


# ---- a whole training


class Killed(Exception):
    """Stands for SIGKILL: nothing is saved after it."""


def killed_after(count: int):  # noqa: ANN201 - the shape is on_step's
    def on_step(step: Step) -> None:
        if step.step == count:
            raise Killed

    return on_step


def once(at_step: int):  # noqa: ANN201
    """An on_step and a `when` for one shortage, in the update after so many, and never again."""
    seen: list[int] = []
    spent: list[bool] = []

    def when() -> bool:
        if len(seen) != at_step or spent:
            return False
        spent.append(True)
        return True

    return (lambda step: seen.append(step.step)), when


@pytest.fixture(scope="module")
def short_once(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A training left alone whose fifth update once found no memory."""
    runs = tmp_path_factory.mktemp("short")
    on_step, when = once(4)
    said: list[str] = []
    with greedy(TIGHT, when=when):
        run = train_tiny(root, runs, RECIPE, judge=bold, on_step=on_step, announce=said.append)
    assert [line for line in said if "out of memory" in line] == [
        f"out of memory at step 5 with {run.splits[0].before:,} tokens a piece:"
        f" going on with {run.splits[0].tokens:,}"
    ]
    return run, runs / run.id


def test_the_record_tells_of_it_and_dropout_follows(
    root: Path, tmp_path: Path, short_once: tuple[Run, Path]
) -> None:
    run, folder = short_once
    (split,) = run.splits
    assert run.best_step == 9
    assert (split.step, split.during) == (5, "update") and split.tokens == split.before // 2
    assert load_run(folder) == run and run.status == "done"
    never = train_tiny(root, tmp_path, RECIPE, judge=bold)
    assert never.splits == () and never.weights_sha256 != run.weights_sha256
    before, after = load_steps(tmp_path / never.id), load_steps(folder)
    assert before[:4] == after[:4] and before[4] != after[4]


@pytest.mark.parametrize("damaged", ["nothing", "record", "checkpoint"])
@pytest.mark.parametrize("killed", [5, 7, 8])
def test_resumed_with_memory_enough_it_ends_in_the_same_bytes(
    root: Path, tmp_path: Path, short_once: tuple[Run, Path], killed: int, damaged: str
) -> None:
    """Killed after the shortage; the second attempt has memory enough, and cuts where the first one had to."""
    run, folder = short_once
    ours = tmp_path / run.id
    count, when = once(4)

    def on_step(step: Step) -> None:
        count(step)
        killed_after(killed)(step)

    with greedy(TIGHT, when=when), pytest.raises(Killed):
        train_tiny(root, tmp_path, RECIPE, judge=bold, on_step=on_step)
    if damaged == "record":
        if killed == 5:
            pytest.skip("no checkpoint knows of the shortage yet")
        (ours / "run.json").write_bytes(b"{")
    if damaged == "checkpoint":
        newest = max((ours / "checkpoints" / "latest").iterdir())
        (newest / "progress.json").write_bytes(b"{}")
    done = train_tiny(root, tmp_path, RECIPE, judge=bold)
    assert done.splits == run.splits
    assert model_bytes(ours) == model_bytes(folder)
    assert (ours / "steps.jsonl").read_bytes() == (folder / "steps.jsonl").read_bytes()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_always_short_and_stopped_after_every_step(root: Path, tmp_path: Path, method: str) -> None:
    recipe = RECIPE.model_copy(update={"method": method, "lora_rank": 2, "epochs": 2})
    with greedy(TIGHT):
        alone = train_tiny(root, tmp_path / "alone", recipe, judge=bold)
        for _ in range(5):
            seen: list[Step] = []
            with pytest.raises(BurnishError, match="training-interrupted"):
                train_tiny(
                    root,
                    tmp_path / "often",
                    recipe,
                    judge=bold,
                    on_step=seen.append,
                    stop=lambda seen=seen: 143 if seen else None,
                )
        often = train_tiny(root, tmp_path / "often", recipe, judge=bold)
    assert alone.splits and often.splits == alone.splits
    assert often.weights_sha256 == alone.weights_sha256


def test_without_dropout_the_weights_are_those_of_memory_enough(root: Path, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"dropout": 0.0})
    plenty = train_tiny(root, tmp_path / "plenty", recipe)
    with greedy(TIGHT, backward=True):
        short = train_tiny(root, tmp_path / "short", recipe)
    assert short.splits and not plenty.splits
    losses = [
        [step.loss for step in load_steps(tmp_path / kind / short.id)]
        for kind in ("plenty", "short")
    ]
    assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_a_row_too_large_leaves_the_last_checkpoint_and_the_same_call_goes_on(
    root: Path, tmp_path: Path
) -> None:
    plenty = train_tiny(root, tmp_path / "plenty", RECIPE)
    seen: list[int] = []
    with (
        greedy(0, when=lambda: len(seen) == 4),
        pytest.raises(BurnishError) as caught,
    ):
        train_tiny(root, tmp_path / "short", RECIPE, on_step=lambda step: seen.append(step.step))
    (problem,) = caught.value.problems
    assert problem.code == "memory-full" and problem.where.startswith("row tickets.csv:")
    failed = load_run(tmp_path / "short" / plenty.id)
    assert failed.status == "failed" and "found no memory" in failed.message
    said: list[str] = []
    done = train_tiny(root, tmp_path / "short", RECIPE, announce=said.append)
    assert "resuming after step 3" in said and done.status == "done"
    assert done.splits == failed.splits and done.splits[0].step == 5


# ---- passes without gradients


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=30),
    budget=st.integers(16, 400),
    fits=st.integers(30, 200),
)
def test_every_row_is_answered_once_however_the_passes_are_cut(
    lengths: list[int], budget: int, fits: int
) -> None:
    told: list[Shortage] = []
    done: list[int] = []

    def compute(piece: IntArray) -> list[int]:
        if len(piece) * max(lengths[row] for row in piece) > fits:
            ask(torch.empty(0))
        return [lengths[row] for row in piece]

    room = Room(budget, told.append)
    for rows, answer in passes(
        np.arange(len(lengths)), lengths, room=room, compute=compute, place=str
    ):
        assert answer == [lengths[row] for row in rows]
        done += rows.tolist()
    assert sorted(done) == list(range(len(lengths)))
    assert all(one.tokens > fits for one in told)
    assert room.tokens == (told[-1].half if told else budget)


def test_an_answering_model_cuts_its_passes_and_says_so(root: Path, tmp_path: Path) -> None:
    run = train_tiny(root, tmp_path, RECIPE)
    texts = [text for text, _ in sentences(90, seed=4)]
    fitted = load_fitted(tmp_path / run.id / "model", max_tokens=24, precision="fp32")
    want = fitted.logits(fitted.encode(texts))
    assert fitted.tightest.told() is None
    with greedy(100, training=False) as failed:
        got = fitted.logits(fitted.encode(texts))
    assert failed and max(failed) <= INFERENCE_TOKENS
    assert_allclose(got, want, atol=1e-5)
    assert "out of memory" in str(fitted.tightest.told())
    with greedy(0, training=False), pytest.raises(BurnishError, match="memory-full"):
        fitted.logits(fitted.encode(texts))
    embedder = load_embedder(tiny_base(root).folder, max_tokens=24)
    want = embedder.vectors(embedder.encode(texts))
    with greedy(100, training=False):
        assert_allclose(embedder.vectors(embedder.encode(texts)), want, atol=1e-5)
    least = min(fitted.tightest.tokens or 0, embedder.tightest.tokens or 0)
    assert f"at most {least} tokens" in str(told_of(fitted, embedder, object()))


def test_features_and_judging_are_cut_recorded_and_replayed(root: Path, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"head_start": "probe"})
    plenty = train_tiny(root, tmp_path / "plenty", recipe)
    said: list[str] = []
    with greedy(TIGHT, training=False):
        with pytest.raises(Killed):
            train_tiny(root, tmp_path / "short", recipe, on_step=killed_after(4))
        cut = load_run(tmp_path / "short" / plenty.id).splits
    # memory is enough now, and everything is cut as before
    short = train_tiny(root, tmp_path / "short", recipe, announce=said.append)
    assert {one.during for one in cut} == {"features", "judging"}
    assert cut == short.splits and not [line for line in said if "out of memory" in line]
    assert short.best_step == plenty.best_step
    assert short.best_validation == pytest.approx(plenty.best_validation)


# ---- a limit of the system's


def test_every_rung_of_a_ladder_of_limits_is_told_or_finished() -> None:
    """The short version of tests/soak/memory_ladder.py, which says what must hold; the long one is run by hand."""
    done = subprocess.run(
        [sys.executable, str(LADDER), "--rungs", "6"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rungs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert rungs[0]["told"] == ["memory-full"] and rungs[-1]["code"] == 0
    assert any(rung["splits"] for rung in rungs), done.stdout
