"""Rows under a seal: SQLite has no checksum of its own, so every row of the ledger carries one.

A row is sealed over its fields in a fixed order and checked whenever it is read: a changed bit is told, never used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from burnish.errors import BurnishError, fail


def seal(row: Mapping[Any, Any], fields: tuple[str, ...], *, number: int = 0) -> str:
    """The digest of a row's fields; `number` binds a row to its place where places are promised.

    Raises: record-unwritable.
    """
    spelt = spell([number, *(row[name] for name in fields)], what="the row")
    return hashlib.sha256(spelt.encode("ascii")).hexdigest()


def is_sealed(row: Mapping[Any, Any], fields: tuple[str, ...], *, number: int = 0) -> bool:
    """Whether a row that was read is the row that was written."""
    try:
        return seal(row, fields, number=number) == row["digest"]
    except BurnishError:  # a column that came back as bytes
        return False


def spell(value: object, *, what: str) -> str:
    """JSON in ASCII: a lone surrogate survives, and NaN is refused rather than written as no JSON.

    Raises: record-unwritable.

    Example:
        >>> spell({"b": "\\u00e9", "a": 1.0}, what="it")
        '{"a":1.0,"b":"\\\\u00e9"}'
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise fail(
            "record-unwritable",
            f"{what} is not plain JSON ({error})",
            expected="text, finite numbers, true, false, null, lists and objects",
            fix="this is a fault of the caller: report it",
        ) from error


def require_text(row: Mapping[str, str]) -> None:
    """Refuse values a database cannot hold as text.

    Raises: record-unwritable.
    """
    for name, value in row.items():
        if not is_text(value):
            raise fail(
                "record-unwritable",
                f"{name} {value[:80]!r} is not valid Unicode text",
                fix=f"give {name} in characters that can be written",
            )


def is_text(value: str) -> bool:
    """False for lone surrogates."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
