"""Memory that a step frees is kept for the next one, instead of going back to the system and being zeroed again; what
cannot be used again is given back on request.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from collections.abc import Callable

import torch

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_MMAP_BYTES = 1 << 30
_TRIM_BYTES = 512 << 20
# Under a limit of this process's own: blocks from this size on are mapped alone and go back when they are freed.
_LIMITED_BYTES = 128 << 10


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed blocks below 1 GiB; True when it agreed (glibc only), else nothing changed.

    Gradients of a large embedding table come and go with every update; by default each is mapped afresh
    and its pages zeroed by the kernel. Results are the same bytes. Under a limit nothing is kept: see respect_limit.

    Source: our experiment of 2026-11-22 (LOG.md, allocator): 1.22 times the training tokens a second.
    """
    mallopt = _function("mallopt")
    if mallopt is None or _limited():
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES) & mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES))


def respect_limit() -> bool:
    """Under `ulimit -v` or `-d`: ask the C library to give every block of a tensor's size back when it is freed, and to
    keep one heap. True when it agreed (glibc only); without a limit nothing is changed.

    What is kept counts against the limit: after a shortage smaller passes would find no more room than the large one
    did. Each further heap reserves 64 MiB, a thread makes one, and an allocation that fails moves into it for good.
    To be asked before a model is loaded, which makes threads.

    Source: tests/soak/memory_ladder.py, 2026-11-23: trainings that found no room for a single row, with memory that
    suffices otherwise.
    """
    mallopt = _function("mallopt")
    if mallopt is None or not _limited():
        return False
    asked = (mallopt(_M_MMAP_THRESHOLD, _LIMITED_BYTES), mallopt(_M_TRIM_THRESHOLD, _LIMITED_BYTES))
    return all((*asked, mallopt(_M_ARENA_MAX, 1)))


def _limited() -> bool:
    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return any(resource.getrlimit(one)[0] != resource.RLIM_INFINITY for one in limits)


def collect_memory() -> None:
    """Let go of everything that is free already, after an allocation failed: cycles, CUDA's cache, the C library's."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return_free_pages()


def return_free_pages() -> bool:
    """Give the pages of every freed block back to the system; False where nothing was done (glibc only).

    oneDNN keeps a few kilobytes for every shape it meets. They lie between the blocks of tens of megabytes that passes
    over other shapes take and free, which then fit nowhere and are taken anew: kept to the end, all of it.

    Source: our experiment of 2026-11-23 (LOG.md, features): the features of 5,000 short rows, 1.02 GB at the
    peak, 0.72 GB with this after each pass, for 3 to 6% more time.
    """
    trim = _function("malloc_trim")
    return trim is not None and bool(trim(ctypes.c_size_t(0)))


def _function(name: str) -> Callable[..., int] | None:
    """A function of the C library, None where it has none of that name or is no glibc of Linux."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
