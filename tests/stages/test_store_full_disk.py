"""A full disk, a limit on file sizes, a folder that may not be written to: told, and nothing lost."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from burnish.errors import BurnishError
from burnish.records.deployment import Prediction
from burnish.store.durable import (
    LineLog,
    new_folder,
    read_lines,
    replacing,
    verify_folder,
    write_file,
)
from burnish.store.journal import journal, predictions
from burnish.store.ledger import (
    check_ledger,
    events,
    open_ledger,
    record_event,
)
from burnish.store.workspace import open_workspace
from small_disk import fill, mounted


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", megabytes=2) as folder:
        yield folder


def group(name: str, *, size: int = 20_000) -> list[Prediction]:
    return [
        Prediction(
            id=f"{name}-{row}",
            version="v",
            input_id="i",
            inputs={"text": "x" * size},
            labels=("a",),
            confidence=0.5,
            scores={"a": 0.5},
            latency_ms=1.0,
            at="t",
        )
        for row in range(5)
    ]


def test_a_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    write_file(small_disk / "state", b"old")
    filler = fill(small_disk, leave=8192)
    with pytest.raises(BurnishError) as caught:
        write_file(small_disk / "state", b"n" * 1_000_000)
    assert caught.value.code == "disk-full"
    assert "needs 1,000,000 bytes" in str(caught.value)
    assert "bytes are free" in str(caught.value)
    assert (small_disk / "state").read_bytes() == b"old"
    assert sorted(os.listdir(small_disk)) == ["filler", "state"]
    filler.unlink()
    write_file(small_disk / "state", b"n" * 1_000_000)
    assert (small_disk / "state").stat().st_size == 1_000_000


def test_a_full_disk_leaves_no_half_folder(small_disk: Path) -> None:
    def publish() -> None:
        with new_folder(small_disk / "one") as staging:
            for number in range(8):
                (staging / str(number)).write_bytes(b"w" * 100_000)

    filler = fill(small_disk, leave=300_000)
    with pytest.raises(BurnishError, match="disk-full"):
        publish()
    assert os.listdir(small_disk) == ["filler"]
    with (
        pytest.raises(BurnishError, match="needs 900,000 bytes"),
        new_folder(small_disk / "one", needs_bytes=900_000),
    ):
        pytest.fail("the body must not start")
    filler.unlink()
    publish()
    assert verify_folder(small_disk / "one") == ()


def test_a_full_disk_keeps_the_old_output(small_disk: Path) -> None:
    write_file(small_disk / "out.csv", b"old")
    filler = fill(small_disk, leave=100_000)
    with pytest.raises(BurnishError, match="disk-full"), replacing(small_disk / "out.csv") as out:
        for _ in range(1000):
            out.write("a line of the output\n" * 100)
    assert (small_disk / "out.csv").read_bytes() == b"old"
    assert sorted(os.listdir(small_disk)) == ["filler", "out.csv"]
    filler.unlink()
    with replacing(small_disk / "out.csv") as out:
        out.write("new")
    assert (small_disk / "out.csv").read_bytes() == b"new"


def test_a_rust_library_that_finds_the_disk_full_is_understood(tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match="disk-full"), new_folder(tmp_path / "one"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")


def test_a_full_disk_keeps_the_log(small_disk: Path) -> None:
    log = LineLog(small_disk / "steps.jsonl")
    filler = fill(small_disk)
    with pytest.raises(BurnishError, match="disk-full"):
        for number in range(2000):
            log.append({"step": number, "pad": "x" * 100})
    kept = len(read_lines(small_disk / "steps.jsonl"))
    filler.unlink()
    log.append({"step": kept, "pad": ""})
    log.close()
    assert [line["step"] for line in read_lines(small_disk / "steps.jsonl")] == list(
        range(kept + 1)
    )


def test_a_full_disk_keeps_every_acknowledged_prediction(small_disk: Path) -> None:
    with open_ledger(small_disk / "ledger.db") as ledger:
        record_event(ledger, kind="promoted", subject="v", by="b", at="t", payload={})
        done = 0
        with pytest.raises(BurnishError) as caught:
            for done in range(100):
                journal(ledger, group(f"g{done}"))
        assert caught.value.code == "disk-full"
        assert "bytes are free" in str(caught.value)
        wanted = [one.id for number in range(done) for one in group(f"g{number}")]
        assert [one.id for one in predictions(ledger)] == wanted
        assert len(events(ledger)) == 1
        assert check_ledger(ledger) == ()
        subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
        journal(ledger, group(f"g{done}"))
        assert len(predictions(ledger)) == len(wanted) + 5
    with open_ledger(small_disk / "ledger.db") as ledger:
        assert len(predictions(ledger)) == len(wanted) + 5


def test_every_amount_of_room_leaves_a_sound_ledger(small_disk: Path) -> None:
    """A page more each time: an event is there when it was acknowledged, and the next one follows on it."""
    path, acknowledged, failed = small_disk / "ledger.db", 0, 0
    with open_ledger(path) as ledger:
        record_event(ledger, kind="said", subject="v", by="b", at="t", payload={"n": 0})
    for pages in range(60):
        filler = fill(small_disk, leave=pages * 4096)
        try:
            with open_ledger(path) as ledger:
                record_event(
                    ledger, kind="said", subject="v", by="b", at="t", payload={"x": "y" * 20_000}
                )
            acknowledged += 1
        except BurnishError as error:
            failed += 1
            assert error.code == "disk-full", error
        filler.unlink()
        with open_ledger(path) as ledger:
            assert check_ledger(ledger) == ()
            found = events(ledger)
        assert len(found) == 1 + acknowledged
        if acknowledged >= 3:
            break
    assert failed >= 3 and acknowledged == 3


def test_a_new_ledger_on_a_full_disk_is_told(small_disk: Path) -> None:
    filler = fill(small_disk)
    with pytest.raises(BurnishError, match="disk-full"):
        open_ledger(small_disk / "ledger.db")
    filler.unlink()
    with open_ledger(small_disk / "ledger.db") as ledger:
        assert check_ledger(ledger) == ()


def in_child(work: Callable[[], None]) -> int:
    """The exit code of `work` run in a process of its own, so that its limits stay there."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)  # the child must never return into pytest
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_limit_on_file_sizes_is_told(tmp_path: Path) -> None:
    write_file(tmp_path / "state", b"old")

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        for act in (
            lambda: write_file(tmp_path / "state", b"n" * 60_000),
            lambda: publish_large(tmp_path / "one"),
        ):
            with pytest.raises(BurnishError, match="disk-full") as caught:
                act()
            assert "ulimit -f" in str(caught.value)

    assert in_child(work) == 0
    assert (tmp_path / "state").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state"]


