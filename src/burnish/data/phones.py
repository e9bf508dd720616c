"""Phone numbers in running text, told from order numbers, dates and amounts by how they are written.

Every rule looks at one run of digit groups and a few characters around it, so the whole takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

# Letters of the scripts that part words with blanks; in others a number follows its word directly.
LETTERS = "A-Za-z\u00c0-\u052f"
_WORD_SIGN = re.compile(rf"[{LETTERS}0-9_]")
# What stands between the groups of one number: blanks, dots, hyphens of every width, a slash, brackets.
_SIGNS = r"[ \t\u00a0\u2009\u202f.\-\u2010-\u2015\uff0d/]"
_RUN = re.compile(rf"\d+(?:(?:\){_SIGNS}{{0,3}}\(?|{_SIGNS}{{1,3}}\(?|\()\d+)*")
_DIGITS = re.compile(r"\d+")
_DATE = re.compile(
    r"(?<!\d)(?<!\d[./-])"
    r"(?:(?:19|20)\d\d[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d)"
    r"(?![./-]?\d)"
)
# Country codes as E.164 hands them out, none the beginning of another; the longer ones by their first two digits.
_COUNTRY = re.compile(
    r"1|7|20|27|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|(?:2[1-69]|3[578]|42|50|59|67|68|69|80|85|87|88|96|97|99)\d"
)
MOST_DIGITS = 15  # E.164
FEWEST_DIGITS = 7
_MOST_DIALLED = MOST_DIGITS + len("011")
_MOST_GROUPS = 8

# The word before a number, and what it makes of it. Words between ("is", "at") are passed over.
_WORD = re.compile(r"(?<![^\W\d_])([^\W\d_]{1,24})[\s.:#=№°()\-\u2013\uff1a]{0,4}\Z")
_WORD_REACH = 32
_MOST_WORDS = 4


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_BETWEEN = _words(
    "n number numbers num no nr nummer numéro número numero is was are ist lautet est es at on under unter au al via me "
    "us him her them back для по"
)
_CALLED = _words(
    "tel tél telephone telefone telefon telefono teléfono téléphone telefoon telefonnummer phone phones mobile mob "
    "mobil mobilnummer mobiltelefon cell cellphone cellulare celular handy handynummer móvil portable fax whatsapp "
    "gsm rufnummer hotline call ring dial reach contact anrufen appelez llame llamar chiamare ligue "
    "телефон тел позвоните هاتف 전화 휴대폰"
)
_OWNERS = _words("my our your his her their callback")  # of a "number"
_OTHERWISE = _words(
    "order orders invoice invoices ref reference references ticket tickets id ids code pin account acct case cases "
    "isbn ean gtin upc sku imei vin tracking parcel shipment serial contract customer article part item booking "
    "reservation policy transaction receipt po bestellung bestellnummer bestellnr auftrag auftragsnummer rechnung "
    "rechnungsnummer kundennummer kundennr vorgang vorgangsnummer sendungsnummer seriennummer vertragsnummer "
    "artikelnummer kontonummer commande facture dossier pedido factura ordine fattura bestelling factuur zamówienie "
    "beställning encomenda заказ заказа счёт 주문"
)
# Scripts without blanks: the word is the end of a longer run of letters.
_CALLED_END = re.compile(r"(?:电话|電話|手机|携帯|致电|拨打)(?:号码|番号)?[是は]?\Z")
_OTHERWISE_END = re.compile(r"(?:订单|訂單|编号|注文)(?:号|番号|号码)?[是は]?\Z")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Number:
    """Some groups in a row. `gaps` are the texts between them; `bracket` says that "(" opens the first."""

    groups: tuple[str, ...]
    gaps: tuple[str, ...]
    bracket: bool

    @property
    def digits(self) -> str:
        return "".join(self.groups)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(len, self.groups))


def phones(text: str) -> Iterator[Span]:
    """Where phone numbers stand, from left to right.

    Taken: international numbers (+ or 00 and a country code that exists); national ones with a trunk zero, in the
    North American shape, with a bracketed area code, or in the shapes of Russian and Chinese mobiles; after a word
    such as "tel" or "call me at", any 7 to 15 digits. Not taken: bare digits without either, dates,
    decimals, and what follows "order", "invoice", "ISBN" and the like, unless it begins with +.

    Source: ITU-T E.164 for country codes and lengths; the rest is argued in the table of tests/stages/test_data_redact.py.

    Example:
        >>> [text[a:b] for text in ["Call +49 (0)30 1234567, order 12345678"] for a, b in phones(text)]
        ['+49 (0)30 1234567']
    """
    text = _DATE.sub(lambda date: "\0" * len(date[0]), text)
    behind = 0
    for run in _RUN.finditer(text):
        groups = [group.span() for group in _DIGITS.finditer(text, *run.span())]
        first = 0
        while first < len(groups):
            past = _phone(text, groups, first, behind=behind)
            if past is None:
                break
            start, behind = _span(text, groups, first, past)
            yield start, behind
            first = past


def _phone(text: str, groups: Sequence[Span], first: int, *, behind: int) -> int | None:
    """The group after the longest phone number that begins with group `first`; None when none does.

    Another number may end directly before it, at `behind`.
    """
    start = groups[first][0]
    bracket = text[start - 1 : start] == "("
    begins = start - bracket
    plus = text[begins - 1 : begins] in ("+", "\uff0b")
    begins -= plus
    near = groups[first : first + _MOST_GROUPS]
    attached = begins != behind and _WORD_SIGN.fullmatch(text[begins - 1 : begins])
    if attached or _count(near) < FEWEST_DIGITS:
        return None
    said = "nothing" if plus else _said_before(text, begins)
    if said == "otherwise":
        return None
    for past in range(first + len(near), first, -1):
        taken = groups[first:past]
        if not FEWEST_DIGITS <= _count(taken) <= _MOST_DIALLED or not _ends(text, groups, past):
            continue
        number = _Number(
            tuple(_plain(text[begin:end]) for begin, end in taken),
            tuple(text[one[1] : two[0]] for one, two in pairwise(taken)),
            bracket,
        )
        if plus:
            right = _international(number)
        elif said == "called":
            right = _count(taken) <= MOST_DIGITS
        else:
            right = not _is_glued(text, begins) and _national(number)
        if right:
            return past
    return None


def _said_before(text: str, begins: int) -> Literal["called", "otherwise", "nothing"]:
    """What the words before a number make of it."""
    numbered = False
    for _ in range(_MOST_WORDS):
        found = _WORD.search(text, max(0, begins - _WORD_REACH), begins)
        if found is None:
            return "nothing"
        word = found[1].casefold()
        if word in _CALLED or _CALLED_END.search(word) or (numbered and word in _OWNERS):
            return "called"
        if word in _OTHERWISE or _OTHERWISE_END.search(word):
            return "otherwise"
        if word not in _BETWEEN:
            return "nothing"
        numbered = numbered or word.startswith("num")
        begins = found.start(1)
    return "nothing"


def _count(groups: Sequence[Span]) -> int:
    return sum(end - begin for begin, end in groups)


def _international(number: _Number) -> bool:
    """Country code and subscriber, as after a plus; "(0)" may stand between them."""
    groups = list(number.groups)
    if len(groups) > 1 and groups[1] == "0" and number.gaps[0].endswith("("):
        del groups[1]
    return _e164("".join(groups))


def _e164(digits: str) -> bool:
    code = _COUNTRY.match(digits)
    if code is None:
        return False
    rest = digits[code.end() :]
    if len(set(rest)) < 2:
        return False
    if code[0] in ("1", "7"):
        return len(rest) == 10 and rest[0] not in "01"
    return len(rest) >= 6 and len(digits) <= MOST_DIGITS


def _national(number: _Number) -> bool:
    digits, shape = number.digits, number.shape
    for prefix in ("00", "011"):
        if digits.startswith(prefix) and len(digits) >= len(prefix) + 9:
            return _e164(digits[len(prefix) :])
    if digits[0] == "0":
        return digits[1] != "0" and _trunk_zero(number)
    if len(digits) > 11:
        return False
    if shape == (3, 3, 4) or (shape == (1, 3, 3, 4) and digits[0] == "1"):
        return digits[-10] not in "01"  # North America: an area code begins with 2 to 9
    if number.bracket and number.gaps and number.gaps[0].startswith(")"):
        year = shape[0] == 4 and digits[:2] in ("19", "20")
        return 2 <= shape[0] <= 5 and len(digits) >= 8 and not year
    if shape == (3, 4, 4):
        return digits[0] == "1" and digits[1] in "3456789"  # a Chinese mobile
    return digits[0] == "8" and shape == (1, 3, 3, 2, 2)  # a Russian number


def _trunk_zero(number: _Number) -> bool:
    """Written with the zero that is dialled inside a country."""
    shape, digits = number.shape, number.digits
    if len(shape) == 1:
        return 10 <= len(digits) <= 11
    if shape[0] == 1 and not number.gaps[0].isspace():
        return False  # 0.123456789
    if set(shape) == {2}:
        return len(shape) == 5  # France; other pairs are a list of small numbers
    return 9 <= len(digits) <= 12


def _is_glued(text: str, begins: int) -> bool:
    """Whether the number goes on from a sign that makes it something else: #123, a/123, 1,123, 10:30, $123."""
    if not begins:
        return False
    before = text[begins - 1]
    return before in "#$€£¥%&=\\/.-" or (before in ",:" and text[begins - 2 : begins - 1].isdigit())


