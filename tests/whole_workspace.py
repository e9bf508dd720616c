"""For tests: a small project with one of everything that rests on the disk, and how each thing is read."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from burnish import curate, lifecycle
from burnish.data.dataset import all_datasets, load_dataset, load_rejections, load_rows
from burnish.data.start import start
from burnish.deploy.bundle import load_bundle, open_bundle
from burnish.deploy.deployments import deployments
from burnish.edge import make_edge
from burnish.errors import BurnishError
from burnish.evaluate.report_folder import load_report
from burnish.models.first_use import first_use, record_first_use
from burnish.models.source import fetch_base
from burnish.monitor.page import monitor_page
from burnish.monitor.page_seal import page_fault
from burnish.monitor.reference import reference_of
from burnish.monitor.reference_folder import reference_fault
from burnish.project import Edge, Project, open_project
from burnish.records.deployment import Prediction
from burnish.records.recipe import Recipe
from burnish.records.run import run_id
from burnish.store.durable import write_file, write_text
from burnish.store.journal import journal, predictions
from burnish.store.keyed import own_key, read_key
from burnish.store.ledger import check_ledger, events, open_ledger
from burnish.store.workspace import Workspace, names_in
from burnish.tasks.load import load_task
from burnish.train.checkpoint import newest_whole
from burnish.train.checkpoint_files import Checkpoints
from burnish.train.recipe_file import load_recipe
from burnish.train.runs import load_run, load_steps, result_fault
from quick_circle import QUICK_RECIPE, write_rows

AT = "2026-11-22T10:00:00Z"


@dataclass(frozen=True, slots=True)
class Made:
    """The project, its cache of base models, and a stopped run with two checkpoints."""

    root: Path
    cache: Path
    stopped: str

    @property
    def workspace(self) -> Workspace:
        """Its workspace."""
        return Workspace(self.root)

    def copied(self, to: Path) -> Made:
        """The same project somewhere else."""
        shutil.copytree(self.root.parent, to)
        return Made(to / "project", to / "cache", self.stopped)


def make_whole(folder: Path) -> Made:
    """Make the project in a new folder: dataset, runs (one done, one stopped), reports, bundles, a live version,
    answers, a reference, a page, a forgetting's key, base models in the cache.
    """
    root, cache = folder / "project", folder / "cache"
    root.mkdir(parents=True)
    write_rows(root / "rows.csv")
    (root / "recipe.toml").write_text(QUICK_RECIPE)
    start([root / "rows.csv"], root, kind=None)
    project = open_project(root)
    edge = _edge(cache)
    recipe = load_recipe(root / "recipe.toml", overrides={})
    outcome = lifecycle.circle(project, recipe, edge)
    version = outcome.shadows["tuned"]
    lifecycle.promote_version(project, version.version, edge, because="it is better", force=False)
    stopped = _stop_a_training(project, outcome.prepared, recipe, cache)
    workspace = project.workspace
    opened = open_bundle(workspace.bundles / version.bundle_id)
    with contextlib.suppress(BurnishError):
        fetch_base(f"folder:{_base_of(cache)}", cache=cache, announce=lambda text: None)
    reference_of(project.task, workspace, opened, embed=None, seed=0, announce=lambda text: None)
    page = monitor_page(project.task, [], version=version.version, waiting=3)
    write_text(workspace.monitoring / f"{version.version}.html", page)
    own_key(workspace.forget_key_path, fresh=lambda: bytes(range(32)))
    record_first_use(cache / "seen.wheel.json", {"wheel_sha256": "ab" * 32})
    with open_ledger(workspace.ledger_path) as ledger:
        journal(ledger, [_answer(number, version.version) for number in range(20)])
    return Made(root, cache, stopped)


def _edge(cache: Path) -> Edge:
    return dataclasses.replace(make_edge(), cache=cache, by="ann", now=lambda: AT)


def _stop_a_training(
    project: Project, prepared: curate.Prepared, recipe: Recipe, cache: Path
) -> str:
    """A second run, stopped in its second epoch, with two checkpoints and best weights."""
    recipe = recipe.model_copy(update={"method": "full", "epochs": 3, "head_start": "random"})
    seen: list[int] = []

    @contextlib.contextmanager
    def stopping() -> Iterator[Callable[[], int | None]]:
        yield lambda: 143 if len(seen) >= 8 else None

    edge = dataclasses.replace(
        _edge(cache),
        interruptible=stopping,
        on_step=lambda step: seen.append(step.step),
        save_every_seconds=0.0,
    )
    base = lifecycle.fetch(project, prepared, recipe, edge)
    with contextlib.suppress(BurnishError):
        lifecycle.train(project, prepared, recipe, edge, base=base)
    (stopped,) = [
        name
        for name in names_in(project.workspace.runs)
        if load_run(project.workspace.runs / name).status == "interrupted"
    ]
    return stopped


def _base_of(cache: Path) -> Path:
    return next(path for path in sorted(cache.iterdir()) if path.name.startswith("tiny-"))


def _answer(number: int, version: str) -> Prediction:
    return Prediction(
        id=f"p{number}", version=version, input_id=f"i{number}", inputs={"text": f"text {number}"},
        labels=("refund",), confidence=0.5 + number / 100, scores={"refund": 0.5}, latency_ms=1.0, at=AT,
    )  # fmt: skip


# How each thing is read. A reader gives what it read, or raises a BurnishError, or says Damaged.


class DamagedError(Exception):
    """The reader noticed; for readers that answer with a word instead of an error."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Files of one kind in a project, and the way they are read when they are used."""

    files: Callable[[Made], list[Path]]
    read: Callable[[Made], object]
    # what reading may remove or mend, to be put back before the next damage
    restore: Callable[[Made], list[Path]] = lambda made: []


