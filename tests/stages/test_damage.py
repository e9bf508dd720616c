"""Damage on the disk is noticed before use, by whoever reads the file and by `burnish doctor`, which changes nothing.

The long version of the flips is tests/soak/bit_flips.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from burnish.data.dataset import all_datasets, load_rows
from burnish.deploy.bundle import open_bundle
from burnish.errors import BurnishError
from burnish.evaluate.report_folder import load_report
from burnish.examine.doctor import Examination, examine
from burnish.monitor.reference_folder import reference_fault
from burnish.store.durable import new_folder
from burnish.store.ledger import open_ledger, record_event
from burnish.store.workspace import lock, names_in
from burnish.train.checkpoint import newest_whole
from burnish.train.checkpoint_files import Checkpoints
from burnish.train.runs import load_run, load_steps, result_fault
from crash_scenes import in_memory
from whole_workspace import (
    KINDS,
    MAY_BE_HARMLESS,
    Made,
    damage,
    damaged_again_and_again,
    make_whole,
)

FLIPS = 30


@pytest.fixture(scope="module")
def pristine() -> Iterator[Made]:
    with in_memory() as folder:
        yield make_whole(folder / "whole")


@pytest.fixture
def made(pristine: Made) -> Iterator[Made]:
    """A copy to spoil."""
    with in_memory() as folder:
        yield pristine.copied(folder / "copy")


@pytest.mark.parametrize("name", KINDS)
def test_no_damaged_file_is_used(pristine: Made, name: str) -> None:
    found, wrong = damaged_again_and_again(pristine, name, flips=FLIPS, seed=1)
    assert not wrong, "\n".join(wrong)
    assert found.caught >= (5 if name in MAY_BE_HARMLESS else FLIPS)


def exchange(one: Path, other: Path) -> None:
    """Two names, each with what was the other's."""
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def test_two_whole_reports_exchanged(made: Made) -> None:
    room = made.workspace.reports
    one, other, *_ = names_in(room)
    exchange(room / one, room / other)
    for name in (one, other):
        with pytest.raises(BurnishError, match="report-damaged"):
            load_report(room / name)
    assert {"report-damaged"} <= codes(examine(made.root))


def test_two_whole_bundles_exchanged(made: Made) -> None:
    room = made.workspace.bundles
    one, other, *_ = names_in(room)
    exchange(room / one, room / other)
    with pytest.raises(BurnishError, match="bundle-tampered"):
        open_bundle(room / one, bundle_id=one)
    assert {"bundle-tampered"} <= codes(examine(made.root))


def test_files_of_two_bundles_exchanged(made: Made) -> None:
    room = made.workspace.bundles
    one, other, *_ = names_in(room)
    exchange(room / one / "burnish" / "golden.jsonl", room / other / "burnish" / "golden.jsonl")
    for name in (one, other):
        with pytest.raises(BurnishError, match="bundle-tampered"):
            open_bundle(room / name, bundle_id=name)


def test_a_reference_of_another_bundle(made: Made) -> None:
    (name,) = names_in(made.workspace.references)
    other = next(one for one in names_in(made.workspace.bundles) if one != name)
    room = made.workspace.references
    (room / name).rename(room / other)
    assert "reference of bundle" in str(reference_fault(room / other))
    assert "reference-damaged" in codes(examine(made.root))


def test_a_dataset_under_another_name(made: Made) -> None:
    (name,) = names_in(made.workspace.datasets)
    shutil.copytree(made.workspace.datasets / name, made.workspace.datasets / ("0" * 16))
    with pytest.raises(BurnishError, match="dataset-damaged"):
        load_rows(made.workspace, "0" * 16)
    with pytest.raises(BurnishError, match="dataset-damaged"):
        all_datasets(made.workspace)


def runs_of(made: Made) -> tuple[Path, Path]:
    """The finished run and the stopped one."""
    (done,) = [name for name in names_in(made.workspace.runs) if name != made.stopped]
    return made.workspace.runs / done, made.workspace.runs / made.stopped


@pytest.mark.parametrize("name", ["run.json", "steps.jsonl"])
def test_files_of_two_runs_exchanged(made: Made, name: str) -> None:
    done, stopped = runs_of(made)
    read: Callable[[Path], object] = load_run if name == "run.json" else load_steps
    exchange(done / name, stopped / name)
    for folder in (done, stopped):
        with pytest.raises(BurnishError, match="run-damaged"):
            read(folder)
    assert "run-damaged" in codes(examine(made.root))


def test_a_line_of_the_log_exchanged_or_gone(made: Made) -> None:
    _, stopped = runs_of(made)
    path = stopped / "steps.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    steps = load_steps(stopped)
    for spoilt in (
        [lines[1], lines[0], *lines[2:]],
        [lines[0], *lines[2:]],
        [lines[0], lines[0], *lines[1:]],
        [lines[0], lines[1].replace(b'"epoch": 1', b'"epoch": 2'), *lines[2:]],
    ):
        path.write_bytes(b"".join(spoilt))
        with pytest.raises(BurnishError, match="run-damaged"):
            load_steps(stopped)
    path.write_bytes(b"".join(lines[:-1]))
    assert load_steps(stopped) == steps[:-1]
    with pytest.raises(BurnishError, match=f"{len(steps) - 1} of {len(steps)}"):
        load_steps(stopped, count=len(steps))


