"""Erasing from the ledger: texts go, what quoted them is written anew under its seal, in one commit; then the log is folded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from burnish.errors import fail
from burnish.records.signal import Watched
from burnish.store import database
from burnish.store.columns import EVENTS, PREDICTIONS, WINDOWS
from burnish.store.journal import MOST_NAMED
from burnish.store.ledger import events
from burnish.store.sealed import is_sealed, seal, spell
from burnish.store.words import ANSWER, read_text

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from burnish.store.ledger import Ledger

# Stands where the hash of a forgotten text stood: a plain hash of a short text can be guessed.
NO_INPUT = "forgotten"
_FOLD_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A text the ledger holds: of a prediction, or sent again with feedback (`owner` is that one's id)."""

    owner: str
    inputs: dict[str, str]


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to go: texts by owner, the plain hashes of predictions, and records that are written anew."""

    texts: Sequence[str] = ()
    predictions: Sequence[str] = ()
    windows: Mapping[int, Watched] = field(default_factory=dict)
    payloads: Mapping[int, dict[str, Any]] = field(default_factory=dict)


def kept_texts(ledger: Ledger) -> Iterator[Kept]:
    """Every text in the ledger, each checked against its seal.

    Raises: ledger-damaged.
    """
    from sqlalchemy import select

    from burnish.store.tables import METADATA

    table = METADATA.tables["texts"]
    with database.reading(ledger.engine, ledger.path) as connection:
        for row in connection.execute(select(table)).mappings():
            yield Kept(row["owner"], read_text(ledger, **row))


def asked_before(ledger: Ledger, input_ids: Sequence[str]) -> list[str]:
    """The ids of the predictions that were asked one of these inputs."""
    from sqlalchemy import select

    from burnish.store.tables import METADATA

    table = METADATA.tables["predictions"]
    found: list[str] = []
    with database.reading(ledger.engine, ledger.path) as connection:
        for start in range(0, len(input_ids), MOST_NAMED):
            some = list(input_ids[start : start + MOST_NAMED])
            query = select(table.c.id).where(table.c.input_id.in_(some))
            found += connection.execute(query).scalars()
    return found


def numbered_windows(ledger: Ledger) -> dict[int, Watched]:
    """Every judged window by its number.

    Raises: ledger-damaged.
    """
    from sqlalchemy import select

    from burnish.store.tables import METADATA

    table = METADATA.tables["windows"]
    with database.reading(ledger.engine, ledger.path) as connection:
        rows = [dict(row) for row in connection.execute(select(table)).mappings()]
    for row in rows:
        if not is_sealed(row, WINDOWS):
            what = f"window {row['sequence']} does not match its checksum"
            raise database.damaged(ledger.path, what)
    return {row["sequence"]: Watched.model_validate_json(row["payload"]) for row in rows}


def erase(ledger: Ledger, what: Erasure) -> None:
    """Take all of it out in one commit, sealed anew, and then out of the file: SQLite overwrites what is deleted
    (secure_delete), and the write-ahead log is emptied. Servers may go on writing meanwhile.

    Raises: ledger-busy, ledger-damaged, disk-full, not-writable.
    """
    from sqlalchemy import delete, select, update

    from burnish.store.tables import METADATA

    tables = METADATA.tables
    size = sum(len(spell(payload, what="it")) for payload in what.payloads.values())
    with (
        database.writing(ledger.engine, ledger.path, needs_bytes=size) as connection,
        _unguarded(connection, "predictions", "windows", "events"),
    ):
        table = tables["texts"]
        # what was answered, and what people said is right, goes with what was asked
        asked = dict.fromkeys((*what.texts, *what.predictions))
        said = tables["feedback"]
        for start in range(0, len(ids := list(asked)), MOST_NAMED):
            some = ids[start : start + MOST_NAMED]
            query = select(said.c.id).where(said.c.prediction_id.in_(some))
            asked |= dict.fromkeys(connection.execute(query).scalars())
        owners = [*what.texts, *(f"{owner}{ANSWER}" for owner in asked)]
        for start in range(0, len(owners), MOST_NAMED):
            some = owners[start : start + MOST_NAMED]
            connection.execute(delete(table).where(table.c.owner.in_(some)))
        table = tables["predictions"]
        for start in range(0, len(what.predictions), MOST_NAMED):
            some = list(what.predictions[start : start + MOST_NAMED])
            query = select(table).where(table.c.id.in_(some), table.c.input_id != NO_INPUT)
            for row in [dict(one) for one in connection.execute(query).mappings()]:
                if not is_sealed(row, PREDICTIONS):
                    found = f"prediction {row['id']} does not match its checksum"
                    raise database.damaged(ledger.path, found)
                row["input_id"] = NO_INPUT
                changed = {"input_id": NO_INPUT, "digest": seal(row, PREDICTIONS)}
                connection.execute(update(table).where(table.c.id == row["id"]).values(changed))
        table = tables["windows"]
        for number, watched in what.windows.items():
            payload = spell(watched.model_dump(mode="json"), what="the window")
            _seal_again(connection, table, WINDOWS, number, payload, place=0)
        table = tables["events"]
        for number, plain in what.payloads.items():
            payload = spell(plain, what="the payload")
            _seal_again(connection, table, EVENTS, number, payload, place=number)
    fold_surely(ledger)


def fold_surely(ledger: Ledger) -> None:
    """Empty the write-ahead log, waiting for readers: until then it still holds what was erased.

    Raises: ledger-busy.
    """
    until = time.monotonic() + _FOLD_SECONDS
    log = ledger.path.with_name(f"{ledger.path.name}-wal")
    while True:
        database.fold(ledger.engine, ledger.path)
        if not log.exists() or log.stat().st_size == 0:
            return
        if time.monotonic() > until:
            raise fail(
                "ledger-busy",
                "somebody reads the ledger without a pause, so its log still holds what was erased",
                where=log.name,
                fix="run the same command again when the server has less to do",
            )
        time.sleep(0.05)


def quoting_events(ledger: Ledger, *, kinds: frozenset[str]) -> dict[int, dict[str, Any]]:
    """The payloads of the events of these kinds by number: people and errors may quote a text in them."""
    return {one.sequence: json.loads(json.dumps(one.payload)) for one in events(ledger)
            if one.kind in kinds}  # fmt: skip


@contextmanager
def _unguarded(connection: Connection, *tables: str) -> Iterator[None]:
    """Without the triggers that refuse every change, for the length of this transaction: nobody else sees it."""
    from sqlalchemy import text

    query = text("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
    found = [row for row in connection.execute(query).mappings() if row["tbl_name"] in tables]
    for row in found:
        connection.execute(text(f'DROP TRIGGER "{row["name"]}"'))
    yield
    for row in found:
        connection.execute(text(row["sql"]))


def _seal_again(
    connection: Any, table: Any, fields: tuple[str, ...], number: int, payload: str, *, place: int
) -> None:
    from sqlalchemy import select, update

    query = select(table).where(table.c.sequence == number)
    row = dict(connection.execute(query).mappings().one())
    row["payload"] = payload
    changed = {"payload": payload, "digest": seal(row, fields, number=place)}
    connection.execute(update(table).where(table.c.sequence == number).values(changed))
