"""Label Studio's JSON export: tasks with their annotations, each task a row or as many as people disagree.

Source: Label Studio's documentation of the task format and of results (from_name, type, value).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from burnish.data.json_cells import JsonObject, cell, compact, row_of
from burnish.data.rows import Row
from burnish.records.dataset import Rejection

title = "Label Studio tasks"

_LISTS = ("annotations", "completions")  # the second before version 1.0
PATH_MARK = "/"  # between the levels of a taxonomy


def fits(found: JsonObject) -> bool:
    """Whether the object is a task: its data, and a list of annotations."""
    if not isinstance(found.get("data"), dict):
        return False
    listed = _listed(found)
    return listed is not None and all(
        isinstance(one, dict) and isinstance(one.get("result", []), list) for one in listed
    )


def rows(found: JsonObject, *, where: str) -> Iterator[Row | Rejection]:
    """The task's data and what people said, one column for each control of the labelling page.

    Annotations that say the same are one row, that of the first; one that says something else is a row
    of its own, so that the check of conflicts sees it. Where some are marked as ground truth, they alone
    count. Skipped annotations and tasks without any are rejected with the reason.
    """
    data = found["data"] if isinstance(found["data"], dict) else {}
    listed = _listed(found) or []
    done = [(n, one) for n, one in enumerate(listed) if not _skipped(one)]
    true = [(n, one) for n, one in done if one.get("ground_truth") is True]
    said: list[Mapping[str, str]] = []
    for place, annotation in true or done:
        answer = _answer(annotation.get("result"))
        if answer in said:
            continue
        spot = where if not said else f"{where}#annotations[{place}]"
        said.append(answer)
        yield row_of(joined(data, {**answer, **_author(annotation)}), where=spot)
    for place, annotation in enumerate(listed):
        if _skipped(annotation):
            spot = where if len(listed) == 1 else f"{where}#annotations[{place}]"
            detail = "skipped by its annotator"
            yield Rejection(where=spot, reason="annotation-skipped", detail=detail)
    if not listed:
        yield Rejection(where=where, reason="not-annotated", detail="a task without annotations")


def joined(data: Mapping[str, object], answer: Mapping[str, object]) -> JsonObject:
    """The data's columns and the answer's; where a name is in both, the data's becomes "data.NAME"."""
    kept = {f"data.{name}" if name in answer else name: value for name, value in data.items()}
    return {**kept, **answer}


def names_cell(names: Sequence[object]) -> str:
    """One name as it is, several as a JSON list."""
    return cell(names[0]) if len(names) == 1 else compact(list(names)) if names else ""


def path_name(path: object) -> object:
    """A taxonomy's path as one name ("Fish/Snapper")."""
    return PATH_MARK.join(map(cell, path)) if isinstance(path, list) else path


def _listed(found: JsonObject) -> list[JsonObject] | None:
    for key in _LISTS:
        value = found.get(key)
        if isinstance(value, list):
            return value
    return None


def _skipped(annotation: JsonObject) -> bool:
    return annotation.get("was_cancelled") is True or annotation.get("skipped") is True


def _author(annotation: JsonObject) -> JsonObject:
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    at = annotation.get("updated_at") or annotation.get("created_at")
    told = {"annotator": by, "annotated_at": at}
    return {name: value for name, value in told.items() if value is not None}


def _answer(result: object) -> dict[str, str]:
    """The cell of each control: choices and taxonomies as names, texts as text, the rest as compact JSON."""
    controls: dict[str, list[JsonObject]] = {}
    for one in result if isinstance(result, list) else ():
        if isinstance(one, dict) and isinstance(one.get("value"), dict) and "from_name" in one:
            controls.setdefault(cell(one["from_name"]), []).append(one)
    return {name: _control(results) for name, results in controls.items()}


def _control(results: Sequence[JsonObject]) -> str:
    kinds = {cell(one.get("type")).lower() for one in results}
    values = [one["value"] for one in results if isinstance(one["value"], dict)]
    kind = kinds.pop() if len(kinds) == 1 else ""
    # what is said of a part of the text is not said of the text: its place must stay with it
    whole = not any("start" in value or "id" in value for value in values)
    if whole and kind in ("choices", "taxonomy", "textarea"):
        key = "text" if kind == "textarea" else kind
        found: list[object] = []
        for value in values:
            held = value.get(key)
            found += held if isinstance(held, list) else [held]
        names = [path_name(one) for one in found] if kind == "taxonomy" else found
        return "\n".join(map(cell, names)) if kind == "textarea" else names_cell(names)
    if whole and len(values) == 1 and kind in ("rating", "number", "datetime"):
        return cell(values[0].get(kind))
    return compact(values)
