"""Texts that hardly say anything: keys pressed at random, one sign again and again, only digits, only an address."""

from __future__ import annotations

import re
from collections.abc import Iterator

from burnish.data.evidence import Finding, Scene, Seen, excerpt
from burnish.data.tally import Tally

_URL = re.compile(r"(?:(?:https?://|www\.)\S+\s*)+", re.IGNORECASE)
_RUN = re.compile(r"(\S)\1{9,}|(\S{2,4})\2{5,}")
_FEWEST_LETTERS = 2
_FEW_SIGNS = 12  # different ones: a text that is mostly a run has hardly any others
_BEGINNING = 48  # signs of a text that show whether they vary
_LONGEST_MASH = 40
# Keys that lie side by side: five and more of one row in a row spell no word of any language.
_ROWS = (
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiopü",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "йцукенгшщзхъ",
    "фывапролджэ",
)
_STEPS = frozenset(
    row[place : place + 4]
    for line in _ROWS
    for row in (line, line[::-1])
    for place in range(len(line) - 3)
) - {"poiu", "rewq", "trew", "uiop", "tyui", "erty", "wert", "rtyu", "yuio"}
_VOWELS = frozenset("aeiouyäöüáéíóúàèìòùâêîôûåæøœãõąęıőű")
_LONG_WORD = 9
_LONG_SLIDE = 6
_PLAIN = re.compile(r"[a-z]+")

_CODES = {
    "junk-keys": "texts look like keys pressed at random",
    "junk-run": "texts repeat one sign or syllable",
    "junk-digits": "texts are only digits and signs",
    "junk-url": "texts are only a web address",
    "junk-short": "texts have fewer than two letters",
}


class Junk:
    """One note per kind; the rows are used as they are."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._tallies = {code: Tally() for code in _CODES}

    def see(self, row: Seen) -> None:
        text = self._scene.text
        found = _kind(text)
        if found is not None:
            self._tallies[found].add(row.number, excerpt(text))

    def findings(self) -> Iterator[Finding]:
        for code, said in _CODES.items():
            tally = self._tallies[code]
            if len(tally):
                yield tally.finding(
                    self._scene,
                    code,
                    "note",
                    f"{len(tally)} {said}, for instance {tally.first}",
                    fix=f"burnish data check --fix {code} drops the rows, if they say nothing",
                    mend="drop",
                )


def _kind(text: str) -> str | None:
    """What kind of junk the whole text is.

    Example:
        >>> [_kind(text) for text in ("asdfgh jkl", "!!!!!!!!!!!!", "12-34", "https://a.example/b", "a", "Is it ok?")]
        ['junk-keys', 'junk-run', 'junk-digits', 'junk-url', 'junk-short', None]
    """
    # each kind's cheap sign first: nearly every text ends here, after about a microsecond
    if len(set(text[:_BEGINNING])) <= _FEW_SIGNS and _mostly_run(text.strip()):
        return "junk-run"
    if len(text) > _LONGEST_MASH and " " in text[:_BEGINNING]:
        return None
    if text.startswith(("http", "www.", "Http", "HTTP", " ")) and _URL.fullmatch(text.strip()):
        return "junk-url"
    plain = text.lower()
    if plain == text.upper() and not any(map(str.isalpha, plain)):
        return _signs(plain.strip())
    plain = plain.strip()
    if len(plain) < _FEWEST_LETTERS and plain.isascii():
        return "junk-short" if plain else None
    if " " in plain:
        # words have vowels; five looks of the interpreter's own are quicker than a look at every word
        vowels = (
            plain.count("a")
            + plain.count("e")
            + plain.count("i")
            + plain.count("o")
            + plain.count("u")
        )
        if vowels * 5 >= len(plain):
            return None
    return "junk-keys" if _is_mash(plain) else None


def _signs(plain: str) -> str | None:
    """Only digits, or only signs; pictures say something."""
    if any(map(str.isdigit, plain)):
        return "junk-digits"
    return "junk-short" if plain and plain.isascii() else None


def _mostly_run(text: str) -> bool:
    """Whether more than half of the text is one sign or syllable again and again."""
    return sum(len(run[0]) for run in _RUN.finditer(text)) * 2 > len(text)


def _is_mash(text: str) -> bool:
    """Whether most letters stand in words that no keyboard row or vowel explains."""
    mashed = sum(len(word) for word in text.split() if _is_mashed(word))
    return mashed * 2 > len(text)


def _is_mashed(word: str) -> bool:
    if len(word) >= _LONG_SLIDE and any(word in row or word in row[::-1] for row in _ROWS):
        return True
    if any(word[place : place + 4] in _STEPS for place in range(len(word) - 3)):
        return len(word) <= 6 or sum(word[p : p + 4] in _STEPS for p in range(len(word) - 3)) >= 2
    # a long plain word without any vowel
    return (
        len(word) >= _LONG_WORD and _PLAIN.fullmatch(word) is not None and not _VOWELS & set(word)
    )
