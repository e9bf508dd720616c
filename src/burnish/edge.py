"""Where the outside enters for Python callers and the command line: clock, user, environment. Below, all are arguments."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from burnish.project import Edge
from burnish.records.run import Step
from burnish.store.keyed import KEY_BYTES


def now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def cache_folder() -> Path:
    """Where base models are kept: BURNISH_CACHE, else burnish/ in the user's cache folder."""
    named = os.environ.get("BURNISH_CACHE")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "burnish"


def fresh_key() -> bytes:
    """A new secret key."""
    return secrets.token_bytes(KEY_BYTES)


def make_edge(
    *,
    announce: Callable[[str], None] = lambda text: None,
    on_step: Callable[[Step], None] = lambda step: None,
    interruptible: Callable[
        [], contextlib.AbstractContextManager[Callable[[], int | None]]
    ] = lambda: contextlib.nullcontext(lambda: None),
    save_every_seconds: float | None = None,
) -> Edge:
    """The edge of this process; silent and without signal handling unless told otherwise."""
    edge = Edge(
        now=now,
        by=_user(),
        cache=cache_folder(),
        announce=announce,
        on_step=on_step,
        interruptible=interruptible,
        offline=bool(os.environ.get("BURNISH_OFFLINE")),
    )
    if save_every_seconds is None:
        return edge
    return dataclasses.replace(edge, save_every_seconds=save_every_seconds)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's number without a name
        return f"uid {os.getuid()}"
