"""Does the service fail? The share of replies with a status of 500 or more, against the task's own promise."""

from __future__ import annotations

from burnish.evaluate.intervals import wilson
from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.records.signal import Level
from burnish.records.task import Task

NAME: str = "errors"
HIGHEST: Level = "look"
METHOD: str = (
    "Share of replies with a 5xx status with Wilson's interval; a look when its lower end is above error_fraction "
    "(Wilson 1927)"
)


def measure(window: Window, reference: Reference, *, task: Task, seed: int) -> Measured:
    """The share of failed replies; broken only when it is surely above the promise."""
    replies = sum(window.replies.values())
    if not replies:
        return Measured(None, "the server counted no replies in this window's time")
    failed = sum(count for status, count in window.replies.items() if 500 <= status <= 599)
    low, high = wilson(failed, replies)
    promised = task.monitor.error_fraction
    because = f"{failed} of {replies} replies failed"
    if promised is None:
        because += "; the task promises no error_fraction"
    return Measured(
        value=failed / replies,
        low=low,
        high=high,
        threshold=promised,
        broken=promised is not None and failed > 0 and low > promised,
        because=because,
    )
