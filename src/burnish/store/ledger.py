"""The ledger: what happened, in order, never changed; and every prediction that was given.

Importing this module is cheap: SQLAlchemy is imported when a ledger is opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from burnish.errors import BurnishError, Problem, fail
from burnish.records.deployment import Prediction
from burnish.records.event import Event
from burnish.store import database

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = [
    "Event",
    "Ledger",
    "check_ledger",
    "close_ledger",
    "events",
    "find_prediction",
    "journal",
    "open_ledger",
    "predictions",
    "record_event",
    "sequence",
]

_EVENT_FIELDS = ("kind", "subject", "by", "at", "payload")
_PREDICTION_FIELDS = (
    "id",
    "version",
    "input_id",
    "inputs",
    "labels",
    "confidence",
    "scores",
    "dropped_characters",
    "latency_ms",
    "at",
)


# SQLite's own note of the highest number ever given (AUTOINCREMENT): shows a lost last row.
_NEWEST_EVER = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"


@dataclass(frozen=True, slots=True)
class Ledger:
    """An open ledger. Threads may share it; a forked child opens its own.

    Closed by `close_ledger` or the end of a `with` block.
    """

    path: Path
    engine: Engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        close_ledger(self)


def open_ledger(path: Path) -> Ledger:
    """Open the ledger at `path`, making it when there is none, and bring its tables up to date.

    Raises: ledger-damaged, ledger-newer, ledger-busy, disk-full, not-writable.
    """
    path = Path(path).absolute()
    return Ledger(path, database.connect(path))


def close_ledger(ledger: Ledger) -> None:
    """Close its connections; a closed ledger opens again by itself when it is used."""
    database.close(ledger.engine, ledger.path)


def record_event(
    ledger: Ledger, *, kind: str, subject: str, by: str, at: str, payload: dict[str, Any]
) -> int:
    """Append one event and return its sequence number; it is on the disk then.

    Raises: record-unwritable, disk-full, ledger-busy, ledger-damaged, not-writable.
    """
    from sqlalchemy import func, insert, select

    from burnish.store.tables import EVENTS

    row: dict[str, Any] = {"kind": kind, "subject": subject, "by": by, "at": at}
    row["payload"] = _spell(payload, what=f"the payload of {kind}")
    _require_text(row)
    size = sum(len(value) for value in row.values())
    with database.writing(ledger.engine, ledger.path, needs_bytes=size) as connection:
        last = connection.execute(select(func.max(EVENTS.c.sequence))).scalar() or 0
        number = last + 1
        row["digest"] = _digest(number, row, _EVENT_FIELDS)
        connection.execute(insert(EVENTS), {"sequence": number, **row})
    return number


def events(
    ledger: Ledger, *, kind: str | None = None, subject: str | None = None, after: int = 0
) -> list[Event]:
    """The events with a sequence above `after`, in order; each is checked against its digest.

    Every row is read and checked before any is left out: a damaged `kind` must not hide an event.

    Raises: ledger-damaged.
    """
    from sqlalchemy import select, text

    from burnish.store.tables import EVENTS

    query = select(EVENTS).where(EVENTS.c.sequence > after).order_by(EVENTS.c.sequence)
    with database.reading(ledger.engine, ledger.path) as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
        newest = connection.execute(text(_NEWEST_EVER)).scalar() or 0
    if newest > max(after, 0) + len(rows):
        raise database.damaged(ledger.path, f"event {newest} was recorded and is gone")
    for number, row in enumerate(rows, start=max(after, 0) + 1):
        if row["sequence"] != number:
            raise database.damaged(ledger.path, f"event {number} is gone")
        _verify(ledger, row, _EVENT_FIELDS, what=f"event {number}")
    return [
        Event(
            sequence=row["sequence"],
            payload=json.loads(row["payload"]),
            **{name: row[name] for name in ("kind", "subject", "by", "at")},
        )
        for row in rows
        if (kind is None or row["kind"] == kind) and (subject is None or row["subject"] == subject)
    ]


def sequence(ledger: Ledger, *, kind: str | None = None) -> int:
    """The number of the newest event (of that kind), 0 when there is none. Cheap: servers poll it."""
    from sqlalchemy import func, select

    from burnish.store.tables import EVENTS

    query = select(func.max(EVENTS.c.sequence))
    if kind is not None:
        query = query.where(EVENTS.c.kind == kind)
    with database.reading(ledger.engine, ledger.path) as connection:
        return connection.execute(query).scalar() or 0


def journal(ledger: Ledger, predictions: Sequence[Prediction]) -> None:
    """Append all of `predictions` in one commit: after any failure all of them are there, or none.

    Raises: prediction-exists, record-unwritable, disk-full, ledger-busy, ledger-damaged, not-writable.
    """
    from sqlalchemy import insert
    from sqlalchemy.exc import IntegrityError

    from burnish.store.tables import PREDICTIONS

    if not predictions:
        return
    rows = [_prediction_row(prediction) for prediction in predictions]
    size = sum(len(str(value)) for row in rows for value in row.values())
    try:
        with database.writing(ledger.engine, ledger.path, needs_bytes=size) as connection:
            connection.execute(insert(PREDICTIONS), rows)
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
    from sqlalchemy import select

    from burnish.store.tables import PREDICTIONS

    query = select(PREDICTIONS).order_by(PREDICTIONS.c.sequence).limit(limit)
    if version is not None:
        query = query.where(PREDICTIONS.c.version == version)
    with database.reading(ledger.engine, ledger.path) as connection:
        if after is not None:
            place = select(PREDICTIONS.c.sequence).where(PREDICTIONS.c.id == after)
            start = connection.execute(place).scalar() if _is_text(after) else None
            if start is None:
                raise fail("id-unknown", f"no prediction has the id {after!r}", where="predictions")
            query = query.where(PREDICTIONS.c.sequence > start)
        rows = [dict(row) for row in connection.execute(query).mappings()]
    return [_prediction(ledger, row) for row in rows]


def find_prediction(ledger: Ledger, id: str) -> Prediction | None:
    """The prediction with that id, or None.

    Raises: ledger-damaged.
    """
    from sqlalchemy import select

    from burnish.store.tables import PREDICTIONS

    if not _is_text(id):
        return None
    with database.reading(ledger.engine, ledger.path) as connection:
        found = connection.execute(select(PREDICTIONS).where(PREDICTIONS.c.id == id))
        row = found.mappings().one_or_none()
    return None if row is None else _prediction(ledger, dict(row))


def check_ledger(ledger: Ledger) -> tuple[Problem, ...]:
    """Read the whole ledger: SQLite's own check, then every row against its digest. Empty when sound."""
    from sqlalchemy import select, text

    from burnish.store.tables import PREDICTIONS

    try:
        with database.reading(ledger.engine, ledger.path) as connection:
            verdict = connection.execute(text("PRAGMA integrity_check(1)")).scalar()
            if verdict != "ok":
                raise database.damaged(ledger.path, f"SQLite says: {verdict}")
            for row in connection.execute(select(PREDICTIONS)).mappings():
                _verify(ledger, dict(row), _PREDICTION_FIELDS, what=f"prediction {row['id']}")
        events(ledger)
    except BurnishError as error:
        return error.problems
    return ()


