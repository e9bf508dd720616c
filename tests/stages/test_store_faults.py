"""Failing devices and kill -9: after each, the old state or the new one, and work goes on (power loss: test_power_loss.py).

Faults are put in at the operating system's door (the functions of `os`), never inside our own code.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from burnish.data.dataset import freeze, load_rows
from burnish.deploy.bundle import make_bundle, open_bundle
from burnish.deploy.engine import load_engine
from burnish.deploy.engines import majority
from burnish.errors import BurnishError
from burnish.models.fitted import Fitted
from burnish.store.durable import (
    exchange_folder,
    new_folder,
    read_lines,
    replacing,
    verify_folder,
    write_file,
)
from burnish.store.line_log import LineLog, log_bytes, read_log
from burnish.store.workspace import Workspace, names_in
from burnish.train.checkpoint_files import Checkpoints
from deployed import GOLDEN
from failing_door import failing
from support_task import make_example, make_task

# What is published is read back before it counts, and that may fail too.
READ_BACK = {"not-readable", "dataset-damaged", "bundle-tampered"}
FILES = {"weights": b"w" * 300, "sub/state.json": b"{}"}
CODES = {
    errno.EIO: "write-failed",
    errno.ENOSPC: "disk-full",
    errno.EROFS: "not-writable",
    errno.EINTR: "write-failed",
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A scratch folder in memory where there is one: these tests sync thousands of times."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)
    yield Path(folder)
    shutil.rmtree(folder)


def write_state(place: Path) -> None:
    write_file(place / "state", b"new state")


def publish(place: Path) -> None:
    with new_folder(place / "one") as staging:
        for name, data in FILES.items():
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_bytes(data)


def state_is_whole(place: Path, *, acknowledged: bool) -> bool:
    data = (place / "state").read_bytes()
    return data == b"new state" or (data == b"old state" and not acknowledged)


def folder_is_whole(place: Path, *, acknowledged: bool) -> bool:
    if not (place / "one").exists():
        return not acknowledged
    found = {name: (place / "one" / name).read_bytes() for name in FILES}
    return verify_folder(place / "one") == () and found == FILES


def stream_state(place: Path) -> None:
    with replacing(place / "state") as out:
        out.write("new state")


def exchange(place: Path) -> None:
    """Put a rewritten folder in the place of the old one; twice is once."""
    if not (place / "next").exists() and (place / "one" / "state").read_bytes() != b"new state":
        with new_folder(place / "next") as staging:
            (staging / "state").write_bytes(b"new state")
    if (place / "next").exists():
        exchange_folder(place / "one", published=place / "next")


def exchange_is_whole(place: Path, *, acknowledged: bool) -> bool:
    found = [place / name for name in ("one", "next") if (place / name).exists()]
    known = [(one / "state").read_bytes() for one in found if verify_folder(one) == ()]
    if len(known) != len(found) or not found:
        return False
    return known == [b"new state"] if acknowledged else set(known) <= {b"old state", b"new state"}


def add_lines(place: Path) -> None:
    """Bring a log to five lines, wherever it stands."""
    with LineLog(place / "log", bound_to="run", sync_every=2) as log:
        for number in range(len(read_log(place / "log", bound_to="run").values), 5):
            log.append({"number": number})


def lines_are_whole(place: Path, *, acknowledged: bool) -> bool:
    found = read_log(place / "log", bound_to="run")
    numbers = [line["number"] for line in found.values]
    sound = found.rest_lines == 0 and numbers == list(range(len(numbers)))
    return sound and (len(numbers) == 5 if acknowledged else len(numbers) >= 1)


def save(place: Path) -> None:
    """The third checkpoint, with better weights, while two are kept."""
    from burnish.train.checkpoint import save_best, save_checkpoint

    model, state = small_model(3)
    save_best(checkpoints_in(place), model, step=3)
    save_checkpoint(checkpoints_in(place), model, state)


def checkpoints_are_whole(place: Path, *, acknowledged: bool) -> bool:
    """Some checkpoint can be resumed from, none of those that are there is damaged."""
    from burnish.train.checkpoint_files import checkpoint_fault

    own = checkpoints_in(place)
    found = sorted((own.folder / "latest").glob("step-*"))
    steps = [int(one.name[-8:]) for one in found]
    whole = [checkpoint_fault(own, one) is None for one in found]
    return all(whole) and max(steps) >= (3 if acknowledged else 2)


def checkpoints_in(place: Path) -> Checkpoints:
    return Checkpoints(place / "run" / "checkpoints")


@cache
def small_model(step: int):  # noqa: ANN201 - torch is imported where it is used
    import torch

    from burnish.train.loop import LoopState

    torch.manual_seed(step)
    model = torch.nn.Linear(8, 4)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 8)).sum().backward()
    optimizer.step()
    return model, LoopState(optimizer, step=step, best_step=3 if step == 3 else None)


def freeze_rows(place: Path) -> None:
    workspace = Workspace(place)
    rows = {
        "train": [make_example(f"text {n}", "refund", n) for n in range(4)],
        "validation": [],
        "test": [],
    }
    freeze(
        make_task(), workspace, rows=rows, rejections=(), files=(), rows_in=4, issues=(), salt="s",
        shares=(0.8, 0.1, 0.1), parent_id=None, at="t",
    )  # fmt: skip


def dataset_is_whole(place: Path, *, acknowledged: bool) -> bool:
    found = names_in(Workspace(place).datasets)
    rows = [len(load_rows(Workspace(place), name)["train"]) for name in found]
    return rows == [4] or (rows == [] and not acknowledged)


def publish_bundle(place: Path) -> None:
    make_bundle(
        make_task(),
        constant_answers(),
        model_folder_writer=lambda folder: majority.write(folder, SHARES),
        workspace=Workspace(place),
        engine="majority",
        run_id=None,
        dataset_id="d" * 16,
        report_id="e" * 16,
        golden_inputs=GOLDEN,
        precision="fp32",
        max_tokens=32,
        card="# Card\n",
        at="t",
    )


SHARES = {"refund": 0.6, "delivery": 0.3, "other": 0.1}


@cache
def constant_answers() -> Fitted:
    with tempfile.TemporaryDirectory() as folder:
        majority.write(Path(folder), SHARES)
        return load_engine(
            Path(folder), make_task(), engine="majority", precision="fp32", max_tokens=32
        )


def bundle_is_whole(place: Path, *, acknowledged: bool) -> bool:
    found = names_in(Workspace(place).bundles)
    for name in found:
        open_bundle(Workspace(place).bundles / name, bundle_id=name)
    return len(found) == 1 or (found == [] and not acknowledged)


ACTS: dict[str, tuple[Callable[[Path], None], Callable[..., bool]]] = {
    "file": (write_state, state_is_whole),
    "stream": (stream_state, state_is_whole),
    "folder": (publish, folder_is_whole),
    "exchange": (exchange, exchange_is_whole),
    "log": (add_lines, lines_are_whole),
    "checkpoint": (save, checkpoints_are_whole),
    "dataset": (freeze_rows, dataset_is_whole),
    "bundle": (publish_bundle, bundle_is_whole),
}
# What each act finds there: made once, copied for every call that may fail.
BEFORE: dict[str, Callable[[Path], None]] = {
    "exchange": lambda place: _publish_old(place / "one"),
    "log": lambda place: write_file(place / "log", log_bytes([{"number": 0}], bound_to="run")),
    "checkpoint": lambda place: _save_two(place),
    "bundle": lambda place: Workspace(place).bundles.mkdir(parents=True),
}


def _publish_old(target: Path) -> None:
    with new_folder(target) as staging:
        (staging / "state").write_bytes(b"old state")


def _save_two(place: Path) -> None:
    from burnish.train.checkpoint import save_checkpoint

    for step in (1, 2):
        save_checkpoint(checkpoints_in(place), *small_model(step))


def fresh(place: Path, act: str = "") -> Path:
    """A new folder with what the act finds there."""
    shutil.rmtree(place, ignore_errors=True)
    before = place.with_name(f"before-{act}")
    if not before.is_dir():
        before.mkdir()
        (before / "state").write_bytes(b"old state")
        BEFORE.get(act, lambda _: None)(before)
    shutil.copytree(before, place)
    return place


def left_over(place: Path) -> list[str]:
    return [
        path.name
        for path in place.rglob(".*")
        if path.name.endswith((".tmp", ".staging", ".draft"))
    ]


def same_files(one: Path, other: Path) -> bool:
    """Equal names and bytes; locks and what names a moment aside."""

    def all_in(folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.parent.name != "locks"
        }

    return all_in(one) == all_in(other)


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("act", ACTS)
def test_every_call_may_fail(place: Path, act: str, code: int, *, for_good: bool) -> None:
    """The n-th call fails, for n = 1, 2, 3, ... until none is left: the old state stands, the message names the
    bytes, and the same act afterwards ends as if nothing had been.
    """
    do, is_whole = ACTS[act]
    undisturbed = fresh(place / "undisturbed", act)
    do(undisturbed)
    failures = 0
    for number in range(1, 400):
        home = fresh(place / "home", act)
        with failing(number, code, for_good=for_good) as door:
            try:
                do(home)
                problem = None
            except BurnishError as error:
                problem = error
        assert is_whole(home, acknowledged=problem is None), number
        if problem is not None:
            failures += 1
            assert problem.code in {CODES[code], *READ_BACK}, number
            if problem.code == "disk-full":
                assert "needs" in str(problem)
                assert "bytes" in str(problem)
        do(home)
        assert is_whole(home, acknowledged=True)
        assert left_over(home) == []
        assert same_files(home, undisturbed), number
        if not door.failed:
            break
    else:
        pytest.fail("never succeeded")
    assert failures >= 6


@pytest.mark.parametrize("act", ACTS)
def test_a_short_write_is_gone_on_with(place: Path, act: str) -> None:
    do, is_whole = ACTS[act]
    undisturbed = fresh(place / "undisturbed", act)
    do(undisturbed)
    for number in range(1, 100):
        home = fresh(place / "home", act)
        with failing(number, 0, short=True, for_good=number % 2 == 0) as door:
            do(home)
        assert is_whole(home, acknowledged=True), number
        assert same_files(home, undisturbed), number
        if not door.failed:
            break


def test_signals_during_durable_acts_are_no_failure(place: Path) -> None:
    """A timer interrupts system calls thousands of times a second; everything is written all the same."""
    fired = 0

    def count(*_: object) -> None:
        nonlocal fired
        fired += 1

    before = signal.signal(signal.SIGALRM, count)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    try:
        for act, (do, is_whole) in ACTS.items():
            for _ in range(5):
                home = fresh(place / "home", act)
                do(home)
                assert is_whole(home, acknowledged=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert fired > 100


def test_a_failed_fsync_is_not_asked_again(place: Path) -> None:
    """The second fsync of the same file would say yes to bytes that the first one lost."""
    log = LineLog(place / "log", sync_every=100)
    log.append({"number": 0})
    with failing(1, errno.EIO) as door, pytest.raises(BurnishError, match="write-failed"):
        log.sync()
    assert door.failed == 1
    with pytest.raises(BurnishError, match="write-failed"):
        log.append({"number": 1})
    log.close()


def killed(
    work: Callable[[Callable[[int], None]], None], seconds: float, *, heard: bool
) -> list[int]:
    """Run `work` in a process of its own, kill -9 it after `seconds`, return what it acknowledged. With `heard` the clock
    begins at its first acknowledgement, however slow the machine is.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            work(lambda number: (os.write(write, number.to_bytes(4, "big")), None)[1])
        finally:
            os._exit(1)
    os.close(write)
    if heard:
        select.select([read], [], [])
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    return [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data) // 4 * 4, 4)]


