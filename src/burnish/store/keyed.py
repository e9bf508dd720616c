"""Keyed hashes: what was forgotten can be known again by this workspace, and by nobody who has only the hashes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

from burnish.errors import BurnishError, fail
from burnish.store.durable import write_file

KEY_BYTES = 32
# What a file that is cut short still shows: it was never a bare key.
_MARK = b"burnish key\n"
# 128 bits: no two texts of a workspace share one.
_HASH_DIGITS = 32


def read_key(path: Path) -> bytes | None:
    """The workspace's key, None before anything was forgotten. The file is a mark, the key and its SHA-256.

    Raises: forget-key-damaged.
    """
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(
            path, f"the file cannot be read ({(error.strerror or '').lower()})"
        ) from error
    if len(key) == KEY_BYTES and not key.startswith(_MARK):
        return key  # as written before keys had a checksum
    if len(key) != len(_with_checksum(b"")) + KEY_BYTES:
        raise _damaged(path, f"the file has {len(key)} bytes")
    bare = key[len(_MARK) :][:KEY_BYTES]
    if key != _with_checksum(bare):
        raise _damaged(path, "the key does not match its checksum")
    return bare


def own_key(path: Path, *, fresh: Callable[[], bytes]) -> bytes:
    """The workspace's key; the first call writes `fresh()` there, mode 0600.

    Raises: forget-key-damaged, disk-full, not-writable.
    """
    key = read_key(path)
    if key is None:
        key = fresh()
        write_file(path, _with_checksum(key))
    return key


def _with_checksum(key: bytes) -> bytes:
    return _MARK + key + hashlib.sha256(key).digest()


def _damaged(path: Path, what: str) -> BurnishError:
    return fail(
        "forget-key-damaged",
        what,
        where=path.name,
        expected=f"a key of {KEY_BYTES} bytes and its SHA-256, as Burnish wrote them",
        fix="put a backup of the file back; without it, rows that were forgotten are not known again",
    )


def keyed(key: bytes, text: str) -> str:
    """The HMAC-SHA-256 of a text, its first 128 bits in hexadecimal.

    Example:
        >>> keyed(b"k", "a") == keyed(b"k", "a"), keyed(b"k", "a") == keyed(b"j", "a"), len(keyed(b"k", "a"))
        (True, False, 32)
    """
    data = text.encode("utf-8", "surrogatepass")
    return hmac.new(key, data, hashlib.sha256).hexdigest()[:_HASH_DIGITS]
