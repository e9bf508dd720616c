"""For tests: every kind of durable act, recorded once, and what must be found after a power loss in the middle of it."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from burnish.store.durable import (
    exchange_folder,
    new_folder,
    remove_folder,
    replacing,
    verify_folder,
    write_file,
)
from burnish.store.line_log import LineLog, read_log
from crash_disk import Disk, recording

Acknowledge = Callable[[object], None]


@dataclass(frozen=True, slots=True)
class Scene:
    """`prepare` what is there before, `act` and acknowledge, `check` what a power loss left (and go on from there)."""

    prepare: Callable[[Path], None]
    act: Callable[[Path, Acknowledge], None]
    check: Callable[[Path, tuple[object, ...]], None]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many states were looked at, and how many of them differ from each other."""

    states: int
    distinct: int


@contextmanager
def in_memory() -> Iterator[Path]:
    """A scratch folder in memory where there is one: a state is built and thrown away in a millisecond."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def recorded(scene: Scene, folder: Path) -> Disk:
    """The scene acted once, and everything the disk was asked."""
    home = folder / "recorded"
    home.mkdir()
    scene.prepare(home)
    with recording(home) as disk:
        scene.act(home, disk.acknowledge)
    return disk


def survive(scene: Scene, folder: Path, *, count: int, seed: int) -> Tally:
    """Build `count` states of the scene after a power loss and check each that differs from those before it.

    Raises: AssertionError naming the state.
    """
    disk = recorded(scene, folder)
    seen: set[str] = set()
    for number, state in enumerate(disk.states(random.Random(seed), count=count)):
        if state.key in seen:
            continue
        seen.add(state.key)
        after = folder / "runs" / f"after-{number}"
        after.parent.mkdir(exist_ok=True)
        state.build(after)
        try:
            scene.check(after, state.acknowledged)
        except Exception as error:
            listing = {
                path: None if data is None else len(data) for path, data in state.files.items()
            }
            told = f"{state.told} (seed {seed}, number {number}), acknowledged {state.acknowledged}: {listing}"
            raise AssertionError(told) from error
        shutil.rmtree(after)
    return Tally(count, len(seen))


def leftovers(folder: Path) -> list[str]:
    """Temporary names anywhere below a folder."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob(".*")
        if path.name.endswith((".tmp", ".staging"))
    ]


def _nothing(home: Path) -> None:
    del home


def _bytes(number: int, size: int = 12_000) -> bytes:
    return random.Random(number).randbytes(size)


# a file, replaced again and again


def _file_act(home: Path, acknowledge: Acknowledge) -> None:
    for number in range(1, 5):
        write_file(home / "state", _bytes(number))
        acknowledge(number)
    with replacing(home / "state") as out:
        out.write("streamed" * 2000)
    acknowledge(5)


def _file_check(home: Path, acknowledged: tuple[object, ...]) -> None:
    versions = [_bytes(0), *(_bytes(number) for number in range(1, 5)), b"streamed" * 2000]
    assert versions.index((home / "state").read_bytes()) >= len(acknowledged)
    write_file(home / "state", b"next")
    assert (home / "state").read_bytes() == b"next"
    left = [name for name in leftovers(home) if name.startswith(".state.0")]
    assert left == []


# folders published, removed and exchanged

_FOLDER = {"weights": _bytes(7, 20_000), "sub/deeper/state.json": b"{}" * 300}


def _publish(target: Path, files: dict[str, bytes]) -> None:
    with new_folder(target) as staging:
        for name, data in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(data)


def _is_whole(target: Path, files: dict[str, bytes]) -> bool:
    return verify_folder(target) == () and all(
        (target / name).read_bytes() == data for name, data in files.items()
    )


def _folder_act(home: Path, acknowledge: Acknowledge) -> None:
    _publish(home / "made" / "one", _FOLDER)
    acknowledge("one")
    _publish(home / "made" / "two", _FOLDER)
    acknowledge("two")
    remove_folder(home / "made" / "one")
    acknowledge("one removed")


def _folder_check(home: Path, acknowledged: tuple[object, ...]) -> None:
    made = home / "made"
    for name in ("one", "two"):
        removed = "one removed" in acknowledged and name == "one"
        removing = "two" in acknowledged and name == "one"
        if (made / name).exists():
            assert not removed and _is_whole(made / name, _FOLDER)
        else:
            assert name not in acknowledged or removing
    if made.is_dir() or not acknowledged:
        _publish(made / "one", _FOLDER)
        _publish(made / "two", _FOLDER)
        assert _is_whole(made / "one", _FOLDER) and _is_whole(made / "two", _FOLDER)
        assert leftovers(home) == []


