"""JSON objects as rows of text: every value keeps the spelling it has in the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn, TypeGuard

from burnish.data.rows import Row, make_row
from burnish.data.rows import is_text as is_encodable
from burnish.records.dataset import Rejection

JsonObject = dict[str, object]


class _Number(str):
    """A number's digits as written, told apart from a string that looks like one."""

    __slots__ = ()


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'the key "{twice}" stands twice in one object')
    return found


_DECODER = json.JSONDecoder(
    parse_int=_Number,
    parse_float=_Number,
    parse_constant=_refuse_constant,
    object_pairs_hook=_object,
)


def parse_object(text: str, *, where: str) -> JsonObject | Rejection:
    """One JSON object, its numbers with the digits they were written in.

    Example:
        >>> parse_object('{"a": ', where="t:2").reason, parse_object("[1]", where="t:3").reason
        ('broken-json', 'not-an-object')
    """
    try:
        found = _DECODER.decode(text.strip(" \t\r\n"))
    except ValueError as error:
        return Rejection(where=where, reason="broken-json", detail=str(error))
    except RecursionError:
        return too_deep(where)
    if not isinstance(found, dict):
        detail = f"a JSON {_kind(found)}, not an object with columns"
        return Rejection(where=where, reason="not-an-object", detail=detail)
    return found


def too_deep(where: str) -> Rejection:
    """The rejection of an object whose lists stand inside lists beyond what can be read."""
    return Rejection(where=where, reason="broken-json", detail="nested too deeply")


def row_of(found: Mapping[str, object], *, where: str) -> Row | Rejection:
    """An object's values as a row of cells.

    Example:
        >>> found = parse_object('{"a": "NA", "n": 1.50, "x": null, "l": ["p", 2]}', where="t:1")
        >>> row_of(found, where="t:1").fields
        {'a': 'NA', 'n': '1.50', 'x': '', 'l': '["p",2]'}
    """
    if not is_encodable("".join(found)):
        detail = f"a key holds bytes that are no text: {ascii(list(found))[:200]}"
        return Rejection(where=where, reason="undecodable", detail=detail)
    return make_row(where, list(found), [cell(value) for value in found.values()])


def cell(value: object) -> str:
    """A value as the text of a cell.

    Strings stay as they are, numbers keep their digits ("007" cannot be a JSON number, 1e5 stays
    "1e5"), true and false keep their spelling, null is the empty cell, lists and objects are their
    compact JSON.
    """
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else compact(value)


def compact(value: object) -> str:
    """A value as JSON without blanks, numbers as they were written."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quote(k)}:{compact(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    return _quote(value)


def is_text(value: object) -> TypeGuard[str]:
    """Whether the value was written as a string, and not as a number."""
    return isinstance(value, str) and not isinstance(value, _Number)


def _quote(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _kind(value: object) -> str:
    if isinstance(value, _Number):
        return "number"
    names = {str: "string", bool: "boolean", list: "list", type(None): "null"}
    return names.get(type(value), "value")
