"""For tests: the operating system's door, where the n-th call fails.

Calls are counted at the functions of `os`, at files opened for writing, and at the Rust writer of safetensors, which
puts the error number into its text and leaves half a file.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

CALLS = (
    "open", "write", "fsync", "replace", "rename", "mkdir", "chmod", "fchmod", "unlink", "ftruncate",
    "close", "rmdir", "scandir",
)  # fmt: skip
_WRITING = frozenset({errno.ENOSPC, errno.EROFS})
_RUST = ("burnish.train.checkpoint", "burnish.monitor.reference")


@dataclass(slots=True)
class Door:
    """How many calls have come, and whether the one that must fail was among them."""

    number: int
    code: int
    for_good: bool
    short: bool
    count: int = 0
    failed: int = 0

    def fails(self) -> bool:
        """Count a call."""
        self.count += 1
        hit = self.count == self.number or (self.for_good and self.count > self.number)
        self.failed += hit
        return hit

    def error(self) -> OSError:
        """What the system says."""
        return OSError(self.code, os.strerror(self.code))


@contextmanager
def failing(
    number: int, code: int, *, for_good: bool = False, short: bool = False
) -> Iterator[Door]:
    """Make the `number`-th call fail with `code` (or all from there on); with `short` a write takes only a part
    instead, and says so.
    """
    door = Door(number, code, for_good, short)
    for module in _RUST:
        importlib.import_module(module)  # what an import reads is not what is tested
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            if not short or name == "write":
                patch.setattr(os, name, _broken(door, name, getattr(os, name)))
        if not short:
            opened = _opened(door, builtins.open)
            patch.setattr(builtins, "open", opened)
            patch.setattr(io, "open", opened)
            for module in _RUST:
                patch.setattr(f"{module}.save_file", _saved(door, module))
        yield door


def _broken(door: Door, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        # no system says of a reading that the disk is full or may not be written to
        if (name == "scandir" and door.code in _WRITING) or not door.fails():
            return real(*args, **kwargs)
        if door.short:
            handle, data = args
            return real(handle, memoryview(data)[: max(1, len(data) // 2)])
        if name == "close":
            real(*args, **kwargs)  # Linux closes the descriptor also when close fails
        if name == "write":
            handle, data = args
            real(handle, memoryview(data)[: len(data) // 2])  # a part got through before it failed
        raise door.error()

    return call


def _opened(door: Door, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        made = real(file, mode, *args, **kwargs)
        if not set(mode) & set("wax+") or not isinstance(file, str | os.PathLike):
            return made
        if door.fails():
            made.close()
            raise door.error()
        return _Leaky(made, door)

    return call


class _Leaky:
    """A file whose writes are counted, and may fail half way."""

    def __init__(self, file: Any, door: Door) -> None:
        self._file, self._door = file, door

    def write(self, data: Any) -> int:
        if self._door.fails():
            self._file.write(data[: len(data) // 2])
            self._file.close()
            raise self._door.error()
        return self._file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _saved(door: Door, module: str) -> Callable[..., None]:
    real = importlib.import_module(module).save_file

    def call(tensors: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        real(tensors, path, *args, **kwargs)
        if door.fails():
            whole = Path(path)
            with real_open(whole, "r+b") as file:
                file.truncate(whole.stat().st_size // 2)
            text = f"I/O error: {os.strerror(door.code)} (os error {door.code})"
            raise RuntimeError(text)

    return call


real_open = builtins.open
