"""Temporary names beside what is being written: claimed, locked while their owner lives, swept after.

The lock is the proof of life: the kernel drops it however the owner ends, so whoever can take it may
remove the name. Names are counted, not random: a leftover is met again by the next writer.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

FILE_ENDING = ".tmp"
FOLDER_ENDING = ".staging"
NO_LINKS = os.O_NOFOLLOW | os.O_CLOEXEC


def claim_file(path: Path, *, mode: int) -> tuple[Path, int]:
    """A fresh, empty temporary file beside `path`, and the descriptor that writes and locks it."""
    number = 0
    while True:
        temporary = hidden(path, number, FILE_ENDING)
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINKS, mode)
        except FileExistsError:
            number += 0 if _remove_abandoned(temporary) else 1
            continue
        if _hold(temporary, handle):
            return temporary, handle
        os.close(handle)


def claim_folder(target: Path, *, mode: int) -> tuple[Path, int]:
    """A fresh, empty staging folder beside `target`, and the descriptor that locks it."""
    number = 0
    while True:
        staging = hidden(target, number, FOLDER_ENDING)
        try:
            os.mkdir(staging, mode)
        except FileExistsError:
            number += 0 if _remove_abandoned(staging) else 1
            continue
        try:
            handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | NO_LINKS)
        except FileNotFoundError:
            continue  # a sweeping neighbour was faster than our lock
        if _hold(staging, handle):
            return staging, handle
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove the temporary names in `folder` whose owner died; those of living writers stay."""
    with os.scandir(folder) as found:
        names = [
            entry.name
            for entry in found
            if entry.name.startswith(".") and entry.name.endswith((FILE_ENDING, FOLDER_ENDING))
        ]
    for name in names:
        _remove_abandoned(folder / name)


def unlink_quietly(path: Path) -> None:
    """Remove a temporary file; one that cannot be removed is left for the next writer to sweep."""
    try:
        os.unlink(path)
    except OSError:
        return


def clear_quietly(folder: Path) -> None:
    """Remove a folder and what is in it; what cannot be removed is left for the next writer to sweep."""
    with suppress(OSError):  # ignore_errors does not cover the closing of a folder
        shutil.rmtree(folder, ignore_errors=True)


def hidden(path: Path, number: int, ending: str) -> Path:
    """The `number`-th temporary name of `path`.

    Example:
        >>> hidden(Path("runs/3f"), 0, FOLDER_ENDING).as_posix()
        'runs/.3f.0.staging'
    """
    return path.with_name(f".{path.name}.{number}{ending}")


def _hold(path: Path, handle: int) -> bool:
    """Lock what we just made; False when a sweeping neighbour took it for abandoned in between."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # no locks on this file system: the name is ours, and nobody will sweep it
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _remove_abandoned(path: Path) -> bool:
    """Remove a temporary name nobody holds. False when it is held, not ours to remove or still there."""
    try:
        # O_NONBLOCK: somebody's FIFO of that name must not stop us
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | NO_LINKS)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            clear_quietly(path)
        else:
            unlink_quietly(path)
        return not os.path.lexists(path)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            os.close(handle)
