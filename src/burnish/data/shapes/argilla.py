"""Argilla's exports: records with fields and responses, nested (`to_json`) or flat (`QUESTION.responses`).

Source: what Argilla 2 writes: responses as {question: [{value, user_id}]}, or flat columns
QUESTION.responses, .users, .status as lists of equal length; and the list of 1.x with its statuses.
Suggestions are a model's guesses: they are never read as labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from burnish.data.json_cells import JsonObject, cell, compact, row_of
from burnish.data.rows import Row
from burnish.records.dataset import Rejection

title = "Argilla records"

NOBODY = "00000000-0000-0000-0000-000000000000"  # stands where nobody in particular answered
_FLAT = ".responses"
_COUNTED = ("submitted", "None", "")  # drafts and discarded responses are no answers


@dataclass(slots=True)
class _Said:
    """What one person said of a record, by question."""

    by: str
    status: str
    answers: JsonObject = field(default_factory=dict)


def fits(found: JsonObject) -> bool:
    """Whether the object is a record with fields and responses, or one made flat."""
    if isinstance(found.get("fields"), dict):
        return isinstance(found.get("responses"), dict | list) and not isinstance(
            found.get("data"), dict
        )
    return any(_is_flat(found, name) for name in found)


def rows(found: JsonObject, *, where: str) -> Iterator[Row | Rejection]:
    """The fields, what people said of each question, and the metadata.

    Responses that say the same are one row, that of the first person; a person who says something else
    is a row of its own, so that the check of conflicts sees it. Drafts, discarded responses and records
    without any are rejected with the reason.
    """
    columns, said = _nested(found) if isinstance(found.get("fields"), dict) else _made_flat(found)
    told: list[JsonObject] = []
    for number, one in enumerate(said):
        if one.status not in _COUNTED:
            spot = where if len(said) == 1 else f"{where}#responses[{number}]"
            detail = f"the response is {one.status}"
            yield Rejection(where=spot, reason="annotation-skipped", detail=detail)
        elif one.answers not in told:
            spot = where if not told else f"{where}#responses[{number}]"
            told.append(one.answers)
            author = {"annotator": one.by} if one.by not in (NOBODY, "", "None") else {}
            answer = {**one.answers, **author}
            kept = {f"data.{name}" if name in answer else name: v for name, v in columns.items()}
            yield row_of({**kept, **answer}, where=spot)
    if not said:
        yield Rejection(where=where, reason="not-annotated", detail="a record without responses")


def _nested(found: JsonObject) -> tuple[JsonObject, list[_Said]]:
    fields = found["fields"] if isinstance(found["fields"], dict) else {}
    metadata = found.get("metadata")
    columns: JsonObject = dict(fields)
    for name, value in metadata.items() if isinstance(metadata, dict) else ():
        columns[f"metadata.{name}" if name in columns else name] = value
    if found.get("id") is not None and "id" not in columns:
        columns["id"] = found["id"]
    responses = found["responses"]
    if isinstance(responses, dict):
        return columns, _by_person(
            (cell(one.get("user_id")), cell(one.get("status")), question, one.get("value"))
            for question, values in responses.items()
            for one in (values if isinstance(values, list) else ())
            if isinstance(one, dict)
        )
    return columns, _by_person(
        (cell(one.get("user_id")), cell(one.get("status")), question, _value(value))
        for one in (responses if isinstance(responses, list) else ())
        if isinstance(one, dict) and isinstance(one.get("values"), dict)
        for question, value in one["values"].items()
    )


def _made_flat(found: JsonObject) -> tuple[JsonObject, list[_Said]]:
    questions = [name.removesuffix(_FLAT) for name in found if _is_flat(found, name)]
    own = {"_server_id", "status", "inserted_at", "updated_at"}
    for question in questions:
        own.update(
            f"{question}{end}"
            for end in (_FLAT, f"{_FLAT}.users", f"{_FLAT}.status",
                        ".suggestion", ".suggestion.score", ".suggestion.agent")
        )  # fmt: skip
    columns = {name: value for name, value in found.items() if name not in own}
    said: list[tuple[str, str, str, object]] = []
    for question in questions:
        values = _list(found[f"{question}{_FLAT}"])
        people = _list(found.get(f"{question}{_FLAT}.users"))
        states = _list(found.get(f"{question}{_FLAT}.status"))
        for number, value in enumerate(values):
            by = cell(people[number]) if number < len(people) else ""
            status = cell(states[number]) if number < len(states) else ""
            said.append((by, status, question, value))
    return columns, _by_person(said)


def _by_person(
    said: Iterator[tuple[str, str, str, object]] | list[tuple[str, str, str, object]],
) -> list[_Said]:
    people: dict[str, _Said] = {}
    for by, status, question, value in said:
        people.setdefault(by, _Said(by, status)).answers[question] = _spelt(value)
    return list(people.values())


def _spelt(value: object) -> object:
    """One name bare, several as a JSON list; rankings and spans as compact JSON."""
    if not isinstance(value, list):
        return value
    if all(isinstance(one, str) for one in value):
        return cell(value[0]) if len(value) == 1 else compact(value) if value else ""
    return compact(value)


def _value(value: object) -> object:
    return value.get("value") if isinstance(value, Mapping) else value


def _is_flat(found: JsonObject, name: str) -> bool:
    return name.endswith(_FLAT) and any(f"{name}.{more}" in found for more in ("users", "status"))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
