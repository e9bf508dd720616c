"""The candidate meets the live model: the same rows, old test and fresh audited ones apart, timed side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.deploy.bundle import Opened
from burnish.models.fitted import Fitted
from burnish.records.example import Example, Split
from burnish.records.report import Comparison, GateResult
from burnish.records.task import Task
from burnish.retrain.against import (
    Against,
    Answered,
    SetName,
    against_live,
    answer_both,
    retrain_gates,
)
from burnish.retrain.child import fresh_audited
from burnish.retrain.side_by_side import time_side_by_side

Rows = Mapping[Split, Sequence[Example]]


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """What came of it."""

    against: Against
    gates: tuple[GateResult, ...]
    fresh_rows: int

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The paired comparisons, each with its set in front of "candidate"."""
        return tuple(
            one.model_copy(update={"ours": f"{name}: {one.ours}"})
            for name, report in self.against.candidate.items()
            for one in report.comparisons
        )


def meet(
    task: Task,
    rows: Rows,
    *,
    held: Rows,
    candidate: Fitted,
    live: Opened,
    dataset_id: str,
    run_id: str | None,
    seed: int,
    at: str,
) -> Met:
    """Compare on the test rows of `rows`; those not in `held` (what the live model was measured on) are fresh.

    Raises: the codes of retrain_gates.
    """
    fresh = fresh_audited(rows, parent=held)
    new = {row.row_id for row in fresh}
    old = [row for row in rows["test"] if row.row_id not in new]
    sets: dict[SetName, Sequence[Example]] = {"old": old, "fresh": fresh}
    answered: dict[SetName, Answered] = {
        name: answer_both(task, chosen, candidate=candidate, live=live.fitted)
        for name, chosen in sets.items()
        if chosen
    }
    found = against_live(
        task,
        answered,
        dataset_id=dataset_id,
        run_id=run_id,
        live_run_id=live.bundle.run_id,
        seed=seed,
        at=at,
    )
    latency = time_side_by_side(task, rows["test"], candidate=candidate, live=live.fitted)
    gates = retrain_gates(task, answered, latency=latency, seed=seed)
    return Met(found, gates, len(fresh))