def _ends(text: str, groups: Sequence[Span], past: int) -> bool:
    """Whether a number may end before group `past`."""
    end = groups[past - 1][1]
    if past < len(groups):
        gap = text[end : groups[past][0]]
        return any(sign.isspace() for sign in gap) and not _goes_on_in_pairs(text, groups, past)
    after = text[end : end + 1]
    if _WORD_SIGN.fullmatch(after) or after == "%":
        return False
    return not (after in (",", ":") and text[end + 1 : end + 2].isdigit())


def _goes_on_in_pairs(text: str, groups: Sequence[Span], past: int) -> bool:
    """Whether a list such as 01 02 03 04 05 06 07 would be cut in two."""
    near = groups[max(0, past - 2) : past + 1]
    gaps = {text[one[1] : two[0]] for one, two in pairwise(near)}
    return len(near) == 3 and len(gaps) == 1 and all(end - start == 2 for start, end in near)


def _span(text: str, groups: Sequence[Span], first: int, past: int) -> Span:
    """From the plus, and from the bracket if it closes inside, to the last digit."""
    start, end = groups[first][0], groups[past - 1][1]
    begins = start
    if text[begins - 1 : begins] == "(" and ")" in text[start:end]:
        begins -= 1
    if begins and text[begins - 1] in "+\uff0b":
        begins -= 1
    return begins, end


def _plain(digits: str) -> str:
    """The digits of any script as 0 to 9."""
    return digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)
