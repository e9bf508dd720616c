"""Memory that a step frees is kept for the next one, instead of going back to the system and being zeroed again; what
cannot be used again is given back on request.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MMAP_BYTES = 1 << 30
_TRIM_BYTES = 512 << 20


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed blocks below 1 GiB; True when it agreed (glibc only), else nothing changed.

    Gradients of a large embedding table come and go with every update; by default each is mapped afresh
    and its pages zeroed by the kernel. Results are the same bytes.

    Source: our experiment of 2026-11-22 (LOG.md, allocator): 1.22 times the training tokens a second.
    """
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES) & mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES))


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
