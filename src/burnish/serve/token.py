"""The server's bearer token: made at the first serve, kept in the workspace, readable by its owner alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from burnish.errors import fail
from burnish.store.durable import write_text

_SHORTEST = 16


def read_token(path: Path, *, fresh: Callable[[], str]) -> str:
    """The token in the file; the first call writes `fresh()` there, mode 0600.

    Raises: token-weak when the file holds fewer than 16 characters or anything but visible ASCII;
    not-readable.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        token = fresh()
        write_text(path, f"{token}\n")
    except (OSError, UnicodeDecodeError) as error:
        raise fail(
            "not-readable",
            f"cannot read the token ({type(error).__name__})",
            where=path.name,
            expected="a text file of yours",
            fix=f"remove {path.name}; the next burnish serve makes a new token",
        ) from error
    if len(token) < _SHORTEST or not all("!" <= c <= "~" for c in token):
        raise fail(
            "token-weak",
            "the token is too short or has characters a header cannot carry",
            where=path.name,
            expected=f"at least {_SHORTEST} visible ASCII characters",
            fix=f"remove {path.name}; the next burnish serve makes a new token",
        )
    return token