def test_kill_9_loses_nothing_acknowledged(place: Path) -> None:
    def work(acknowledge: Callable[[int], None]) -> None:
        with LineLog(place / "steps.jsonl") as log:
            number = len(read_lines(place / "steps.jsonl"))
            while True:
                write_file(place / "state", number.to_bytes(4, "big") * 20_000)
                with new_folder(place / f"step-{number}", checksum="xxh3") as staging:
                    (staging / "weights").write_bytes(number.to_bytes(4, "big") * 20_000)
                log.append({"number": number})
                acknowledge(number)
                number += 1

    last = -1
    for kill in range(20):
        acknowledged = killed(work, 0.004 + 0.003 * (kill % 7), heard=kill % 2 == 1)
        last = max([last, *acknowledged])
        lines = read_lines(place / "steps.jsonl")
        assert [line["number"] for line in lines] == list(range(len(lines)))
        assert len(lines) > last
        for number in range(len(lines)):
            assert verify_folder(place / f"step-{number}") == ()
        if lines:
            state = (place / "state").read_bytes()
            number = int.from_bytes(state[:4], "big")
            assert number >= last
            assert state == number.to_bytes(4, "big") * 20_000
    assert last > 0
    publish(place)
    write_state(place)
    left = [name for name in left_over(place) if name.endswith(".staging")]
    assert left == []
