"""Does the model hand over to people as often as it did? The share of answers below `abstain_below`."""

from __future__ import annotations

import numpy as np

from burnish.evaluate.intervals import wilson
from burnish.monitor.exchange import too_few
from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.records.signal import Level
from burnish.records.task import Task

NAME: str = "abstain_rate"
HIGHEST: Level = "look"
METHOD: str = (
    "Share of answers under the task's abstain_below with Wilson's interval, Fisher's exact test against the "
    "reference (Fisher 1935; Wilson 1927)"
)


def measure(window: Window, reference: Reference, *, task: Task, seed: int) -> Measured:
    """The share of abstained answers beside the reference's; the change may be up or down."""
    from scipy.stats import fisher_exact

    below = task.abstain_below
    if below is None:
        return Measured(None, "the task sets no abstain_below, so nothing abstains")
    rows, others = len(window.seen), len(reference.seen)
    few = too_few(rows, others)
    if few:
        return Measured(None, few)
    ours = int((window.seen.confidence_R < below).sum())
    theirs = int((reference.seen.confidence_R < below).sum())
    tested = np.asarray(fisher_exact([[ours, rows - ours], [theirs, others - theirs]]))
    low, high = wilson(ours, rows)
    return Measured(
        value=ours / rows,
        low=low,
        high=high,
        reference=theirs / others,
        p_value=min(1.0, float(tested[1])),
        because=f"{ours} of {rows} answers are less sure than {below:g}, in the reference {theirs} of {others}",
    )