def _say(what: str | None) -> None:
    if what is not None:
        raise DamagedError(what)


def _under(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def _done(made: Made) -> Path:
    (name,) = [name for name in names_in(made.workspace.runs) if name != made.stopped]
    return made.workspace.runs / name


def _steps(made: Made) -> object:
    folder = _done(made)
    return load_steps(folder, count=load_run(folder).steps)


def _checkpoints(made: Made) -> Checkpoints:
    return Checkpoints(made.workspace.runs / made.stopped / "checkpoints")


def _newest(made: Made) -> object:
    """The older checkpoint must be taken and the newer one named."""
    checkpoints = _checkpoints(made)
    newest = sorted((checkpoints.folder / "latest").iterdir())[-1].name
    said: list[str] = []
    found = newest_whole(checkpoints, announce=said.append)
    if found is not None and found.name == newest:
        return found.name
    if any(newest in line and "skipped" in line for line in said):
        raise DamagedError(said[0])
    return f"{newest} went without a word, {said}"


def _newest_folder(made: Made) -> Path:
    return sorted((_checkpoints(made).folder / "latest").iterdir())[-1]


def _best_folder(made: Made) -> Path:
    return sorted((_checkpoints(made).folder / "best").iterdir())[-1]


def _ledger(made: Made) -> object:
    path = made.workspace.ledger_path
    with open_ledger(path) as ledger:
        if problems := check_ledger(ledger):
            raise BurnishError(problems)
        name = load_task(made.workspace.task_path).name
        return events(ledger), predictions(ledger), deployments(ledger, name)


def _datasets(made: Made) -> object:
    workspace = made.workspace
    return [
        (one, load_dataset(workspace, one.id), load_rows(workspace, one.id), load_rejections(workspace, one.id))
        for one in all_datasets(workspace)
    ]  # fmt: skip


def _cached(made: Made) -> object:
    said: list[str] = []
    base = fetch_base(f"folder:{_base_of(made.cache)}", cache=made.cache, announce=said.append)
    _say(said[0] if said else None)
    return base


def _identity(made: Made) -> object:
    """What task.toml and recipe.toml make: another content is another id, so nothing made before is taken for it."""
    task = load_task(made.workspace.task_path)
    recipe = load_recipe(made.root / "recipe.toml", overrides={})
    run = load_run(_done(made))
    known = run_id(task_id=run.task_id, dataset_id=run.dataset_id, recipe=run.recipe, base_sha256=run.base_sha256)  # fmt: skip
    now = run_id(
        task_id=task.id, dataset_id=run.dataset_id, recipe=recipe, base_sha256=run.base_sha256
    )
    _say(None if now == known else "it is another run")
    return task.id, recipe


KINDS: dict[str, Kind] = {
    "dataset": Kind(lambda made: _under(made.workspace.datasets), _datasets),
    "run.json": Kind(lambda made: [_done(made) / "run.json"], lambda made: load_run(_done(made))),
    "steps.jsonl": Kind(lambda made: [_done(made) / "steps.jsonl"], _steps),
    "run's model": Kind(
        lambda made: _under(_done(made) / "model"),
        lambda made: _say(
            result_fault(_done(made), weights_sha256=load_run(_done(made)).weights_sha256)
        ),
    ),
    "checkpoint weights": Kind(
        lambda made: [_newest_folder(made) / "weights.safetensors"], _newest,
        lambda made: [_checkpoints(made).folder],
    ),
    "checkpoint optimizer": Kind(
        lambda made: [_newest_folder(made) / "optimizer.safetensors"], _newest,
        lambda made: [_checkpoints(made).folder],
    ),
    "checkpoint progress": Kind(
        lambda made: [_newest_folder(made) / name for name in ("progress.json", "manifest.json")],
        _newest, lambda made: [_checkpoints(made).folder],
    ),
    "best weights": Kind(
        lambda made: _under(_best_folder(made)), _newest, lambda made: [_checkpoints(made).folder]
    ),
    "report": Kind(
        lambda made: _under(made.workspace.reports),
        lambda made: [load_report(made.workspace.reports / name) for name in names_in(made.workspace.reports)],
    ),
    "bundle": Kind(
        lambda made: _under(made.workspace.bundles),
        lambda made: [load_bundle(made.workspace.bundles / name) for name in names_in(made.workspace.bundles)],
    ),
    "reference": Kind(
        lambda made: _under(made.workspace.references),
        lambda made: [_say(reference_fault(made.workspace.references / name)) for name in names_in(made.workspace.references)],
    ),
    "monitoring page": Kind(
        lambda made: _under(made.workspace.monitoring),
        lambda made: [_say(page_fault(page)) for page in _under(made.workspace.monitoring)],
    ),
    "base model": Kind(
        lambda made: _under(made.cache / "folder"), _cached, lambda made: [made.cache / "folder"]
    ),
    "first-use record": Kind(
        lambda made: [made.cache / "seen.wheel.json"], lambda made: first_use(made.cache / "seen.wheel.json")
    ),
    "forget.key": Kind(
        lambda made: [made.workspace.forget_key_path], lambda made: read_key(made.workspace.forget_key_path)
    ),
    "ledger": Kind(
        lambda made: [made.workspace.ledger_path], _ledger,
        lambda made: [made.workspace.ledger_path, made.workspace.ledger_path.with_name("ledger.db-wal"),
                      made.workspace.ledger_path.with_name("ledger.db-shm")],
    ),
    "task and recipe": Kind(lambda made: [made.root / "task.toml", made.root / "recipe.toml"], _identity),
}  # fmt: skip
# Where a byte may change and everything read stays the same to the last bit: free pages of the database, comments and
# blanks of files that people write. Everywhere else a changed byte must be noticed.
MAY_BE_HARMLESS = frozenset({"ledger", "task and recipe"})


@dataclass(slots=True)
class Counts:
    """What became of the damages done to one kind of file."""

    done: int = 0
    caught: int = 0
    harmless: int = 0
    used: int = 0


def damage(data: bytes, chance: random.Random, *, cut: bool) -> bytes:
    """One bit flipped, or (with `cut`) the end gone."""
    if cut:
        return data[: chance.randrange(len(data))]
    torn = bytearray(data)
    at = chance.randrange(len(data))
    if chance.random() < 0.5:
        # a young database is mostly zeros: half the flips hit bytes that say something
        filled = [place for place in range(at, min(at + 4096, len(data))) if data[place]]
        at = chance.choice(filled or [at])
    torn[at] ^= 1 << chance.randrange(8)
    return bytes(torn)


def damaged_again_and_again(
    made: Made, name: str, *, flips: int, seed: int
) -> tuple[Counts, list[str]]:
    """Damage files of one kind `flips` times (each fifth time cut short), read them as they are used, count."""
    kind, chance, counts, wrong = KINDS[name], random.Random(f"{seed} {name}"), Counts(), []
    wanted = kind.read(made)
    files = [path for path in kind.files(made) if path.stat().st_size]
    spare = made.root.parent / "spare"
    for number in range(flips):
        path = chance.choice(files)
        whole = path.read_bytes()
        torn = damage(whole, chance, cut=number % 5 == 4)
        saved = kind.restore(made)
        for index, one in enumerate(saved):
            _copy(one, spare / str(index))
        path.write_bytes(torn)
        counts.done += 1
        try:
            found = kind.read(made)
        except (BurnishError, DamagedError):
            counts.caught += 1
        else:
            if found == wanted and name in MAY_BE_HARMLESS:
                counts.harmless += 1
            else:
                counts.used += 1
                wrong.append(f"{name}: {path.name}, damage {number}: {str(found)[:200]}")
        for index, one in enumerate(saved):
            _copy(spare / str(index), one)
        write_file(path, whole)
    shutil.rmtree(spare, ignore_errors=True)
    return counts, wrong


def _copy(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        shutil.copyfile(source, target)
