"""Tell one address of the task's choice that a window said look or act: facts and numbers, no text of any row."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from typing import IO

from burnish.monitor.page import headline
from burnish.records.signal import Watched
from burnish.records.task import Task

_SECONDS = 10.0
_TRIES = 3


def tell(
    task: Task,
    watched: Watched,
    *,
    announce: Callable[[str], None],
    sleep: Callable[[float], None],
) -> bool:
    """POST a raised window to `task.monitor.webhook` as JSON; True when the address took it, or nothing was to tell.

    Three tries, one and two seconds apart. An address that does not answer is announced, never fatal: the window
    stands in the ledger. Redirects are not followed.
    """
    if task.monitor.webhook is None or watched.level == "quiet":
        return True
    body = json.dumps(message_of(task, watched)).encode("ascii")
    said = ""
    for attempt in range(_TRIES):
        if attempt:
            sleep(float(attempt))
        said = _post(task.monitor.webhook, body)
        if not said:
            return True
    announce(f"the webhook did not take the message ({said}); burnish monitor shows the window")
    return False


def message_of(task: Task, watched: Watched) -> dict[str, object]:
    """What is told: the window and its raised signals."""
    raised = [
        signal.model_dump(mode="json") for signal in watched.signals if signal.level != "quiet"
    ]
    return {
        "task": task.name,
        "version": watched.version,
        "level": watched.level,
        "headline": headline(watched),
        "rows": watched.rows,
        "since": watched.since,
        "until": watched.until,
        "signals": raised,
    }


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """An address that sends us on is not the address that was named."""


def _post(address: str, body: bytes) -> str:
    """What went wrong; empty when nothing did."""
    request = urllib.request.Request(  # noqa: S310 - the schema allows http and https alone
        address, data=body, headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return f"it answered {error.code}"
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        return f"{type(error).__name__}: {getattr(error, 'reason', error)}"[:200]
