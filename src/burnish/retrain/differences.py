"""Where a candidate in shadow would have said something else than the live version did, on live traffic."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from burnish.evaluate.intervals import wilson
from burnish.records.deployment import Prediction
from burnish.store.journal import find_many
from burnish.store.ledger import Ledger
from burnish.store.observed import ShadowAnswer, difference, shadow_answers


@dataclass(frozen=True, slots=True)
class Differences:
    """Agreement on the rows both answered, with its 95% Wilson interval, and where they part.

    `moves` counts (live labels, candidate's labels), the most frequent first; `rows` are the differing answers, the ones
    the candidate is surest about first.
    """

    version: str
    answered: int
    different: int
    agreement: float | None
    low: float | None
    high: float | None
    moves: tuple[tuple[tuple[str, ...], tuple[str, ...], int], ...]
    rows: tuple[tuple[Prediction, ShadowAnswer], ...]


def differences(ledger: Ledger, version: str) -> Differences:
    """What the candidate said in silence beside what the live version said.

    Raises: ledger-damaged.
    """
    said = [one for _, one in shadow_answers(ledger, version=version)]
    live = find_many(ledger, [one.prediction_id for one in said])
    pairs = [(live[one.prediction_id].prediction, one) for one in said if one.prediction_id in live]
    parted = [(ours, theirs) for ours, theirs in pairs if difference(ours, theirs)]
    moves = Counter((ours.labels, theirs.labels) for ours, theirs in parted)
    agreed = len(pairs) - len(parted)
    low, high = wilson(agreed, len(pairs)) if pairs else (None, None)
    return Differences(
        version=version,
        answered=len(pairs),
        different=len(parted),
        agreement=agreed / len(pairs) if pairs else None,
        low=low,
        high=high,
        moves=tuple((*move, count) for move, count in moves.most_common()),
        rows=tuple(sorted(parted, key=lambda pair: -pair[1].confidence)),
    )
