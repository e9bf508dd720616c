"""A whole training in a run folder: continued after any interruption, never saved broken, frozen what is frozen."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file

from burnish.encode.pack import epoch_updates
from burnish.encode.tokenise import load_tokeniser, tokenise
from burnish.errors import BurnishError
from burnish.models.classifier import load_fitted, new_classifier
from burnish.models.family import family_of
from burnish.records.recipe import Recipe
from burnish.records.run import Run
from burnish.store.durable import verify_folder, write_sealed
from burnish.train.rows import LabelledTexts
from burnish.train.runs import load_run, load_steps
from support_task import make_task
from tiny_training import sentences, small_recipe, tiny_base, train_tiny

# 24 rows: 9 updates. Without the probe, which can be the best model of all and hide what follows.
RECIPE = small_recipe(epochs=3, patience=9, batch_rows=8, head_start="random")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "bases"


@pytest.fixture(scope="module")
def plain(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """The uninterrupted training that others are compared with, and its folder."""
    runs = tmp_path_factory.mktemp("plain")
    run = train_tiny(root, runs, RECIPE)
    return run, runs / run.id


def model_bytes(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def stop_after(count: int, *, code: int = 143) -> tuple[Callable, Callable[[], int | None]]:
    """An `on_step` that counts and a `stop` that speaks after so many steps."""
    seen: list[int] = []
    return (lambda step: seen.append(step.step)), (lambda: code if len(seen) >= count else None)


def stopped(root: Path, runs: Path, recipe: Recipe, *, after: int, code: int = 143) -> BurnishError:
    on_step, stop = stop_after(after, code=code)
    with pytest.raises(BurnishError) as caught:
        train_tiny(root, runs, recipe, on_step=on_step, stop=stop)
    return caught.value


def test_the_run_says_what_happened(plain: tuple[Run, Path]) -> None:
    run, folder = plain
    assert run.status == "done" and run.steps == 9 and run.weights_sha256
    assert load_run(folder) == run
    assert [step.step for step in load_steps(folder)] == list(range(1, 10))
    assert verify_folder(folder / "model") == ()
    assert not (folder / "checkpoints").exists()
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}


def test_the_same_call_again_returns_at_once(root: Path, plain: tuple[Run, Path]) -> None:
    run, folder = plain
    steps: list[object] = []
    assert train_tiny(root, folder.parent, RECIPE, on_step=steps.append) == run
    assert not steps


@pytest.mark.parametrize(
    "method, head_start",
    [
        ("full", "random"),
        ("full", "probe"),
        ("lora", "random"),
        ("lora", "probe"),
        ("head", "probe"),
    ],
)
def test_stopped_after_every_step_it_ends_in_the_same_bytes(
    root: Path, tmp_path: Path, method: str, head_start: str
) -> None:
    """Interrupted again and again, one step further each time, then compared with an undisturbed run."""
    changes = {"method": method, "head_start": head_start, "lora_rank": 2, "epochs": 2}
    recipe = RECIPE.model_copy(update=changes)
    undisturbed = train_tiny(root, tmp_path / "undisturbed", recipe)
    for number in range(1, 6):
        error = stopped(
            root, tmp_path / "stopped", recipe, after=1, code=130 if number % 2 else 143
        )
        assert error.code == "training-interrupted"
        assert error.exit_code == (130 if number % 2 else 143)
        run = load_run(tmp_path / "stopped" / undisturbed.id)
        assert run.status == "interrupted" and run.steps == number
    done = train_tiny(root, tmp_path / "stopped", recipe)
    ours, theirs = tmp_path / "stopped" / done.id, tmp_path / "undisturbed" / done.id
    assert model_bytes(ours) == model_bytes(theirs)
    assert (ours / "steps.jsonl").read_bytes() == (theirs / "steps.jsonl").read_bytes()
    assert (done.best_step, done.weights_sha256) == (
        undisturbed.best_step,
        undisturbed.weights_sha256,
    )


def test_stopped_before_the_first_step_nothing_is_lost(root: Path, tmp_path: Path) -> None:
    recipe = small_recipe(epochs=1)
    with pytest.raises(BurnishError) as caught:
        train_tiny(root, tmp_path / "a", recipe, stop=lambda: 143)
    assert caught.value.exit_code == 143 and caught.value.code == "training-interrupted"
    again = train_tiny(root, tmp_path / "a", recipe)
    assert again.weights_sha256 == train_tiny(root, tmp_path / "b", recipe).weights_sha256


def test_stopped_while_judging_it_goes_on_from_the_last_checkpoint(
    root: Path, plain: tuple[Run, Path], tmp_path: Path
) -> None:
    """The signal comes when the third update is made and its epoch is being judged."""
    asked_after: list[int] = []  # the updates told of at each question
    told: list[object] = []

    def stop() -> int | None:
        asked_after.append(len(told))
        # the question after update 2 itself, then the first one while judging epoch 1
        return 143 if asked_after.count(2) == 2 else None

    with pytest.raises(BurnishError) as caught:
        train_tiny(root, tmp_path, RECIPE, on_step=told.append, stop=stop)
    assert "between two steps" in caught.value.problems[0].what
    assert train_tiny(root, tmp_path, RECIPE).weights_sha256 == plain[0].weights_sha256


@pytest.mark.parametrize(
    "broken", ["weights.safetensors", "optimizer.safetensors", "progress.json"]
)
def test_a_damaged_newest_checkpoint_is_said_and_the_older_one_taken(
    root: Path, plain: tuple[Run, Path], tmp_path: Path, broken: str
) -> None:
    run, _ = plain
    stopped(root, tmp_path, RECIPE, after=4)
    stopped(root, tmp_path, RECIPE, after=2)
    newest = tmp_path / run.id / "checkpoints" / "latest" / "step-00000006"
    data = bytearray((newest / broken).read_bytes())
    data[len(data) // 2] ^= 1
    (newest / broken).write_bytes(data)
    said: list[str] = []
    done = train_tiny(root, tmp_path, RECIPE, announce=said.append)
    assert any("step-00000006 skipped" in line and broken in line for line in said), said
    assert "resuming after step 4" in said
    assert done.weights_sha256 == run.weights_sha256


def test_damaged_best_weights_are_made_again(
    root: Path, plain: tuple[Run, Path], tmp_path: Path
) -> None:
    run, _ = plain
    stopped(root, tmp_path, RECIPE, after=2)
    stopped(root, tmp_path, RECIPE, after=2)
    newest = max((tmp_path / run.id / "checkpoints" / "best").iterdir())
    best = newest / "weights.safetensors"
    best.write_bytes(best.read_bytes()[:-1])
    said: list[str] = []
    done = train_tiny(root, tmp_path, RECIPE, announce=said.append)
    assert any("skipped" in line for line in said)
    assert done.weights_sha256 == run.weights_sha256


def test_with_every_checkpoint_damaged_it_starts_over(
    root: Path, plain: tuple[Run, Path], tmp_path: Path
) -> None:
    run, _ = plain
    stopped(root, tmp_path, RECIPE, after=1)
    for manifest in (tmp_path / run.id / "checkpoints").rglob("manifest.json"):
        manifest.unlink()
    assert train_tiny(root, tmp_path, RECIPE).weights_sha256 == run.weights_sha256


def test_a_damaged_probe_alone_is_no_obstacle(root: Path, tmp_path: Path) -> None:
    """Stopped with the probe's weights saved and no checkpoint yet, and those weights are damaged."""
    recipe = small_recipe(epochs=1)
    reference = train_tiny(root, tmp_path / "a", recipe)
    stopped(root, tmp_path / "b", recipe, after=1)
    checkpoints = tmp_path / "b" / reference.id / "checkpoints"
    shutil.rmtree(checkpoints / "latest")
    (checkpoints / "best" / "step-00000000" / "weights.safetensors").write_bytes(b"")
    assert train_tiny(root, tmp_path / "b", recipe).weights_sha256 == reference.weights_sha256


