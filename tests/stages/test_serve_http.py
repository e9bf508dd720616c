"""The routes as a client meets them: a real server, a real HTTP client."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.deploy.deployments import promote, rollback
from burnish.errors import BurnishError
from burnish.serve.app import serve, token_of
from burnish.serve.auth import SCOPES
from burnish.serve.body import ProblemReply, read_request
from burnish.serve.problems import STATUS
from burnish.store.journal import find_prediction
from burnish.store.ledger import Ledger
from burnish.store.workspace import Workspace
from deployed import (
    TOKEN,
    WHO,
    Server,
    bundle_of,
    free_port,
    ledger_of,
    make_workspace,
    server_on,
    settings_of,
)
from support_task import LABELS


@dataclass(frozen=True, slots=True)
class Scene:
    workspace: Workspace
    ledger: Ledger
    server: Server
    client: httpx.Client


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    workspace = make_workspace(tmp_path_factory.mktemp("http"))
    ledger = ledger_of(workspace)
    promote(ledger, bundle_of(workspace, (0.6, 0.3, 0.1), max_tokens=8), **WHO)
    promote(ledger, bundle_of(workspace, (0.1, 0.8, 0.1), max_tokens=8), **WHO)
    rollback(ledger, "support", **WHO)
    limits = {"request_rows": 20, "body_bytes": 20_000, "head_seconds": 1, "body_seconds": 1}
    with (
        server_on(workspace, **limits) as server,
        httpx.Client(base_url=server.url, headers=server.headers, timeout=20) as client,
    ):
        yield Scene(workspace, ledger, server, client)
        assert server.stop() == 0


def problem_of(reply: httpx.Response, status: int, code: str) -> ProblemReply:
    """The reply is that problem, in RFC 9457 form, and tells nothing about our insides."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    problem = ProblemReply.model_validate_json(reply.text)
    assert (problem.code, problem.status) == (code, status) and STATUS[code] == status
    assert problem.request_id == reply.headers["x-request-id"]
    assert not re.search(r"Traceback|/tmp|/home|/root|site-packages|\.py\b", reply.text)
    return problem


def ask(scene: Scene, inputs: Any, **more: Any) -> httpx.Response:
    return scene.client.post("/v1/predictions", json={"inputs": inputs, **more})


def test_one_and_many_as_text_and_by_column(scene: Scene) -> None:
    shapes = ("hello", {"text": "hello"}, ["hello", "there"], [{"text": "a"}, "b", {"text": "c"}])
    for inputs in shapes:
        reply = ask(scene, inputs).json()
        assert (reply["model"], reply["version"]) == ("support", "support-1")
        assert len(reply["predictions"]) == (len(inputs) if isinstance(inputs, list) else 1)
        for answer in reply["predictions"]:
            assert answer["label"] == "refund" and answer["labels"] == ["refund"]
            assert answer["probabilities"] == pytest.approx(
                dict(zip(LABELS, (0.6, 0.3, 0.1), strict=True))
            )
            assert answer["confidence"] == pytest.approx(0.6)
            assert (answer["truncated"], answer["dropped_characters"]) == (False, 0)
            kept = find_prediction(scene.ledger, answer["id"])
            assert kept is not None and kept.version == "support-1"


def test_truncation_is_told(scene: Scene) -> None:
    (answer,) = ask(scene, "w " * 8 + "and the rest").json()["predictions"]
    assert (answer["truncated"], answer["dropped_characters"]) == (True, len(" and the rest"))


def test_the_model_may_be_named_by_task_or_live_version(scene: Scene) -> None:
    for name in ("support", "support-1"):
        assert ask(scene, "hello", model=name).status_code == 200
    problem = problem_of(ask(scene, "hello", model="suport"), 404, "model-unknown")
    assert problem.nearest == "support"
    problem_of(ask(scene, "hello", model="support-2"), 404, "model-unknown")
    problem_of(ask(scene, "hello", model="../../etc/passwd"), 404, "model-unknown")


