"""The journal: every prediction that was given, in group commits; its text stands apart, because texts can be erased.

`sequence` numbers the answers of a workspace in the order they were given; windows are cut along it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from burnish.errors import fail
from burnish.records.deployment import Prediction
from burnish.store import database
from burnish.store.columns import PREDICTIONS
from burnish.store.sealed import is_sealed, is_text, require_text, seal, spell
from burnish.store.words import text_rows, with_words, words_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

    from burnish.store.ledger import Ledger

# SQLite takes at most 32,766 variables in a statement.
MOST_NAMED = 10_000


@dataclass(frozen=True, slots=True)
class Answered:
    """A prediction and its number in the journal."""

    sequence: int
    prediction: Prediction


def journal(ledger: Ledger, predictions: Sequence[Prediction]) -> None:
    """Append all of `predictions` in one commit: after any failure all of them are there, or none.

    Raises: prediction-exists, record-unwritable, disk-full, ledger-busy, ledger-damaged, not-writable.
    """
    from sqlalchemy import insert
    from sqlalchemy.exc import IntegrityError

    from burnish.store.tables import METADATA

    if not predictions:
        return
    rows = [_row(prediction) for prediction in predictions]
    texts = [
        row
        for one in predictions
        for row in text_rows(one.id, inputs=one.inputs, text=one.text, at=one.at)
    ]
    size = sum(len(str(value)) for row in (*rows, *texts) for value in row.values())
    try:
        with database.writing(ledger.engine, ledger.path, needs_bytes=size) as connection:
            connection.execute(insert(METADATA.tables["predictions"]), rows)
            if texts:
                connection.execute(insert(METADATA.tables["texts"]), texts)
    except IntegrityError as error:
        raise fail(
            "prediction-exists",
            f"one of {len(rows)} predictions has an id that is recorded already; none was recorded",
            where=str(ledger.path),
            fix="journal each prediction once",
        ) from error


def predictions(
    ledger: Ledger, *, version: str | None = None, limit: int = 1000, after: str | None = None
) -> list[Prediction]:
    """At most `limit` predictions (of a version), in the order given, from behind the one with id `after`.

    Raises: id-unknown for `after`, ledger-damaged.
    """
    start = 0
    if after is not None:
        found = find_answered(ledger, after)
        if found is None:
            raise fail("id-unknown", f"no prediction has the id {after!r}", where="predictions")
        start = found.sequence
    return [one.prediction for one in stretch(ledger, version=version, after=start, limit=limit)]


def stretch(
    ledger: Ledger, *, version: str | None = None, after: int = 0, limit: int = 1000
) -> list[Answered]:
    """At most `limit` answers (of a version) numbered above `after`, in order, each checked against its seal.

    Raises: ledger-damaged.
    """
    from burnish.store.tables import METADATA

    table = METADATA.tables["predictions"]
    query = _query().where(table.c.sequence > after).order_by(table.c.sequence).limit(limit)
    if version is not None:
        query = query.where(table.c.version == version)
    with database.reading(ledger.engine, ledger.path) as connection:
        return _answered(ledger, connection, query)


def count_answers(ledger: Ledger, *, version: str, after: int = 0) -> int:
    """How many answers of the version are numbered above `after`."""
    from sqlalchemy import func, select

    from burnish.store.tables import METADATA

    table = METADATA.tables["predictions"]
    query = select(func.count()).where(table.c.version == version, table.c.sequence > after)
    with database.reading(ledger.engine, ledger.path) as connection:
        return connection.execute(query).scalar() or 0


def find_prediction(ledger: Ledger, id: str) -> Prediction | None:
    """The prediction with that id, or None.

    Raises: ledger-damaged.
    """
    found = find_answered(ledger, id)
    return None if found is None else found.prediction


def find_answered(ledger: Ledger, id: str) -> Answered | None:
    """The prediction with that id and its number, or None.

    Raises: ledger-damaged.
    """
    found = find_many(ledger, [id])
    return found.get(id)


def find_many(ledger: Ledger, ids: Sequence[str]) -> dict[str, Answered]:
    """The predictions among `ids` that the journal knows, by id.

    Raises: ledger-damaged.
    """
    from burnish.store.tables import METADATA

    table = METADATA.tables["predictions"]
    wanted = [id for id in dict.fromkeys(ids) if is_text(id)]
    found: dict[str, Answered] = {}
    with database.reading(ledger.engine, ledger.path) as connection:
        for start in range(0, len(wanted), MOST_NAMED):
            query = _query().where(table.c.id.in_(wanted[start : start + MOST_NAMED]))
            for one in _answered(ledger, connection, query):
                found[one.prediction.id] = one
    return found


def audited(
    ledger: Ledger, *, version: str, unanswered: bool = False, limit: int = 100_000
) -> list[Answered]:
    """The version's answers that were drawn for an audit, in order; `unanswered` leaves those with feedback out.

    Raises: ledger-damaged.
    """
    from sqlalchemy import exists

    from burnish.store.tables import METADATA

    table, said = METADATA.tables["predictions"], METADATA.tables["feedback"]
    query = _query().where(table.c.version == version, table.c.audit == 1)
    if unanswered:
        query = query.where(~exists().where(said.c.prediction_id == table.c.id))
    with database.reading(ledger.engine, ledger.path) as connection:
        return _answered(ledger, connection, query.order_by(table.c.sequence).limit(limit))


def forget_texts(ledger: Ledger, *, before: str) -> int:
    """Erase every text written before that moment (ISO, UTC) and return how many; the answers stay.

    The bytes are gone from the file too: SQLite overwrites what is deleted (secure_delete), and the log is folded.

    Raises: ledger-busy, ledger-damaged, disk-full, not-writable.
    """
    from sqlalchemy import delete

    from burnish.store.tables import METADATA

    table = METADATA.tables["texts"]
    with database.writing(ledger.engine, ledger.path) as connection:
        gone = connection.execute(delete(table).where(table.c.at < before)).rowcount
    if gone:
        database.fold(ledger.engine, ledger.path)
    return gone


def _row(prediction: Prediction) -> dict[str, Any]:
    row = prediction.model_dump(exclude={"inputs", "text"})
    for name in ("labels", "scores"):
        row[name] = spell(row[name], what=f"{name} of prediction {prediction.id}")
    for name in ("confidence", "latency_ms"):
        row[name] += 0.0  # SQLite has no negative zero, and the seal is on what is read back
    row["audit"] = int(prediction.audit)
    require_text({name: row[name] for name in ("id", "version", "input_id", "at")})
    row["digest"] = seal(row, PREDICTIONS)
    return row


def _query() -> Select[Any]:
    from burnish.store.tables import METADATA

    return with_words(METADATA.tables["predictions"])


def _answered(ledger: Ledger, connection: Connection, query: Select[Any]) -> list[Answered]:
    found = []
    for row in connection.execute(query).mappings():
        if not is_sealed(row, PREDICTIONS):
            what = f"prediction {row['id']} does not match its checksum"
            raise database.damaged(ledger.path, what)
        inputs, text = words_of(ledger, dict(row))
        found.append(
            Answered(
                row["sequence"],
                # every field was sealed as it was validated: building it again needs no second look
                Prediction.model_construct(
                    id=row["id"],
                    version=row["version"],
                    input_id=row["input_id"],
                    inputs=inputs,
                    labels=tuple(json.loads(row["labels"])),
                    confidence=row["confidence"],
                    scores=json.loads(row["scores"]),
                    text=text,
                    dropped_characters=row["dropped_characters"],
                    latency_ms=row["latency_ms"],
                    audit=bool(row["audit"]),
                    at=row["at"],
                ),
            )
        )
    return found