def test_a_damaged_model_is_made_again(root: Path, tmp_path: Path) -> None:
    recipe = small_recipe(epochs=1)
    run = train_tiny(root, tmp_path, recipe)
    weights = tmp_path / run.id / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-9] ^= 4
    weights.write_bytes(data)
    said: list[str] = []
    again = train_tiny(root, tmp_path, recipe, announce=said.append)
    assert any("damaged" in line for line in said)
    assert again.weights_sha256 == run.weights_sha256
    assert verify_folder(tmp_path / run.id / "model") == ()


def test_other_surroundings_are_said(root: Path, tmp_path: Path) -> None:
    stopped(root, tmp_path, RECIPE, after=1)
    (folder,) = tmp_path.iterdir()
    run = load_run(folder)
    elsewhere = run.environment.model_copy(update={"torch": "1.0"})
    write_sealed(folder / "run.json", run.model_copy(update={"environment": elsewhere}))
    said: list[str] = []
    train_tiny(root, tmp_path, RECIPE, announce=said.append)
    assert any("torch 1.0 is now" in line for line in said)


def weighing(place: int, weight: float) -> Callable[[LabelledTexts], LabelledTexts]:
    def change(train: LabelledTexts) -> LabelledTexts:
        weights = train.weights_R.copy()
        weights[place] = weight
        return dataclasses.replace(train, weights_R=weights)

    return change


