"""Text that was read or written in the wrong encoding, and signs that nobody sees."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from html.entities import html5

from burnish.data.evidence import Finding, Scene, Seen
from burnish.data.tally import Tally
from burnish.records.dataset import Severity

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_OVERRIDE = re.compile("[\u202d\u202e]")
# Between letters of scripts that need no joiner; elsewhere the same signs spell Persian, Hindi, Thai and emoji.
_LETTER = "A-Za-z\u00aa-\u058f"
_ZERO_WIDTH = re.compile(rf"[\u2060\ufeff]|(?<=[{_LETTER}])[\u00ad\u200b-\u200d]+(?=[{_LETTER}])")
# Bytes 0x80 to 0xff as Windows-1252 shows them, Latin-1 where it has no sign: what UTF-8 looks like when read so.
_BYTES: dict[str, int] = {chr(byte): byte for byte in range(0x80, 0x100)} | {
    bytes([byte]).decode("cp1252"): byte
    for byte in range(0x80, 0xA0)
    if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
_TAIL = "".join(re.escape(sign) for sign, byte in _BYTES.items() if byte < 0xC0)
_MISREAD = re.compile(
    rf"[\u00c2-\u00df][{_TAIL}]|[\u00e0-\u00ef][{_TAIL}]{{2}}|[\u00f0-\u00f4][{_TAIL}]{{3}}"
)
# What every pattern of ftfy's needs: two signs of these scripts side by side, or one of those that count alone. Its own
# search costs thirty times as much, and most accented texts have neither.
_MAY_BE_BAD = re.compile(r"[\x80-\u2e7f\ufb00-\uffff]{2}|[\x80-\x9fŒœÃÂ]|[ВГРСΒΓΞΟ]-")
_BEFORE, _BEHIND = 2, 4  # the longest pattern has six signs


class EncodingDamage:
    """One finding per damage, with how many signs in how many rows; the fix names the [normalise] line that mends it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._tallies = {code: Tally() for code in _KINDS}
        self._signs: Counter[str] = Counter()

    def see(self, row: Seen) -> None:
        if not self._scene.odd:
            return
        for text in row.inputs.values():
            # a plain text costs three looks of the interpreter's own
            if text.isascii() and "&" not in text and text.isprintable():
                continue
            for code, (look, _, _, _) in _KINDS.items():
                signs = look(text)
                if signs:
                    self._signs[code] += len(signs)
                    self._tallies[code].add(row.number, signs[0])

    def findings(self) -> Iterator[Finding]:
        for code, (_, severity, said, fix) in _KINDS.items():
            tally = self._tallies[code]
            if len(tally):
                yield tally.finding(
                    self._scene,
                    code,
                    severity,
                    f"{len(tally)} rows hold {said} ({self._signs[code]} in all), "
                    f"for instance {_shown(tally.first)}",
                    fix=fix,
                )


def misread(text: str) -> list[str]:
    """Pieces that are UTF-8 read as Windows-1252 or Latin-1 ("Ã©" for "é").

    Only what gives signs that people write counts: "É»" would be UTF-8 too, for a sign of phonetics.

    Example:
        >>> misread("cafÃ© itâ€™s, «CAFÉ» 20°")
        ['Ã©', 'â€™']
    """
    found = []
    for piece in _MISREAD.finditer(text):
        try:
            meant = bytes(_BYTES[sign] for sign in piece[0]).decode()
        except UnicodeDecodeError:
            continue
        if _is_usual(meant):
            found.append(piece[0])
    return found


def _is_usual(sign: str) -> bool:
    place = ord(sign)
    if place < 0x180 or 0x2010 <= place <= 0x206F or 0x20A0 <= place <= 0x20BF:
        return place >= 0xA0
    if place < 0x370:
        return False
    return unicodedata.category(sign) in ("Lu", "Ll", "Lo", "So", "Po", "Mn", "Mc", "Sm", "Lm")


def _mojibake(text: str) -> list[str]:
    if text.isascii():
        return []
    found = misread(text)
    if found:
        return found
    places = (piece.span() for piece in _MAY_BE_BAD.finditer(text))
    if not any(_is_bad(text[max(0, start - _BEFORE) : end + _BEHIND]) for start, end in places):
        return []
    from ftfy.badness import BADNESS_RE

    return [match[0] for match in BADNESS_RE.finditer(text)]


@lru_cache(maxsize=4096)
def _is_bad(piece: str) -> bool:
    """Whether ftfy takes the piece for damaged; the same few pieces come again and again ("öß" in "größer")."""
    try:
        from ftfy.badness import BADNESS_RE
    except ImportError:
        return False
    return BADNESS_RE.search(piece) is not None


def _entities(text: str) -> list[str]:
    if "&" not in text:
        return []
    return [one for one in _ENTITY.findall(text) if one[1] == "#" or one[1:] in html5]


def _replaced(text: str) -> list[str]:
    return ["\ufffd"] * text.count("\ufffd")


def _shown(sign: str) -> str:
    """Signs that can be seen as they are, others by number."""
    if sign.isprintable():
        return sign
    return " ".join(f"U+{ord(one):04X}" for one in sign)


_KINDS: dict[str, tuple[Callable[[str], list[str]], Severity, str, str]] = {
    "mojibake": (
        _mojibake,
        "warning",
        "UTF-8 that was read in another encoding",
        "[normalise] mojibake = true in task.toml repairs it, in training and in answers",
    ),
    "replacement-character": (
        _replaced,
        "warning",
        "U+FFFD, which stands where a sign was lost",
        "export the file again as UTF-8: what was lost cannot be computed back",
    ),
    "control-character": (
        _CONTROL.findall,
        "warning",
        "control characters",
        "[normalise] control = true in task.toml takes them out",
    ),
    "lone-surrogate": (
        _SURROGATE.findall,
        "warning",
        "halves of UTF-16 pairs",
        "export the file again as UTF-8",
    ),
    "private-use": (
        _PRIVATE.findall,
        "note",
        "signs of a private use area, which mean something in one font only",
        "replace them by the letters or pictures they showed",
    ),
    "zero-width": (
        _ZERO_WIDTH.findall,
        "note",
        "signs without width inside words",
        "[normalise] zero_width = true in task.toml takes them out",
    ),
    "bidi-override": (
        _OVERRIDE.findall,
        "warning",
        "overrides of the writing direction, so that people read another text than the model",
        "[normalise] zero_width = true in task.toml takes them out",
    ),
    "html-entity": (
        _entities,
        "note",
        "HTML entities",
        "[normalise] html = true in task.toml writes the signs they stand for",
    ),
}
