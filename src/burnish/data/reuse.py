"""How often the test rows were looked at: every report on them is counted, because choosing by a test wears it out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from burnish.data.lineage import versions_of
from burnish.records.dataset import Dataset, Issue
from burnish.records.example import Example
from burnish.records.report import Report, Reuse
from burnish.records.task import Task
from burnish.store.ledger import Ledger, events, record_event
from burnish.store.workspace import Workspace

USED = "test-used"
# The best of ten equally good models looks better than it is by 1.54 standard errors (the expected largest of ten
# normal draws): three quarters of what its 95% interval allows for. An upper bound, as models err on the same rows.
MANY_MODELS = 10


def record_uses(
    ledger: Ledger,
    dataset: Dataset,
    reports: Iterable[Report],
    *,
    test: Sequence[Example],
    task_name: str,
    by: str,
    at: str,
) -> None:
    """Count each report on the dataset's test rows once, however often it is made again."""
    known = {event.payload["report_id"] for event in events(ledger, kind=USED, subject=task_name)}
    rows = hashlib.sha256("\n".join(row.row_id for row in test).encode()).hexdigest()
    for report in reports:
        if report.split != "test" or report.id in known:
            continue
        known.add(report.id)
        payload = {
            "dataset_id": dataset.id,
            "rows_sha256": rows,
            "report_id": report.id,
            "model": report.model,
            "run_id": report.run_id,
        }
        record_event(ledger, kind=USED, subject=task_name, by=by, at=at, payload=payload)


def reuse_of(ledger: Ledger | None, workspace: Workspace, task: Task, dataset: Dataset) -> Reuse:
    """How often the dataset's test rows were used: by itself and by its ancestors, whose test rows it keeps."""
    if ledger is None:
        return Reuse(times=0, models=0)
    by_id = {one.id: one for one in versions_of(workspace, task)}
    line: set[str] = set()
    one: Dataset | None = dataset
    while one is not None and one.id not in line:
        line.add(one.id)
        one = by_id.get(one.parent_id or "")
    used = [event.payload for event in events(ledger, kind=USED, subject=task.name)]
    rows = {use["rows_sha256"] for use in used if use["dataset_id"] == dataset.id}
    mine = [use for use in used if use["dataset_id"] in line or use["rows_sha256"] in rows]
    models = {use["run_id"] or f"{use['model']}@{use['dataset_id']}" for use in mine}
    return Reuse(times=len(mine), models=len(models))


def reuse_issues(reuse: Reuse) -> tuple[Issue, ...]:
    """A warning past MANY_MODELS models."""
    if reuse.models <= MANY_MODELS:
        return ()
    return (
        Issue(
            code="test-worn",
            severity="warning",
            what=f"{reuse}. {WORN}",
            count=reuse.times,
            fix="choose by validation rows, and test on new ones: add a test file, or audit answers "
            "(audit in task.toml)",
        ),
    )


# Source: Dwork, Feldman, Hardt, Pitassi, Reingold and Roth, "The reusable holdout: Preserving validity in adaptive
# data analysis", Science 349, 2015.
WORN = (
    "Each time a choice is made by what the test showed, the next model fits these rows a little more, and its figure "
    "says less about new rows"
)
