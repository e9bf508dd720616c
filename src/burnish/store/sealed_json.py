"""JSON under a seal: the last field of an object is the checksum of everything before it.

For files that stand alone or grow, where a folder's manifest cannot cover them. A seal may be bound to what the file
belongs to, so that a whole file of somebody else is noticed too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

SEAL = "seal"
# 128 bits: two contents never share a seal by accident.
_DIGITS = 32


class Unsealed(ValueError):
    """The JSON has no seal at all: an earlier version of Burnish wrote it, or somebody else."""


def json_bytes(value: Any, *, indent: int | None) -> bytes:
    """A record or plain JSON values as UTF-8, with a line end; NaN is refused with ValueError.

    Example:
        >>> json_bytes({"a": "é"}, indent=None)
        b'{"a": "\\xc3\\xa9"}\\n'
    """
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    text = json.dumps(plain, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8; the escaped spelling keeps it.
        return f"{json.dumps(plain, indent=indent, allow_nan=False)}\n".encode("ascii")


def sealed_bytes(
    value: BaseModel | Mapping[str, Any], *, indent: int | None, bound_to: str = ""
) -> bytes:
    """The object's JSON with its seal as the last field.

    Example:
        >>> sealed_bytes({"a": 1}, indent=None).decode().rstrip()
        '{"a": 1, "seal": "4b07a5cc0ce1d07787e11ec4a77072a2"}'
    """
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else dict(value)
    data = json_bytes({**plain, SEAL: ""}, indent=indent)
    body, tail = _parted(data)
    return body + tail.replace(b'""', f'"{_digest(body, bound_to)}"'.encode(), 1)


def open_sealed(data: bytes, *, bound_to: str = "") -> dict[str, Any]:
    """The object without its seal, every byte as it was written.

    Raises: Unsealed when it carries no seal; ValueError when it does not match.
    """
    body, tail = _parted(data)
    if not tail:
        raise Unsealed("there is no seal")
    ending = b"\n}\n" if data.endswith(b"\n}\n") else b"}\n"
    if tail != f'"{SEAL}": "{_digest(body, bound_to)}"'.encode() + ending:
        raise ValueError("it does not match its seal")
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - one kind of error: not as written
    del value[SEAL]
    return value


def read_sealed(path: Path, *, bound_to: str = "") -> dict[str, Any]:
    """`open_sealed` for a file.

    Raises: OSError; Unsealed, ValueError.
    """
    return open_sealed(path.read_bytes(), bound_to=bound_to)


def seal_in(data: bytes) -> str:
    """The seal a sealed object carries, "" without one."""
    _, tail = _parted(data)
    return tail[len(SEAL) + 5 :][:_DIGITS].decode("ascii", "replace")


def _parted(data: bytes) -> tuple[bytes, bytes]:
    """What the seal covers, and the seal's own field."""
    start = data.rfind(f'"{SEAL}": "'.encode())
    return (data, b"") if start < 0 else (data[:start], data[start:])


def _digest(body: bytes, bound_to: str) -> str:
    return hashlib.sha256(bound_to.encode() + b"\0" + body).hexdigest()[:_DIGITS]
