"""The folder as such: things Burnish never makes, what killed writers left, modes open to others, room on the disk."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from burnish.examine.finding import Finding, below, fault, note
from burnish.store.faults import free_bytes
from burnish.store.temporaries import FILE_ENDING, FOLDER_ENDING

# Below it a checkpoint of even a small model finds no room.
_LEAST_FREE_BYTES = 64 << 20
_LEAST_FREE_INODES = 1000
# A checkpoint is weights and two moments, and two of them are kept while a third is written.
_ROOM_OF_LARGEST = 3
_SHOWN = 5
_LINK = "a symbolic link"


@dataclass(frozen=True, slots=True)
class Tree:
    """One walk over the state folder, links not followed.

    `strange` are links, pipes, devices and the like, and folders that cannot be listed: nothing that holds one is
    opened. `left` are temporary names; `open_to_others` what others may read or write.
    """

    strange: tuple[tuple[Path, str], ...]
    left: tuple[Path, ...]
    open_to_others: tuple[Path, ...]
    files: int
    bytes: int

    def may_open(self, path: Path) -> bool:
        """Whether nothing strange stands at a path or below it."""
        return not any(one.is_relative_to(path) for one, _ in self.strange)

    def is_listed(self, folder: Path) -> bool:
        """Whether a folder is one, and its names could be read."""
        return not any(one == folder for one, _ in self.strange)


def walk(state: Path, *, rooms: frozenset[str]) -> Tree:
    """Look at every name in the state folder and in its rooms once; no file is opened.

    A folder beside the rooms is left alone: nobody knows how large it is.
    """
    strange: list[tuple[Path, str]] = []
    left: list[Path] = []
    open_to_others: list[Path] = []
    files = total = 0
    waiting = [state]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            what = (error.strerror or "").lower()
            strange.append((folder, f"a folder that cannot be listed ({what})"))
            continue
        for entry in entries:
            path = Path(entry.path)
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # gone while we looked: somebody is at work
            if _is_temporary(entry.name):
                left.append(path)
                continue
            if stat.S_ISDIR(status.st_mode):
                if folder != state or entry.name in rooms:
                    waiting.append(path)
            elif stat.S_ISREG(status.st_mode):
                files += 1
                total += status.st_size
            else:
                strange.append((path, _kind(status.st_mode)))
            if stat.S_IMODE(status.st_mode) & 0o077 and not stat.S_ISLNK(status.st_mode):
                open_to_others.append(path)
    return Tree(tuple(strange), tuple(left), tuple(open_to_others), files, total)


def tree_findings(root: Path, state: Path, tree: Tree) -> Iterator[Finding]:
    """What the walk says."""
    for path, what in tree.strange:
        if path.parent == state and what == _LINK:  # perhaps to a larger disk: a person's choice
            yield note(
                "not-ours",
                "is a symbolic link; what it leads to was not looked at",
                where=below(root, path),
                fix="nothing, if you made it; else look at it, then remove it",
            )
            continue
        yield fault(
            "not-ours",
            f"{what} is here, and Burnish makes none; what holds it was not opened",
            where=below(root, path),
            expected="folders and regular files",
            fix=f"look at it, then remove it: rm -r {below(root, path)}",
        )
    for path in tree.left:
        yield _left(root, path)
    yield from _modes(root, state, tree)


def room_findings(root: Path, state: Path, *, largest_bytes: int) -> Iterator[Finding]:
    """Whether the disk has room for another training of the largest model there is."""
    status = os.statvfs(state)
    if status.f_files and status.f_favail < _LEAST_FREE_INODES:
        yield fault(
            "disk-full",
            f"the disk has {status.f_favail:,} file entries (inodes) left",
            where=below(root, state),
            expected=f"at least {_LEAST_FREE_INODES:,}",
            fix="remove files from this disk",
        )
    free, wanted = free_bytes(state), max(_LEAST_FREE_BYTES, _ROOM_OF_LARGEST * largest_bytes)
    if free < wanted:
        yield fault(
            "disk-full",
            f"{free:,} bytes are free",
            where=below(root, state),
            expected=f"at least {wanted:,}: three times the largest model here",
            fix="free some space before the next training",
        )


def bytes_below(folder: Path) -> int:
    """The bytes of every file below a folder; what cannot be looked at counts nothing."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(base, name).lstat().st_size
            except OSError:
                continue
    return total


def _is_temporary(name: str) -> bool:
    return name == ".draft" or (
        name.startswith(".") and name.endswith((FILE_ENDING, FOLDER_ENDING))
    )


def _left(root: Path, path: Path) -> Finding:
    if _is_held(path):
        return note(
            "left-over",
            "another process is writing this now; what it holds was not looked at",
            where=below(root, path),
            fix="let it end and run burnish doctor again",
        )
    return note(
        "left-over",
        f"a writer that was killed left this ({bytes_below(path) or path.lstat().st_size:,} bytes); nothing reads it",
        where=below(root, path),
        fix=f"nothing: the next command that writes there removes it; or rm -r {below(root, path)}",
    )


def _is_held(path: Path) -> bool:
    """Whether its writer lives: the kernel drops a writer's lock however the writer ends."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # shared, so that nobody who tests the same is told a lie
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _modes(root: Path, state: Path, tree: Tree) -> Iterator[Finding]:
    # where nobody else gets in, what is inside matters only when the folder is copied
    if stat.S_IMODE(state.stat().st_mode) & 0o077:
        found = (state, *tree.open_to_others)
        names = ", ".join(below(root, path) for path in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield fault(
            "mode-open",
            f"other users of this machine may read or write {names}{more}",
            where=below(root, state),
            expected="files 0600, folders 0700: texts, models and the server's token are inside",
            fix=f"chmod -R go= {below(root, state)}",
        )


def _kind(mode: int) -> str:
    for is_one, name in (
        (stat.S_ISLNK, _LINK),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if is_one(mode):
            return name
    return "a device"