def nothing_poisoned(folder: Path) -> None:
    for path in folder.rglob("*.safetensors"):
        for name, value in load_file(path).items():
            assert bool(torch.isfinite(value.float()).all()), f"{path.name}: {name}"
        assert verify_folder(path.parent) == ()


def test_a_planted_nan_names_the_row_and_saves_nothing(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BurnishError) as caught:
        train_tiny(root, tmp_path, RECIPE, change=weighing(11, math.inf), save_every_seconds=0)
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("loss-not-finite", "rows tickets.csv:13")
    (folder,) = tmp_path.iterdir()
    assert load_run(folder).status == "failed"
    assert not (folder / "model").exists()
    nothing_poisoned(folder)


@pytest.mark.parametrize("rate", [1e25, 1e38])
def test_weights_that_run_away_are_never_saved(root: Path, tmp_path: Path, rate: float) -> None:
    """The rate explodes the weights; the checkpoint from before stays as it was."""
    recipe = RECIPE.model_copy(update={"learning_rate": rate, "clip_norm": 1e30})
    with pytest.raises(BurnishError) as caught:
        train_tiny(root, tmp_path, recipe, save_every_seconds=0)
    (problem,) = caught.value.problems
    assert problem.code == "loss-not-finite"
    assert "tickets.csv:" in problem.where
    (folder,) = tmp_path.iterdir()
    assert load_run(folder).status == "failed"
    assert not (folder / "model").exists()
    nothing_poisoned(folder)


def test_an_earlier_checkpoint_survives_what_comes_later(root: Path, tmp_path: Path) -> None:
    """A good checkpoint is there; the row that breaks training comes in the next update."""
    seen = stop_after(1)
    broken = weighing(int(third_update_row(root)), math.nan)
    with pytest.raises(BurnishError):
        train_tiny(root, tmp_path, RECIPE, on_step=seen[0], stop=seen[1], change=broken)
    (folder,) = tmp_path.iterdir()
    (checkpoint,) = (folder / "checkpoints" / "latest").iterdir()
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    with pytest.raises(BurnishError) as caught:
        train_tiny(root, tmp_path, RECIPE, change=broken)
    assert caught.value.code == "loss-not-finite"
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before
    nothing_poisoned(folder)


def third_update_row(root: Path) -> int:
    """A row that the third update is the first to see."""
    fitted = load_tokeniser(tiny_base(root).folder, max_tokens=RECIPE.max_tokens)
    lengths = np.array([len(row) for row in tokenise(fitted, [t for t, _ in sentences(24)])])
    updates = epoch_updates(lengths, batch_rows=RECIPE.batch_rows, seed=RECIPE.seed, epoch=0)
    return int(updates[2][0])


def test_an_empty_split_is_refused_before_anything_is_written(root: Path, tmp_path: Path) -> None:
    nothing = LabelledTexts([], np.zeros((0, 3)), np.zeros(0), [])
    with pytest.raises(BurnishError) as caught:
        train_tiny(root, tmp_path, RECIPE, change=lambda train: nothing)
    assert caught.value.code == "split-empty"
    assert not list(tmp_path.iterdir())


