"""The candidate answers in silence: the newest version in shadow gets the live one's traffic, when nobody waits.

Its answers reach no client. They are kept beside the live ones, so that the differences can be read before anybody
promotes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from burnish.evaluate.predict import predict
from burnish.records.label import label_names
from burnish.serve.live import Answering, Live
from burnish.serve.metrics import Metrics
from burnish.store.ledger import Ledger
from burnish.store.observed import ShadowAnswer, record_shadow_answers

if TYPE_CHECKING:
    from burnish.models.fitted import Fitted

_log = logging.getLogger("burnish.serve")
# Rows the candidate takes at a time: an arriving request waits at most for these on the cores they share.
_ROWS = 8
_IDLE_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class _Asked:
    """A prediction the live version gave, and what it was asked."""

    id: str
    inputs: Mapping[str, str]


class Silent:
    """Rows wait in a bounded line; when it is full, new ones are counted and passed by.

    `busy` tells whether somebody waits for the live version; `now` the time (ISO, UTC).
    """

    def __init__(
        self,
        live: Live,
        ledger: Ledger,
        *,
        metrics: Metrics,
        busy: Callable[[], bool],
        now: Callable[[], str],
        rows: int,
    ) -> None:
        self._live = live
        self._ledger = ledger
        self._metrics = metrics
        self._busy = busy
        self._now = now
        self._most = rows
        self._line: deque[_Asked] = deque()
        self._wake = threading.Event()
        self._stop = threading.Event()
        # An executor because its futures carry any error, of whatever library, back as a value.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="burnish-silent")
        self._thread = threading.Thread(target=self._run, name="burnish-silent", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what still waits is passed by."""
        self._stop.set()
        self._wake.set()
        self._thread.join()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def offer(
        self, answering: Answering, ids: Sequence[str], rows: Sequence[Mapping[str, str]]
    ) -> None:
        """Rows that were just answered; what others than the live version answered is passed over."""
        candidate, live = self._live.candidate, self._live.current
        if live is None or answering.deployment.version != live.deployment.version:
            return
        # texts are not written in silence: it would take as long again, and two texts have no plain difference
        if candidate is None or not candidate.task.is_closed:
            return
        for id, inputs in zip(ids, rows, strict=True):
            if len(self._line) >= self._most:
                self._metrics.passed_by()
                continue
            self._line.append(_Asked(id, inputs))
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._line and not self._stop.is_set():
                if self._busy():
                    time.sleep(_IDLE_SECONDS)
                    continue
                error = self._worker.submit(self._answer).exception()
                if error is not None:
                    _log.error("the candidate failed in silence: %s", error, exc_info=error)
            if self._stop.is_set():
                return

    def _answer(self) -> None:
        asked = [self._line.popleft() for _ in range(min(_ROWS, len(self._line)))]
        candidate = self._live.candidate
        if candidate is None or not candidate.task.is_closed:
            self._line.clear()
            return
        started = time.perf_counter()
        answers = predict(
            cast("Fitted", candidate.fitted), candidate.task, [one.inputs for one in asked]
        )
        each_ms = (time.perf_counter() - started) * 1000 / len(asked)
        at = self._now()
        kept = [
            ShadowAnswer(
                prediction_id=one.id,
                version=candidate.deployment.version,
                labels=label_names(answer.answer.label),
                confidence=float(answer.answer.confidence),
                scores=_scores(candidate, answer.probabilities_L.tolist()),
                latency_ms=each_ms,
                at=at,
            )
            for one, answer in zip(asked, answers, strict=True)
        ]
        record_shadow_answers(self._ledger, kept)
        self._metrics.silent(candidate.deployment.version, len(kept))


def _scores(candidate: Answering, values: Sequence[float]) -> dict[str, float]:
    return dict(zip(candidate.task.label_names, values, strict=True))
