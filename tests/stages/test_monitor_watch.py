"""Watching: every answer in one window, each window judged once, whatever the clock does; the page and the webhook."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from burnish.deploy.feedback import Said, give_feedback
from burnish.monitor.page import monitor_page
from burnish.monitor.watch import audits_of
from burnish.monitor.webhook import tell
from burnish.records.signal import Change, Signal, Watched
from burnish.records.task import Monitor
from burnish.store.ledger import check_ledger
from burnish.store.observed import windows
from deployed import AT
from watched_scene import Scene, task_of


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def spread(found: list[Watched]) -> list[int]:
    return [number for one in found for number in range(one.first, one.last + 1)]


def test_an_empty_journal_and_ten_answers_wait(scene: Scene) -> None:
    assert (scene.watch().judged, scene.watch().waiting_rows) == ((), 0)
    scene.answer(10)
    found = scene.watch()
    assert (found.judged, found.waiting_rows, found.window_rows) == ((), 10, 50)


def test_every_answer_is_in_one_window_and_each_is_judged_once(scene: Scene) -> None:
    for rows in (49, 1, 120, 7):
        scene.answer(rows)
        scene.watch()
    assert scene.watch().judged == ()
    found = windows(scene.ledger)
    assert spread(found) == list(range(1, 151))
    assert all(one.rows == 50 for one in found)
    assert check_ledger(scene.ledger) == ()


def test_a_long_journal_is_cut_into_twenty_larger_windows(scene: Scene) -> None:
    scene.answer(2100)
    found = scene.watch()
    assert len(found.judged) == 20 and spread(list(found.judged)) == list(range(1, 2101))


def test_a_clock_that_goes_back_moves_nothing(scene: Scene) -> None:
    scene.answer(30, at="2026-11-22T12:00:00.000+00:00")
    scene.answer(30, at="2026-11-20T12:00:00.000+00:00")
    (one,) = scene.watch().judged
    assert (one.first, one.last) == (1, 50)
    traffic = next(signal for signal in one.signals if signal.name == "traffic")
    assert traffic.value is None or np.isfinite(traffic.value)


def test_without_texts_or_base_model_the_other_signals_go_on(scene: Scene) -> None:
    scene.answer(50, text=None)
    (one,) = scene.watch().judged
    by_name = {signal.name: signal for signal in one.signals}
    assert by_name["input_classifier"].value is None and by_name["input_mmd"].because
    assert by_name["label_mix"].value == pytest.approx(0.0)
    assert by_name["latency"].value is not None
    # no report says how far the confidence can be believed
    assert by_name["estimated_accuracy"].value is None and by_name["estimated_accuracy"].because
    assert {signal.level for signal in one.signals} <= {"quiet", "look"}


def test_texts_that_lie_elsewhere_are_found_and_explained(scene: Scene) -> None:
    def embed(texts) -> np.ndarray:
        random = np.random.default_rng(len(texts))
        vectors = random.normal(size=(len(texts), 16))
        vectors[:, 0] += [6.0 if "strange" in text else 0.0 for text in texts]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    scene.answer(100)
    scene.answer(100, text="strange words {n}")
    found = scene.watch(task_of(monitor=Monitor(window_rows=100)), embed=embed).judged
    assert len(found) == 2
    last = {signal.name: signal for signal in found[1].signals}
    assert found[0].level == "quiet" and last["input_classifier"].level == "look"
    assert "strange" in {share.name for share in found[1].change.words_more}


def test_audits_stand_in_the_order_of_their_verdicts_and_are_not_rewritten(scene: Scene) -> None:
    scene.answer(6, audit=True)
    task = task_of()
    ids = [f"{n:016x}" for n in range(1, 7)]

    def say(id: str, label: str, by: str = "ann") -> None:
        give_feedback(scene.ledger, task, [Said(prediction=id, by=by, labels=(label,))], at=AT)

    say(ids[4], "other")
    say(ids[0], "refund")
    before = audits_of(scene.ledger, scene.live.version)
    assert [(one.prediction_id, one.right) for one in before] == [(ids[4], False), (ids[0], True)]
    say(ids[4], "refund")
    say(ids[0], "other", by="bob")
    say(ids[2], "refund")
    after = audits_of(scene.ledger, scene.live.version)
    assert after[:2] == before and len(after) == 3


def test_a_fall_that_audits_show_says_act(scene: Scene) -> None:
    task = task_of(monitor=Monitor(window_rows=200))
    scene.answer(200, audit=True)
    said = [Said(prediction=f"{n:016x}", by="ann", labels=("other",)) for n in range(1, 201)]
    give_feedback(scene.ledger, task, said, at=AT)
    (one,) = scene.watch(task).judged
    audit = next(signal for signal in one.signals if signal.name == "audited_accuracy")
    assert audit.value == 0.0 and audit.reference is not None and audit.reference > 0.2
    assert audit.level == one.level == "act"


def raised(**changes: object) -> Watched:
    signal = Signal(name="confidence", value=0.4, low=0.3, high=0.5, reference=0.6, p_value=1e-4,
                    threshold=1e-3, level="look", because="<b>lower</b>", method="a test")  # fmt: skip
    change = Change()
    fields: dict[str, object] = {
        "version": "support-1", "first": 1, "last": 50, "rows": 50, "since": AT, "until": AT,
        "signals": (signal,), "change": change, "at": AT,
    }  # fmt: skip
    return Watched.model_validate(fields | changes)


def test_the_page_is_one_file_that_loads_nothing_and_escapes_everything() -> None:
    page = monitor_page(task_of(), [raised(), raised(first=51, last=100)], version="<x>", waiting=3)
    assert "<script" not in page and "http://" not in page and "https://" not in page
    assert "<b>lower" not in page and "&lt;b&gt;lower" in page and "<x>" not in page
    assert page.count("<svg") == 1 and "default-src 'none'" in page
    assert "No window was judged yet" in monitor_page(task_of(), [], version="support-1", waiting=3)


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, object]], list[int]]]:
    heard: list[dict[str, object]] = []
    answers = [500, 200]

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            code = answers.pop(0) if answers else 200
            if code == 200:
                heard.append(json.loads(body))
            self.send_response(code)
            if code == 302:
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", heard, answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_webhook_hears_of_looks_once_with_numbers_and_no_text(hook) -> None:
    address, heard, answers = hook
    task = task_of(monitor=Monitor(window_rows=50, webhook=address))
    waits: list[float] = []
    assert tell(task, raised(), announce=pytest.fail, sleep=waits.append)
    assert waits == [1.0] and len(heard) == 1
    assert heard[0]["level"] == "look" and heard[0]["signals"][0]["name"] == "confidence"  # type: ignore[index]
    assert "text" not in json.dumps(heard[0])
    quiet = raised(signals=())
    assert tell(task, quiet, announce=pytest.fail, sleep=pytest.fail) and len(heard) == 1
    answers[:] = [302, 302, 302]
    said: list[str] = []
    assert not tell(task, raised(), announce=said.append, sleep=waits.append)
    assert "302" in said[0] and len(heard) == 1


def test_a_webhook_nobody_answers_is_announced_and_not_fatal() -> None:
    task = task_of(monitor=Monitor(window_rows=50, webhook="http://127.0.0.1:9/hook"))
    said: list[str] = []
    assert not tell(task, raised(), announce=said.append, sleep=lambda seconds: None)
    assert "burnish monitor shows the window" in said[0]
