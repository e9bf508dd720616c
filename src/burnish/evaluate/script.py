"""In which script a text is written, and what its words are there."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

# Scripts written without spaces between words: each character counts as a word of its own.
SPACELESS = frozenset({"Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"})
SPACELESS_RANGES = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
# vowel signs and accents that belong to the letter before them, though they are no letters themselves
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
_WORD = re.compile(rf"[{SPACELESS_RANGES}]|(?:[^\W_{SPACELESS_RANGES}]|[{_MARKS}])+")
# Unicode's names begin with the script; these begin with another word for it.
_NAMES = {"Cjk": "Han", "Ideographic": "Han", "Katakana-Hiragana": "Katakana"}
# enough letters to know a data set by, few enough to look at in a moment
_MOST_LETTERS = 200_000
_LATIN_WORDS = ("rouge1", "rouge2", "rougeL")


def words(text: str) -> list[str]:
    """The words of a text: runs of letters and digits; of scripts without spaces, single characters.

    Example:
        >>> words("It's 5 o'clock."), words("東京 2024年")
        (['It', 's', '5', 'o', 'clock'], ['東', '京', '2024', '年'])
    """
    return _WORD.findall(text)


def script_of(texts: Iterable[str]) -> str:
    """The script that most letters of the texts are written in, "Latin" where there is no letter.

    Japanese is "Han", "Hiragana" or "Katakana", whichever it has most of. Looks at the first 200,000 letters.

    Example:
        >>> script_of(["The cat sat."]), script_of(["Кошка", "cat"]), script_of(["これはペンです。"])
        ('Latin', 'Cyrillic', 'Hiragana')
    """
    counts: Counter[str] = Counter()
    seen = 0
    for text in texts:
        letters = Counter(filter(str.isalpha, text))
        for letter, count in letters.items():
            counts[_script(letter)] += count
        seen += letters.total()
        if seen >= _MOST_LETTERS:
            break
    # of equally many letters the first name of the alphabet, whatever the order of the rows
    return min(counts, key=lambda name: (-counts[name], name)) if counts else "Latin"


def metric_in_place_of(name: str, *, script: str) -> tuple[str, str]:
    """The metric to take where `name` cannot read the script, and a sentence that says so; ("", "") if it can.

    ROUGE knows the letters a to z and digits only: identical texts of another script get 0.0. Exact match
    and F1 need spaces between words; without them F1 says no more than exact match.

    Example:
        >>> metric_in_place_of("rougeL", script="Latin")
        ('', '')
        >>> metric_in_place_of("rougeL", script="Hiragana")[0], metric_in_place_of("f1", script="Thai")[0]
        ('chrf', 'chrf')
    """
    if name in _LATIN_WORDS and script != "Latin":
        why = "ROUGE reads only the letters a to z and digits, and gives identical texts 0.0"
    elif name == "f1" and script in SPACELESS:
        why = "F1 counts words between spaces, and there are none"
    else:
        return "", ""
    return "chrf", f"the texts are written in {script}: {why}, so chrf stands in place of {name}"


def _script(letter: str) -> str:
    first = unicodedata.name(letter, "UNKNOWN").partition(" ")[0].capitalize()
    if first in ("Fullwidth", "Halfwidth", "Mathematical", "Modifier"):
        folded = unicodedata.normalize("NFKC", letter)[:1]
        return "Latin" if folded == letter or not folded else _script(folded)
    return _NAMES.get(first, first)
