"""What a signal found in one window: the fact, before it is weighed with the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """What a signal found, before it is weighed with the others.

    `p_value` is for tested signals: the chance of a value this far out when nothing changed. `broken` is for
    promises of the task's own, and for the audited accuracy: True raises the signal's highest level. `value`
    None says that the question cannot be asked of this window; `because` tells why and what to do.
    """

    value: float | None
    because: str
    low: float | None = None
    high: float | None = None
    reference: float | None = None
    p_value: float | None = None
    threshold: float | None = None
    broken: bool = False
    unit: str = "fraction"
