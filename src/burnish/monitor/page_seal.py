"""A page that stands alone carries the checksum of itself in its last line, where no reader sees it."""

from __future__ import annotations

import hashlib
from pathlib import Path

_START = "<!-- sha256 "


def with_seal(page: str) -> str:
    """The page and its seal.

    Example:
        >>> with_seal("<p>\\n").splitlines()[-1][:20]
        '<!-- sha256 f0a7bdc7'
    """
    text = page if page.endswith("\n") else f"{page}\n"
    return f"{text}{_START}{hashlib.sha256(text.encode()).hexdigest()} -->\n"


def page_fault(path: Path) -> str | None:
    """What is wrong with a sealed page, None when nothing is.

    Raises: OSError.
    """
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return "it holds bytes that are not text"
    page, seal, _ = text.rpartition(_START)
    if not seal:
        return "it has no checksum: an earlier version of Burnish wrote it, or its end is gone"
    return None if with_seal(page) == text else "it does not match its checksum"