def test_one_update_is_enough_to_learn_something(root: Path, tmp_path: Path) -> None:
    """Fewer rows than an update takes: the only update has a rate."""
    recipe = small_recipe(epochs=1, batch_rows=64, head_start="random")
    run = train_tiny(root, tmp_path, recipe)
    (step,) = load_steps(tmp_path / run.id)
    assert step.learning_rate == pytest.approx(recipe.learning_rate)
    trained = load_file(tmp_path / run.id / "model" / "model.safetensors")
    before = new_classifier(
        tiny_base(root).folder,
        label_names=make_task().label_names,
        objective="softmax",
        recipe=recipe,
    )
    name = "classifier.weight"
    assert not torch.equal(trained[name], before.model.state_dict()[name])


def test_head_leaves_the_encoder_alone(root: Path, tmp_path: Path) -> None:
    run = train_tiny(root, tmp_path, small_recipe(method="head"))
    trained = load_file(tmp_path / run.id / "model" / "model.safetensors")
    base = load_file(tiny_base(root).folder / "model.safetensors")
    body = [name for name in base if not name.startswith("pooler")]
    assert body
    for name in body:
        assert torch.equal(trained[f"bert.{name}"], base[name]), name
    assert not torch.equal(trained["bert.pooler.dense.weight"], base["pooler.dense.weight"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model_type", ["bert", "distilbert"])
def test_merged_adapters_answer_like_the_adapters(
    root: Path, tmp_path: Path, model_type: str, precision: str
) -> None:
    from peft import PeftModel

    recipe = small_recipe(
        base=f"tiny:{model_type}",
        method="lora",
        lora_rank=4,
        learning_rate=2e-2,
        precision=precision,
        head_start="random",
    )
    run = train_tiny(root, tmp_path, recipe)
    folder = tmp_path / run.id
    merged = load_fitted(folder / "model", max_tokens=24, precision="fp32")
    plain = new_classifier(
        tiny_base(root, model_type).folder,
        label_names=make_task().label_names,
        objective="softmax",
        recipe=recipe,
    )
    adapted = PeftModel.from_pretrained(plain.model, folder / "adapter").eval()
    rows = merged.encode([text for text, _ in sentences(6, seed=9)])
    ours = merged.logits(rows)
    with torch.no_grad():
        theirs = torch.cat(
            [
                adapted(input_ids=torch.from_numpy(r.ids_T.astype(np.int64))[None]).logits
                for r in rows
            ]
        )
    assert_allclose(ours, theirs, atol=1e-4)
    weights = load_file(folder / "model" / "model.safetensors")
    base = load_file(tiny_base(root, model_type).folder / "model.safetensors")
    moved = [n for n in base if not torch.equal(weights.get(f"{model_type}.{n}", base[n]), base[n])]
    heads = family_of(model_type).head_modules(plain.model)
    inside = [name for name in moved if not f"{model_type}.{name}".startswith(heads)]
    assert inside and all(name.endswith("weight") for name in inside)
    assert not any("embeddings" in name or "LayerNorm" in name for name in inside)


def test_truncation_is_counted_in_the_run(root: Path, tmp_path: Path) -> None:
    run = train_tiny(root, tmp_path, small_recipe(epochs=1, max_tokens=8))
    assert run.truncated_rows > 0
    assert run.truncated_tokens >= run.truncated_rows


def test_labels_that_never_occur_are_no_obstacle(root: Path, tmp_path: Path) -> None:
    def only_refunds(train: LabelledTexts) -> LabelledTexts:
        targets = np.zeros_like(train.targets_RL)
        targets[:, 0] = 1.0
        return dataclasses.replace(train, targets_RL=targets)

    run = train_tiny(root, tmp_path, small_recipe(), change=only_refunds)
    fitted = load_fitted(tmp_path / run.id / "model", max_tokens=24, precision="fp32")
    logits = fitted.logits(fitted.encode(["where is my order", "refund"]))
    assert np.isfinite(logits).all() and logits.argmax(1).tolist() == [0, 0]
