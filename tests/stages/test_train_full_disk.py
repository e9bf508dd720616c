"""Training on a disk that is full, has no inodes, may not be written to or fails: told, and the same call ends it.

Every attempt ends either in the bytes of an undisturbed training or with a problem; then the disk is mended, the same
call is made again, and its bytes are those of the undisturbed training.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from burnish.errors import BurnishError
from burnish.records.run import Step
from burnish.train.runs import load_run, result_fault
from crash_scenes import in_memory, leftovers
from failing_door import failing
from small_disk import fill, mounted
from tiny_training import small_recipe, tiny_base, train_tiny

RECIPE = small_recipe(epochs=2, batch_rows=12)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny_base(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(root: Path) -> Iterator[dict[str, bytes]]:
    with in_memory() as runs:
        train_tiny(root, runs, RECIPE, save_every_seconds=0.0)
        yield lasting(runs)


def lasting(runs: Path) -> dict[str, bytes]:
    """What must be the same: everything but the record, which tells times."""
    return {
        path.relative_to(runs).as_posix(): path.read_bytes()
        for path in sorted(runs.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


def attempt(root: Path, runs: Path, *, at_step: int = 0, then=lambda: None) -> BurnishError | None:  # type: ignore[no-untyped-def]
    """Train, with something happening to the disk after a step; the problem, if there was one."""

    def on_step(step: Step) -> None:
        if step.step == at_step:
            then()

    try:
        train_tiny(root, runs, RECIPE, save_every_seconds=0.0, on_step=on_step)
    except BurnishError as error:
        return error
    return None


def test_a_disk_that_fills_up(root: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    """A little more room each time, until there is enough; and once in the middle of training."""
    failed = 0
    with mounted(tmp_path / "disk", megabytes=24) as disk:
        for kilobytes in (0, 700, 1800, 3500):
            filler = fill(disk, leave=kilobytes * 1024)
            problem = attempt(root, disk / "runs")
            filler.unlink()
            if problem is not None:
                failed += 1
                assert problem.code == "disk-full", problem
                assert "needs" in str(problem) and "bytes" in str(problem)
            assert attempt(root, disk / "runs") is None
            assert lasting(disk / "runs") == undisturbed
            assert leftovers(disk) == []
            subprocess.run(["rm", "-r", str(disk / "runs")], check=True)
        problem = attempt(root, disk / "runs", at_step=2, then=lambda: fill(disk))
        assert problem is not None and problem.code == "disk-full"
        (disk / "filler").unlink()
        assert attempt(root, disk / "runs") is None
        assert lasting(disk / "runs") == undisturbed
    assert failed >= 3


def test_a_disk_without_inodes(root: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    """One more file each time: the base model has all it needs elsewhere."""
    failed = 0
    for inodes in (3, 10, 16, 22):
        with mounted(tmp_path / f"disk-{inodes}", megabytes=24, inodes=inodes) as disk:
            problem = attempt(root, disk / "runs")
            if problem is not None:
                failed += 1
                assert problem.code == "disk-full", problem
                assert "inodes" in str(problem) and "bytes" in str(problem)
            subprocess.run(["mount", "-o", "remount,nr_inodes=500", str(disk)], check=True)
            assert attempt(root, disk / "runs") is None
            assert lasting(disk / "runs") == undisturbed
    assert failed >= 3


def test_a_folder_that_may_not_be_written_to(
    root: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    @contextmanager
    def read_only(disk: Path) -> Iterator[None]:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        try:
            yield
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)

    with mounted(tmp_path / "disk", megabytes=24) as disk:
        with read_only(disk):
            problem = attempt(root, disk / "runs")
            assert problem is not None and problem.code == "not-writable"
        stop = iter([None, None, None, 143])
        with pytest.raises(BurnishError, match="training-interrupted"):
            train_tiny(
                root, disk / "runs", RECIPE, stop=lambda: next(stop, 143), save_every_seconds=0
            )
        before = lasting(disk / "runs")
        with read_only(disk):
            problem = attempt(root, disk / "runs")
            assert problem is not None and problem.code == "not-writable"
            assert lasting(disk / "runs") == before
        assert attempt(root, disk / "runs") is None
        assert lasting(disk / "runs") == undisturbed


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
def test_any_call_of_a_training_may_fail(
    root: Path, undisturbed: dict[str, bytes], code: int
) -> None:
    """Every fortieth call here, every one in tests/soak/failing_calls.py."""
    assert fail_every(40, code, root, undisturbed, start=7 if code == errno.EIO else 23) >= 4


def fail_every(every: int, code: int, root: Path, wanted: dict[str, bytes], *, start: int) -> int:
    """Let every so many-th call of a training fail, one training each; how many failed. Also used by the soak."""
    number, failures = start, 0
    while True:
        with in_memory() as runs:
            with failing(number, code) as door:
                problem = attempt(root, runs)
            if problem is not None:
                failures += 1
                told = problem.problems[0]
                # what was saved and cannot be read back counts as damaged, with the reason
                unread = told.code == "run-damaged" and os.strerror(code).lower() in told.what
                known = told.code in {"write-failed", "disk-full", "not-readable"}
                assert known or unread, (number, problem)
                for folder in runs.iterdir():
                    if (folder / "run.json").exists():
                        load_run(folder)
            else:
                (folder,) = runs.iterdir()
                weights = load_run(folder).weights_sha256
                assert result_fault(folder, weights_sha256=weights) is None, number
            assert attempt(root, runs) is None, number
            assert lasting(runs) == wanted, number
        if not door.failed:
            return failures
        number += every
