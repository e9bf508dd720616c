"""Failing devices, power loss and kill -9: after each, the old state or the new one, and work goes on.

Faults are put in at the operating system's door (the functions of `os`), never inside our own code.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import BurnishError
from burnish.store.durable import new_folder, read_lines, replacing, verify_folder, write_file

CALLS = [
    "open",
    "write",
    "fsync",
    "replace",
    "rename",
    "mkdir",
    "chmod",
    "fchmod",
    "unlink",
    "ftruncate",
    "close",
    "rmdir",
    "scandir",
]
CLEANING = {"unlink", "rmdir", "close", "scandir"}
FILES = {"weights": b"w" * 300, "sub/state.json": b"{}"}
CODES = {errno.EIO: "write-failed", errno.ENOSPC: "disk-full", errno.EROFS: "not-writable"}


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


ACTS: dict[str, tuple[Callable[[Path], None], Callable[..., bool]]] = {
    "file": (write_state, state_is_whole),
    "stream": (stream_state, state_is_whole),
    "folder": (publish, folder_is_whole),
}


def fresh(place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "state").write_bytes(b"old state")
    return place


def left_over(place: Path) -> list[str]:
    return [name for name in os.listdir(place) if name.startswith(".")]


def break_calls(monkeypatch: pytest.MonkeyPatch, number: int, code: int, *, for_good: bool) -> None:
    """Make the `number`-th system call of the store fail with `code`, or all from there on."""
    count = 0

    def broken(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == number or (for_good and count > number):
                if name == "close":
                    real(*args, **kwargs)  # Linux closes the descriptor also when close fails
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, broken(name, getattr(os, name)))


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("act", ACTS)
def test_every_call_may_fail(
    place: Path, monkeypatch: pytest.MonkeyPatch, act: str, code: int, *, for_good: bool
) -> None:
    do, is_whole = ACTS[act]
    failures = 0
    for number in range(1, 200):
        home = fresh(place / "home")
        with monkeypatch.context() as patch:
            break_calls(patch, number, code, for_good=for_good)
            try:
                do(home)
                problem = None
            except BurnishError as error:
                problem = error
        assert is_whole(home, acknowledged=problem is None), number
        if problem is not None:
            failures += 1
            assert problem.code == CODES[code], number
            if code == errno.ENOSPC:
                assert "needs" in str(problem)
                assert "bytes" in str(problem)
        do(home)
        assert is_whole(home, acknowledged=True)
        assert left_over(home) == []
        if problem is None and number > failures + 20:
            break
    else:
        pytest.fail("never succeeded")
    assert failures >= 6


@dataclass
class Disk:
    """What reached the disk: names per folder and bytes per file, in the order it was asked for.

    After a power loss an entry is sure only when its folder was synced after, bytes only when their
    file was; of the rest any part may be there, in any combination.
    """

    journal: list[tuple[str, Any, Any]] = field(default_factory=list)

    def crash(self, cut: int, chance: random.Random, into: Path) -> None:
        """Build in `into` one of the states that power loss after `cut` operations can leave."""
        done = self.journal[:cut]
        synced = {key: index for index, (kind, key, _) in enumerate(done) if kind == "fsync"}
        tree: dict[tuple[int, str], int] = {}
        data: dict[int, bytes] = {}
        folders = {0}
        for index, (kind, key, value) in enumerate(done):
            if kind == "write":
                sure = synced.get(key, -1) > index
                kept = len(value) if sure else chance.randint(0, len(value))
                holes = b"" if sure or chance.random() < 0.5 else b"\0" * (len(value) - kept)
                data[key] = data.get(key, b"") + value[:kept] + holes
            elif kind == "folder":
                folders.add(key)
            elif kind == "link":
                (parent, name), inode = key, value
                if synced.get(parent, -1) > index or chance.random() < 0.5:
                    tree = {place: other for place, other in tree.items() if other != inode}
                    tree[parent, name] = inode
            elif kind == "unlink" and (synced.get(key[0], -1) > index or chance.random() < 0.5):
                tree.pop(key, None)

        def build(inode: int, path: Path) -> None:
            path.mkdir()
            for (parent, name), child in tree.items():
                if parent == inode and child in folders:
                    build(child, path / name)
                elif parent == inode:
                    (path / name).write_bytes(data.get(child, b""))

        build(0, into)


def record(monkeypatch: pytest.MonkeyPatch, home: Path) -> Disk:
    """Listen at the operating system's door; inodes are counted from 0, the home folder."""
    disk = Disk()
    inodes: dict[str, int] = {str(home): 0}
    handles: dict[int, str] = {}
    real = {name: getattr(os, name) for name in CALLS}

    def note_new(path: str, *, folder: bool) -> None:
        if path in inodes:
            return
        inodes[path] = max(inodes.values()) + 1
        if folder:
            disk.journal.append(("folder", inodes[path], None))
        parent, name = os.path.split(path)
        disk.journal.append(("link", (inodes[parent], name), inodes[path]))

    def opened(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        handle = real["open"](path, flags, *args, **kwargs)
        if "dir_fd" not in kwargs and str(path).startswith(str(home)):
            handles[handle] = str(path)
            if flags & os.O_CREAT:
                note_new(str(path), folder=False)
            elif str(path) not in inodes and os.path.isfile(path):
                # written by the body, which does not go through `os`
                if os.path.dirname(path) not in inodes:
                    note_new(os.path.dirname(path), folder=True)
                note_new(str(path), folder=False)
                disk.journal.append(("write", inodes[str(path)], Path(path).read_bytes()))
        return handle

    def written(handle: int, view: Any) -> int:
        count = real["write"](handle, view)
        if handle in handles:
            disk.journal.append(("write", inodes[handles[handle]], bytes(view[:count])))
        return count

    def synced(handle: int) -> None:
        disk.journal.append(("fsync", inodes[handles[handle]], None))

    def moved(source: Any, target: Any) -> None:
        real["rename"](source, target)
        inode = inodes.pop(str(source))
        moved_ones = [path for path in inodes if path.startswith(f"{source}/")]
        for path in moved_ones:
            inodes[str(target) + path[len(str(source)) :]] = inodes.pop(path)
        inodes[str(target)] = inode
        parent, name = os.path.split(str(target))
        disk.journal.append(("link", (inodes[parent], name), inode))

    def made(path: Any, *args: Any, **kwargs: Any) -> None:
        real["mkdir"](path, *args, **kwargs)
        note_new(str(path), folder=True)

    for name, listener in {
        "open": opened,
        "write": written,
        "fsync": synced,
        "rename": moved,
        "replace": moved,
        "mkdir": made,
    }.items():
        monkeypatch.setattr(os, name, listener)
    return disk


@pytest.mark.parametrize("act", ["file", "folder"])
def test_power_may_fail_at_any_moment(
    place: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """1,000 crash states for each act (prefixes, drops, tears and reorders of un-synced work)."""
    do, is_whole = ACTS[act]
    home = place / "home"
    home.mkdir()
    with monkeypatch.context() as patch:
        disk = record(patch, home)
        old = [("link", (0, "state"), -1), ("write", -1, b"old state")]
        disk.journal += [*old, ("fsync", -1, None), ("fsync", 0, None)]
        start = len(disk.journal)
        do(home)
    end = len(disk.journal)
    assert end - start >= 4
    chance = random.Random(0)
    acknowledged = 0
    for number in range(1000):
        cut = start + number % (end - start + 1)
        acknowledged += cut == end
        after = place / f"after-{number}"
        disk.crash(cut, chance, after)
        assert is_whole(after, acknowledged=cut == end), (number, disk.journal[:cut])
        if number % 10 == 0:
            do(after)
            assert is_whole(after, acknowledged=True)
            assert left_over(after) == []
        shutil.rmtree(after)
    assert acknowledged > 20


def test_the_power_loss_test_would_notice(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same simulation finds what a plain write without fsync loses."""
    home = place / "home"
    home.mkdir()
    with monkeypatch.context() as patch:
        disk = record(patch, home)
        handle = os.open(home / "state.new", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(handle, b"new state")
        os.close(handle)
        os.replace(home / "state.new", home / "state")
    found = set()
    for number in range(50):
        after = place / f"after-{number}"
        disk.crash(len(disk.journal), random.Random(number), after)
        state = after / "state"
        found.add(state.read_bytes() if state.exists() else None)
    assert len(found) > 2


def killed(work: Callable[[Callable[[int], None]], None], seconds: float) -> list[int]:
    """Run `work` in a process of its own, kill -9 it after `seconds`, return what it acknowledged."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            work(lambda number: (os.write(write, number.to_bytes(4, "big")), None)[1])
        finally:
            os._exit(1)
    os.close(write)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    return [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data) // 4 * 4, 4)]


def test_kill_9_loses_nothing_acknowledged(place: Path) -> None:
    from burnish.store.durable import LineLog

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
        acknowledged = killed(work, 0.004 + 0.003 * (kill % 7))
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
