"""Label Studio's JSON-MIN export: one flat object for each annotation, what was said under the control's name.

Source: what its converter writes: a single choice or text bare, several as {"choices": [...]}, a
taxonomy as [{"taxonomy": [[...]]}]; skipped annotations are left out by the export itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from burnish.data.json_cells import JsonObject, cell, compact, row_of
from burnish.data.rows import Row
from burnish.records.dataset import Rejection

title = "Label Studio annotations (JSON-MIN)"

_MARKS = ("annotator", "annotation_id", "lead_time")
_LEFT_OUT = frozenset({"annotation_id", "lead_time", "created_at", "updated_at"})
PATH_MARK = "/"


def fits(found: JsonObject) -> bool:
    """Whether the object carries the keys that only this export writes."""
    return all(key in found for key in _MARKS)


def rows(found: JsonObject, *, where: str) -> Iterator[Row | Rejection]:
    """The annotation as one row; who said it and when are `annotator` and `annotated_at`."""
    fields: JsonObject = {
        name: _said(value) for name, value in found.items() if name not in _LEFT_OUT
    }
    by = found["annotator"]
    if isinstance(by, Mapping):
        fields["annotator"] = by.get("email") or by.get("id")
    fields["annotated_at"] = found.get("updated_at") or found.get("created_at")
    yield row_of(fields, where=where)


def _said(value: object) -> object:
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        return _names(value["choices"])
    if isinstance(value, dict) and set(value) == {"text"} and isinstance(value["text"], list):
        return "\n".join(map(cell, value["text"]))
    if isinstance(value, list) and value:
        paths = [one["taxonomy"] for one in value if _is_taxonomy(one)]
        if len(paths) == len(value):
            return _names([PATH_MARK.join(map(cell, path)) for one in paths for path in one])
    return value


def _is_taxonomy(value: object) -> bool:
    if not isinstance(value, dict) or "start" in value:
        return False
    found = value.get("taxonomy")
    return isinstance(found, list) and all(isinstance(path, list) for path in found)


def _names(names: list[object]) -> str:
    return cell(names[0]) if len(names) == 1 else compact(names)
