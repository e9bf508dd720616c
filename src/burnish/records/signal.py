"""What watching found: signals over windows of the journal."""

from __future__ import annotations

from typing import Literal

from burnish.records.record import Record

Level = Literal["quiet", "look", "act"]
LEVELS: tuple[Level, ...] = ("quiet", "look", "act")


class Signal(Record):
    """One question asked of one window. `value` with its 95% interval stands beside the `reference` value.

    A tested signal has a `p_value`, and `threshold` is what it had to fall below; a promise of the task's own
    has the promised number as `threshold` and no p-value. `value` is None when the question could not be asked,
    and `because` says why. `method` is one sentence with its source.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    reference: float | None = None
    p_value: float | None = None
    threshold: float | None = None
    level: Level = "quiet"
    unit: str = "fraction"
    because: str
    method: str


class Share(Record):
    """Something counted on both sides: its share of the window and of the reference."""

    name: str
    window: float
    reference: float


class ChangedRow(Record):
    """A row of the window that looks least like the reference. `score` is the classifier's, 0.5 = no difference."""

    prediction_id: str
    text: str
    label: str
    score: float


class Change(Record):
    """What changed, for the eye: no test, no alarm. Words by log-odds, topics by clusters of the reference."""

    words_more: tuple[Share, ...] = ()
    words_less: tuple[Share, ...] = ()
    topics: tuple[Share, ...] = ()
    labels: tuple[Share, ...] = ()
    rows: tuple[ChangedRow, ...] = ()
    unknown_words: Share | None = None
    median_words: Share | None = None
    languages: tuple[Share, ...] = ()


class Watched(Record):
    """One window of one version, judged once. `first` and `last` are numbers of the journal, both inside."""

    version: str
    first: int
    last: int
    rows: int
    since: str
    until: str
    signals: tuple[Signal, ...]
    change: Change
    at: str

    @property
    def level(self) -> Level:
        """The worst of the signals."""
        worst = max((LEVELS.index(signal.level) for signal in self.signals), default=0)
        return LEVELS[worst]
