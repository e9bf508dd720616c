"""Prodigy's JSONL: one answered question a line; accepted ones are rows, the others are rejected by name.

Source: Prodigy's annotation format (text, label, spans, options and accept, answer, meta,
_annotator_id, _timestamp). `_columns` is ours: the column names of a table that Burnish exported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from burnish.data.json_cells import JsonObject, cell, compact, is_text, row_of
from burnish.data.rows import Row
from burnish.records.dataset import Rejection

title = "Prodigy annotations"

ANSWERS = ("accept", "reject", "ignore")
COLUMNS_KEY = "_columns"
# what the tool needs to ask the question, not what was asked or said
_TOOL = frozenset({
    "_input_hash", "_task_hash", "_session_id", "_annotator_id", "_view_id", "_timestamp", "_is_binary",
    COLUMNS_KEY, "config", "answer", "options", "accept", "label", "meta", "tokens", "html", "priority",
})  # fmt: skip


def fits(found: JsonObject) -> bool:
    """Whether the object is an answered question."""
    if found.get("answer") not in ANSWERS:
        return False
    marks = ("_input_hash", "_task_hash", "options", "accept", "label", "spans")
    return any(mark in found for mark in marks) and "messages" not in found


def rows(found: JsonObject, *, where: str) -> Iterator[Row | Rejection]:
    """The accepted answer as one row: text, label, the keys of meta, annotator; spans as compact JSON.

    Several accepted options are a JSON list of names. A rejected or ignored question is no row: that a
    label is wrong does not say which one is right.
    """
    answer = cell(found["answer"])
    if answer != "accept":
        reason = "annotation-rejected" if answer == "reject" else "annotation-skipped"
        asked = f' for "{cell(found["label"])}"' if found.get("label") is not None else ""
        yield Rejection(where=where, reason=reason, detail=f'answered "{answer}"{asked}')
        return
    renamed = found.get(COLUMNS_KEY)
    named: Mapping[str, object] = renamed if isinstance(renamed, dict) else {}
    fields: JsonObject = {
        cell(named.get(name, name)): value for name, value in found.items() if name not in _TOOL
    }
    if "label" in found or "accept" in found:
        fields[cell(named.get("label", "label"))] = _label(found)
    meta = found.get("meta")
    for name, value in meta.items() if isinstance(meta, dict) else ():
        fields[f"meta.{name}" if name in fields else name] = value
    for name, key in (("annotator", "_annotator_id"), ("annotated_at", "_timestamp")):
        if found.get(key) is not None:
            fields[name] = found[key]
    yield row_of(fields, where=where)


def _label(found: JsonObject) -> str:
    """What was accepted: the options that were chosen, else the label that was asked about."""
    accepted = found.get("accept")
    if accepted is None:
        return cell(found.get("label"))
    chosen = accepted if isinstance(accepted, list) else [accepted]
    # an option is chosen by its id; where an id is a number, the name is its text
    options = found.get("options")
    texts = {
        cell(one.get("id")): one.get("text")
        for one in (options if isinstance(options, list) else ())
        if isinstance(one, dict) and is_text(one.get("text")) and not is_text(one.get("id"))
    }
    names = [cell(texts.get(cell(one), one)) for one in chosen]
    return names[0] if len(names) == 1 else compact(names) if names else ""
