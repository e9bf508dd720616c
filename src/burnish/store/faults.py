"""What the operating system refused, told as a problem that names the bytes or the folder."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from burnish.errors import BurnishError, fail

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.ENOENT,
    }
)
# Rust libraries (safetensors, tokenizers) raise their own types and put the errno into the text.
_RUST_ERRNO = re.compile(r"\(os error (\d+)\)")


def free_bytes(path: Path) -> int:
    """The bytes this user may still write where `path` is, or will be.

    Example:
        >>> free_bytes(Path("/no/such/folder/yet")) >= 0
        True
    """
    status = os.statvfs(_existing(path))
    return status.f_bavail * status.f_frsize


def errno_of(error: BaseException) -> int | None:
    """The error number the operating system gave, also when a Rust library wrapped it in text."""
    if isinstance(error, OSError):
        return error.errno
    found = _RUST_ERRNO.search(str(error))
    return int(found.group(1)) if found else None


def is_full(error: BaseException) -> bool:
    """True when the disk, the quota or the allowed file size ended."""
    return errno_of(error) in _FULL


def told(error: BaseException, path: Path, *, needs_bytes: int = 0) -> BurnishError:
    """The problem behind a failed write to `path`: disk-full, not-writable or write-failed."""
    number = errno_of(error)
    if number in _FULL:
        return disk_full(path, needs_bytes=needs_bytes, file_limit=number == errno.EFBIG)
    reason = (os.strerror(number) if number else str(error)).lower()
    if number in _REFUSED:
        return fail(
            "not-writable",
            f"cannot write here ({reason})",
            where=str(path),
            expected="a folder this user may write to",
            fix=f"check the owner and mode of {_existing(path)}, or choose another folder",
        )
    return fail(
        "write-failed",
        f"the device reported a failure ({reason}); this write does not count",
        where=str(path),
        fix="check the disk, then run the same command again",
    )


def unreadable(error: OSError, path: Path) -> BurnishError:
    """The problem behind a folder or file that cannot be read."""
    return fail(
        "not-readable",
        f"cannot be read ({(error.strerror or str(error)).lower()})",
        where=str(path),
        expected="a folder or file this user may read, on a disk that answers",
        fix="check its owner and mode, and the disk; then run the same command again",
    )


def disk_full(path: Path, *, needs_bytes: int, file_limit: bool = False) -> BurnishError:
    """The error for a write that found no room, with the bytes it needs and the bytes there are."""
    if file_limit:
        return fail(
            "disk-full",
            f"needs {needs_bytes:,} bytes, more than this process may put into one file",
            where=str(path),
            fix="raise the limit (ulimit -f), then run the same command again",
        )
    status = os.statvfs(_existing(path))
    if status.f_files and not status.f_favail:
        return fail(
            "disk-full",
            f"needs {needs_bytes:,} bytes and the disk has no file entries (inodes) left",
            where=str(path),
            fix="remove files from this disk, then run the same command again",
        )
    free = status.f_bavail * status.f_frsize
    return fail(
        "disk-full",
        f"needs {needs_bytes:,} bytes, {free:,} bytes are free",
        where=str(path),
        fix="free some space, then run the same command again",
    )


def _existing(path: Path) -> Path:
    """`path` or its nearest ancestor that is there."""
    for place in (path, *path.absolute().parents):
        if place.exists():
            return place
    return Path("/")
