"""For tests: every HTML page there is, made by the real thing from texts of somebody who means no good."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from burnish.deploy.feedback import Said, give_feedback
from burnish.evaluate.compare import compare_models
from burnish.evaluate.gate import gate
from burnish.evaluate.report import lengths_of
from burnish.evaluate.worst import Nearby
from burnish.monitor.page import monitor_page
from burnish.records.task import Gate, Monitor
from burnish.store.observed import windows
from deployed import AT
from stages.test_evaluate_report import logits_for, page_of, report_of, rows_of
from stages.test_evaluate_report import task_of as evaluated_task
from watched_scene import Scene, task_of

SCRIPT = '<script>window.ran = true</script><img src="x" onerror="window.ran = true">'
LONG = "unbroken" * 30
RIGHT_TO_LEFT = "מתי מגיע המשלוח שלי? أين طلبي"
HOSTILE = (SCRIPT, LONG, RIGHT_TO_LEFT)


def signals(folder: Path) -> str:
    """Two quiet windows, then one in which everything differs and people find the answers wrong."""

    def embed(texts: Sequence[str]) -> np.ndarray:
        vectors = np.random.default_rng(len(texts)).normal(size=(len(texts), 16))
        vectors[:, 0] += [0.0 if "question" in text else 6.0 for text in texts]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    scene = Scene(folder)
    task = task_of(monitor=Monitor(window_rows=100, latency_p95_ms=100.0))
    scene.answer(200)
    for text in HOSTILE:
        scene.answer(34, text=text + " {n}", audit=True, latency_ms=500.0)
    said = [Said(prediction=f"{n:016x}", by="ann", labels=("other",)) for n in range(201, 301)]
    give_feedback(scene.ledger, task, said, at=AT)
    waiting = scene.watch(task, embed=embed).waiting_rows
    return monitor_page(task, windows(scene.ledger), version=scene.live.version, waiting=waiting)


def no_windows(folder: Path) -> str:
    return monitor_page(task_of(), [], version="support-1", waiting=3)


def report(folder: Path) -> str:
    """Everything a report can hold, with labels and texts from somebody who means no good."""
    gates = (Gate(metric="accuracy", at_least=0.999), Gate(metric="ece", at_most=0.9))
    task = evaluated_task(*HOSTILE, gates=gates)
    examples = [
        example
        for seed, text in enumerate(HOSTILE)
        for example in rows_of(task, 40, text=text, seed=seed)
    ]
    logits = logits_for(task, examples, strength=0.6)
    comparisons = compare_models(
        task, examples, ours="tuned", logits_RL=logits, theirs=LONG,
        their_logits_RL=np.zeros_like(logits), seed=1, resamples=60,
    )  # fmt: skip
    found = report_of(
        task, examples, logits, comparisons=comparisons, nearby=Nearby(examples, logits, logits),
        lengths=lengths_of([5, 9, 300], dropped_tokens=[0, 0, 44], max_tokens=256), warnings=HOSTILE,
    )  # fmt: skip
    return page_of(gate(task, found), task, full=True)


def report_of_many_labels(folder: Path) -> str:
    task = evaluated_task(*(f"intent_about_{number}" for number in range(40)))
    examples = rows_of(task, 200)
    return page_of(report_of(task, examples, logits_for(task, examples, strength=1.2)), task)


# Each is given an empty folder to work in.
PAGES: Mapping[str, Callable[[Path], str]] = {
    "signals": signals,
    "no windows": no_windows,
    "report": report,
    "report of many labels": report_of_many_labels,
}
