"""The guard in front of every route: decides on `scope["path"]` who may pass, and denies by default.

It is the outermost ASGI application and reads the whole body, within its limits, before anything else
sees the request. A path that is not in SCOPES does not exist, whatever the application behind knows.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Literal

from burnish.errors import Problem, nearest
from burnish.serve.problems import MEDIA_TYPE, STATUS, problem_body
from burnish.serve.settings import ServeSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Observe = Callable[[str, int, float], None]

# "open" answers without a token, with a status and nothing else; "client" needs the token.
Access = Literal["open", "client"]
SCOPES: Mapping[str, Access] = {
    "/healthz": "open",
    "/readyz": "open",
    "/v1/predictions": "client",
    "/v1/chat/completions": "client",
    "/v1/completions": "client",
    "/v1/feedback": "client",
    "/v1/models": "client",
    "/metrics": "client",
    "/openapi.json": "client",
}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_READING = frozenset({"GET", "HEAD"})


class Guard:
    """`app` behind token, host names and limits. `observe(route, status, seconds)` hears every reply.

    `fresh_id` names requests; the name goes back as X-Request-Id and into every problem.
    """

    def __init__(
        self,
        app: App,
        settings: ServeSettings,
        *,
        fresh_id: Callable[[], str],
        observe: Observe,
    ) -> None:
        self._app = app
        self._settings = settings
        self._hosts = (
            _LOOPBACK | {settings.host.casefold()} | {h.casefold() for h in settings.hosts}
        )
        self._token = settings.token.encode("ascii")
        self._fresh_id = fresh_id
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with the problem."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = time.perf_counter()
        request_id = self._fresh_id()
        told = _Told(send, request_id)
        problem = self._objection(scope)
        body = b""
        if problem is None:
            body, problem = await self._read_body(receive)
        if body is None:
            return  # the client went away before it had asked anything
        try:
            if problem is not None:
                await _refuse(told, scope, problem, request_id)
            else:
                scope.setdefault("state", {})["request_id"] = request_id
                await self._app(scope, _replay(body, receive), told)
        finally:
            path = scope["path"]
            route = path if path in SCOPES else "other"
            self._observe(route, told.status, time.perf_counter() - started)

    def _objection(self, scope: Scope) -> Problem | None:
        """What is wrong with the request line and headers, decided before a byte of the body is read."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if len(headers) > self._settings.head_lines:
            return Problem(
                code="head-too-large",
                what=f"{len(headers)} header lines",
                expected=f"at most {self._settings.head_lines}",
                fix="send fewer headers",
            )
        access = SCOPES.get(scope["path"])
        if not (access == "open" and scope["method"] in _READING):
            problem = self._host_problem(headers) or self._token_problem(headers)
            if problem is not None:
                return problem
        if access is None:
            return Problem(
                code="route-unknown",
                what="there is no such route",
                expected=f"one of: {', '.join(SCOPES)}",
                fix="look at /openapi.json",
                nearest=nearest(scope["path"], SCOPES),
            )
        return self._body_problem(headers)

    def _host_problem(self, headers: list[tuple[bytes, bytes]]) -> Problem | None:
        # a web page that rebinds its name to this address still sends its own name here
        found = _values(headers, b"host")
        if len(found) == 1 and _host_name(found[0]) in self._hosts:
            return None
        return Problem(
            code="host-refused",
            what="the Host header is not a name of this server",
            expected="a loopback name, or one given at start",
            fix="burnish serve --allow-host NAME",
        )

    def _token_problem(self, headers: list[tuple[bytes, bytes]]) -> Problem | None:
        found = _values(headers, b"authorization")
        if len(found) == 1:
            scheme, _, token = found[0].partition(b" ")
            if scheme.lower() == b"bearer" and hmac.compare_digest(token, self._token):
                return None
        return Problem(
            code="token-refused",
            what="no valid token" if found else "no token",
            expected='one header "Authorization: Bearer TOKEN"',
            fix="burnish serve prints where the token is kept",
        )

    def _body_problem(self, headers: list[tuple[bytes, bytes]]) -> Problem | None:
        encodings = {value.strip().lower() for value in _values(headers, b"content-encoding")}
        if encodings - {b"identity"}:
            return Problem(
                code="encoding-refused",
                what="the body is compressed",
                expected="a body as it is",
                fix="send it without Content-Encoding",
            )
        limit = self._settings.body_bytes
        # isdigit: int() would also take "1_0", " 5" and digits of other scripts
        lengths = _values(headers, b"content-length")
        if any(not v.isdigit() or len(v) > 18 or int(v) > limit for v in lengths):
            return self._too_large()
        return None

    def _too_large(self) -> Problem:
        return Problem(
            code="body-too-large",
            what="the body is too large",
            expected=f"at most {self._settings.body_bytes:,} bytes",
            fix="send fewer rows at a time, or use burnish predict for files",
        )

    async def _read_body(self, receive: Receive) -> tuple[bytes | None, Problem | None]:
        """The body, counted as it comes whatever the headers said; None when the client left."""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None, None
                    part = message.get("body", b"")
                    size += len(part)
                    if size > self._settings.body_bytes:
                        return b"", self._too_large()
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts), None
        except TimeoutError:
            return b"", Problem(
                code="body-slow",
                what="the body did not arrive in time",
                expected=f"all of it within {self._settings.body_seconds:g} s",
                fix="send it again on a better connection",
            )


class _Told:
    """`send` that remembers the status and puts the request's name on the reply."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._name = (b"x-request-id", request_id.encode("ascii"))
        # 499: the client left before a reply, as other servers' logs say it
        self.status = 499

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), self._name]}
        await self._send(message)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what the connection says (a disconnect)."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


async def _refuse(send: Send, scope: Scope, problem: Problem, request_id: str) -> None:
    body = problem_body([problem], instance=scope["path"], request_id=request_id)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        # unread body bytes must not be taken for the next request
        (b"connection", b"close"),
    ]
    if problem.code == "token-refused":
        headers.append((b"www-authenticate", b'Bearer realm="burnish"'))
    status = STATUS[problem.code]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    content = b"" if scope["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": content})


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key.lower() == name]


def _host_name(value: bytes) -> str:
    """A Host header without its port: "[::1]:8000" is "::1".

    Example:
        >>> _host_name(b"LocalHost:8000"), _host_name(b"[::1]:80"), _host_name(b"a@localhost")
        ('localhost', '::1', 'a@localhost')
    """
    text = value.decode("latin-1").casefold()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    name, _, port = text.rpartition(":")
    return name if name and port.isdigit() else text
