"""Watch a deployed version: cut its journal into windows, judge each once, keep what was found."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from burnish.deploy.bundle import open_any
from burnish.errors import fail
from burnish.monitor.change import describe
from burnish.monitor.endings import asked_text, journalled_endings
from burnish.monitor.judge import judge
from burnish.monitor.reference import Embed, reference_of
from burnish.monitor.seen import Audit, Reference, Seen, Window
from burnish.records.deployment import Deployment, Prediction
from burnish.records.signal import Watched
from burnish.records.task import Task
from burnish.store.feedback import feedback
from burnish.store.journal import Answered, audited, count_answers, stretch
from burnish.store.ledger import Ledger
from burnish.store.observed import record_window, replies, windows
from burnish.store.workspace import Workspace

# A journal nobody looked at for long is cut into so many windows at most, each larger: embedding a sample of each
# window is the cost, and a hundred old windows tell no more than twenty.
_MOST_WINDOWS = 20


@dataclass(frozen=True, slots=True)
class Watching:
    """What one look found: the windows judged now, and how many answers still wait for a whole window."""

    deployment: Deployment
    judged: tuple[Watched, ...]
    waiting_rows: int
    window_rows: int


def watch(
    task: Task,
    workspace: Workspace,
    ledger: Ledger,
    *,
    deployment: Deployment,
    embed: Embed | None,
    seed: int,
    now: Callable[[], str],
    announce: Callable[[str], None],
) -> Watching:
    """Judge every whole window of the version's journal that was not judged yet, the oldest first.

    Windows follow the numbers of the journal, not the clock, so a clock that goes back moves nothing. A window
    another process judged in the meantime is left to it.

    Raises: the codes of open_any, load_rows and the ledger.
    """
    version, size = deployment.version, task.monitor.window_rows
    known = windows(ledger, version=version)
    after = max((one.last for one in known), default=0)
    waiting = count_answers(ledger, version=version, after=after)
    if waiting < size:
        return Watching(deployment, (), waiting, size)
    size = max(size, math.ceil(waiting / _MOST_WINDOWS))
    folder = workspace.bundles / deployment.bundle_id
    opened = open_any(folder, bundle_id=deployment.bundle_id)
    reference = reference_of(task, workspace, opened, embed=embed, seed=seed, announce=announce)
    judged: list[Watched] = []
    while waiting >= size:
        rows = stretch(ledger, version=version, after=after, limit=size)
        window = _window(task, ledger, rows, reference, deployment, embed=embed, seed=seed)
        found = _judged(task, rows, window, reference, version=version, seed=seed, at=now())
        if record_window(ledger, found):
            judged.append(found)
        after, waiting = rows[-1].sequence, waiting - len(rows)
    return Watching(deployment, tuple(judged), waiting, task.monitor.window_rows)


def audits_of(ledger: Ledger, version: str) -> tuple[Audit, ...]:
    """The version's audited predictions with the first verdict on each, in the order the verdicts came.

    Later words on the same prediction train the next model but do not change what was counted: a process that is
    looked at after each audit must not have its past rewritten.
    """
    drawn = [row.prediction.id for row in audited(ledger, version=version)]
    verdicts: dict[str, bool] = {}
    for _, one in feedback(ledger, prediction_ids=drawn):
        verdicts.setdefault(one.prediction_id, one.right)
    return tuple(Audit(id, right) for id, right in verdicts.items())


def _judged(
    task: Task,
    rows: Sequence[Answered],
    window: Window,
    reference: Reference,
    *,
    version: str,
    seed: int,
    at: str,
) -> Watched:
    return Watched(
        version=version,
        first=rows[0].sequence,
        last=rows[-1].sequence,
        rows=len(rows),
        since=rows[0].prediction.at,
        until=rows[-1].prediction.at,
        signals=judge(window, reference, task=task, seed=seed),
        change=describe(window, reference, seed=seed),
        at=at,
    )


def _window(
    task: Task,
    ledger: Ledger,
    rows: Sequence[Answered],
    reference: Reference,
    deployment: Deployment,
    *,
    embed: Embed | None,
    seed: int,
) -> Window:
    given = [row.prediction for row in rows]
    since, until = given[0].at, given[-1].at
    return Window(
        seen=_seen(task, given, reference.seen.labels, embed=embed, seed=seed + rows[0].sequence),
        ids=tuple(one.id for one in given),
        latency_ms_R=np.array([one.latency_ms for one in given]),
        seconds=max(0.0, (_moment(until) - _moment(since)).total_seconds()),
        replies=replies(ledger, since=min(since, until), until=max(since, until)),
        audits=audits_of(ledger, deployment.version),
    )


def _seen(
    task: Task,
    given: Sequence[Prediction],
    labels: tuple[str, ...],
    *,
    embed: Embed | None,
    seed: int,
) -> Seen:
    strange = next((one for one in given if set(one.scores) != set(labels)), None)
    if strange is not None and task.is_closed:
        raise fail(
            "journal-other-labels",
            f"prediction {strange.id} has scores for other labels than its version",
            where=strange.version,
            expected=f"scores for: {', '.join(labels)}",
            fix="report this: a version never changes its labels",
        )
    texts = [None if one.inputs is None else asked_text(task, one.inputs) for one in given]
    readable = np.flatnonzero([text is not None for text in texts])
    embedded_K, vectors_KH = np.arange(0), None
    if embed is not None and len(readable):
        most = min(len(readable), task.monitor.embedded_rows)
        embedded_K = np.sort(np.random.default_rng(seed).choice(readable, most, replace=False))
        vectors_KH = embed([texts[row] or "" for row in embedded_K])
    if task.is_closed:
        probabilities_RL = np.array([[one.scores[name] for name in labels] for one in given])
        said_RL = np.array([[name in one.labels for name in labels] for one in given])
    else:
        probabilities_RL = journalled_endings(task, given)
        said_RL = probabilities_RL > 0
    return Seen(
        labels=labels,
        texts=texts,
        probabilities_RL=probabilities_RL,
        said_RL=said_RL,
        confidence_R=np.array([one.confidence for one in given]),
        embedded_K=embedded_K,
        vectors_KH=vectors_KH,
    )


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at)