def test_models_shows_every_version_and_the_live_one_first(scene: Scene) -> None:
    data = scene.client.get("/v1/models").json()["data"]
    assert [(m["id"], m["stage"]) for m in data] == [
        ("support", "live"),
        ("support-1", "live"),
        ("support-2", "retired"),
    ]
    assert data[0]["labels"] == list(LABELS) and data[0]["verified"] is True


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "body-not-json"),
        (b"inputs=hello", 400, "body-not-json"),
        (b"\xff\xfe", 400, "body-not-json"),
        (b'{"inputs": "\\ud800"}', 400, "body-not-json"),
        (b"[" * 10_000, 400, "body-not-json"),
        (b'{"inputs":' * 1_900, 400, "body-not-json"),
        (b'{"inputs": NaN}', 422, "body-wrong"),
        (b'{"inputs": 1e999}', 422, "body-wrong"),
        (b'{"inputs": [["a"]]}', 422, "body-wrong"),
        (b'{"inputs": {"text": 1}}', 422, "body-wrong"),
        (b'{"inputs": "a", "temperature": 1}', 422, "body-wrong"),
        (b'{"model": "support"}', 422, "body-wrong"),
        (b'"hello"', 422, "body-wrong"),
        (b'{"inputs": []}', 422, "body-wrong"),
        (b'{"inputs": {}}', 422, "input-missing"),
        (b'{"inputs": {"txt": "a"}}', 422, "input-missing"),
        (b'{"inputs": {"text": "a", "more": "b"}}', 422, "input-unknown"),
        (b'{"inputs": ""}', 422, "empty-text"),
        (b'{"inputs": " \\n\\u00a0"}', 422, "empty-text"),
        (json.dumps({"inputs": ["a"] * 21}).encode(), 413, "too-many-rows"),
    ],
)
def test_a_wrong_body_is_told(scene: Scene, body: bytes, status: int, code: str) -> None:
    started = time.perf_counter()
    problem_of(scene.client.post("/v1/predictions", content=body), status, code)
    assert time.perf_counter() - started < 1


def test_all_wrong_rows_are_told_at_once(scene: Scene) -> None:
    problem = problem_of(ask(scene, ["fine", {"txt": "a"}, ""]), 422, "input-missing")
    assert [(p.code, p.where) for p in problem.problems] == [
        ("input-missing", "inputs[1]"),
        ("input-unknown", "inputs[1]"),
        ("empty-text", "inputs[2]"),
    ]


def test_a_body_is_counted_as_it_comes(scene: Scene) -> None:
    big = b'{"inputs": "' + b"a" * 30_000 + b'"}'
    problem_of(scene.client.post("/v1/predictions", content=big), 413, "body-too-large")
    chunks = (b"a" * 1000 for _ in range(1_000_000))  # 1 GB, chunked, without a length
    started = time.perf_counter()
    try:
        reply = scene.client.post("/v1/predictions", content=chunks)
    except httpx.WriteError:
        pass  # closed in our face while still sending: refused all the same
    else:
        problem_of(reply, 413, "body-too-large")
    assert time.perf_counter() - started < 5
    zipped = {"Content-Encoding": "gzip"}
    problem_of(
        scene.client.post("/v1/predictions", content=b"\x1f\x8b", headers=zipped),
        415,
        "encoding-refused",
    )


def test_other_methods_and_routes(scene: Scene) -> None:
    reply = scene.client.get("/v1/predictions")
    problem_of(reply, 405, "method-refused")
    assert reply.headers["allow"] == "POST"
    problem_of(scene.client.delete("/v1/models"), 405, "method-refused")
    problem_of(scene.client.get("/v1/prediction"), 404, "route-unknown")
    assert scene.client.head("/healthz").status_code in (200, 405)


def raw(scene: Scene, data: bytes, *, seconds: float = 5.0) -> tuple[bytes, float]:
    """What comes back for raw bytes, and after how long the server closed."""
    host, port = scene.server.url.removeprefix("http://").split(":")
    started = time.perf_counter()
    with socket.create_connection((host, int(port)), timeout=seconds) as link:
        link.sendall(data)
        answer = b""
        try:
            while part := link.recv(65536):
                answer += part
        except (TimeoutError, ConnectionResetError):
            pass
    return answer, time.perf_counter() - started


def test_bad_heads_are_refused(scene: Scene) -> None:
    assert b" 400 " in raw(scene, b"\x16\x03\x01 nonsense\r\n\r\n")[0]
    many = b"".join(b"x-%d: y\r\n" % n for n in range(300))
    head = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %b\r\n"
    assert b" 431 " in raw(scene, head % TOKEN.encode() + many + b"connection: close\r\n\r\n")[0]
    flood = b"".join(b"x-%d: yyyyyyyyyyyyyyyy\r\n" % n for n in range(100_000))
    assert raw(scene, head % TOKEN.encode() + flood)[0].startswith((b"HTTP/1.1 400", b""))
    both = b"content-length: 5\r\ncontent-length: 6\r\n\r\n"
    assert b" 400 " in raw(scene, b"POST /v1/predictions HTTP/1.1\r\nhost: localhost\r\n" + both)[0]


