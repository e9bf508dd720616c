"""The queue in front of the model: bounded, drained without a timer, one model thread.

While the model works, requests gather; when it is free it takes the oldest and whatever waits with it
that is of like length. So a lone request never waits for company, and a crowd shares a batch. Each
batch is journalled in one commit before any of its replies; the disk works on one batch while the
model works on the next.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from burnish.errors import BurnishError, Problem, fail
from burnish.records.deployment import Prediction
from burnish.serve.given import Given, given, prediction_of
from burnish.serve.live import Answering
from burnish.serve.metrics import Metrics
from burnish.serve.settings import ServeSettings
from burnish.store.journal import journal
from burnish.store.ledger import Ledger

_log = logging.getLogger("burnish.serve")

# Weight of the newest batch in the running seconds per row, which Retry-After is told from.
_NEWEST = 0.2
_TELL_SECONDS = 60.0


# Who answered, the predictions' ids, and what was asked.
Heard = Callable[[Answering, Sequence[str], Sequence[Mapping[str, str]]], None]


class QueueFull(BurnishError):
    """No room; `retry_after_seconds` is how long the rows that wait will take."""

    retry_after_seconds: int = 1


# What a disk says when it takes no more; the answers themselves are sound.
_DISK_CODES = frozenset({"disk-full", "not-writable", "write-failed"})


@dataclass(frozen=True, slots=True)
class Answers:
    """What one request gets: the journal's records, which may hold fewer words, and the answers themselves.

    `journalled` is False when the disk refused the journal.
    """

    predictions: Sequence[Prediction]
    given: Sequence[Given]
    journalled: bool = True


@dataclass(slots=True, eq=False)
class Ask:
    """One request: rows for the version that was live when it was accepted, and where the answer goes.

    Units: `accepted` and `deadline` in seconds of time.perf_counter; `characters` of all rows.
    """

    answering: Answering
    rows: Sequence[dict[str, str]]
    ids: Sequence[str]
    accepted: float
    deadline: float
    answer: asyncio.Future[Answers]
    characters: int = field(init=False)
    bucket: int = field(init=False)
    gone: bool = False

    def __post_init__(self) -> None:
        lengths = [sum(map(len, row.values())) for row in self.rows]
        self.characters = sum(lengths)
        # a bucket is a doubling of length
        self.bucket = max(lengths, default=0).bit_length()


class Queue:
    """Asks in, journalled predictions out. `now` tells the time for the journal (ISO, UTC), `draw` gives a
    number in [0, 1) that decides about an audit, `answered` hears of every row that was answered.

    When the disk refuses the journal the answers still go out, each saying so: service is worth more than its record,
    and what was acknowledged as journalled stays on the disk.
    """

    def __init__(
        self,
        settings: ServeSettings,
        ledger: Ledger,
        *,
        metrics: Metrics,
        now: Callable[[], str],
        draw: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._metrics = metrics
        self._now = now
        self._draw = draw
        self.answered: Heard = _ignore
        self._told_seconds = -_TELL_SECONDS
        self._lock = threading.Lock()
        self._waiting: deque[Ask] = deque()
        self._rows = 0
        self._characters = 0
        self._working = False
        self._stopping = False
        self._seconds_per_row = 0.01
        self._model = ThreadPoolExecutor(1, thread_name_prefix="burnish-model")
        self._journal = ThreadPoolExecutor(1, thread_name_prefix="burnish-journal")
        self._writing: Future[None] | None = None

    async def ask(
        self, answering: Answering, rows: Sequence[dict[str, str]], *, ids: Sequence[str]
    ) -> Answers:
        """The answers to one request, all by `answering`. A cancelled ask takes its rows with it.

        Raises: queue-full (QueueFull), deadline-passed, stopping; whatever the model or journal raised.
        """
        started = time.perf_counter()
        writes = not answering.task.is_closed
        seconds = self._settings.writing_seconds if writes else self._settings.deadline_seconds
        deadline = started + seconds
        answer: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        ask = Ask(answering, rows, ids, started, deadline, answer)
        self._accept(ask)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as error:
            raise fail(
                "deadline-passed",
                "the answer was not ready in time",
                expected=f"an answer within {seconds:g} s",
                fix="send fewer rows at a time, or try again later",
            ) from error
        finally:
            self._drop(ask)

    @property
    def busy(self) -> bool:
        """Whether the model works or anybody waits for it."""
        return self._working

    def stop(self) -> None:
        """Refuse new asks, answer those that wait, then return."""
        with self._lock:
            self._stopping = True
        while self._working:
            time.sleep(0.01)
        self._model.shutdown(wait=True)
        self._journal.shutdown(wait=True)

    def _accept(self, ask: Ask) -> None:
        limits = self._settings
        with self._lock:
            if self._stopping:
                raise fail("stopping", "the server is stopping", fix="ask again in a moment")
            rows = self._rows + len(ask.rows)
            characters = self._characters + ask.characters
            # an empty queue takes any request the body limit let through
            if self._waiting and (rows > limits.queue_rows or characters > limits.queue_characters):
                raise self._full()
            self._waiting.append(ask)
            self._rows, self._characters = rows, characters
            self._metrics.waiting(rows)
            if not self._working:
                self._start()

    def _full(self) -> QueueFull:
        problem = Problem(
            code="queue-full",
            what=f"{self._rows:,} rows are waiting already",
            expected=f"at most {self._settings.queue_rows:,} rows",
            fix="wait as long as Retry-After says",
        )
        error = QueueFull((problem,))
        error.retry_after_seconds = max(1, math.ceil(self._rows * self._seconds_per_row))
        return error

    def _drop(self, ask: Ask) -> None:
        """Forget an ask nobody waits for any more; harmless after its answer."""
        with self._lock:
            ask.gone = True
            if ask in self._waiting:
                self._waiting.remove(ask)
                self._left([ask])

    def _left(self, asks: Sequence[Ask]) -> None:
        self._rows -= sum(len(ask.rows) for ask in asks)
        self._characters -= sum(ask.characters for ask in asks)
        self._metrics.waiting(self._rows)

    def _start(self) -> None:
        self._working = True
        self._model.submit(self._work).add_done_callback(self._ended)

    def _ended(self, work: Future[None]) -> None:
        # The batch it died on has been told; the ones that wait get a fresh start.
        if not _logged(work, "a model batch failed"):
            return
        with self._lock:
            self._working = False
            if self._waiting:
                self._start()

    def _work(self) -> None:
        while batch := self._take():
            try:
                self._answer(batch)
            except BaseException as error:
                _deliver([(ask, error) for ask in batch])
                raise

    def _take(self) -> list[Ask]:
        """The oldest ask and those that go well with it: same version, like length, room in the batch."""
        with self._lock:
            if not self._waiting:
                self._working = False
                return []
            oldest = self._waiting[0]
            batch: list[Ask] = []
            rows = characters = 0
            for ask in self._waiting:
                fits = (
                    rows + len(ask.rows) <= self._settings.batch_rows
                    and characters + ask.characters <= self._settings.batch_characters
                )
                alike = ask.answering is oldest.answering and abs(ask.bucket - oldest.bucket) <= 1
                if ask is oldest or (fits and alike):
                    batch.append(ask)
                    rows += len(ask.rows)
                    characters += ask.characters
                if rows >= self._settings.batch_rows:
                    break
            taken = set(map(id, batch))
            self._waiting = deque(ask for ask in self._waiting if id(ask) not in taken)
            self._left(batch)
            return batch

    def _answer(self, batch: Sequence[Ask]) -> None:
        started = time.perf_counter()
        asks = [ask for ask in batch if not ask.gone and ask.deadline > started]
        if not asks:
            return
        answering = asks[0].answering
        rows = [row for ask in asks for row in ask.rows]
        answers = iter(given(answering, rows))
        ended = time.perf_counter()
        at = self._now()
        results: list[tuple[Ask, Answers]] = []
        for ask in asks:
            own = [next(answers) for _ in ask.rows]
            made = [
                self._prediction(ask, place, one, at=at, ended=ended)
                for place, one in enumerate(own)
            ]
            results.append((ask, Answers(made, own)))
        if self._writing is not None:
            wait((self._writing,))  # at most one batch ahead of a slow disk
        self._writing = self._journal.submit(self._publish, results, started)
        self._writing.add_done_callback(lambda work: _logged(work, "the journal failed"))

    def _publish(self, results: Sequence[tuple[Ask, Answers]], started: float) -> None:
        """Journal a batch, then let its replies go."""
        predictions = [prediction for _, answers in results for prediction in answers.predictions]
        try:
            journalled = self._record(predictions, started)
        except BaseException as error:
            _deliver([(ask, error) for ask, _ in results])
            raise
        seconds = time.perf_counter() - started
        newest = seconds / len(predictions)
        self._seconds_per_row += _NEWEST * (newest - self._seconds_per_row)
        _deliver([(ask, replace(answers, journalled=journalled)) for ask, answers in results])
        if journalled:
            self.answered(
                results[0][0].answering,
                [prediction.id for prediction in predictions],
                [row for ask, _ in results for row in ask.rows],
            )

    def _refused(self, error: BurnishError, rows: int) -> None:
        self._metrics.unjournalled(rows)
        now = time.monotonic()
        # said once a minute: a full disk must not fill with its own log
        if now - self._told_seconds >= _TELL_SECONDS:
            self._told_seconds = now
            _log.error("answers go out without the journal\n%s", error)

    def _prediction(
        self, ask: Ask, place: int, answer: Given, *, at: str, ended: float
    ) -> Prediction:
        return self.prediction(
            ask.answering,
            ask.rows[place],
            answer,
            id=ask.ids[place],
            at=at,
            latency_ms=(ended - ask.accepted) * 1000,
        )

    def prediction(
        self,
        answering: Answering,
        row: Mapping[str, str],
        answer: Given,
        *,
        id: str,
        at: str,
        latency_ms: float,
    ) -> Prediction:
        """The journal's record of an answer, with as much of its words as may be kept."""
        return prediction_of(
            answering,
            row,
            answer,
            served=self._settings.task,
            id=id,
            at=at,
            latency_ms=latency_ms,
            audit=self._draw() < self._settings.task.audit,
        )

    async def record(self, predictions: Sequence[Prediction], *, started: float) -> bool:
        """Journal answers that were written elsewhere; False, told in the log, when the disk refuses.

        Raises: what the journal raises but for a refusing disk.
        """
        return await asyncio.wrap_future(self._journal.submit(self._record, predictions, started))

    def _record(self, predictions: Sequence[Prediction], started: float) -> bool:
        journalled = True
        try:
            journal(self._ledger, predictions)
        except BurnishError as error:
            if not disk_refused(error):
                raise
            journalled = False
            self._refused(error, len(predictions))
        self._metrics.batch(predictions, seconds=time.perf_counter() - started)
        return journalled


def _logged(work: Future[None], what: str) -> bool:
    """True, with the traceback in the log, when `work` failed."""
    error = work.exception()
    if error is not None:
        _log.error("%s: %s", what, error, exc_info=error)
    return error is not None


def disk_refused(error: BurnishError) -> bool:
    """Whether nothing is wrong but the disk, which takes no more."""
    return {problem.code for problem in error.problems} <= _DISK_CODES


def _ignore(answering: Answering, ids: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    """Nobody listens."""


def _deliver(results: Sequence[tuple[Ask, Answers | BaseException]]) -> None:
    """Hand results to the event loop that waits for them, in one call."""
    loop = results[0][0].answer.get_loop()
    loop.call_soon_threadsafe(_settle, results)


def _settle(results: Sequence[tuple[Ask, Answers | BaseException]]) -> None:
    for ask, result in results:
        if ask.answer.done():
            continue
        if isinstance(result, BaseException):
            ask.answer.set_exception(result)
        else:
            ask.answer.set_result(result)