def _exchange_prepare(home: Path) -> None:
    (home / "exchange").mkdir()
    _publish(home / "reports" / "r", {"report.json": b"old" * 4000})


def _exchange_act(home: Path, acknowledge: Acknowledge) -> None:
    _publish(home / "exchange" / "r", {"report.json": b"new" * 4000})
    acknowledge("published")
    exchange_folder(home / "reports" / "r", published=home / "exchange" / "r")
    acknowledge("exchanged")


def _exchange_check(home: Path, acknowledged: tuple[object, ...]) -> None:
    target, published = home / "reports" / "r", home / "exchange" / "r"
    old, new = {"report.json": b"old" * 4000}, {"report.json": b"new" * 4000}
    if published.exists():
        assert _is_whole(published, new) and "exchanged" not in acknowledged
        exchange_folder(target, published=published)
    elif "published" in acknowledged:
        assert _is_whole(target, new)
    if target.exists():
        assert _is_whole(target, old) or _is_whole(target, new)
    else:
        assert not acknowledged, "the old one may only go when the new one is there"
    assert not published.exists()


# logs


def _log_act(home: Path, acknowledge: Acknowledge) -> None:
    with LineLog(home / "each.jsonl", bound_to="run") as log:
        for number in range(6):
            log.append({"step": number, "pad": "x" * 300})
            acknowledge(("each", number + 1))
    with LineLog(home / "some.jsonl", bound_to="run", sync_every=10) as log:
        for number in range(30):
            log.append({"step": number, "pad": "y" * 400})
            if number % 10 == 9:
                acknowledge(("some", number + 1))
    with LineLog(home / "some.jsonl", bound_to="run") as log:
        log.append({"step": 30, "pad": ""})
        acknowledge(("some", 31))


def _log_check(home: Path, acknowledged: tuple[object, ...]) -> None:
    for name in ("each", "some"):
        path = home / f"{name}.jsonl"
        sure = max([0, *(count for kind, count in acknowledged if kind == name)])  # type: ignore[misc]
        found = read_log(path, bound_to="run").values
        assert [value["step"] for value in found] == list(range(len(found)))
        assert len(found) >= sure
        with LineLog(path, bound_to="run") as log:
            log.append({"step": len(found)})
        again = read_log(path, bound_to="run")
        assert [value["step"] for value in again.values] == list(range(len(found) + 1))
        assert again.rest_bytes == 0


# checkpoints with their best weights, pruned as training goes on

_STEPS = 5


@cache
def _model(step: int):  # noqa: ANN202 - torch is imported where it is used
    import torch

    from burnish.train.loop import LoopState

    torch.manual_seed(step)
    model = torch.nn.Linear(48, 24)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 48)).sum().backward()
    optimizer.step()
    best = None if step < 2 else step - step % 2
    return model, LoopState(optimizer, step=step, best_step=best)


def _checkpoint_act(home: Path, acknowledge: Acknowledge) -> None:
    from burnish.train.checkpoint import Checkpoints, save_best, save_checkpoint

    checkpoints = Checkpoints(home / "run-1" / "checkpoints")
    for step in range(1, _STEPS + 1):
        model, state = _model(step)
        if state.best_step == step:
            save_best(checkpoints, model, step=step)
        save_checkpoint(checkpoints, model, state)
        acknowledge(step)


def _checkpoint_check(home: Path, acknowledged: tuple[object, ...]) -> None:
    from burnish.train.checkpoint import Checkpoints, newest_whole, save_checkpoint
    from burnish.train.checkpoint_files import OPTIMIZER, WEIGHTS, best_fault, read_progress

    checkpoints = Checkpoints(home / "run-1" / "checkpoints")
    said: list[str] = []
    found = newest_whole(checkpoints, announce=said.append)
    sure = max([0, *acknowledged])  # type: ignore[type-var]
    step = 0
    if found is not None:
        progress = read_progress(found)
        step = progress.step
        wanted = _checkpoint_files(step)
        assert {name: (found / name).read_bytes() for name in (WEIGHTS, OPTIMIZER)} == wanted
        if progress.best_step is not None:
            assert best_fault(checkpoints, step=progress.best_step) is None
            best = checkpoints.best(progress.best_step) / WEIGHTS
            assert best.read_bytes() == _checkpoint_files(progress.best_step)[WEIGHTS]
    assert step >= sure, said
    assert said == [], "what was renamed into place was synced before"
    if step < _STEPS:
        model, state = _model(step + 1)
        save_checkpoint(checkpoints, model, replace(state, best_step=None))
        assert newest_whole(checkpoints, announce=said.append) == checkpoints.latest(step + 1)
        assert leftovers(home / "run-1" / "checkpoints" / "latest") == []


