"""Memory that was asked for and not given: told apart from faults, and put into words. Imports nothing heavy."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from burnish.errors import BurnishError, fail

if TYPE_CHECKING:
    from burnish.records.encoding import IntArray

# What allocators say. Torch raises RuntimeError for all of them, the loader ImportError. oneDNN says "could not create
# a primitive" when there is no room for its machine code (seen in tests/soak/memory_ladder.py); where it lacks a
# kernel it speaks of a primitive descriptor instead.
_SAID = re.compile(
    r"can't allocate memory|cannot allocate memory(?! in static TLS)|not enough memory|out of memory"
    r"|unable to allocate|bad_alloc|ALLOC_FAILED|can't start new thread|failed to map segment"
    r"|resource temporarily unavailable|could not (create|execute) a primitive$|could not create a memory object",
    re.IGNORECASE,
)
_ASKED = re.compile(r"allocate ([\d.]+) ?(bytes|[KMGT]i?B)?", re.IGNORECASE)
_UNITS = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_KINDS = (MemoryError, RuntimeError, OSError, ImportError)


@dataclass(frozen=True, slots=True)
class Shortage:
    """A pass over `rows` rows, the longest of `longest` tokens, that found no memory.

    `first` is the first of its rows; `asked_bytes` what was asked for in vain, where the allocator says so.
    """

    rows: int
    longest: int
    first: int
    asked_bytes: int | None

    @property
    def tokens(self) -> int:
        """The pass as micro_batches counts it: rows times the longest."""
        return self.rows * self.longest

    @property
    def half(self) -> int:
        """The budget that makes two passes of it, or one row each."""
        return self.tokens // 2


@dataclass(slots=True)
class Tightest:
    """The fewest tokens a pass had to be cut to so far; None while every pass fitted."""

    tokens: int | None = None

    def note(self, shortage: Shortage) -> None:
        """Remember a shortage."""
        self.tokens = min(self.tokens or shortage.half, shortage.half)

    def told(self) -> str | None:
        """The sentence for whoever waits for the answers, None when there is nothing to say.

        Example:
            >>> Tightest(256).told()
            'out of memory: answered with passes of at most 256 tokens; the answers are the same'
        """
        if self.tokens is None:
            return None
        return (
            f"out of memory: answered with passes of at most {self.tokens:,} tokens;"
            " the answers are the same"
        )


def told_of(*answering: object) -> str | None:
    """What models that answered have to say of memory; None when there was enough, or they do not keep count."""
    tightest = [getattr(one, "tightest", None) for one in answering]
    found = [one.tokens for one in tightest if isinstance(one, Tightest) and one.tokens is not None]
    return Tightest(min(found)).told() if found else None


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory was not there, whoever asked for it.

    Example:
        >>> is_shortage(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."))
        True
        >>> is_shortage(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
        False
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, _KINDS) and _SAID.search(str(error)) is not None


def asked_bytes(error: BaseException) -> int | None:
    """The bytes that an allocator says it was asked for.

    Example:
        >>> asked_bytes(RuntimeError("can't allocate memory: you tried to allocate 400 bytes."))
        400
        >>> asked_bytes(RuntimeError("CUDA out of memory. Tried to allocate 1.50 GiB."))
        1610612736
        >>> asked_bytes(MemoryError()) is None
        True
    """
    found = _ASKED.search(str(error))
    if found is None:
        return None
    return int(float(found[1].rstrip(".")) * (1 << _UNITS[(found[2] or "b")[0].lower()]))


def shortage_of(
    error: BaseException, piece: IntArray, lengths: Sequence[int] | IntArray
) -> Shortage:
    """The shortage that an error of a pass over these rows speaks of."""
    longest = max(int(lengths[row]) for row in piece)
    return Shortage(len(piece), longest, int(piece[0]), asked_bytes(error))


def row_too_large(shortage: Shortage, *, place: str, doing: str) -> BurnishError:
    """The error of a single row that does not fit: there is nothing left to cut."""
    return _memory_full(
        f"{doing} one row of {shortage.longest:,} tokens found no memory"
        f"{_asked(shortage.asked_bytes)}",
        where=f"row {place}",
    )


@contextmanager
def shortage_told() -> Iterator[None]:
    """What finds no memory in this block leaves as memory-full, and what it held is let go.

    Raises: memory-full.
    """
    try:
        yield
    except _KINDS as error:
        if not is_shortage(error):
            raise
        told = memory_full(error)
        # the tensors of the frames that failed: whoever tells the problem needs a little memory
        traceback.clear_frames(error.__traceback__)
        raise told from None


def memory_full(error: BaseException) -> BurnishError:
    """The problem to tell for a shortage outside the passes that can be cut."""
    return _memory_full(f"there is no memory left{_asked(asked_bytes(error))}", where="")


def _memory_full(what: str, *, where: str) -> BurnishError:
    return fail(
        "memory-full",
        what,
        where=where,
        expected="room for the model, its gradients and moments, and one row at a time",
        fix='lower max_tokens, set method = "lora" or "head", take a smaller base in recipe.toml, or end other'
        " programs; the last checkpoint stands, and the same command continues from it",
    )


def _asked(count: int | None) -> str:
    return "" if count is None else f", {count:,} bytes were asked for"
