"""What watching leaves behind: windows judged once, replies counted, what a candidate answered in silence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from burnish.records.deployment import Prediction
from burnish.records.signal import Watched
from burnish.store import database
from burnish.store.columns import REPLIES, SHADOW_ANSWERS, WINDOWS
from burnish.store.sealed import is_sealed, require_text, seal, spell

if TYPE_CHECKING:
    from burnish.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """What a candidate would have said to a prediction's inputs."""

    prediction_id: str
    version: str
    labels: tuple[str, ...]
    confidence: float
    scores: dict[str, float]
    latency_ms: float
    at: str


def record_window(ledger: Ledger, watched: Watched) -> bool:
    """Append a judged window; False, and nothing happens, when the version's window from there is judged already.

    Raises: record-unwritable, disk-full, ledger-busy, ledger-damaged, not-writable.
    """
    from sqlalchemy import insert, select

    from burnish.store.tables import METADATA

    table = METADATA.tables["windows"]
    row: dict[str, Any] = {
        "version": watched.version,
        "first": watched.first,
        "last": watched.last,
        "level": watched.level,
        "at": watched.at,
        "payload": spell(watched.model_dump(mode="json"), what="the window"),
    }
    require_text({name: row[name] for name in ("version", "at", "payload")})
    row["digest"] = seal(row, WINDOWS)
    with database.writing(
        ledger.engine, ledger.path, needs_bytes=len(row["payload"])
    ) as connection:
        known = select(table.c.sequence).where(
            table.c.version == watched.version, table.c.last >= watched.first
        )
        if connection.execute(known.limit(1)).scalar() is not None:
            return False
        connection.execute(insert(table), row)
    return True


def windows(ledger: Ledger, *, version: str | None = None, newest: int = 1000) -> list[Watched]:
    """The newest judged windows (of a version), oldest first.

    Raises: ledger-damaged.
    """
    from sqlalchemy import select

    from burnish.store.tables import METADATA

    table = METADATA.tables["windows"]
    query = select(table).order_by(table.c.sequence.desc()).limit(newest)
    if version is not None:
        query = query.where(table.c.version == version)
    with database.reading(ledger.engine, ledger.path) as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    for row in rows:
        if not is_sealed(row, WINDOWS):
            what = f"window {row['sequence']} does not match its checksum"
            raise database.damaged(ledger.path, what)
    return [Watched.model_validate_json(row["payload"]) for row in reversed(rows)]


def newest_window(ledger: Ledger) -> int:
    """The number of the newest judged window, 0 when there is none. Cheap: servers poll it."""
    from sqlalchemy import func, select

    from burnish.store.tables import METADATA

    table = METADATA.tables["windows"]
    with database.reading(ledger.engine, ledger.path) as connection:
        return connection.execute(select(func.max(table.c.sequence))).scalar() or 0


def record_replies(ledger: Ledger, *, since: str, until: str, counts: Mapping[int, int]) -> None:
    """Append how many replies of each HTTP status a server gave between two moments (ISO, UTC).

    Raises: record-unwritable, disk-full, ledger-busy, ledger-damaged, not-writable.
    """
    from sqlalchemy import insert

    from burnish.store.tables import METADATA

    spelt = spell({str(status): count for status, count in counts.items()}, what="the replies")
    row = {"since": since, "until": until, "counts": spelt}
    row["digest"] = seal(row, REPLIES)
    with database.writing(ledger.engine, ledger.path) as connection:
        connection.execute(insert(METADATA.tables["replies"]), row)


def replies(ledger: Ledger, *, since: str, until: str) -> dict[int, int]:
    """Replies by HTTP status of the spans that end after `since` and begin no later than `until`.

    Raises: ledger-damaged.
    """
    from sqlalchemy import select

    from burnish.store.tables import METADATA

    table = METADATA.tables["replies"]
    query = select(table).where(table.c.until > since, table.c.since <= until)
    total: dict[int, int] = {}
    with database.reading(ledger.engine, ledger.path) as connection:
        for row in connection.execute(query).mappings():
            if not is_sealed(row, REPLIES):
                what = f"replies {row['sequence']} do not match their checksum"
                raise database.damaged(ledger.path, what)
            for status, count in json.loads(row["counts"]).items():
                total[int(status)] = total.get(int(status), 0) + count
    return total


def record_shadow_answers(ledger: Ledger, answers: Sequence[ShadowAnswer]) -> None:
    """Append what a candidate would have said, in one commit; answers that are there already are left.

    Raises: record-unwritable, disk-full, ledger-busy, ledger-damaged, not-writable.
    """
    from sqlalchemy.dialects.sqlite import insert

    from burnish.store.tables import METADATA

    rows = []
    for one in answers:
        row: dict[str, Any] = {
            "prediction_id": one.prediction_id,
            "version": one.version,
            "labels": spell(list(one.labels), what="labels"),
            "confidence": one.confidence + 0.0,
            "scores": spell(one.scores, what="scores"),
            "latency_ms": one.latency_ms + 0.0,
            "at": one.at,
        }
        require_text({name: row[name] for name in ("prediction_id", "version", "at")})
        row["digest"] = seal(row, SHADOW_ANSWERS)
        rows.append(row)
    if not rows:
        return
    size = sum(len(str(value)) for row in rows for value in row.values())
    with database.writing(ledger.engine, ledger.path, needs_bytes=size) as connection:
        table = METADATA.tables["shadow_answers"]
        connection.execute(insert(table).on_conflict_do_nothing(), rows)


def shadow_answers(
    ledger: Ledger, *, version: str, after: int = 0, limit: int = 100_000
) -> list[tuple[int, ShadowAnswer]]:
    """What the candidate said, in order, numbered.

    Raises: ledger-damaged.
    """
    from sqlalchemy import select

    from burnish.store.tables import METADATA

    table = METADATA.tables["shadow_answers"]
    query = (
        select(table)
        .where(table.c.version == version, table.c.sequence > after)
        .order_by(table.c.sequence)
        .limit(limit)
    )
    found = []
    with database.reading(ledger.engine, ledger.path) as connection:
        for row in connection.execute(query).mappings():
            if not is_sealed(row, SHADOW_ANSWERS):
                what = f"shadow answer {row['sequence']} does not match its checksum"
                raise database.damaged(ledger.path, what)
            answer = ShadowAnswer(
                prediction_id=row["prediction_id"],
                version=row["version"],
                labels=tuple(json.loads(row["labels"])),
                confidence=row["confidence"],
                scores=json.loads(row["scores"]),
                latency_ms=row["latency_ms"],
                at=row["at"],
            )
            found.append((row["sequence"], answer))
    return found


def count_shadow_answers(ledger: Ledger, *, version: str) -> int:
    """How many predictions the candidate answered in silence."""
    from sqlalchemy import func, select

    from burnish.store.tables import METADATA

    table = METADATA.tables["shadow_answers"]
    query = select(func.count()).where(table.c.version == version)
    with database.reading(ledger.engine, ledger.path) as connection:
        return connection.execute(query).scalar() or 0


def difference(live: Prediction, shadow: ShadowAnswer) -> bool:
    """Whether the candidate would have said something else."""
    return set(live.labels) != set(shadow.labels)
