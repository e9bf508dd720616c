"""Where the sentences of a text stand, without a model: marks that end one, and lines."""

from __future__ import annotations

import re

# Western marks end a sentence only before a space; the marks of scripts without spaces end it where they stand.
_END = re.compile(
    r"""[.!?…]+["'”’»)\]]*(?=\s)"""
    r"""|[。！？｡]+["'”’」』）】]*"""  # full-width marks
    r"""|[।॥؟۔]["'”’»)]*(?=\s)"""
    r"""|\n+"""
)
# Words that carry a full stop inside a sentence; a single capital letter (an initial) does too.
_CARRIERS = frozenset({
    "dr", "mr", "mrs", "ms", "prof", "st", "sr", "jr", "v", "vs", "etc", "e.g", "i.e", "cf", "al", "fig", "figs", "eq",
    "eqs", "sec", "nos", "vol", "pp", "approx", "inc", "ltd", "co", "corp", "dept", "est", "u.s", "u.k", "a.m", "p.m",
    "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
})  # fmt: skip
_LAST_WORD = re.compile(r"([^\W\d_][\w.]*)\.$")


def sentence_spans(text: str) -> tuple[tuple[int, int], ...]:
    """Start and end of each sentence in order, white space around it left out; together they hold everything else.

    Example:
        >>> text = "Dr. Lee came. He said: go! 東京です。はい。"
        >>> [text[start:end] for start, end in sentence_spans(text)]
        ['Dr. Lee came.', 'He said: go!', '東京です。', 'はい。']
    """
    cuts = [found.end() for found in _END.finditer(text) if _ends(text, found)]
    spans = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        piece = text[start:end]
        if piece.strip():
            left = start + len(piece) - len(piece.lstrip())
            spans.append((left, left + len(piece.strip())))
    return tuple(spans)


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text.

    Example:
        >>> sentences("One. Two?")
        ('One.', 'Two?')
    """
    return tuple(text[start:end] for start, end in sentence_spans(text))


def _ends(text: str, found: re.Match[str]) -> bool:
    if found[0] != ".":
        return True
    word = _LAST_WORD.search(text, max(0, found.start() - 20), found.end())
    if word is None:
        return True
    # "fig. 3" and "J. Smith" go on; a small letter after the stop says so of any other word
    carries = word[1].lower() in _CARRIERS or (len(word[1]) == 1 and word[1].isupper())
    following = text[found.end() :].lstrip()[:1]
    return not (carries or following.islower())
