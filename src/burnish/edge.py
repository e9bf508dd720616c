"""Where the outside enters for Python callers and the command line: clock, user, environment. Below, all are arguments."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import secrets
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.errors import fail
from burnish.project import Edge
from burnish.records.run import Step
from burnish.store.keyed import KEY_BYTES

if TYPE_CHECKING:
    from burnish.deploy.vllm_process import VllmSettings


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


def vllm_settings(command: str, arguments: tuple[str, ...]) -> VllmSettings:
    """How vLLM is started: by that command, with what this process finds in its environment.

    Raises: vllm-missing.
    """
    found = shutil.which(command)
    if found is None:
        raise fail(
            "vllm-missing",
            f'there is no command "{command}"',
            where="--vllm-command",
            expected="vLLM, installed in an environment of its own",
            fix="python -m venv vllm-env, install vllm there, and pass --vllm-command vllm-env/bin/vllm",
        )
    from burnish.deploy.vllm_process import VllmSettings

    return VllmSettings(found, arguments, dict(os.environ))


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
