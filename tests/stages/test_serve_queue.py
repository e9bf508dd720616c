"""The queue: bounded, without a timer, one version a batch, journalled before any reply."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest

from burnish.deploy.deployments import promote
from burnish.deploy.engines.majority import MajorityFitted
from burnish.errors import BurnishError
from burnish.records.deployment import Prediction
from burnish.records.encoding import Encoding, FloatArray
from burnish.records.example import input_id
from burnish.serve.live import Answering
from burnish.serve.metrics import Metrics
from burnish.serve.queue import Queue, QueueFull
from burnish.store.journal import find_prediction, predictions
from burnish.store.ledger import close_ledger, open_ledger
from deployed import AT, WHO, make_workspace, record_of, settings_of
from support_task import make_task


class Gated(MajorityFitted):
    """An engine that works when it is let: remembers its batches and can be told to fail."""

    def __init__(self, shares: Sequence[float] = (0.6, 0.3, 0.1)) -> None:
        super().__init__(shares, sigmoid=False, max_tokens=8)
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[str]] = []
        self.fail = False

    def logits(self, encodings: Sequence[Encoding]) -> FloatArray:
        self.batches.append([encoding.text for encoding in encodings])
        if not self.gate.wait(10):
            raise RuntimeError("the test never opened the gate")
        if self.fail:
            raise ValueError("/secret/path broke")
        return super().logits(encodings)


class Bench:
    """A queue on a real ledger with a gated model."""

    def __init__(self, root: Path, **limits: object) -> None:
        workspace = make_workspace(root)
        self.ledger = open_ledger(workspace.ledger_path)
        self.fitted = Gated()
        self.settings = settings_of(workspace, **limits)
        self.queue = Queue(
            self.settings, self.ledger, metrics=Metrics(), now=lambda: AT, draw=lambda: 0.5
        )
        self.answering = self.version(1)
        self._ids = iter(range(10**9))

    def version(self, number: int, **task: object) -> Answering:
        deployment = promote(self.ledger, record_of(number), **WHO)
        folder = self.settings.workspace.bundles / deployment.bundle_id
        return Answering(deployment, make_task(**task), self.fitted, folder)

    async def ask(self, *texts: str, to: Answering | None = None) -> list[Prediction]:
        ids = [f"{next(self._ids):016x}" for _ in texts]
        rows = [{"text": text} for text in texts]
        answers = await self.queue.ask(to or self.answering, rows, ids=ids)
        assert answers.journalled
        return list(answers.predictions)

    def later(self, *texts: str, to: Answering | None = None) -> asyncio.Task[list[Prediction]]:
        return asyncio.create_task(self.ask(*texts, to=to))

    async def busy(self) -> asyncio.Task[list[Prediction]]:
        """A request that the model is working on, behind a shut gate."""
        self.fitted.gate.clear()
        task = self.later("first")
        while not self.fitted.batches:
            await asyncio.sleep(0.005)
        return task

    def close(self) -> None:
        self.fitted.gate.set()
        self.queue.stop()
        close_ledger(self.ledger)


@pytest.fixture
def bench(tmp_path: Path):
    bench = Bench(tmp_path, batch_rows=4)
    yield bench
    bench.close()


def test_every_reply_is_in_the_journal_first(bench: Bench) -> None:
    async def scene() -> None:
        answers = await asyncio.gather(*(bench.ask(f"text {n}", "more") for n in range(10)))
        for given in answers:
            for prediction in given:
                assert find_prediction(bench.ledger, prediction.id) == prediction
        assert len(predictions(bench.ledger)) == 20

    asyncio.run(scene())


def test_the_journal_keeps_what_was_sent_and_names_what_was_asked(bench: Bench) -> None:
    async def scene() -> None:
        answering = bench.version(2, normalise={"html": True, "whitespace": True})
        (one,) = await bench.ask("Fish  &amp; chips", to=answering)
        (other,) = await bench.ask("Fish & chips", to=answering)
        assert bench.fitted.batches == [["Fish & chips"]] * 2
        assert one.inputs == {"text": "Fish  &amp; chips"}
        assert one.input_id == other.input_id == input_id({"text": "Fish & chips"})

    asyncio.run(scene())


def test_a_crowd_shares_a_batch_and_a_lone_request_does_not_wait(bench: Bench) -> None:
    async def scene() -> None:
        started = time.perf_counter()
        await bench.ask("alone")
        assert time.perf_counter() - started < 1
        bench.fitted.batches.clear()
        first = await bench.busy()
        crowd = [bench.later(f"text {n}") for n in range(6)]
        await asyncio.sleep(0.02)
        bench.fitted.gate.set()
        await asyncio.gather(first, *crowd)
        assert [len(batch) for batch in bench.fitted.batches] == [1, 4, 2]
        assert list(chain.from_iterable(bench.fitted.batches)) == [
            "first",
            *(f"text {n}" for n in range(6)),
        ]

    asyncio.run(scene())


def test_long_texts_do_not_travel_with_short_ones(bench: Bench) -> None:
    async def scene() -> None:
        first = await bench.busy()
        crowd = [bench.later(text) for text in ("short", "l" * 5000, "brief", "o" * 6000)]
        await asyncio.sleep(0.02)
        bench.fitted.gate.set()
        await asyncio.gather(first, *crowd)
        lengths = [[len(text) for text in batch] for batch in bench.fitted.batches]
        assert lengths == [[5], [5, 5], [5000, 6000]]

    asyncio.run(scene())


def test_a_request_is_answered_whole_by_the_version_it_was_accepted_for(bench: Bench) -> None:
    async def scene() -> None:
        second = bench.version(2)
        first = await bench.busy()
        asked = [(n, bench.later("a", "b", to=(bench.answering, second)[n % 2])) for n in range(8)]
        await asyncio.sleep(0.02)
        bench.fitted.gate.set()
        await first
        for n, task in asked:
            assert {p.version for p in await task} == {f"support-{1 + n % 2}"}

    asyncio.run(scene())


def test_full_is_told_with_the_time_to_wait(tmp_path: Path) -> None:
    bench = Bench(tmp_path, queue_rows=4, queue_characters=100)

    async def scene() -> None:
        first = await bench.busy()
        waiting = [bench.later("a", "b", "c")]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        started = time.perf_counter()
        for texts in (("d", "e"), ("x" * 200,)):
            with pytest.raises(QueueFull) as caught:
                await bench.ask(*texts)
            assert caught.value.retry_after_seconds >= 1
        assert (time.perf_counter() - started) / 2 < 0.05
        waiting.append(bench.later("d"))
        await asyncio.sleep(0.02)
        bench.fitted.gate.set()
        assert [len(given) for given in await asyncio.gather(first, *waiting)] == [1, 3, 1]
        assert (
            len(await bench.ask(*("large" * 10 for _ in range(10)))) == 10
        )  # alone it may be any size

    asyncio.run(scene())
    bench.close()


def test_a_deadline_ends_the_wait_and_frees_the_room(tmp_path: Path) -> None:
    bench = Bench(tmp_path, deadline_seconds=0.1, queue_rows=2)

    async def scene() -> None:
        first = await bench.busy()
        second = bench.later("a", "b")
        for late in (first, second):
            with pytest.raises(BurnishError, match="deadline-passed"):
                await late
        third = bench.later("c", "d")
        bench.fitted.gate.set()
        assert len(await third) == 2
        assert "a" not in list(chain.from_iterable(bench.fitted.batches))

    asyncio.run(scene())
    bench.close()


def test_a_client_that_leaves_takes_its_rows_along(bench: Bench) -> None:
    async def scene() -> None:
        first = await bench.busy()
        leaver, stayer = bench.later("leaver"), bench.later("stayer")
        await asyncio.sleep(0.02)
        leaver.cancel()
        await asyncio.sleep(0.02)
        bench.fitted.gate.set()
        await asyncio.gather(first, stayer)
        assert bench.fitted.batches == [["first"], ["stayer"]]

    asyncio.run(scene())


def test_a_crash_costs_its_own_batch_only(bench: Bench) -> None:
    async def scene() -> None:
        first = await bench.busy()
        waiting = [bench.later(f"text {n}") for n in range(5)]
        bench.fitted.fail = True
        bench.fitted.gate.set()
        with pytest.raises(ValueError, match="broke"):
            await first
        bench.fitted.fail = False
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(r, list | ValueError) for r in results)
        assert len(await bench.ask("after")) == 1

    asyncio.run(scene())


def test_no_journal_no_reply(bench: Bench) -> None:
    async def scene() -> None:
        await bench.queue.ask(bench.answering, [{"text": "a"}], ids=["same"])
        with pytest.raises(BurnishError, match="prediction-exists"):
            await bench.queue.ask(bench.answering, [{"text": "b"}], ids=["same"])
        assert len(await bench.ask("after")) == 1

    asyncio.run(scene())


def test_stop_answers_what_waits_and_refuses_the_rest(bench: Bench) -> None:
    async def scene() -> None:
        first = await bench.busy()
        waiting = [bench.later(f"text {n}") for n in range(9)]
        await asyncio.sleep(0.02)
        stop = asyncio.create_task(asyncio.to_thread(bench.queue.stop))
        await asyncio.sleep(0.02)
        with pytest.raises(BurnishError, match="stopping"):
            await bench.ask("too late")
        bench.fitted.gate.set()
        assert len(await asyncio.gather(first, *waiting)) == 10
        await stop

    asyncio.run(scene())


def test_texts_stay_out_of_the_journal_when_the_task_says_so(bench: Bench) -> None:
    hashed = bench.version(2, keep_inputs="hash")

    async def scene() -> None:
        (kept,) = await bench.ask("my name is Ann")
        (hidden,) = await bench.ask("my name is Ann", to=hashed)
        assert kept.inputs == {"text": "my name is Ann"} and hidden.inputs is None
        assert kept.input_id == hidden.input_id

    asyncio.run(scene())
    bench.queue.stop()
    assert find_prediction(bench.ledger, f"{1:016x}").inputs is None


def test_truncation_is_told(bench: Bench) -> None:
    (prediction,) = asyncio.run(bench.ask("one two three four five six seven eight nine"))
    assert prediction.dropped_characters == len(" nine")