def test_half_sent_requests_are_closed(scene: Scene) -> None:
    answer, seconds = raw(scene, b"GET /healthz HTTP/1.1\r\nhost: loc")
    assert answer == b"" and 0.5 < seconds < 4
    head = (
        f"POST /v1/predictions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n"
        "content-length: 100\r\n\r\nhalf"
    ).encode()
    answer, seconds = raw(scene, head)
    assert b" 408 " in answer and b"body-slow" in answer and seconds < 4


def test_metrics_count(scene: Scene) -> None:
    def value(name: str) -> float:
        text = scene.client.get("/metrics").text
        return sum(
            float(v) for v in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        )

    before = value("burnish_predictions_total")
    ask(scene, ["a", "b", "c"])
    assert value("burnish_predictions_total") == before + 3
    assert value("burnish_ready") == 1 and value("burnish_queue_rows") == 0
    text = scene.client.get("/metrics").text
    assert 'burnish_live_info{task="support",version="support-1"} 1.0' in text
    assert 'route="other"' in text and 'prediction"' not in text


def test_every_reply_is_as_openapi_says(scene: Scene) -> None:
    api = scene.client.get("/openapi.json").json()
    assert set(api["paths"]) == set(SCOPES) - {"/openapi.json"}

    def check(reply: httpx.Response, path: str, method: str) -> None:
        content = api["paths"][path][method]["responses"][str(reply.status_code)]["content"]
        kind = reply.headers["content-type"]
        schema = (content[kind] or content["application/json"])["schema"]
        jsonschema.validate(reply.json(), {**schema, "components": api["components"]})

    check(ask(scene, ["a", "b"]), "/v1/predictions", "post")
    check(ask(scene, ""), "/v1/predictions", "post")
    check(ask(scene, "a", model="x"), "/v1/predictions", "post")
    check(scene.client.post("/v1/predictions", content=b"["), "/v1/predictions", "post")
    check(scene.client.get("/v1/models"), "/v1/models", "get")
    check(scene.client.get("/healthz"), "/healthz", "get")
    check(scene.client.get("/readyz"), "/readyz", "get")
    body = api["paths"]["/v1/predictions"]["post"]["requestBody"]["content"]["application/json"]
    jsonschema.validate({"inputs": [{"text": "a"}, "b"]}, body["schema"])


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.just("support"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.just("text"), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries({"inputs": JSON}, optional={"model": JSON}).map(
        lambda v: json.dumps(v).encode()
    )
)
def test_no_body_makes_the_server_stumble(scene: Scene, body: bytes) -> None:
    reply = scene.client.post("/v1/predictions", content=body)
    assert reply.status_code in (200, 400, 404, 413, 422), reply.text
    if reply.status_code != 200:
        ProblemReply.model_validate_json(reply.text)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | JSON.map(lambda v: json.dumps(v).encode()))
def test_reading_a_body_raises_nothing_of_others(body: bytes) -> None:
    try:
        read_request(body)
    except BurnishError as error:
        assert {p.code for p in error.problems} <= {"body-not-json", "body-wrong"}


def test_a_busy_port_is_told_with_the_next_command(scene: Scene) -> None:
    port = int(scene.server.url.rpartition(":")[2])
    with pytest.raises(BurnishError, match="port-busy") as caught:
        serve(settings_of(scene.workspace, port=port))
    assert caught.value.problems[0].fix == f"burnish serve --port {port + 1}"
    for changes, code in (
        ({"host": "no.such.host.invalid", "port": free_port()}, "host-unknown"),
        ({"port": 99_999}, "port-refused"),
    ):
        with pytest.raises(BurnishError, match=code):
            serve(settings_of(scene.workspace, **changes))


def test_the_token_is_made_once_and_kept_private(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    token = token_of(workspace)
    assert len(token) >= 32 and token_of(workspace) == token
    assert workspace.token_path.stat().st_mode & 0o777 == 0o600
    for weak in ("", "short", "with a space inside it", "ünicode-is-not-for-headers"):
        workspace.token_path.write_text(weak)
        with pytest.raises(BurnishError, match="token-weak"):
            token_of(workspace)
    workspace.token_path.unlink()
    workspace.token_path.mkdir()
    with pytest.raises(BurnishError, match="not-readable"):
        token_of(workspace)
