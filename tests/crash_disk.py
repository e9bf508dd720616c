"""For tests: a disk that remembers in which order it was asked, and what a power loss can leave of that.

`recording` listens at the operating system's door. `Disk.states` then builds what may be there after the power went
at any moment: bytes are sure only when their file was synced after them, a name only when its folder was. Of the rest
any part may be there in any combination: writes dropped, kept out of order, torn at 512 or 4,096 bytes, lengths
without their bytes, renames lost or kept. A rename itself is one step, as every file system of today has it.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SECTORS = (512, 4096)
# How what was not synced may fare: kept whole, lost, names without bytes, names and lengths without bytes, anything.
_FATES = ("kept", "lost", "names", "zeros", "any")


@dataclass(frozen=True, slots=True)
class Op:
    """One thing the disk was asked: `kind` write, cut, link, unlink, move or sync, and what it is about."""

    kind: str
    inode: int = -1
    data: bytes = b""
    at: int = 0
    folder: int = -1
    name: str = ""
    to_folder: int = -1
    to_name: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What the disk holds after a power loss: folders and files by their path, and which acts had been acknowledged."""

    files: dict[str, bytes | None]
    acknowledged: tuple[object, ...]
    told: str

    @property
    def key(self) -> str:
        """Equal for equal states."""
        digest = hashlib.blake2b(repr(self.acknowledged).encode(), digest_size=16)
        for path, data in sorted(self.files.items()):
            digest.update(f"{path}\0{'-' if data is None else len(data)}\0".encode())
            digest.update(data or b"")
        return digest.hexdigest()

    def build(self, into: Path) -> None:
        """Make it real in a new folder."""
        into.mkdir()
        for path, data in self.files.items():  # parents stand before their children
            if data is None:
                os.mkdir(into / path, 0o700)
            else:
                handle = os.open(into / path, os.O_WRONLY | os.O_CREAT, 0o600)
                os.write(handle, data)
                os.close(handle)