@cache
def _checkpoint_files(step: int) -> dict[str, bytes]:
    """The bytes a checkpoint of that step must have."""
    from burnish.train.checkpoint import Checkpoints, save_checkpoint
    from burnish.train.checkpoint_files import OPTIMIZER, WEIGHTS

    with in_memory() as folder:
        checkpoints = Checkpoints(folder / "run-1" / "checkpoints")
        save_checkpoint(checkpoints, *_model(step))
        made = checkpoints.latest(step)
        return {name: (made / name).read_bytes() for name in (WEIGHTS, OPTIMIZER)}


# a whole training: record, steps, checkpoints, result, the end


def training_scene(base: Path, *, resume_every: int = 0) -> Scene:
    """A tiny training that saves after every update. What is left must be sound and hold every update acknowledged;
    with `resume_every` each so many-th state is trained on from, and must end in the same bytes.
    """
    from burnish.store.manifest import listed_checksums
    from burnish.train.checkpoint import Checkpoints, newest_whole
    from burnish.train.checkpoint_files import read_progress
    from burnish.train.runs import MODEL, STEPS, WEIGHTS, load_run, result_fault, sound_steps
    from tiny_training import small_recipe, tiny_base, train_tiny

    recipe = small_recipe(epochs=2, batch_rows=12)
    ends: dict[str, bytes] = {}
    looked = 0

    def act(home: Path, acknowledge: Acknowledge) -> None:
        # the step that is told was not saved yet, the one before it was
        run = train_tiny(
            base,
            home,
            recipe,
            save_every_seconds=0.0,
            on_step=lambda step: acknowledge(step.step - 1),
        )
        acknowledge("done")
        ends["steps"] = (home / run.id / STEPS).read_bytes()
        ends["weights"] = (home / run.id / MODEL / WEIGHTS).read_bytes()

    def check(home: Path, acknowledged: tuple[object, ...]) -> None:
        nonlocal looked
        looked += 1
        sure = max([0, *(label for label in acknowledged if isinstance(label, int))])
        folders = [path for path in home.iterdir() if path.is_dir()]
        if not folders:
            assert not acknowledged
            return
        (folder,) = folders
        run = load_run(folder) if (folder / "run.json").exists() else None
        assert run is not None or not acknowledged
        steps, _ = sound_steps(folder)
        numbers = [step.step for step in steps]
        assert numbers == list(range(1, len(numbers) + 1))
        if run is not None and run.status == "done":
            assert result_fault(folder, weights_sha256=run.weights_sha256) is None
            assert len(steps) == run.steps
            checksums = listed_checksums(folder / MODEL)
            assert checksums[WEIGHTS] == run.weights_sha256
        else:
            assert "done" not in acknowledged
            said: list[str] = []
            found = newest_whole(Checkpoints(folder / "checkpoints"), announce=said.append)
            step = 0 if found is None else read_progress(found).step
            assert sure <= step <= len(steps) and said == []
        if resume_every and looked % resume_every == 0:
            again = train_tiny(base, home, recipe, save_every_seconds=0.0)
            assert (home / again.id / STEPS).read_bytes() == ends["steps"]
            assert (home / again.id / MODEL / WEIGHTS).read_bytes() == ends["weights"]
            assert leftovers(home / again.id) == []

    return Scene(lambda home: tiny_base(base) and None, act, check)


SCENES: dict[str, Scene] = {
    "files": Scene(lambda home: write_file(home / "state", _bytes(0)), _file_act, _file_check),
    "folders": Scene(_nothing, _folder_act, _folder_check),
    "exchange": Scene(_exchange_prepare, _exchange_act, _exchange_check),
    "logs": Scene(_nothing, _log_act, _log_check),
    "checkpoints": Scene(_nothing, _checkpoint_act, _checkpoint_check),
}