def test_the_model_of_another_run(made: Made) -> None:
    done, _ = runs_of(made)
    run = load_run(done)
    shutil.rmtree(done / "model")
    with new_folder(done / "model") as staging:
        (staging / "model.safetensors").write_bytes(b"the weights of another run")
    said = result_fault(done, weights_sha256=run.weights_sha256)
    assert said == "its weights are not those of the run"
    assert "run-damaged" in codes(examine(made.root))


def test_checkpoints_of_another_run_or_step_are_not_resumed_from(made: Made) -> None:
    _, stopped = runs_of(made)
    own = Checkpoints(stopped / "checkpoints")
    other = Checkpoints(made.workspace.runs / ("f" * 16) / "checkpoints")
    shutil.copytree(own.folder, other.folder)
    assert "checkpoint-damaged" in codes(examine(made.root))
    said: list[str] = []
    assert newest_whole(other, announce=said.append) is None
    assert all(f"of run {made.stopped}" in line for line in said) and len(said) == 2
    older, newer = sorted((own.folder / "latest").iterdir())
    exchange(older, newer)
    said.clear()
    assert newest_whole(own, announce=said.append) is None
    assert len(said) == 2 and all("skipped: it is step" in line for line in said)


def test_best_weights_of_another_step_are_not_ended_with(made: Made) -> None:
    _, stopped = runs_of(made)
    own = Checkpoints(stopped / "checkpoints")
    best = sorted((own.folder / "best").iterdir())[-1]
    data = {path.name: path.read_bytes() for path in best.iterdir() if path.name != "manifest.json"}
    data["best.json"] = data["best.json"].replace(b'"step":', b'"step":9')
    shutil.rmtree(best)
    with new_folder(best, checksum="xxh3") as staging:
        for name, content in data.items():
            (staging / name).write_bytes(content)
    newest = sorted((own.folder / "latest").iterdir())[-1]
    said: list[str] = []
    found = newest_whole(own, announce=said.append)
    assert found != newest
    assert any("best weights of step" in line for line in said)


# burnish doctor


def codes(found: Examination) -> set[str]:
    return {one.problem.code for one in found.faults}


