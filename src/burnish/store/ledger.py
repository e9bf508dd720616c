"""The ledger: what happened, in order, never changed. Predictions and feedback stand in the same file (journal.py).

Importing this module is cheap: SQLAlchemy is imported when a ledger is opened.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from burnish.errors import BurnishError, Problem
from burnish.records.event import Event
from burnish.store import database
from burnish.store.columns import EVENTS, SEALED
from burnish.store.sealed import is_sealed, require_text, seal, spell

if TYPE_CHECKING:
    from sqlalchemy import Engine

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

    from burnish.store.tables import METADATA

    table = METADATA.tables["events"]
    row: dict[str, Any] = {"kind": kind, "subject": subject, "by": by, "at": at}
    row["payload"] = spell(payload, what=f"the payload of {kind}")
    require_text(row)
    size = sum(len(value) for value in row.values())
    with database.writing(ledger.engine, ledger.path, needs_bytes=size) as connection:
        last = connection.execute(select(func.max(table.c.sequence))).scalar() or 0
        number = last + 1
        row["digest"] = seal(row, EVENTS, number=number)
        connection.execute(insert(table), {"sequence": number, **row})
    return number


def events(
    ledger: Ledger, *, kind: str | None = None, subject: str | None = None, after: int = 0
) -> list[Event]:
    """The events with a sequence above `after`, in order; each is checked against its digest.

    Every row is read and checked before any is left out: a damaged `kind` must not hide an event.

    Raises: ledger-damaged.
    """
    from sqlalchemy import select, text

    from burnish.store.tables import METADATA

    table = METADATA.tables["events"]
    query = select(table).where(table.c.sequence > after).order_by(table.c.sequence)
    with database.reading(ledger.engine, ledger.path) as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
        newest = connection.execute(text(_NEWEST_EVER)).scalar() or 0
    if newest > max(after, 0) + len(rows):
        raise database.damaged(ledger.path, f"event {newest} was recorded and is gone")
    for number, row in enumerate(rows, start=max(after, 0) + 1):
        if row["sequence"] != number:
            raise database.damaged(ledger.path, f"event {number} is gone")
        if not is_sealed(row, EVENTS, number=number):
            raise database.damaged(ledger.path, f"event {number} does not match its checksum")
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

    from burnish.store.tables import METADATA

    table = METADATA.tables["events"]
    query = select(func.max(table.c.sequence))
    if kind is not None:
        query = query.where(table.c.kind == kind)
    with database.reading(ledger.engine, ledger.path) as connection:
        return connection.execute(query).scalar() or 0


def check_ledger(ledger: Ledger) -> tuple[Problem, ...]:
    """Read the whole ledger: SQLite's own check, then every row against its seal. Empty when sound."""
    from sqlalchemy import select, text

    from burnish.store.tables import METADATA

    try:
        with database.reading(ledger.engine, ledger.path) as connection:
            verdict = connection.execute(text("PRAGMA integrity_check(1)")).scalar()
            if verdict != "ok":
                raise database.damaged(ledger.path, f"SQLite says: {verdict}")
            for table, fields in SEALED.items():
                for row in connection.execute(select(METADATA.tables[table])).mappings():
                    if not is_sealed(row, fields):
                        name = row.get("id") or row.get("owner") or row["sequence"]
                        what = f"{table} {name} does not match its checksum"
                        raise database.damaged(ledger.path, what)
        events(ledger)
    except BurnishError as error:
        return error.problems
    return ()
