"""The book of retrainings: each begins once, may be taken up again after a kill, and ends once. Events in the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.errors import fail
from burnish.records.recipe import Recipe
from burnish.records.record import content_id
from burnish.records.retraining import Retraining
from burnish.store.ledger import Ledger, events, record_event

EVENT_KIND = "retraining"


def retrainings(ledger: Ledger, task_name: str) -> list[Retraining]:
    """Every retraining as its last event left it, in the order they began."""
    found: dict[str, Retraining] = {}
    for event in events(ledger, kind=EVENT_KIND, subject=task_name):
        one = Retraining.model_validate(event.payload)
        found[one.id] = one
    return list(found.values())


def unfinished(ledger: Ledger, task_name: str) -> Retraining | None:
    """The retraining that began and did not end: it was killed, or it runs now."""
    return next((one for one in retrainings(ledger, task_name) if one.outcome is None), None)


def begin(
    ledger: Ledger,
    task_name: str,
    *,
    parent_id: str,
    feedback_until: int,
    live_version: str | None,
    recipe: Recipe,
    start: str,
    by: str,
    because: str,
    at: str,
) -> Retraining:
    """Write down that a retraining begins. Call it under the workspace's lock "retrain".

    Raises: retraining-open when one did not end yet.
    """
    open_one = unfinished(ledger, task_name)
    if open_one is not None:
        raise fail(
            "retraining-open",
            f"retraining {open_one.id} began at {open_one.started_at} and did not end",
            expected="one retraining at a time",
            fix="burnish retrain takes it up again",
        )
    number = len(retrainings(ledger, task_name))
    one = Retraining.model_validate(
        {
            "id": content_id([task_name, number, parent_id, feedback_until, at]),
            "task_name": task_name,
            "parent_id": parent_id,
            "feedback_until": feedback_until,
            "live_version": live_version,
            "recipe": recipe,
            "start": start,
            "by": by,
            "because": because,
            "started_at": at,
        }
    )
    return note(ledger, one, at=at)


def note(ledger: Ledger, one: Retraining, *, at: str) -> Retraining:
    """Write down how far it is; the last word counts."""
    record_event(
        ledger,
        kind=EVENT_KIND,
        subject=one.task_name,
        by=one.by,
        at=at,
        payload=one.model_dump(mode="json"),
    )
    return one


def newest_end(done: Sequence[Retraining]) -> Retraining | None:
    """The last one that ended with new rows looked at."""
    ended = [one for one in done if one.outcome is not None]
    return ended[-1] if ended else None
