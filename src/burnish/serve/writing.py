"""The line in front of a model that writes for conversations: bounded, one model thread, answers heard token by token.

While the model writes, requests gather; when it is free it takes the oldest and all that wait with it and decode alike,
and writes them together. So a lone request never waits for company. Who goes away stops being written for. A model that
batches by itself (vLLM) is asked for every request at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from burnish.errors import BurnishError, Problem, fail
from burnish.records.decoding import Decoding
from burnish.serve.live import Answering
from burnish.serve.queue import QueueFull
from burnish.serve.settings import ServeSettings

if TYPE_CHECKING:
    from burnish.encode.fit_prompt import FittedPrompt
    from burnish.models.chat_model import ChatModel
    from burnish.models.draw import Mask
    from burnish.models.pieces import Piece

_log = logging.getLogger("burnish.serve")
# Answers written together: more gain little on a CPU, and each waits for the longest.
BATCH_ANSWERS = 16
# Requests that a model which batches by itself is asked at once.
_LISTENERS = 64


@dataclass(slots=True, eq=False)
class Wanted:
    """One request: prompts for the version that was live when it came. Pieces number its own prompts.

    Units: `deadline` in seconds of time.perf_counter.
    """

    answering: Answering
    prompts: Sequence[FittedPrompt]
    decoding: Decoding
    seeds: Sequence[int]
    masks: Sequence[Mask | None] | None
    alternatives: int
    deadline: float
    loop: asyncio.AbstractEventLoop
    heard: asyncio.Queue[Piece | BaseException | None] = field(
        default_factory=lambda: asyncio.Queue()
    )
    gone: bool = False

    def tell(self, what: Piece | BaseException | None) -> None:
        """From the model's thread to the request; a loop that has ended hears nothing any more."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.heard.put_nowait, what)

    @property
    def left(self) -> bool:
        """Whether nobody waits any more."""
        return self.gone or time.perf_counter() > self.deadline


class WritingLine:
    """Requests in, pieces out."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._waiting: deque[Wanted] = deque()
        self._working = False
        self._stopping = False
        self._model = ThreadPoolExecutor(1, thread_name_prefix="burnish-writing")
        # for models that put requests together themselves: each in a thread that listens
        self._listeners = ThreadPoolExecutor(_LISTENERS, thread_name_prefix="burnish-listening")
        self._heard: set[Wanted] = set()

    async def write(
        self,
        answering: Answering,
        prompts: Sequence[FittedPrompt],
        decoding: Decoding,
        *,
        seeds: Sequence[int],
        masks: Sequence[Mask | None] | None = None,
        alternatives: int = 0,
    ) -> AsyncIterator[Piece]:
        """The tokens of every prompt's answer as they are written. Closing it stops the writing.

        Raises: queue-full (QueueFull), stopping, deadline-passed, and what the model raises.
        """
        wanted = Wanted(
            answering,
            prompts,
            decoding,
            seeds,
            masks,
            alternatives,
            time.perf_counter() + self._settings.writing_seconds,
            asyncio.get_running_loop(),
        )
        self._accept(wanted)
        try:
            while True:
                async with asyncio.timeout(max(0.0, wanted.deadline - time.perf_counter())):
                    found = await wanted.heard.get()
                if found is None:
                    return
                if isinstance(found, BaseException):
                    raise found
                yield found
        except TimeoutError:
            raise fail(
                "deadline-passed",
                "the answer was not ready in time",
                expected=f"an answer within {self._settings.writing_seconds:g} s",
                fix="ask for fewer new tokens, or try again later",
            ) from None
        finally:
            wanted.gone = True
            with self._lock:
                if wanted in self._waiting:
                    self._waiting.remove(wanted)

    @property
    def busy(self) -> bool:
        """Whether the model writes or anybody waits for it."""
        return self._working or bool(self._heard)

    def stop(self) -> None:
        """Refuse new requests, finish those that wait, then return."""
        with self._lock:
            self._stopping = True
        while self.busy:
            time.sleep(0.01)
        self._model.shutdown(wait=True)
        self._listeners.shutdown(wait=True)

    def _accept(self, wanted: Wanted) -> None:
        alone = getattr(wanted.answering.fitted, "batches_itself", False)
        with self._lock:
            if self._stopping:
                raise fail("stopping", "the server is stopping", fix="ask again in a moment")
            waiting = sum(len(one.prompts) for one in (self._heard if alone else self._waiting))
            if waiting and waiting + len(wanted.prompts) > self._settings.queue_rows:
                error = QueueFull(
                    (
                        Problem(
                            code="queue-full",
                            what=f"{waiting:,} answers are waiting already",
                            expected=f"at most {self._settings.queue_rows:,}",
                            fix="wait as long as Retry-After says",
                        ),
                    )
                )
                error.retry_after_seconds = 10
                raise error
            if alone:
                self._listen(wanted)
                return
            self._waiting.append(wanted)
            if not self._working:
                self._working = True
                self._model.submit(self._work).add_done_callback(self._ended)

    def _listen(self, wanted: Wanted) -> None:
        """Write for one request alone."""

        def ended(work: Future[None]) -> None:
            error = work.exception()
            if error is not None:
                if not isinstance(error, BurnishError):
                    _log.error("writing failed: %s", error, exc_info=error)
                wanted.tell(error)
            with self._lock:
                self._heard.discard(wanted)

        self._heard.add(wanted)
        self._listeners.submit(self._write, [wanted]).add_done_callback(ended)

    def _ended(self, work: Future[None]) -> None:
        error = work.exception()
        if error is None:
            return
        _log.error("writing failed: %s", error, exc_info=error)
        with self._lock:
            self._working = bool(self._waiting)
            if self._working:
                self._model.submit(self._work).add_done_callback(self._ended)

    def _work(self) -> None:
        while batch := self._take():
            try:
                self._write(batch)
            except BurnishError as error:
                for wanted in batch:
                    wanted.tell(error)
            except BaseException as error:
                for wanted in batch:
                    wanted.tell(error)
                raise

    def _take(self) -> list[Wanted]:
        """The oldest request and those that decode as it does."""
        with self._lock:
            if not self._waiting:
                self._working = False
                return []
            oldest = self._waiting[0]
            batch: list[Wanted] = []
            rows = 0
            for one in self._waiting:
                fits = rows + len(one.prompts) <= BATCH_ANSWERS
                if one is oldest or (fits and _alike(one, oldest)):
                    batch.append(one)
                    rows += len(one.prompts)
            for one in batch:
                self._waiting.remove(one)
            return batch

    def _write(self, batch: Sequence[Wanted]) -> None:
        owners = [(one, place) for one in batch for place in range(len(one.prompts))]
        chat = cast("ChatModel", batch[0].answering.fitted)
        masks = [mask for one in batch for mask in one.masks or [None] * len(one.prompts)]
        for piece in chat.pieces(
            [prompt for one in batch for prompt in one.prompts],
            batch[0].decoding,
            seeds=[seed for one in batch for seed in one.seeds],
            masks=masks if any(mask is not None for mask in masks) else None,
            alternatives=batch[0].alternatives,
            cancelled=lambda row: owners[row][0].left,
        ):
            one, place = owners[piece.row]
            one.tell(replace(piece, row=place))
        for one in batch:
            one.tell(None)


def _alike(one: Wanted, other: Wanted) -> bool:
    seedless = {"seed": 0}
    return (
        one.answering is other.answering
        and one.alternatives == other.alternatives
        and one.decoding.model_copy(update=seedless) == other.decoding.model_copy(update=seedless)
    )
