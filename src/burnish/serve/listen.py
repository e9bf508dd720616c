"""Sockets and signals: bind the port, bound the time a client may take for its head, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from burnish.errors import Problem, fail
from burnish.serve.auth import App
from burnish.serve.problems import MEDIA_TYPE, problem_body
from burnish.serve.settings import ServeSettings

_BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises: port-busy, port-refused, host-unknown.
    """
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise fail(
            "host-unknown",
            "this machine has no address of that name",
            where=where,
            expected="127.0.0.1, 0.0.0.0 or a name of this machine",
            fix="burnish serve --host 127.0.0.1",
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # our own port: the C library silently cuts 99999 down to 16 bits
        listener.bind((address[0], port, *address[2:]))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise fail(
                "port-busy",
                "another program listens there",
                where=where,
                expected="a free port",
                fix=f"burnish serve --port {port + 1}",
            ) from error
        raise fail(
            "port-refused",
            f"cannot listen there ({error})",
            where=where,
            expected="a port from 1024 to 65535 on an address of this machine",
            fix="burnish serve --host 127.0.0.1 --port 8000",
        ) from error
    return listener


def listen(app: App, settings: ServeSettings, *, listener: socket.socket) -> None:
    """Answer until SIGTERM or Ctrl-C; then accept nothing more, answer what was accepted, and return."""
    config = uvicorn.Config(
        app,
        http=_protocol(settings),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        backlog=_BACKLOG,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        h11_max_incomplete_event_size=settings.head_bytes,
        timeout_keep_alive=int(settings.head_seconds),
        timeout_graceful_shutdown=int(settings.drain_seconds),
    )
    # uvicorn raises the signal again after it has drained; ours then does nothing, so we end with 0
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(number: int, frame: object) -> None:
    return


def _protocol(settings: ServeSettings) -> type[asyncio.Protocol]:
    """HTTP/1.1 with a clock on the head: uvicorn alone keeps a half-sent one open for ever."""

    class TimedProtocol(H11Protocol):
        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._unwatch()  # the head is whole; the guard watches the body
            else:
                self._watch()

        def send_400_response(self, msg: str) -> None:
            problem = Problem(
                code="http-broken",
                what="this is not HTTP/1.1, or its head is too large",
                expected=f"a head of at most {settings.head_bytes:,} bytes",
                fix="use an HTTP client",
            )
            body = problem_body([problem], instance="", request_id="")
            head = (
                f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
            self.transport.close()

        def _watch(self) -> None:
            if self._head_timer is None and not self.transport.is_closing():
                self._head_timer = self.loop.call_later(settings.head_seconds, self._too_slow)

        def _unwatch(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _too_slow(self) -> None:
            self._head_timer = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return TimedProtocol
