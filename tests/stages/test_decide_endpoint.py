"""A model behind an endpoint as a candidate: asked as it would be asked in production, by a real server of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from burnish.decide.endpoint import Endpoint, try_endpoint
from burnish.decide.text_candidates import TriedText
from burnish.deploy.bundle import open_text_bundle
from burnish.deploy.deployments import promote
from burnish.errors import BurnishError
from burnish.records.example import Example, Source, input_id, row_id
from burnish.records.label import Texts
from burnish.records.task import Task
from deployed import TOKEN, WHO, Server, free_port, ledger_of, make_workspace, server_on
from written_bundles import TALK, chat_task, text_bundle, writer_base

TASK = chat_task(name="answers", kind="qa", inputs=("question",), label="answer")


def example(number: int) -> Example:
    inputs = {"question": f"{TALK[number % len(TALK)]} {number}"}
    where = f"rows.jsonl:{number + 1}"
    return Example(
        row_id=row_id(where=where, inputs=inputs, label=str(number)),
        input_id=input_id(inputs),
        inputs=inputs,
        label=Texts(texts=(TALK[1],)),
        source=Source(where=where),
    )


ROWS = [example(number) for number in range(10)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    root = tmp_path_factory.mktemp("endpoint")
    workspace = make_workspace(root / "burnish")
    bundle = text_bundle(workspace, TASK, writer_base(root / "cache"))
    with ledger_of(workspace) as ledger:
        promote(ledger, bundle, **WHO)
    with server_on(workspace, task=TASK) as server:
        yield server, workspace.bundles / bundle.id


def tried(endpoint: Endpoint, task: Task = TASK, *, pauses: list[float] | None = None) -> TriedText:
    return try_endpoint(
        task,
        ROWS,
        endpoint,
        metric="chrf",
        groups_R=None,
        seed=1,
        announce=lambda text: None,
        sleep=(pauses if pauses is not None else []).append,
    )


def test_it_answers_as_the_model_behind_it(place: tuple[Server, Path]) -> None:
    server, bundle = place
    found = tried(
        Endpoint(f"{server.url}/v1", "answers", TOKEN, prompt_price=2.0, answer_price=10.0)
    )
    wanted = open_text_bundle(bundle).fitted.answer(TASK, [row.inputs for row in ROWS])
    assert list(found.scored.texts) == [one.text for one in wanted]
    read = sum(len(one.prompt_ids) for one in wanted)
    written = sum(len(one.answer_ids) for one in wanted)
    (note,) = found.notes
    paid = (read * 2 + written * 10) / 1e6
    assert note == (
        f"the endpoint counted {read:,} tokens of prompts and {written:,} of answers: "
        f"{paid:.4g} for these rows, {paid / len(ROWS) * 1000:.4g} for a thousand"
    )
    candidate = found.candidate
    assert candidate.name == "endpoint" and not candidate.deployable and candidate.latency_ms > 0
    assert candidate.title.startswith("answers at 127.0.0.1:")
    assert candidate.quality.n == len(ROWS)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"key": "wrong"}, "endpoint-refused", "status 401"),
        ({"model": "other"}, "endpoint-refused", "no model of that name"),
        ({"url": "ftp://example.com"}, "endpoint-address", "no web address"),
        ({"url": "file:///etc/passwd"}, "endpoint-address", "no web address"),
    ],
)
def test_what_it_refuses_is_told(
    place: tuple[Server, Path], change: dict[str, str], code: str, said: str
) -> None:
    fields = {"url": f"{place[0].url}/v1", "model": "answers", "key": TOKEN} | change
    with pytest.raises(BurnishError, match=said) as caught:
        tried(Endpoint(**fields))
    assert caught.value.code == code


def test_nobody_there_is_told_after_four_tries() -> None:
    pauses: list[float] = []
    with pytest.raises(BurnishError) as caught:
        tried(Endpoint(f"http://127.0.0.1:{free_port()}/v1", "m"), pauses=pauses)
    assert caught.value.code == "endpoint-unreachable"
    assert pauses.count(1.0) >= 1 and max(pauses) == 3.0


@contextmanager
def saying(replies: list[tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    """A server that gives these replies in turn, the last for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            with turn:
                status, headers, body = replies.pop(0) if len(replies) > 1 else replies[0]
            self.send_response(status)
            for name, value in ({"content-length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    turn = threading.Lock()
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


GOOD = b'{"choices": [{"message": {"content": "May"}, "finish_reason": "length"}]}'


def test_who_is_busy_is_asked_again_after_as_long_as_it_says() -> None:
    pauses: list[float] = []
    busy = (429, {"retry-after": "7"}, b"slow down")
    with saying([busy, (503, {}, b"loading"), (200, {}, GOOD)]) as url:
        found = tried(Endpoint(url, "m"), pauses=pauses)
    assert set(found.scored.texts) == {"May"} and found.notes == ()
    assert 7.0 in pauses and len(pauses) == 2


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"choices": []}', b"[1]", b"\xff", b""])
def test_another_kind_of_server_is_named(body: bytes) -> None:
    with saying([(200, {}, body)]) as url, pytest.raises(BurnishError) as caught:
        tried(Endpoint(url, "m"))
    assert caught.value.code == "endpoint-broken" and "/v1" in caught.value.problems[0].fix


def test_an_error_that_stays_is_told_with_its_words() -> None:
    with saying([(500, {}, b"out of cheese")]) as url, pytest.raises(BurnishError) as caught:
        tried(Endpoint(url, "m"))
    assert "status 500: out of cheese" in caught.value.problems[0].what