def _prediction_row(prediction: Prediction) -> dict[str, Any]:
    row = prediction.model_dump()
    for name in ("inputs", "labels", "scores"):
        if row[name] is not None:
            row[name] = _spell(row[name], what=f"{name} of prediction {prediction.id}")
    for name in ("confidence", "latency_ms"):
        row[name] += 0.0  # SQLite has no negative zero, and the digest is of what is read back
    _require_text({name: row[name] for name in ("id", "version", "input_id", "at")})
    row["digest"] = _digest(0, row, _PREDICTION_FIELDS)
    return row


def _prediction(ledger: Ledger, row: dict[str, Any]) -> Prediction:
    _verify(ledger, row, _PREDICTION_FIELDS, what=f"prediction {row['id']}")
    fields = {name: row[name] for name in _PREDICTION_FIELDS}
    for name in ("inputs", "labels", "scores"):
        if fields[name] is not None:
            fields[name] = json.loads(fields[name])
    return Prediction.model_validate(fields)


def _spell(value: object, *, what: str) -> str:
    """JSON in ASCII: a lone surrogate survives, and NaN is refused rather than written as no JSON."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise fail(
            "record-unwritable",
            f"{what} is not plain JSON ({error})",
            expected="text, finite numbers, true, false, null, lists and objects",
            fix="this is a fault of the caller: report it",
        ) from error


def _require_text(row: Mapping[str, str]) -> None:
    for name, value in row.items():
        if not _is_text(value):
            raise fail(
                "record-unwritable",
                f"{name} {value[:80]!r} is not valid Unicode text",
                fix=f"give {name} in characters that can be written",
            )


def _is_text(value: str) -> bool:
    """False for lone surrogates, which a database cannot hold as text."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _digest(number: int, row: Mapping[str, Any], fields: tuple[str, ...]) -> str:
    """SQLite has no checksum of its own: this one shows any changed bit of a row that is read."""
    spelt = _spell([number, *(row[name] for name in fields)], what="the row")
    return hashlib.sha256(spelt.encode("ascii")).hexdigest()


def _verify(ledger: Ledger, row: Mapping[str, Any], fields: tuple[str, ...], *, what: str) -> None:
    number = row["sequence"] if fields is _EVENT_FIELDS else 0
    try:
        found = _digest(number, row, fields)
    except BurnishError:  # a column that came back as bytes
        found = None
    if found != row["digest"]:
        raise database.damaged(ledger.path, f"{what} does not match its checksum")
