"""The decision: train, or use what exists? Candidates side by side on the same rows."""

from __future__ import annotations

from burnish.records.record import Record
from burnish.records.report import Comparison, Measure


class Candidate(Record):
    """One way to do the job.

    Units: quality = the primary metric on the test rows; latency_ms per row predicted one by one
    (median); memory_bytes the arrays and weights needed to answer; build_seconds from labelled rows to
    ready (embeddings included); `explains` says in words how an answer can be explained.
    """

    name: str
    title: str
    quality: Measure
    latency_ms: float
    memory_bytes: int
    build_seconds: float
    explains: str
    needs: str = ""
    deployable: bool = True


class Decision(Record):
    """`recommendation` names a candidate; `sentence` says in one sentence whether tuning is worth it and why."""

    candidates: tuple[Candidate, ...]
    comparisons: tuple[Comparison, ...]
    recommendation: str
    tuning_pays: bool
    sentence: str
    reasons: tuple[str, ...] = ()
