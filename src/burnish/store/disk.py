"""The system calls under every durable write: bytes whole, files and names on the disk before we go on."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

FILE_MODE = 0o600
FOLDER_MODE = 0o700


def write_all(handle: int, data: bytes) -> None:
    """Write every byte; the system may take a part at a time.

    Raises: OSError.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def sync(handle: int) -> None:
    """Put a file's bytes on the disk. After a failure they count as lost: never sync the same file again.

    Raises: OSError.
    """
    # On macOS fsync leaves the bytes in the drive's cache; F_FULLFSYNC does not.
    past_the_cache = getattr(fcntl, "F_FULLFSYNC", None)
    if past_the_cache is None:
        os.fsync(handle)
    else:
        fcntl.fcntl(handle, past_the_cache)


def sync_folder(folder: Path) -> None:
    """Put a folder's names on the disk.

    Raises: OSError.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
