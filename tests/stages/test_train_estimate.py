"""The estimate before training: it changes nothing, refuses what cannot fit with settings that do, and is held to what came."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from burnish.cli.main import app
from burnish.encode.tokenise import load_tokeniser
from burnish.errors import BurnishError
from burnish.models.classifier import TransformersFitted, new_classifier
from burnish.records.recipe import Recipe
from burnish.records.run import Estimate, Run, Step
from burnish.store.durable import write_sealed
from burnish.train import estimate as estimating
from burnish.train import fit as fitting
from burnish.train.estimate import Rows, forecast_of, refuse_too_large
from burnish.train.memory import Limit, Memory, host_memory
from burnish.train.rows import LabelledTexts
from burnish.train.runs import load_run
from burnish.train.spoken import announced, compared
from support_task import make_task
from tiny_training import sentences, small_recipe, tiny_base, train_tiny

MEGABYTE = 1 << 20
# 48 rows in updates of 8, three epochs: enough updates for typical passes too.
LONG = {"rows": 48}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base")


def long_recipe(**changes: object) -> Recipe:
    return small_recipe(epochs=3, **changes)


def digest(fitted: TransformersFitted) -> dict[str, object]:
    """Everything of a model that training starts from."""
    model = fitted.learner.model
    return {
        "names": [name for name, _ in model.named_modules()],
        "classes": [type(module) for module in model.modules()],
        "modes": [module.training for module in model.modules()],
        "weights": {name: value.detach().numpy().tobytes() for name, value in model.named_parameters()},
        "learns": [value.requires_grad for value in model.parameters()],
        "gradients": [value.grad is None for value in model.parameters()],
        "buffers": {name: value.numpy().tobytes() for name, value in model.named_buffers()},
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "random": torch.get_rng_state().numpy().tobytes(),
    }  # fmt: skip


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta", "deberta-v2", "modernbert"])  # fmt: skip
@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_the_warm_up_leaves_everything_as_it_was(
    root: Path, tmp_path: Path, model_type: str, method: str
) -> None:
    recipe = long_recipe(method=method, base=f"tiny:{model_type}")
    base = tiny_base(root, model_type)
    learner = new_classifier(
        base.folder, label_names=make_task().label_names, objective="softmax", recipe=recipe
    )
    fitted = TransformersFitted(learner, load_tokeniser(base.folder, max_tokens=24))
    encodings = fitted.encode([text for text, _ in sentences(48)])
    before = digest(fitted)
    forecast = forecast_of(
        fitted,
        Rows(encodings, encodings[:9]),
        recipe,
        objective="softmax",
        made=0,
        fresh=True,
        folder=tmp_path / "checkpoints",
        save_every_seconds=30.0,
        pause=lambda: None,
    )
    assert digest(fitted) == before
    assert list(tmp_path.glob("*/*")) == []
    assert forecast is not None and forecast.said.updates == 18
    assert forecast.said.warm_up_passes >= 2


@pytest.mark.parametrize("head_start", ["probe", "random"])
@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_trainings_end_in_the_same_bytes_with_and_without_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, head_start: str
) -> None:
    """Also one that was stopped in the middle, and estimated again where it went on."""
    recipe = long_recipe(method=method, head_start=head_start, base="tiny:distilbert")
    done = train_tiny(root, tmp_path / "with", recipe, **LONG)
    with pytest.raises(BurnishError):
        train_tiny(root, tmp_path / "resumed", recipe, **LONG, **stop_after(7))
    resumed = train_tiny(root, tmp_path / "resumed", recipe, **LONG)
    monkeypatch.setattr(fitting, "forecast_of", lambda *_, **__: None)
    without = train_tiny(root, tmp_path / "without", recipe, **LONG)
    assert without.estimate is None and done.estimate is not None
    assert done.weights_sha256 == without.weights_sha256 == resumed.weights_sha256
    assert resumed.estimate is not None and resumed.estimate.updates == 18 - 7


def stop_after(step: int) -> dict[str, Callable[..., object]]:
    seen: list[int] = []
    return {
        "on_step": lambda made: seen.append(made.step),
        "stop": lambda: 143 if seen and seen[-1] >= step else None,
    }


def test_it_is_said_kept_and_held_to_what_came(root: Path, tmp_path: Path) -> None:
    said: list[str] = []
    during: list[Run] = []

    def look(step: Step) -> None:
        if step.step == 1:
            (folder,) = tmp_path.iterdir()
            during.append(load_run(folder))

    run = train_tiny(root, tmp_path, long_recipe(), announce=said.append, on_step=look, **LONG)
    estimate = run.estimate
    assert estimate is not None
    assert during[0].estimate is not None and during[0].estimate.took_seconds is None
    assert during[0].estimate.seconds == estimate.seconds > 0
    assert announced(estimate, run.recipe) in said
    assert said[-1] == compared(estimate)
    assert (estimate.made_updates, estimate.judged_epochs) == (18, 3)
    assert estimate.expected_seconds == estimate.seconds
    assert 0 < (estimate.took_seconds or 0) < run.train_seconds
    assert estimate.peak_bytes == pytest.approx(run.peak_memory_bytes, rel=0.05)
    assert load_run(tmp_path / run.id) == run


def test_stopping_early_is_no_error_of_the_estimate(root: Path, tmp_path: Path) -> None:
    falling = iter([0.9, 0.5, 0.4, 0.3, 0.2, 0.1])
    recipe = long_recipe(patience=1, head_start="random")
    run = train_tiny(root, tmp_path, recipe, judge=lambda _: next(falling), **LONG)
    estimate = run.estimate
    assert estimate is not None and (estimate.made_updates, estimate.judged_epochs) == (12, 2)
    assert 0 < (estimate.expected_seconds or 0) < estimate.seconds
    assert "for what was run" in compared(estimate)


def test_a_training_that_was_stopped_keeps_its_estimate_too(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BurnishError):
        train_tiny(root, tmp_path, long_recipe(), **LONG, **stop_after(5))
    (folder,) = tmp_path.iterdir()
    estimate = load_run(folder).estimate
    assert estimate is not None and (estimate.made_updates, estimate.judged_epochs) == (5, 0)
    assert (estimate.took_seconds or 0) > 0 and (estimate.peak_bytes or 0) > 0


def test_a_row_that_breaks_training_does_not_break_the_warm_up(root: Path, tmp_path: Path) -> None:
    """A row whose loss is infinite is found where it belongs: in training, by its row."""

    def broken(train: LabelledTexts) -> LabelledTexts:
        weights = train.weights_R.copy()
        weights[4] = np.inf
        return dataclasses.replace(train, weights_R=weights)

    with pytest.raises(BurnishError) as caught:
        train_tiny(root, tmp_path, long_recipe(), change=broken, **LONG)
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("loss-not-finite", "rows tickets.csv:6")


def machine_with(megabytes: int, *, refuses: bool) -> Callable[[], Memory]:
    """A machine on which this process may hold so many megabytes more than now."""
    most = host_memory().held + megabytes * MEGABYTE
    return lambda: Memory(host_memory().held, (Limit(most, "a small machine", refuses),))


def longer(train: LabelledTexts) -> LabelledTexts:
    return dataclasses.replace(train, texts=[" ".join([text] * 40) for text in train.texts])


def greedy_recipe(**changes: object) -> Recipe:
    """300 rows of 256 tokens in one pass: more than a gigabyte."""
    return small_recipe(epochs=1, batch_rows=512, batch_tokens=1 << 20, max_tokens=256, **changes)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_cannot_fit_is_refused_with_settings_that_do(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """What the message says to write is enough, in earnest: the process stays below the limit."""
    recipe = greedy_recipe(method=method)
    train_tiny(
        root, tmp_path / "first", small_recipe(epochs=1)
    )  # torch's own threads and libraries
    machine = machine_with(500, refuses=False)
    monkeypatch.setattr(estimating, "host_memory", machine)
    with pytest.raises(BurnishError) as caught:
        train_tiny(root, tmp_path / "runs", recipe, rows=300, change=longer)
    (limit,) = machine().limits
    assert host_memory().held < limit.most - 200 * MEGABYTE, (
        "it was allocated before it was refused"
    )
    (problem,) = caught.value.problems
    assert (problem.code, caught.value.exit_code) == ("memory-too-small", 1)
    assert problem.where == "a small machine"
    assert f"{limit.most:,} bytes" in problem.expected and "bytes" in problem.what
    written = problem.fix.partition("write ")[2].partition(" into")[0].replace(", ", "\n")
    settings = tomllib.loads(written)
    assert set(settings) == {"batch_tokens"}
    highest: list[int] = []
    run = train_tiny(
        root,
        tmp_path / "runs",
        recipe.model_copy(update=settings),
        rows=300,
        change=longer,
        on_step=lambda step: highest.append(host_memory().held),
    )
    assert run.status == "done" and max(highest) < limit.most
    assert run.estimate is not None and run.estimate.room_limit == "a small machine"
    (failed,) = [load_run(one) for one in (tmp_path / "runs").iterdir() if one.name != run.id]
    assert failed.status == "failed" and "bytes" in failed.message and failed.estimate is None


def test_where_allocations_are_refused_only_a_row_too_large_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There training cuts its passes when one finds no memory; a single row cannot be cut."""
    monkeypatch.setattr(estimating, "host_memory", machine_with(500, refuses=True))
    run = train_tiny(root, tmp_path / "runs", greedy_recipe(), rows=60, change=longer)
    assert run.status == "done"
    monkeypatch.setattr(estimating, "host_memory", machine_with(0, refuses=True))
    with pytest.raises(BurnishError) as caught:
        train_tiny(root, tmp_path / "small", greedy_recipe(), rows=60, change=longer)
    assert caught.value.code == "memory-too-small"


