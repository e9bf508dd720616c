"""The door of monitor signals: what each asks of a window, and the table of them.

A new signal is one file under signals/ with the names of `SignalKind`, and one row in SIGNALS;
tests/laws/test_signals.py then holds it to the laws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.monitor.signals import (
    abstain_rate,
    audited_accuracy,
    confidence,
    errors,
    estimated_accuracy,
    input_classifier,
    input_mmd,
    label_mix,
    latency,
    traffic,
)
from burnish.records.signal import Level
from burnish.records.task import Task

__all__ = ["SIGNALS", "Measured", "SignalKind"]


class SignalKind(Protocol):
    """A question. `HIGHEST` is the highest level it may raise: only audited labels may say "act".

    `METHOD` is one sentence on how, ending with the source.
    """

    NAME: str
    HIGHEST: Level
    METHOD: str

    def measure(
        self, window: Window, reference: Reference, *, task: Task, seed: int
    ) -> Measured: ...


# In the order they are shown: what people checked, what is estimated, what came in and went out, the service.
SIGNALS: Mapping[str, SignalKind] = {
    "audited_accuracy": audited_accuracy,
    "estimated_accuracy": estimated_accuracy,
    "input_classifier": input_classifier,
    "input_mmd": input_mmd,
    "confidence": confidence,
    "label_mix": label_mix,
    "abstain_rate": abstain_rate,
    "traffic": traffic,
    "latency": latency,
    "errors": errors,
}
