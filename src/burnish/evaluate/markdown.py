"""User text in Markdown pages and their YAML heads: it is shown, never read as markup."""

from __future__ import annotations

import json
import re


def quoted(text: str) -> str:
    """A JSON string is a YAML string: `no`, `1.0` and quotes stay text."""
    return json.dumps(text, ensure_ascii=False)


def plain(text: str) -> str:
    """User text as Markdown text on one line: no table breaks, no links, no HTML."""
    line = re.sub(r"([\\`*{}\[\]<>|#$~])", r"\\\1", " ".join(text.split()))
    # inside a word an underscore is only an underscore
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", line)


def code(text: str) -> str:
    """User text as an inline code span."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"
