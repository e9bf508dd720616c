"""What a model's probabilities say, read back as a label."""

from __future__ import annotations

from dataclasses import dataclass

from burnish.records.label import Label


@dataclass(frozen=True, slots=True)
class Answer:
    """A label and the model's own probability, in [0, 1], that exactly this label is right."""

    label: Label
    confidence: float
