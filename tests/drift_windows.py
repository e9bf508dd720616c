"""For tests: windows and references of made-up answers, drawn from one distribution or from two."""

from __future__ import annotations

import dataclasses

import numpy as np

from burnish.evaluate.scored import scored_from
from burnish.monitor.seen import Audit, Reference, Seen, Window
from burnish.records.task import Task
from burnish.tasks.kind import KINDS
from support_task import LABELS, make_task

WIDTH = 6
WORDS = (
    "where is my parcel refund money card late order please cancel invoice address change".split()
)


def watched_task(*, alpha: float = 0.01, several: bool = False, **monitor: object) -> Task:
    """A task with every promise set, so that every signal has something to say."""
    promises = {"alpha": alpha, "latency_p95_ms": 100.0, "error_fraction": 0.02}
    return make_task(
        kind="multilabel" if several else "classification",
        primary_metric="micro_f1",
        abstain_below=0.6,
        monitor=promises | monitor,
    )


def make_seen(
    random: np.random.Generator, rows: int, *, drift: float = 0.0, several: bool = False
) -> Seen:
    """Answered rows. With `drift` texts turn to new words, vectors move, confidence falls, one label grows."""
    logits_RL = random.normal(size=(rows, len(LABELS))) * (4 - 3 * drift) + [2 * drift, 0, 0]
    kind = KINDS["multilabel" if several else "classification"]
    probabilities_RL = kind.probabilities(logits_RL)
    scored = scored_from(
        np.zeros_like(probabilities_RL), probabilities_RL, objective=kind.objective
    )
    sure_RL = np.where(scored.said_RL, probabilities_RL, 1 - probabilities_RL)
    moved_RH = random.normal(size=(rows, WIDTH)) + 3 * drift * np.eye(WIDTH)[0]
    vocabulary = [*WORDS, *["strike", "customs"] * round(4 * drift)]
    chosen = sorted(random.choice(rows, size=max(1, rows * 4 // 5), replace=False)) if rows else []
    return frozen(
        Seen(
            labels=LABELS,
            texts=tuple(" ".join(random.choice(vocabulary, 8)) for _ in range(rows)),
            probabilities_RL=probabilities_RL,
            said_RL=scored.said_RL,
            confidence_R=sure_RL.prod(axis=1) if several else probabilities_RL.max(axis=1),
            embedded_K=np.array(chosen, dtype=np.int64),
            vectors_KH=(moved_RH / np.linalg.norm(moved_RH, axis=1, keepdims=True))[chosen]
            if rows
            else moved_RH,
        )
    )


def frozen(seen: Seen) -> Seen:
    """The same with arrays that nobody can write to."""
    for field in dataclasses.fields(seen):
        value = getattr(seen, field.name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return seen


def make_window(
    random: np.random.Generator, rows: int, *, drift: float = 0.0, several: bool = False
) -> Window:
    """A window; with `drift` slower, failing, and wrong more often when audited."""
    seen = make_seen(random, rows, drift=drift, several=several)
    latency_ms_R = random.gamma(4.0, 10 + 40 * drift, size=rows)
    latency_ms_R.flags.writeable = False
    right = random.random(rows // 2) < 0.9 - 0.6 * drift
    return Window(
        seen=seen,
        ids=tuple(f"p{row}" for row in range(rows)),
        latency_ms_R=latency_ms_R,
        seconds=7.0 * rows,
        replies={200: rows, 500: round(rows * 0.3 * drift)} if rows else {},
        audits=tuple(Audit(f"p{row}", bool(one)) for row, one in enumerate(right)),
    )


def make_reference(random: np.random.Generator, rows: int, *, several: bool = False) -> Reference:
    """A reference whose confidence is exactly its chance of being right."""
    seen = make_seen(random, rows, several=several)
    right_R = random.random(rows) < seen.confidence_R
    right_R.flags.writeable = False
    return Reference(seen=seen, right_R=right_R, calibrated=True)


def same_confidence(seen: Seen, confidence: float) -> Seen:
    """The same rows, all equally sure."""
    return frozen(dataclasses.replace(seen, confidence_R=np.full(len(seen), confidence)))


def one_label(seen: Seen) -> Seen:
    """The same rows, all answered with the first label."""
    said_RL = np.zeros_like(seen.said_RL)
    said_RL[:, 0] = True
    return frozen(dataclasses.replace(seen, said_RL=said_RL))


def only_hashes(seen: Seen) -> Seen:
    """The same rows as a workspace keeps them that stores no text and has no base model."""
    return dataclasses.replace(seen, texts=(None,) * len(seen), vectors_KH=None)
