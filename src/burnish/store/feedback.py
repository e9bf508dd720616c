"""What people said about predictions: appended once, never changed, in the order it came."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from burnish.records.deployment import Feedback
from burnish.store import database
from burnish.store.columns import FEEDBACK
from burnish.store.journal import MOST_NAMED
from burnish.store.sealed import is_sealed, is_text, require_text, seal, spell
from burnish.store.words import text_rows, with_words, words_of

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
    words = {
        one.id: text_rows(one.id, inputs=one.inputs, text=one.text, at=one.at) for one in given
    }
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
    from burnish.store.tables import METADATA

    table = METADATA.tables["feedback"]
    query = with_words(table).where(table.c.sequence > after).order_by(table.c.sequence)
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


def _row(one: Feedback) -> dict[str, Any]:
    row: dict[str, Any] = one.model_dump(exclude={"inputs", "text"})
    row["right"] = int(one.right)
    if one.labels is not None:
        row["labels"] = spell(list(one.labels), what=f"labels of feedback {one.id}")
    require_text({name: row[name] for name in ("id", "prediction_id", "by", "at")})
    row["digest"] = seal(row, FEEDBACK)
    return row


def _feedback(ledger: Ledger, row: dict[str, Any]) -> Feedback:
    inputs, text = words_of(ledger, row)
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
