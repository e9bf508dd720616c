"""What people said about predictions: appended once, never changed, in the order it came."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from burnish.records.deployment import Feedback
from burnish.store import database
from burnish.store.columns import FEEDBACK
from burnish.store.journal import ANSWER, MOST_NAMED, read_text, text_row
from burnish.store.sealed import is_sealed, is_text, require_text, seal, spell

if TYPE_CHECKING:
    from burnish.store.ledger import Ledger


def record_feedback(ledger: Ledger, given: Sequence[Feedback]) -> tuple[str, ...]:
    """Append what is new of `given` in one commit and return its ids; what is there already is left as it is.

    Raises: record-unwritable, disk-full, ledger-busy, ledger-damaged, not-writable.
    """
    from sqlalchemy import insert, select

    from burnish.store.tables import METADATA

    table, texts = METADATA.tables["feedback"], METADATA.tables["texts"]
    rows = {one.id: _row(one) for one in given}
    words = {one.id: _texts(one) for one in given}
    if not rows:
        return ()
    every = (*rows.values(), *(row for some in words.values() for row in some))
    size = sum(len(str(value)) for row in every for value in row.values())
    with database.writing(ledger.engine, ledger.path, needs_bytes=size) as connection:
        ids = list(rows)
        known: set[str] = set()
        for start in range(0, len(ids), MOST_NAMED):
            query = select(table.c.id).where(table.c.id.in_(ids[start : start + MOST_NAMED]))
            known.update(connection.execute(query).scalars())
        new = [id for id in ids if id not in known]
        if new:
            connection.execute(insert(table), [rows[id] for id in new])
        kept = [row for id in new for row in words[id]]
        if kept:
            connection.execute(insert(texts), kept)
    return tuple(new)


def feedback(
    ledger: Ledger, *, prediction_ids: Sequence[str] | None = None, after: int = 0
) -> list[tuple[int, Feedback]]:
    """Everything said (about those predictions) with a number above `after`, in the order it came.

    Raises: ledger-damaged.
    """
    from sqlalchemy import select

    from burnish.store.tables import METADATA

    table, texts = METADATA.tables["feedback"], METADATA.tables["texts"]
    answers = texts.alias("answers")
    query = (
        select(
            table,
            texts.c.owner,
            texts.c.inputs,
            texts.c.at.label("text_at"),
            texts.c.digest.label("text_digest"),
            answers.c.inputs.label("answer"),
            answers.c.owner.label("answer_owner"),
            answers.c.at.label("answer_at"),
            answers.c.digest.label("answer_digest"),
        )
        .outerjoin(texts, texts.c.owner == table.c.id)
        .outerjoin(answers, answers.c.owner == table.c.id + ANSWER)
        .where(table.c.sequence > after)
        .order_by(table.c.sequence)
    )
    queries = [query]
    if prediction_ids is not None:
        wanted = [id for id in dict.fromkeys(prediction_ids) if is_text(id)]
        queries = [
            query.where(table.c.prediction_id.in_(wanted[start : start + MOST_NAMED]))
            for start in range(0, len(wanted), MOST_NAMED)
        ]
    found: list[tuple[int, Feedback]] = []
    with database.reading(ledger.engine, ledger.path) as connection:
        for one in queries:
            for row in connection.execute(one).mappings():
                if not is_sealed(row, FEEDBACK):
                    what = f"feedback {row['id']} does not match its checksum"
                    raise database.damaged(ledger.path, what)
                found.append((row["sequence"], _feedback(ledger, dict(row))))
    return sorted(found, key=lambda pair: pair[0])


def newest_feedback(ledger: Ledger) -> int:
    """The number of the newest piece of feedback, 0 when there is none."""
    from sqlalchemy import func, select

    from burnish.store.tables import METADATA

    table = METADATA.tables["feedback"]
    with database.reading(ledger.engine, ledger.path) as connection:
        return connection.execute(select(func.max(table.c.sequence))).scalar() or 0


def count_feedback(ledger: Ledger, *, after: int = 0) -> int:
    """How many pieces of feedback are numbered above `after`."""
    from sqlalchemy import func, select

    from burnish.store.tables import METADATA

    table = METADATA.tables["feedback"]
    query = select(func.count()).where(table.c.sequence > after)
    with database.reading(ledger.engine, ledger.path) as connection:
        return connection.execute(query).scalar() or 0


def _texts(one: Feedback) -> list[dict[str, Any]]:
    """The words of a piece of feedback: they are erased apart from what it says."""
    rows = [] if one.inputs is None else [text_row(one.id, one.inputs, at=one.at)]
    if one.text is not None:
        rows.append(text_row(f"{one.id}{ANSWER}", {"text": one.text}, at=one.at))
    return rows


def _row(one: Feedback) -> dict[str, Any]:
    row: dict[str, Any] = one.model_dump(exclude={"inputs", "text"})
    row["right"] = int(one.right)
    if one.labels is not None:
        row["labels"] = spell(list(one.labels), what=f"labels of feedback {one.id}")
    require_text({name: row[name] for name in ("id", "prediction_id", "by", "at")})
    row["digest"] = seal(row, FEEDBACK)
    return row


def _feedback(ledger: Ledger, row: dict[str, Any]) -> Feedback:
    inputs = None
    if row["owner"] is not None:
        inputs = read_text(
            ledger,
            owner=row["owner"],
            at=row["text_at"],
            inputs=row["inputs"],
            digest=row["text_digest"],
        )
    text = None
    if row["answer_owner"] is not None:
        text = read_text(
            ledger,
            owner=row["answer_owner"],
            at=row["answer_at"],
            inputs=row["answer"],
            digest=row["answer_digest"],
        )["text"]
    return Feedback(
        id=row["id"],
        prediction_id=row["prediction_id"],
        right=bool(row["right"]),
        labels=None if row["labels"] is None else tuple(json.loads(row["labels"])),
        text=text,
        by=row["by"],
        chosen=row["chosen"],
        inputs=inputs,
        at=row["at"],
    )
