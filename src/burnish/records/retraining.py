"""A retraining: from the decision to train again to a candidate in shadow, or the reason why there is none."""

from __future__ import annotations

from typing import Literal

from burnish.records.recipe import Recipe
from burnish.records.record import Record
from burnish.records.report import Comparison, GateResult

Outcome = Literal["shadow", "refused", "nothing-new", "failed"]


class Retraining(Record):
    """One retraining. What it learns from is fixed when it starts: the parent dataset and all feedback up to the
    number `feedback_until`; so a killed one goes on where it was and ends with the same weights.

    `outcome` is None while it runs. "refused": a gate said no; "failed": `message` says why, and nothing was promoted.
    `fresh_rows` counts the audited test rows nobody trained on, `comparisons` and `gates` stand against `live_version`.
    """

    id: str
    task_name: str
    parent_id: str
    feedback_until: int
    live_version: str | None
    recipe: Recipe
    start: Literal["base", "live"]
    by: str
    because: str
    started_at: str
    dataset_id: str | None = None
    run_id: str | None = None
    report_id: str | None = None
    version: str | None = None
    fresh_rows: int = 0
    comparisons: tuple[Comparison, ...] = ()
    gates: tuple[GateResult, ...] = ()
    outcome: Outcome | None = None
    message: str = ""
    minutes: float = 0.0
    ended_at: str | None = None
