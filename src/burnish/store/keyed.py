"""Keyed hashes: what was forgotten can be known again by this workspace, and by nobody who has only the hashes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

from burnish.errors import fail
from burnish.store.durable import write_file

KEY_BYTES = 32
# 128 bits: no two texts of a workspace share one.
_HASH_DIGITS = 32


def read_key(path: Path) -> bytes | None:
    """The workspace's key, None before anything was forgotten.

    Raises: forget-key-damaged.
    """
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(key) != KEY_BYTES:
        raise fail(
            "forget-key-damaged",
            f"the key has {len(key)} bytes",
            where=path.name,
            expected=f"{KEY_BYTES} bytes as Burnish wrote them",
            fix="put a backup of the file back; without it, rows that were forgotten are not known again",
        )
    return key


def own_key(path: Path, *, fresh: Callable[[], bytes]) -> bytes:
    """The workspace's key; the first call writes `fresh()` there, mode 0600.

    Raises: forget-key-damaged, disk-full, not-writable.
    """
    key = read_key(path)
    if key is None:
        key = fresh()
        write_file(path, key)
    return key


def keyed(key: bytes, text: str) -> str:
    """The HMAC-SHA-256 of a text, its first 128 bits in hexadecimal.

    Example:
        >>> keyed(b"k", "a") == keyed(b"k", "a"), keyed(b"k", "a") == keyed(b"j", "a"), len(keyed(b"k", "a"))
        (True, False, 32)
    """
    data = text.encode("utf-8", "surrogatepass")
    return hmac.new(key, data, hashlib.sha256).hexdigest()[:_HASH_DIGITS]
