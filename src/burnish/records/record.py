"""What every record that crosses a process shares: frozen, strict about unknown keys, addressed by content."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict

ID_LENGTH = 16


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


class Record(BaseModel):
    """A frozen record that refuses unknown keys.

    Raises: pydantic.ValidationError; rooms that read user files turn it into problems.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


def canonical_json(value: Any) -> str:
    """One spelling per value: sorted keys, no spaces, non-ASCII kept.

    Example:
        >>> canonical_json({"b": 1, "a": "é"})
        '{"a":"é","b":1}'
    """
    return _CANONICAL.encode(value)


def content_id(value: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the canonical JSON of `value`.

    64 bits name things within one workspace; integrity is checked with full digests in manifests.

    Example:
        >>> content_id({"a": 1}) == content_id({"a": 1})
        True
    """
    # surrogatepass: a lone surrogate in a text must get an id, not an exception
    data = canonical_json(value).encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()[:ID_LENGTH]