@dataclass
class Disk:
    """A folder's history, from a beginning that is wholly on the disk."""

    home: Path
    ops: list[Op] = field(default_factory=list)
    acks: list[tuple[int, object]] = field(default_factory=list)
    start: int = 0
    # what is there now: the entries of each folder, the bytes of each file
    entries: dict[int, dict[str, int]] = field(default_factory=lambda: {0: {}})
    bytes_of: dict[int, bytes] = field(default_factory=dict)
    _next: int = 1

    def acknowledge(self, label: object) -> None:
        """An act has returned: from here on it must survive."""
        self.acks.append((len(self.ops), label))

    def begin(self) -> None:
        """Everything in the folder so far is on the disk."""
        self._adopt(0, self.home)
        for inode in range(self._next):
            self.ops.append(Op("sync", inode))
        self.start = len(self.ops)

    def states(self, chance: random.Random, *, count: int) -> Iterator[State]:
        """`count` states, spread over every moment; the fates that need no chance come first at each."""
        cuts = range(self.start, len(self.ops) + 1)
        open_cuts = [cut for cut in cuts for _ in range(self._open_bytes(cut))]
        for number in range(count):
            fate = _FATES[min(number // len(cuts), len(_FATES) - 1)]
            cut = chance.choice(open_cuts) if fate == "any" else cuts[number % len(cuts)]
            yield self.after(cut, fate, chance)

    def _open_bytes(self, cut: int) -> int:
        """How much is open at a moment: one for a name, more for bytes that were not synced."""
        synced = {op.inode: index for index, op in enumerate(self.ops[:cut]) if op.kind == "sync"}
        blocks = names = 0
        for index, op in enumerate(self.ops[:cut]):
            if op.kind == "write" and synced.get(op.inode, -1) < index:
                blocks += 1 + len(op.data) // _SECTORS[0]
            elif op.kind in ("link", "unlink", "move"):
                place = op.to_folder if op.kind == "move" else op.folder
                names += synced.get(place, -1) < index
        return min(names, 4) + min(blocks, 20)

    def after(self, cut: int, fate: str, chance: random.Random) -> State:
        """One state that a power loss after `cut` operations can leave."""
        done = self.ops[:cut]
        synced = {op.inode: index for index, op in enumerate(done) if op.kind == "sync"}
        known = {"kept": 1.0, "names": 1.0, "zeros": 1.0, "lost": 0.0}.get(fate)
        # a lost name hides what became of the bytes behind it, so mostly names stay
        keep_names = chance.choice((0.5, 0.9, 1.0)) if known is None else known
        names: dict[tuple[int, str], int] = {}
        data: dict[int, bytearray] = {}
        for index, op in enumerate(done):
            if op.kind in ("write", "cut"):
                held = data.setdefault(op.inode, bytearray())
                sure = synced.get(op.inode, -1) > index
                _apply(held, op, "kept" if sure else fate, chance)
            elif op.kind in ("link", "unlink", "move"):
                place = op.to_folder if op.kind == "move" else op.folder
                sure = synced.get(place, -1) > index
                kept = sure or chance.random() < keep_names
                if kept:
                    _rename(names, op)
                elif op.kind == "move" and op.folder != place and synced.get(op.folder, -1) > index:
                    names.pop((op.folder, op.name), None)  # gone here, never arrived there
        files: dict[str, bytes | None] = {}

        def walk(inode: int, path: str) -> None:
            for (folder, name), child in names.items():
                if folder == inode:
                    where = f"{path}{name}"
                    if child in self.entries:
                        files[where] = None
                        walk(child, f"{where}/")
                    else:
                        files[where] = bytes(data.get(child, b""))

        walk(0, "")
        acknowledged = tuple(label for at, label in self.acks if at <= cut)
        return State(files, acknowledged, f"after {cut - self.start} operations, {fate}")

    # what follows is called by the listeners

    def find(self, path: str, folder: int = 0) -> tuple[int, str, int | None]:
        """(folder, name, inode or None) of a path relative to a folder; what is new there is taken in."""
        *parents, name = path.split("/")
        where = self._real(folder)
        for part in parents:
            inode = self.entries[folder].get(part)
            where = where / part
            if inode is None:
                inode = self._enter(folder, part, is_folder=True)
            folder = inode
        return folder, name, self.entries[folder].get(name)

    def made(self, folder: int, name: str, *, is_folder: bool) -> int:
        """A file or folder was made, unless it is known."""
        known = self.entries[folder].get(name)
        return self._enter(folder, name, is_folder=is_folder) if known is None else known

    def settle(self, inode: int, path: Path) -> None:
        """Take in the bytes that were written past the listeners."""
        if inode in self.entries:
            return
        now, known = path.read_bytes(), self.bytes_of.get(inode, b"")
        if now == known:
            return
        if now.startswith(known):
            self.ops.append(Op("write", inode, now[len(known) :], len(known)))
        else:
            self.ops += [Op("cut", inode, at=0), Op("write", inode, now, 0)]
        self.bytes_of[inode] = now

    def moved(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        """A rename has happened."""
        inode = self.entries[source[0]].pop(source[1])
        self.entries[target[0]][target[1]] = inode
        self.ops.append(Op("move", inode, b"", 0, *source, *target))

    def gone(self, folder: int, name: str) -> None:
        """A file or an empty folder has been removed."""
        inode = self.entries[folder].pop(name)
        self.ops.append(Op("unlink", inode, folder=folder, name=name))

    def _enter(self, folder: int, name: str, *, is_folder: bool) -> int:
        inode, self._next = self._next, self._next + 1
        self.entries[folder][name] = inode
        if is_folder:
            self.entries[inode] = {}
        self.ops.append(Op("link", inode, folder=folder, name=name))
        return inode

    def _adopt(self, folder: int, path: Path) -> None:
        for entry in sorted(path.iterdir()):
            inode = self.made(folder, entry.name, is_folder=entry.is_dir())
            if entry.is_dir():
                self._adopt(inode, entry)
            else:
                self.settle(inode, entry)

    def _real(self, folder: int) -> Path:
        if folder == 0:
            return self.home
        for parent, names in self.entries.items():
            for name, inode in names.items():
                if inode == folder:
                    return self._real(parent) / name
        raise LookupError(f"folder {folder} is gone")


def _rename(names: dict[tuple[int, str], int], op: Op) -> None:
    if op.kind == "link":
        names[op.folder, op.name] = op.inode
    elif op.kind == "unlink":
        names.pop((op.folder, op.name), None)
    else:
        for place in [place for place, inode in names.items() if inode == op.inode]:
            del names[place]
        names[op.to_folder, op.to_name] = op.inode


def _apply(held: bytearray, op: Op, fate: str, chance: random.Random) -> None:
    if fate == "any":
        fate = chance.choice(("kept", "lost", "zeros", "torn", "torn", "torn", "torn"))
    if fate in ("lost", "names"):
        return
    if op.kind == "cut":
        del held[op.at :]
        return
    end = op.at + len(op.data)
    if fate == "kept":
        held.extend(b"\0" * (op.at - len(held)))
        held[op.at : end] = op.data
        return
    old_end = len(held)
    if fate == "zeros":
        held.extend(b"\0" * (end - old_end))
        return
    size = chance.choice(_SECTORS)
    for start in range(op.at // size * size, end, size):
        if chance.random() < 0.5:
            low, high = max(start, op.at), min(start + size, end)
            held.extend(b"\0" * (high - len(held)))
            held[low:high] = op.data[low - op.at : high - op.at]


@contextmanager
def recording(home: Path) -> Iterator[Disk]:
    """Listen to everything that happens below `home`, which is taken as being on the disk at first."""
    disk = Disk(home)
    disk.begin()
    handles: dict[int, int] = {}
    names = (
        "open",
        "write",
        "fsync",
        "replace",
        "rename",
        "mkdir",
        "unlink",
        "rmdir",
        "ftruncate",
        "close",
    )
    real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in names}

    def place(path: Any, dir_fd: int | None = None) -> tuple[int, str] | None:
        """(folder, path below it) of what is ours."""
        if dir_fd is not None:
            return (handles[dir_fd], os.fspath(path)) if dir_fd in handles else None
        if isinstance(path, int) or not os.path.abspath(path).startswith(f"{home}/"):
            return None
        return 0, os.path.relpath(os.path.abspath(path), home)

    def opened(path: Any, flags: int, *rest: Any, dir_fd: int | None = None, **more: Any) -> int:
        handle = real["open"](path, flags, *rest, dir_fd=dir_fd, **more)
        if not isinstance(path, int) and os.path.abspath(path) == str(home) and dir_fd is None:
            handles[handle] = 0
        elif (ours := place(path, dir_fd)) is not None:
            folder, name, _ = disk.find(ours[1], ours[0])
            handles[handle] = disk.made(
                folder, name, is_folder=os.path.isdir(f"/proc/self/fd/{handle}")
            )
        else:
            handles.pop(handle, None)
        return handle

    def written(handle: int, data: Any) -> int:
        count = real["write"](handle, data)
        if handle in handles:
            disk.settle(handles[handle], Path(f"/proc/self/fd/{handle}"))
        return count

    def synced(handle: int) -> None:
        if handle in handles:
            disk.settle(handles[handle], Path(f"/proc/self/fd/{handle}"))
            disk.ops.append(Op("sync", handles[handle]))

    def cut(handle: int, length: int) -> None:
        real["ftruncate"](handle, length)
        inode = handles.get(handle)
        if inode is not None and len(disk.bytes_of.get(inode, b"")) > length:
            disk.ops.append(Op("cut", inode, at=length))
            disk.bytes_of[inode] = disk.bytes_of[inode][:length]

    def moved(source: Any, target: Any) -> None:
        old, new = place(source), place(target)
        assert old is not None and new is not None, f"a rename out of the recorded folder: {source}"
        folder, name, inode = disk.find(old[1])
        if inode is None:
            inode = disk.made(folder, name, is_folder=os.path.isdir(source))
        if os.path.isfile(source):
            disk.settle(inode, Path(source))
        real["rename"](source, target)
        to_folder, to_name, _ = disk.find(new[1])
        disk.moved((folder, name), (to_folder, to_name))

    def made(path: Any, *rest: Any, **more: Any) -> None:
        real["mkdir"](path, *rest, **more)
        if (ours := place(path)) is not None:
            folder, name, _ = disk.find(ours[1])
            disk.made(folder, name, is_folder=True)

    def removed(real_one: Callable[..., Any]) -> Callable[..., None]:
        def remove(path: Any, *, dir_fd: int | None = None) -> None:
            real_one(path, dir_fd=dir_fd)
            if (ours := place(path, dir_fd)) is not None:
                folder, name, inode = disk.find(ours[1], ours[0])
                if inode is not None:
                    disk.gone(folder, name)

        return remove

    def closed(handle: int) -> None:
        handles.pop(handle, None)
        real["close"](handle)

    listeners: dict[str, Callable[..., Any]] = {
        "open": opened, "write": written, "fsync": synced, "replace": moved, "rename": moved, "mkdir": made,
        "unlink": removed(real["unlink"]), "rmdir": removed(real["rmdir"]), "ftruncate": cut, "close": closed,
    }  # fmt: skip
    for name, listener in listeners.items():
        setattr(os, name, listener)
    try:
        yield disk
    finally:
        for name, function in real.items():
            setattr(os, name, function)
