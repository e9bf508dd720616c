"""Memory that a step frees is kept for the next one, instead of going back to the system and being zeroed again."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch

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
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES) & mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES))


def give_back_memory() -> None:
    """Let go of everything that is free already, after an allocation failed: cycles, CUDA's cache, the C library's."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
