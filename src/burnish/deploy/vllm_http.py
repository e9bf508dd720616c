"""HTTP with vLLM on this machine: one JSON reply, or a stream of events. No proxy is ever asked."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from burnish.errors import BurnishError, fail

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Address:
    """Where vLLM listens, and the key that opens it."""

    url: str
    key: str


class Refused(Exception):
    """vLLM answered a request with an error of the client's: its own words."""


def ask(address: Address, path: str, body: Mapping[str, Any] | None, *, seconds: float) -> Any:
    """One request and its reply, read as JSON where it is JSON; a body of None asks with GET.

    Raises: vllm-failed; Refused for 4xx.
    """
    try:
        with _open(address, path, body, seconds=seconds) as reply:
            data = reply.read()
    except (OSError, HTTPException) as error:
        raise _failed(error) from error
    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def events(
    address: Address, path: str, body: Mapping[str, Any], *, seconds: float
) -> Generator[dict[str, Any]]:
    """The events of a streamed reply until its end; closing the iterator ends the work there.

    Units: `seconds` between two events. Raises: vllm-failed, also for a stream that breaks off; Refused for 4xx.
    """
    try:
        with _open(address, path, body, seconds=seconds) as reply:
            for line in reply:
                if not line.startswith(b"data:"):
                    continue
                data = line[len(b"data:") :].strip()
                if data == b"[DONE]":
                    return
                yield _event(data)
    except (OSError, HTTPException) as error:
        raise _failed(error) from error
    raise fail("vllm-failed", "vLLM broke off in the middle of an answer", fix="ask again")


def _event(data: bytes) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except ValueError:
        event = None
    if isinstance(event, dict) and "choices" in event:
        return event
    what = data[:_SHOWN].decode("utf-8", "replace")
    raise fail(
        "vllm-failed", f"vLLM told an error in its stream: {what}", fix="look at the server's log"
    )


def _open(address: Address, path: str, body: Mapping[str, Any] | None, *, seconds: float) -> Any:
    request = urllib.request.Request(  # noqa: S310 - to this machine alone
        f"{address.url}{path}",
        data=None if body is None else json.dumps(body).encode("ascii"),
        headers={"Authorization": f"Bearer {address.key}", "Content-Type": "application/json"},
    )
    try:
        return _OPENER.open(request, timeout=seconds)
    except urllib.error.HTTPError as error:
        with error:
            told = _told(error.read())
        if 400 <= error.code < 500:
            raise Refused(told) from error
        raise fail(
            "vllm-failed",
            f"vLLM answered with HTTP {error.code}: {told}",
            fix="look at the server's log",
        ) from error


def _told(data: bytes) -> str:
    """The message of an error body."""
    try:
        message = json.loads(data)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = data.decode("utf-8", "replace")
    return " ".join(str(message).split())[:_SHOWN]


def _failed(error: Exception) -> BurnishError:
    return fail(
        "vllm-failed",
        f"vLLM does not answer ({type(error).__name__})",
        expected="vLLM to be running beside this server, which starts it again when it ends",
        fix="ask again in some minutes; the server's log says what became of it",
    )
