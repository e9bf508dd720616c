"""An event: something that happened to the workspace, said once and never changed."""

from __future__ import annotations

from typing import Any

from burnish.records.record import Record


class Event(Record):
    """One row of the ledger. `sequence` counts from 1 without gaps; `kind` is a kebab-case word such
    as "promoted", `subject` what it happened to, `by` who said so, `payload` plain JSON values.
    """

    sequence: int
    kind: str
    subject: str
    by: str
    at: str
    payload: dict[str, Any]
