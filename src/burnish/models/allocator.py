"""Memory that a step frees is kept for the next one, instead of going back to the system and being zeroed again."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys

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
    and its pages zeroed by the kernel. Results are the same bytes. Under `ulimit -v` or `-d` the opposite is asked
    for: what is kept would count against the limit, and after a shortage smaller passes would find no more room.

    Source: our experiment of 2026-11-22 (LOG.md, allocator): 1.22 times the training tokens a second.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    if _limited():
        mallopt(_M_MMAP_THRESHOLD, _LIMITED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _LIMITED_BYTES)
        mallopt(
            _M_ARENA_MAX, 1
        )  # each further one reserves 64 MiB, and a failed allocation asks for one
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES) & mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES))


def _limited() -> bool:
    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return any(resource.getrlimit(one)[0] != resource.RLIM_INFINITY for one in limits)


def give_back_memory() -> None:
    """Let go of everything that is free already, after an allocation failed: cycles, CUDA's cache, the C library's."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