def test_weights_alone_may_be_too_much(tmp_path: Path) -> None:
    """A model of ten terabytes, of which only the header is on the disk: refused before anything is read."""
    count = 10**13 // 4
    header = json.dumps(
        {"w": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}
    ).encode()
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 4 * count)
    with pytest.raises(BurnishError) as caught:
        refuse_too_large(tmp_path, Recipe())
    (problem,) = caught.value.problems
    assert problem.code == "memory-too-small"
    assert "smaller base model" in problem.fix


def test_records_of_before_the_estimate_still_load(root: Path, tmp_path: Path) -> None:
    run = train_tiny(root, tmp_path, small_recipe(epochs=1))
    old = run.model_dump(mode="json")
    del old["estimate"]
    write_sealed(tmp_path / run.id / "run.json", old)
    assert load_run(tmp_path / run.id) == run.model_copy(update={"estimate": None})


def test_the_machine_is_named_when_only_its_clock_was_off() -> None:
    estimate = Estimate(
        seconds=100, cpu_seconds=100, updates=10, memory_bytes=110, room_bytes=None, room_limit="",
        warm_up_seconds=1, warm_up_passes=3, made_updates=10, judged_epochs=1, expected_seconds=100,
        took_seconds=150, expected_cpu_seconds=100, took_cpu_seconds=101, peak_bytes=100,
    )  # fmt: skip
    assert compared(estimate) == (
        "took 2 min 30 s, estimated 1 min 40 s (-33.3%); memory 100 B, estimated 110 B (+10.0%); "
        "processor time -1.0%: the machine had other work"
    )
    assert "other work" not in compared(estimate.model_copy(update={"took_cpu_seconds": 150}))


def test_runs_show_tells_it(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from burnish.project import open_project
    from tiny_training import write_project

    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    assert CliRunner().invoke(app, ["init", "tickets.csv"]).exit_code == 0
    run = train_tiny(root, open_project(tmp_path).workspace.runs, small_recipe(epochs=1))
    assert run.estimate is not None
    shown = CliRunner().invoke(app, ["runs", "show", run.id[:8]]).stdout
    assert compared(run.estimate) in shown
    found = json.loads(CliRunner().invoke(app, ["runs", "show", run.id[:8], "--json"]).stdout)
    assert found["estimate"] == run.estimate.model_dump(mode="json")