def fingerprint(root: Path) -> dict[str, tuple[int, int, str]]:
    """Everything below a folder: mode, time of change, content."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = "link" if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


def test_a_whole_workspace_is_whole_and_stays_as_it_is(made: Made) -> None:
    before = fingerprint(made.root.parent)
    found = examine(made.root, cache=made.cache)
    assert found.is_whole, [one.text() for one in found.faults]
    assert fingerprint(made.root.parent) == before
    assert {one.problem.code for one in found.findings} == {"run-unfinished"}
    kinds = {
        "task",
        "recipe",
        "dataset",
        "run",
        "checkpoint",
        "report",
        "bundle",
        "reference",
        "page",
    }
    kinds |= {"ledger", "forget.key", "base", "disk"}
    assert kinds <= set(found.looked_at)
    assert found.looked_at["checkpoint"] == 2


def test_doctor_sees_every_damage(made: Made) -> None:
    """A bit anywhere in the workspace: told, with a next step, unless nothing that is read differs."""
    files = [
        (name, path)
        for name, kind in KINDS.items()
        if name not in MAY_BE_HARMLESS and name != "first-use record"
        for path in kind.files(made)
        if path.stat().st_size
    ]
    chance = random.Random(1)
    for name, path in chance.sample(files, 25):
        whole = path.read_bytes()
        path.write_bytes(damage(whole, chance, cut=False))
        found = examine(made.root, cache=made.cache)
        path.write_bytes(whole)
        assert found.faults, (name, path)
        assert all(one.problem.fix and one.problem.where for one in found.findings), name
    assert examine(made.root, cache=made.cache).is_whole


def test_doctor_names_what_killed_writers_left_and_who_is_alive(made: Made) -> None:
    room = made.workspace.datasets
    with new_folder(room / "alive"), lock(made.workspace, "train"):
        (room / ".dead.0.staging").mkdir()
        (room / ".dead.0.staging" / "rows.jsonl").write_bytes(b"x" * 1000)
        found = examine(made.root)
        told = {one.problem.where: one.problem.what for one in found.findings}
        assert found.is_whole
        assert "1,000 bytes" in told[".burnish/datasets/.dead.0.staging"]
        assert "another process is writing" in told[".burnish/datasets/.alive.0.staging"]


def test_doctor_sees_open_modes_lost_bundles_and_lost_keys(made: Made) -> None:
    made.workspace.state.chmod(0o755)
    assert "mode-open" in codes(examine(made.root))
    made.workspace.state.chmod(0o700)
    made.workspace.forget_key_path.chmod(0o644)
    assert "mode-open" in codes(examine(made.root))
    made.workspace.forget_key_path.chmod(0o600)
    for name in names_in(made.workspace.bundles):
        shutil.rmtree(made.workspace.bundles / name)
    found = examine(made.root)
    levels = {one.level for one in found.findings if one.problem.code == "bundle-missing"}
    assert levels == {"fault", "note"}, "the live one is a fault, one in shadow is not"
    stone = {
        "id": "x", "task_name": "t", "datasets": {}, "counts": {}, "hashes": [], "models": [],
        "by": "ann", "because": "", "at": "t",
    }  # fmt: skip
    with open_ledger(made.workspace.ledger_path) as ledger:
        record_event(ledger, kind="forgotten", subject="t", by="ann", at="t", payload=stone)
    assert "forget-key-damaged" not in codes(examine(made.root))
    made.workspace.forget_key_path.unlink()
    assert "forget-key-damaged" in codes(examine(made.root))
    (made.workspace.exchange / "reports.abc").mkdir(parents=True)
    assert "forget-incomplete" in codes(examine(made.root))


def test_doctor_tells_a_changed_task(made: Made) -> None:
    text = made.workspace.task_path.read_text()
    made.workspace.task_path.write_text(text.replace('primary_metric = "', 'primary_metric = "x'))
    assert not examine(made.root).is_whole
    made.workspace.task_path.write_text(text + '\n[[gates]]\nmetric = "accuracy"\nat_least = 0.5\n')
    told = {one.problem.code for one in examine(made.root).findings}
    assert told & {"task-changed", "task-unknown-key", "task-bad-value"}


GARBAGE: dict[str, Callable[[Path, random.Random], None]] = {
    "bytes": lambda path, chance: _filled(path, chance.randbytes(chance.randrange(4000))),
    "nothing": lambda path, chance: _filled(path, b""),
    "deep json": lambda path, chance: _filled(path, b"[" * 200_000),
    "wrong json": lambda path, chance: _filled(path, b'{"id": [1e999], "status": {}}\n'),
    "a folder": lambda path, chance: _replaced(path, lambda: path.mkdir()),
    "a link to itself": lambda path, chance: _replaced(path, lambda: path.symlink_to(path)),
    "a link away": lambda path, chance: _replaced(path, lambda: path.symlink_to("/dev/zero")),
    "a link to a folder": lambda path, chance: _replaced(path, lambda: path.symlink_to("/proc")),
    "a pipe": lambda path, chance: _replaced(path, lambda: os.mkfifo(path)),
    "gone": lambda path, chance: _replaced(path, lambda: None),
    "odd neighbours": lambda path, chance: _filled(path.with_name("a\udc80\nb"), b"x"),
}


def _filled(path: Path, data: bytes) -> None:
    """A regular file of these bytes, whatever stood there; a folder stays."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        path.write_bytes(data)


def _replaced(path: Path, make: Callable[[], object]) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    make()


def test_doctor_opens_nothing_that_never_ends(made: Made) -> None:
    ledger = made.workspace.ledger_path
    ledger.with_name("ledger.db-wal").symlink_to("/dev/zero")
    ledger.with_name("ledger.db.lock").unlink()
    os.mkfifo(ledger.with_name("ledger.db.lock"))
    made.workspace.token_path.symlink_to("/dev/zero")
    (made.root / "recipe.toml").unlink()
    (made.root / "recipe.toml").symlink_to("/dev/zero")
    shutil.rmtree(made.workspace.monitoring)
    made.workspace.monitoring.symlink_to("/proc")
    (made.workspace.state / "elsewhere").symlink_to("/")
    found = examine(made.root)
    assert {"not-ours", "not-readable"} <= codes(found)
    told = {one.problem.where: one.level for one in found.findings}
    assert told[".burnish/monitoring"] == told[".burnish/elsewhere"] == "note"


def test_doctor_survives_whatever_lies_there(made: Made) -> None:
    """Garbage of every sort in any place, six at a time: findings, never an error, and nothing is changed."""
    chance = random.Random(2)
    spare = made.root.parent / "as it was"
    shutil.copytree(made.root, spare)
    for number in range(66):
        state = made.workspace.state
        rooms = sorted(state.iterdir()) if state.is_dir() and not state.is_symlink() else []
        deep = sorted(state.rglob("*")) if rooms else []
        outer = [
            path for path in (made.workspace.task_path, state, *rooms) if os.path.lexists(path)
        ]
        path = chance.choice(outer if number % 2 or not deep else deep)
        sort = list(GARBAGE)[number % len(GARBAGE)]
        GARBAGE[sort](path, chance)
        if not os.path.lexists(made.workspace.task_path) and not os.path.lexists(state):
            made.workspace.task_path.write_bytes(b"")
        before = fingerprint(made.root)
        found = examine(made.root, cache=made.root)
        assert fingerprint(made.root) == before, (sort, path)
        json.dumps([one.problem.as_json() for one in found.findings])
        if number % 6 == 5:
            shutil.rmtree(made.root)
            shutil.copytree(spare, made.root)
