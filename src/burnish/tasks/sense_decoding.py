"""Which ways of decoding make sense together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from burnish.errors import Problem

Path = tuple[str | int, ...]
Found = tuple[Path, Problem]


def decoding_problems(raw: Mapping[str, Any]) -> Iterator[Found]:
    """Every key of [decoding] that would do nothing, exclude another, or hold no JSON schema."""
    table = raw.get("decoding")
    if not isinstance(table, Mapping):
        return
    temperature, beams = table.get("temperature", 0), table.get("beams", 1)
    greedy = temperature == 0
    if greedy and isinstance(table.get("top_p"), float) and table["top_p"] < 1:
        yield _found("top_p", "top_p does nothing at temperature 0: nothing is drawn", "a temperature above 0", "remove top_p, or set temperature")  # fmt: skip
    if isinstance(beams, int) and beams > 1 and not greedy:
        yield _found("beams", "beams and a temperature exclude each other", "the likeliest answer, or a drawn one", "remove one of the two")  # fmt: skip
    schema = table.get("json_schema")
    if not isinstance(schema, str):
        return
    if isinstance(beams, int) and beams > 1:
        yield _found("json_schema", "json_schema and beams exclude each other", "one answer at a time", "remove beams")  # fmt: skip
    try:
        is_object = isinstance(json.loads(schema), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        yield _found(
            "json_schema", "json_schema is no JSON object", "the text of a JSON schema", _SAMPLE
        )


_SAMPLE = """write json_schema = '''{"type": "object"}'''"""


def _found(key: str, what: str, expected: str, fix: str) -> Found:
    problem = Problem(code="task-bad-value", what=what, expected=expected, fix=fix)
    return ("decoding", key), problem
