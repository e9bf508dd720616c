"""The ledger looked at without touching it: copied in one moment, with its write-ahead log, and opened elsewhere."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from burnish.store.database import BUSY_SECONDS
from burnish.store.faults import disk_full, free_bytes
from burnish.store.ledger import Ledger, open_ledger


@contextmanager
def ledger_copy(path: Path, *, into: Path) -> Iterator[Ledger]:
    """A copy of the ledger in the folder `into`, open. Neither the ledger nor a file beside it changes.

    Writers wait while it is copied, so that the copy shows one moment.

    Raises: OSError; disk-full when `into` has no room for it; what open_ledger finds in the copy.
    """
    log = path.with_name(f"{path.name}-wal")
    needs_bytes = sum(one.stat().st_size for one in (path, log) if one.exists())
    if needs_bytes > free_bytes(into):
        raise disk_full(into, needs_bytes=needs_bytes)
    with _still(path.with_name(f"{path.name}.lock")):
        for one in (path, log):
            if one.exists():
                shutil.copyfile(one, into / one.name)
    with open_ledger(into / path.name) as ledger:
        yield ledger


@contextmanager
def _still(lock: Path) -> Iterator[None]:
    """Hold the writers' turn, if there ever was a writer; the lock file itself is not changed."""
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
        yield
    finally:
        os.close(handle)
