"""A log of JSON lines that only grows: each line is sealed to the one before it, so none can change, move or leave.

The first line is bound to what the log belongs to: the log of another run is noticed too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from burnish.store.disk import FILE_MODE, sync, sync_folder, write_all
from burnish.store.faults import told
from burnish.store.sealed_json import Unsealed, open_sealed, seal_in, sealed_bytes
from burnish.store.temporaries import NO_LINKS

Line = BaseModel | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lines:
    """What a log holds: the values of its sound lines, from the first on, and whether anything stands behind them.

    `sound_bytes` is where the sound part ends, `last_seal` what the next line is sealed to. `rest_lines` counts the
    whole lines behind it: 0 after a death in the middle of a write, which only tears the last line.
    """

    values: list[dict[str, Any]]
    sound_bytes: int
    rest_bytes: int
    rest_lines: int
    last_seal: str


class LineLog:
    """A file of JSON lines; a line is on the disk once `append` has synced it.

    Opening keeps the sound lines from the first on and cuts off the rest: what a death or a power loss left of lines
    that were never synced. Who must not lose a line counts them (`read_log`). `sync_every` is the number of lines
    per fsync; `close` syncs the rest.

    Raises: disk-full, not-writable, write-failed.
    """

    def __init__(self, path: Path, *, bound_to: str = "", sync_every: int = 1) -> None:
        self.path = Path(path)
        self._bound_to = bound_to
        self._sync_every = sync_every
        self._pending = 0
        self._handle = -1
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_LINKS
            self._handle = os.open(self.path, flags, FILE_MODE)
            known = read_log(self.path, bound_to=bound_to)
            self._seal, self._bytes = known.last_seal, known.sound_bytes
            os.ftruncate(self._handle, known.sound_bytes)
            # what stays may have been written and never synced, by a process that was killed
            sync(self._handle)
            sync_folder(self.path.parent)
        except OSError as error:
            self._let_go()
            raise told(error, self.path, needs_bytes=_BLOCK_BYTES) from error

    def append(self, value: Line) -> None:
        """Add one record or plain JSON object as a line; after a failure the log is as it was before.

        Raises: disk-full, not-writable, write-failed.
        """
        line = sealed_bytes(value, indent=None, bound_to=_link(self._bound_to, self._seal))
        try:
            if os.fstat(self._handle).st_size != self._bytes:
                os.ftruncate(self._handle, self._bytes)  # a part that an earlier failure left
            write_all(self._handle, line)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._handle, self._bytes)
            raise told(error, self.path, needs_bytes=len(line)) from error
        self._bytes += len(line)
        self._seal = seal_in(line)
        self._pending += 1
        if self._pending >= self._sync_every:
            self.sync()

    def sync(self) -> None:
        """Put every appended line on the disk. After a failure the log takes no more lines: open it again.

        Raises: disk-full, write-failed.
        """
        try:
            sync(self._handle)
        except OSError as error:
            # a second fsync would say yes to bytes that the first one lost
            self._let_go()
            raise told(error, self.path, needs_bytes=_BLOCK_BYTES) from error
        self._pending = 0

    def close(self) -> None:
        """Sync and close; twice is once."""
        if self._handle < 0:
            return
        try:
            self.sync()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with suppress(OSError):  # what it held is synced, or told as lost
                os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_log(path: Path, *, bound_to: str = "") -> Lines:
    """The sound lines of a log from the first on, and how much stands behind them; nothing when there is no file.

    Raises: OSError.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    values: list[dict[str, Any]] = []
    at, seal = 0, ""
    while (end := data.find(b"\n", at) + 1) > 0:
        try:
            values.append(open_sealed(data[at:end], bound_to=_link(bound_to, seal)))
        except ValueError:
            break
        seal = seal_in(data[at:end])
        at = end
    return Lines(values, at, len(data) - at, data.count(b"\n", at), seal)


def read_lines(path: Path, *, bound_to: str = "") -> list[dict[str, Any]]:
    """The values of a log's sound lines; none when there is no file.

    Raises: OSError.
    """
    return read_log(path, bound_to=bound_to).values


def log_bytes(values: Iterable[Line], *, bound_to: str = "") -> bytes:
    """The file a LineLog would have written for these values.

    Example:
        >>> log_bytes([{"step": 1}]).decode().rstrip()
        '{"step": 1, "seal": "f3e16d39122ee55ff5f44b684a4c2966"}'
    """
    seal, lines = "", []
    for value in values:
        line = sealed_bytes(value, indent=None, bound_to=_link(bound_to, seal))
        seal = seal_in(line)
        lines.append(line)
    return b"".join(lines)


def is_unsealed(path: Path) -> bool:
    """True for the lines of an earlier version of Burnish: the first of them has no seal.

    Raises: OSError.
    """
    with open(path, "rb") as file:
        first = file.readline()
    try:
        open_sealed(first)
    except Unsealed:
        return first.endswith(b"\n")
    except ValueError:
        return False
    return False


def _link(bound_to: str, seal: str) -> str:
    return f"{bound_to}\n{seal}"


# What a log that cannot even be opened needs at least.
_BLOCK_BYTES = 4096
