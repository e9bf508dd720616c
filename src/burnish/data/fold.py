"""Texts compared as people mean them: one Unicode spelling, white space folded."""

from __future__ import annotations

import unicodedata


def fold(text: str) -> str:
    """The text in one Unicode spelling (NFC), every run of white space one space, none at the ends.

    Example:
        >>> fold("  Jane\\n Doe ") == fold("Jane Doe")
        True
    """
    return " ".join(unicodedata.normalize("NFC", text).split())
