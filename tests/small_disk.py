"""For tests: a disk of a few megabytes in memory, and how to fill it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *, megabytes: int, inodes: int = 0) -> Iterator[Path]:
    """A small disk at `folder`, with room for so many files where `inodes` says so; the test is skipped where this
    user may not mount one.
    """
    folder.mkdir()
    mount = shutil.which("mount")
    room = f"size={megabytes}m" + (f",nr_inodes={inodes}" if inodes else "")
    command = [str(mount), "-t", "tmpfs", "-o", room, "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, leave: int = 0) -> Path:
    """Take all the room but about `leave` bytes."""
    path = folder / "filler"
    with open(path, "wb", buffering=0) as handle:
        with pytest.raises(OSError, match="No space"):
            while handle.write(b"x" * 4096):
                pass
        handle.truncate(max(0, handle.tell() - leave))
    return path