def publish_large(target: Path) -> None:
    with new_folder(target) as staging:
        (staging / "weights").write_bytes(b"w" * 60_000)


def test_a_ledger_under_a_limit_on_file_sizes_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        journal(ledger, group("before", size=100))

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        ledger = open_ledger(path)
        for number in range(100):
            try:
                journal(ledger, group(f"g{number}"))
            except BurnishError as error:
                assert error.code in {"write-failed", "disk-full"}, error
                return
        raise ValueError("the limit was never met")

    assert in_child(work) == 0
    with open_ledger(path) as ledger:
        ids = [one.id for one in predictions(ledger)]
        assert ids[:5] == [f"before-{row}" for row in range(5)]
        assert len(ids) % 5 == 0
        assert check_ledger(ledger) == ()


def test_a_disk_that_may_not_be_written_to(small_disk: Path) -> None:
    workspace = open_workspace(small_disk, create=True)
    write_file(workspace.root / "task.toml", b"")
    with open_ledger(workspace.ledger_path) as ledger:
        record_event(ledger, kind="promoted", subject="v", by="b", at="t", payload={})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        assert open_workspace(small_disk) == workspace
        for act in (
            lambda: write_file(workspace.root / "task.toml", b"new"),
            lambda: publish_large(workspace.datasets / "one"),
            lambda: open_ledger(workspace.ledger_path),
            lambda: open_workspace(small_disk / ".burnish", create=True),
        ):
            with pytest.raises(BurnishError, match="not-writable"):
                act()
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    with open_ledger(workspace.ledger_path) as ledger:
        assert len(events(ledger)) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    write_file(tmp_path / "state", b"old")
    tmp_path.chmod(0o500)
    try:
        for act in (
            lambda: write_file(tmp_path / "state", b"new"),
            lambda: publish_large(tmp_path / "one"),
            lambda: open_ledger(tmp_path / "ledger.db"),
        ):
            with pytest.raises(BurnishError, match="not-writable"):
                act()
    finally:
        tmp_path.chmod(0o700)
    assert (tmp_path / "state").read_bytes() == b"old"
