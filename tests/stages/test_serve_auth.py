"""Nobody passes without the token, whatever the request looks like."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from burnish.deploy.deployments import promote
from burnish.serve.app import make_app
from burnish.serve.auth import SCOPES, App
from deployed import TOKEN, WHO, bundle_of, ledger_of, make_workspace, settings_of

Headers = list[tuple[bytes, bytes]]
HOST = (b"host", b"127.0.0.1:8000")
AUTH = (b"authorization", f"Bearer {TOKEN}".encode())
GUARDED = sorted(path for path, access in SCOPES.items() if access == "client")


class Caller:
    """Calls the application as a server would, without a socket in between to tidy the request up."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.runner = asyncio.Runner()
        self._events: asyncio.Queue[dict[str, Any]] | None = None
        self._life: asyncio.Task[None] | None = None
        self.runner.run(self._start())

    async def _start(self) -> None:
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        ready = asyncio.Event()

        async def send(message: Any) -> None:
            ready.set()

        self._events = events
        self._life = asyncio.create_task(self.app({"type": "lifespan"}, events.get, send))  # type: ignore[arg-type]
        events.put_nowait({"type": "lifespan.startup"})
        await ready.wait()

    def close(self) -> None:
        async def end() -> None:
            assert self._events and self._life
            self._events.put_nowait({"type": "lifespan.shutdown"})
            await self._life

        self.runner.run(end())
        self.runner.close()

    def call(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Headers,
        body: bytes = b"",
        kind: str = "http",
        **scope: Any,
    ) -> tuple[int, bytes]:
        sent: list[Any] = []
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            for message in given:
                return message
            await asyncio.sleep(60)

        async def send(message: Any) -> None:
            sent.append(message)

        full = {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        self.runner.run(asyncio.wait_for(self.app(full | scope, receive, send), 20))
        if kind != "http":
            return (0, b"") if sent and sent[0]["type"] == "websocket.close" else (200, b"")
        status = next(m["status"] for m in sent if m["type"] == "http.response.start")
        return status, b"".join(m.get("body", b"") for m in sent)


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    workspace = make_workspace(tmp_path_factory.mktemp("auth"))
    promote(ledger_of(workspace), bundle_of(workspace, (0.6, 0.3, 0.1)), **WHO)
    caller = Caller(make_app(settings_of(workspace, hosts=("Burnish.Example",))))
    for _ in range(200):
        if caller.call("/readyz", headers=[])[0] == 200:
            break
        caller.runner.run(asyncio.sleep(0.02))
    yield caller
    caller.close()


def method_of(path: str) -> str:
    return "POST" if path in BODIES or path == "/v1/predictions" else "GET"


BODY = b'{"inputs": "hello"}'
FEEDBACK = b'{"prediction": "9f2c", "label": "refund", "by": "ann"}'
BODIES = {
    "/v1/feedback": FEEDBACK,
    "/v1/chat/completions": b'{"messages": [{"role": "user", "content": "hello"}]}',
    "/v1/completions": b'{"prompt": "hello"}',
}
# let in, and told: nobody made that prediction, and this version writes nothing
ANSWERS = {"/v1/feedback": 404, "/v1/chat/completions": 422, "/v1/completions": 422}


def test_the_key_opens_every_route(caller: Caller) -> None:
    for path in GUARDED:
        method = method_of(path)
        body = BODIES.get(path, BODY)
        status = caller.call(path, method=method, headers=[HOST, AUTH], body=body)[0]
        assert status == ANSWERS.get(path, 200), path
    lower = (b"authorization", f"bEARER {TOKEN}".encode())
    assert caller.call("/v1/models", headers=[HOST, lower])[0] == 200


def test_every_route_of_the_application_has_a_scope(caller: Caller) -> None:
    routes = {route.path for route in caller.app._app.routes}  # type: ignore[attr-defined]
    assert routes == set(SCOPES)


TRICKS: dict[str, tuple[str, Headers, dict[str, Any]]] = {
    "no token": ("{}", [], {}),
    "empty token": ("{}", [(b"authorization", b"Bearer ")], {}),
    "no scheme": ("{}", [(b"authorization", TOKEN.encode())], {}),
    "basic": ("{}", [(b"authorization", b"Basic " + TOKEN.encode())], {}),
    "cut short": ("{}", [(b"authorization", AUTH[1][:-1])], {}),
    "one more": ("{}", [(b"authorization", AUTH[1] + b"x")], {}),
    "two headers": ("{}", [AUTH, (b"authorization", b"Bearer wrong")], {}),
    "right one twice": ("{}", [AUTH, AUTH], {}),
    "two in one": ("{}", [(b"authorization", b"Bearer wrong, " + AUTH[1])], {}),
    "in the query": ("{}", [], {"query_string": f"token={TOKEN}&access_token={TOKEN}".encode()}),
    "in a cookie": ("{}", [(b"cookie", f"token={TOKEN}".encode())], {}),
    "proxy header": ("{}", [(b"proxy-authorization", AUTH[1]), (b"x-api-key", TOKEN.encode())], {}),
    "said to be local": ("{}", [(b"x-forwarded-for", b"127.0.0.1"), (b"x-real-ip", b"::1")], {}),
    "another path in a header": (
        "/healthz",
        [(b"x-original-url", b"{}"), (b"x-rewrite-url", b"{}")],
        {},
    ),
    "method override": ("{}", [(b"x-http-method-override", b"GET")], {"method": "POST"}),
    "doubled slash": ("/{}", [], {}),
    "through a probe": ("/healthz/..{}", [], {}),
    "probe as prefix": ("/healthz{}", [], {}),
    "path parameter": ("{};/healthz", [], {}),
    "trailing slash": ("{}/", [], {}),
    "upper case": ("UPPER", [], {}),
    "null byte": ("{}\0/healthz", [], {}),
    "root path": ("/healthz{}", [], {"root_path": "/healthz"}),
    "raw path differs": ("{}", [], {"raw_path": b"/healthz"}),
    "websocket": ("{}", [], {"kind": "websocket"}),
    "unicode digits": ("{}", [(b"authorization", "Bearer １".encode())], {}),
    "options": ("{}", [(b"access-control-request-method", b"POST")], {"method": "OPTIONS"}),
    "head": ("{}", [], {"method": "HEAD"}),
}


@pytest.mark.parametrize(("trick", "path"), list(itertools.product(TRICKS, GUARDED)))
def test_no_trick_opens_a_route(caller: Caller, trick: str, path: str) -> None:
    form, headers, scope = TRICKS[trick]
    target = path.upper() if form == "UPPER" else form.format(path)
    headers = [(name, value.replace(b"{}", path.encode())) for name, value in headers]
    status, body = caller.call(
        target,
        headers=[HOST, *headers],
        body=BODY,
        **({"method": method_of(path)} | scope),
    )
    if target == "/healthz":  # the probe itself: a status and nothing else
        assert status in (200, 401, 405) and (status != 200 or body == b'{"status":"ok"}')
    else:
        assert not 200 <= status < 400
        assert b"refund" not in body


HOSTS = [
    b"evil.example",
    b"127.0.0.1.evil.example",
    b"evil@127.0.0.1",
    b"",
    b"localhost:80:80",
    b"[::2]",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_rebound_name_is_refused_even_with_the_token(caller: Caller, host: bytes) -> None:
    assert caller.call("/v1/models", headers=[(b"host", host), AUTH])[0] == 400


def test_own_names_are_accepted(caller: Caller) -> None:
    for host in (b"localhost", b"LOCALHOST:1", b"[::1]:8000", b"burnish.example:443", b"127.0.0.1"):
        assert caller.call("/v1/models", headers=[(b"host", host), AUTH])[0] == 200
    assert caller.call("/v1/models", headers=[AUTH])[0] == 400
    assert caller.call("/v1/models", headers=[HOST, HOST, AUTH])[0] == 400


def test_probes_tell_a_status_and_nothing_else(caller: Caller) -> None:
    assert caller.call("/healthz", headers=[]) == (200, b'{"status":"ok"}')
    assert caller.call("/readyz", headers=[]) == (200, b'{"status":"ready"}')
    assert caller.call("/healthz", method="POST", headers=[])[0] in (400, 401)


def traversals() -> list[str]:
    """About 2,000 ways to ask for a file."""
    ups = [
        "../",
        "..\\",
        "%2e%2e/",
        "..%2f",
        "%252e%252e%252f",
        "....//",
        "..;/",
        "\u2025/",
        "..%c0%af",
    ]
    ends = ["etc/passwd", ".burnish/token", "token", "ledger.db", "", "\0", "file:///etc/passwd"]
    starts = ["", "/", "support/", "support-1/", "\\\\host\\", "//", "~/", "C:\\"]
    made = (s + u * n + e for s in starts for u in ups for n in (1, 3, 8, 20) for e in ends)
    return list(dict.fromkeys(made))


def test_a_path_in_any_place_reaches_no_file(caller: Caller, tmp_path: Path) -> None:
    strings = traversals()
    assert len(strings) >= 1900
    for text in strings:
        for path in (f"/v1/models/{text}", f"/{text}"):
            status, body = caller.call(path, headers=[HOST, AUTH])
            assert status == 404 and b"root:" not in body and TOKEN.encode() not in body, path
    import json

    for text in strings[::4]:
        asked = json.dumps({"inputs": "hello", "model": text}).encode()
        status, body = caller.call(
            "/v1/predictions", method="POST", headers=[HOST, AUTH], body=asked
        )
        assert status == 404 and b"model-unknown" in body
