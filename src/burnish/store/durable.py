"""The only room that writes durably: either the old state is there or the whole new one, never a part.

A file: temporary file beside it, write, fsync, rename, fsync of the parent. A folder: the same with a
staging folder and a manifest. A failed fsync is a failed commit: the temporary is thrown away, never
synced again. Whoever dies in between leaves a hidden temporary name that the next writer sweeps.

Files and folders are written here, logs that grow in line_log.py, the ledger by SQLite (database.py); the system calls
are in disk.py, the temporary names in temporaries.py.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel

from burnish.errors import BurnishError, fail
from burnish.store.disk import FILE_MODE, FOLDER_MODE, sync, sync_folder, write_all
from burnish.store.faults import disk_full, errno_of, free_bytes, is_full, told
from burnish.store.line_log import LineLog, read_lines
from burnish.store.manifest import (
    MANIFEST_NAME,
    Checksum,
    Listed,
    checksum_of,
    entries,
    folders_in,
    manifest_sha256,
    render_manifest,
    verify_folder,
)
from burnish.store.sealed_json import json_bytes, sealed_bytes
from burnish.store.temporaries import (
    FOLDER_ENDING,
    NO_LINKS,
    claim_file,
    claim_folder,
    clear_quietly,
    hidden,
    sweep,
    unlink_quietly,
)

__all__ = [
    "Checksum",
    "LineLog",
    "exchange_folder",
    "free_bytes",
    "make_folder",
    "manifest_sha256",
    "new_folder",
    "read_lines",
    "remove_folder",
    "replacing",
    "sweep",
    "verify_folder",
    "write_file",
    "write_json",
    "write_sealed",
    "write_text",
]

# What a folder or a manifest takes at least; named when nothing better is known.
_BLOCK_BYTES = 4096
_DEVICE = frozenset({errno.EROFS, errno.EIO, errno.EINTR})
_REFUSED = _DEVICE | {errno.EACCES, errno.EPERM}


def write_file(path: Path, data: bytes) -> None:
    """Replace `path` by `data` at once: after any failure it holds the old bytes or the new ones, whole.

    Returns only when the bytes and the name are on the disk.

    Raises: disk-full, not-writable, write-failed.
    """
    path = Path(path)
    _refuse_special(path)
    try:
        temporary, handle = claim_file(path, mode=FILE_MODE)
        try:
            write_all(handle, data)
            sync(handle)
            os.replace(temporary, path)
        except BaseException:
            unlink_quietly(temporary)
            raise
        finally:
            _let_go(handle)
        sync_folder(path.parent)
    except OSError as error:
        raise told(error, path, needs_bytes=len(data)) from error


def write_text(path: Path, value: str) -> None:
    """`write_file` for text, as UTF-8."""
    write_file(path, value.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """`write_file` for a record or plain JSON values: indented, readable, NaN refused."""
    write_file(path, json_bytes(value, indent=2))


def write_sealed(path: Path, value: BaseModel | Mapping[str, Any], *, bound_to: str = "") -> None:
    """`write_json` for a record that stands alone, under a seal: `sealed_json.read_sealed` finds any changed byte.

    A seal bound to something else, or to nothing, does not match.
    """
    write_file(path, sealed_bytes(value, indent=2, bound_to=bound_to))


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """Yield a text file that becomes `path` at a clean end: for output too large to hold.

    UTF-8, line ends as written. After an error `path` holds what it held before. A link is followed:
    its target is replaced.

    Raises: disk-full, not-writable, write-failed; what the body raises for other reasons.
    """
    path = Path(path).resolve()
    _refuse_special(path)
    try:
        temporary, handle = claim_file(path, mode=FILE_MODE)
    except OSError as error:
        raise told(error, path) from error
    try:
        try:
            # closefd False: the descriptor holds the lock that shows we live, so it goes last
            with open(handle, "w", encoding="utf-8", newline="", closefd=False) as out:
                yield out
        except BaseException as error:
            if _is_about(error, temporary):
                raise told(error, path, needs_bytes=_taken(handle) + _BLOCK_BYTES) from error
            raise
        try:
            sync(handle)
            os.replace(temporary, path)
            sync_folder(path.parent)
        except OSError as error:
            raise told(error, path, needs_bytes=_taken(handle)) from error
    except BaseException:
        unlink_quietly(temporary)
        raise
    finally:
        _let_go(handle)


def make_folder(path: Path) -> None:
    """The folder and its missing parents, mode 0700, on the disk; an existing folder stays as it is.

    Raises: disk-full, not-writable, write-failed.
    """
    path = Path(path).absolute()
    missing = [place for place in (path, *path.parents) if not place.is_dir()]
    try:
        for place in reversed(missing):
            try:
                os.mkdir(place, FOLDER_MODE)
            except FileExistsError:
                if not place.is_dir():
                    raise NotADirectoryError(
                        errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place)
                    ) from None
            sync_folder(place.parent)
    except OSError as error:
        raise told(error, path, needs_bytes=_BLOCK_BYTES) from error


@contextmanager
def new_folder(
    target: Path, *, checksum: Checksum = "sha256", needs_bytes: int = 0
) -> Iterator[Path]:
    """Yield an empty staging folder that becomes `target`, whole and with a manifest, at a clean end.

    After an error, a kill or a power loss `target` does not exist and nothing is left that later work
    would trip over. A `target` that is already there and verifies is never touched: what the body
    wrote is dropped. With `needs_bytes` the room is checked before the body starts.

    Raises: disk-full, not-writable, write-failed; for a target that is there and damaged, what
        `verify_folder` finds.
    """
    target = Path(target)
    _refuse_damaged(target)
    make_folder(target.parent)
    if needs_bytes > free_bytes(target.parent):
        raise disk_full(target, needs_bytes=needs_bytes)
    try:
        sweep(target.parent)
        staging, handle = claim_folder(target, mode=FOLDER_MODE)
    except OSError as error:
        raise told(error, target, needs_bytes=max(needs_bytes, _BLOCK_BYTES)) from error
    try:
        try:
            yield staging
        except BaseException as error:
            if _is_about(error, staging):
                raise _told_whole(error, target, staging, needs_bytes) from error
            raise
        try:
            _commit(staging, target, checksum)
        except OSError as error:
            raise _told_whole(error, target, staging, needs_bytes) from error
    except BaseException:
        clear_quietly(staging)
        raise
    finally:
        _let_go(handle)


def remove_folder(target: Path) -> None:
    """Remove a published folder, if it is there; it is never seen half removed, also after a kill.

    Raises: not-writable, write-failed.
    """
    target = Path(target)
    number = 0
    try:
        while os.path.lexists(target):
            doomed = hidden(target, number, FOLDER_ENDING)
            try:
                os.rename(target, doomed)
            except OSError:
                if not os.path.lexists(doomed):
                    raise
                number += 1
                continue
            sync_folder(target.parent)
            _clear(doomed)
        if target.parent.is_dir():
            sweep(target.parent)  # what an earlier attempt did not get to
    except OSError as error:
        raise told(error, target, needs_bytes=_BLOCK_BYTES) from error


def exchange_folder(target: Path, *, published: Path) -> None:
    """Put a published folder of the same file system in the place of `target`, which is removed.

    A kill in between leaves `published` whole where it is: the same call again ends the work.

    Raises: not-writable, write-failed.
    """
    remove_folder(target)
    try:
        os.rename(published, target)
        sync_folder(target.parent)
        sync_folder(published.parent)
    except OSError as error:
        raise told(error, target, needs_bytes=_BLOCK_BYTES) from error


def _clear(doomed: Path) -> None:
    """Remove a folder that a sweeping neighbour may be removing too."""
    clear_quietly(doomed)
    if os.path.lexists(doomed):
        shutil.rmtree(doomed)


def _commit(staging: Path, target: Path, checksum: Checksum) -> None:
    """Sync, list, sync and rename: the order is the promise."""
    listed = []
    for name in sorted(entries(staging)):  # raises when a folder cannot be listed
        path = staging / name
        if name == MANIFEST_NAME or not stat.S_ISREG(path.lstat().st_mode):
            raise ValueError(f"a new folder holds regular files, and no manifest yet; not {name}")
        _settle(path)
        listed.append(Listed(name, path.stat().st_size, checksum_of(path, checksum)))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINKS
    handle = os.open(staging / MANIFEST_NAME, flags, FILE_MODE)
    try:
        write_all(handle, render_manifest(listed, checksum))
        sync(handle)
    finally:
        os.close(handle)
    for folder in (*folders_in(staging), staging):
        os.chmod(folder, FOLDER_MODE)
        sync_folder(folder)
    try:
        os.rename(staging, target)
    except OSError:
        # Another process published the same content first; rename onto a filled folder fails.
        if not target.is_dir():
            raise
        _refuse_damaged(target)
        clear_quietly(staging)
    sync_folder(target.parent)


def _refuse_special(path: Path) -> None:
    """A rename would replace a device or a folder as readily as a file; /dev/null is not ours."""
    if path.exists() and not path.is_file():
        raise fail(
            "not-writable",
            "a folder or device is there, not a file",
            where=str(path),
            expected="the name of a file",
            fix="choose another name",
        )


def _refuse_damaged(target: Path) -> None:
    if os.path.lexists(target) and (problems := verify_folder(target)):
        raise BurnishError(problems)


def _settle(path: Path) -> None:
    """A file the body wrote: private, and on the disk."""
    handle = os.open(path, os.O_RDONLY | NO_LINKS)
    try:
        os.fchmod(handle, FILE_MODE)
        sync(handle)
    finally:
        os.close(handle)


def _is_about(error: BaseException, staging: Path) -> bool:
    """True when what the body raised is the disk's fault and not its own."""
    if is_full(error):
        return True
    number = errno_of(error)
    if number not in _REFUSED:
        return False
    filename = getattr(error, "filename", None)
    if filename is None:  # a handle's error, or a Rust library's, names no file
        return number in _DEVICE
    return str(staging) in str(filename)


def _told_whole(
    error: BaseException, target: Path, staging: Path, needs_bytes: int
) -> BurnishError:
    """The problem, with the bytes the folder took so far: counted before they are removed."""
    try:
        taken = sum((staging / name).lstat().st_size for name in entries(staging))
    except OSError:
        taken = 0  # renamed already, or the disk is gone; the first failure is the one to tell
    return told(error, target, needs_bytes=max(needs_bytes, taken + _BLOCK_BYTES))


def _let_go(handle: int) -> None:
    """Close what was synced or thrown away already: only our lock hangs on it."""
    with suppress(OSError):
        os.close(handle)


def _taken(handle: int) -> int:
    return os.fstat(handle).st_size
