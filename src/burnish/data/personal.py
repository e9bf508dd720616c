"""Where personal numbers and addresses stand in a text: e-mail, IBAN, IP address, payment card, phone, national id, secret.

Patterns find candidates, checksums and tables decide. Detection knows nothing of what is done with the finds.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import get_args

from burnish.data.national import national_spans
from burnish.data.phones import LETTERS, Span, phones
from burnish.data.secrets import may_hold, secret_spans
from burnish.records.task import Redaction

KINDS: tuple[Redaction, ...] = get_args(Redaction)
# What every find of a kind holds, so that most texts cost a look and no search. All begin with a digit: the search
# for one passes quickly over everything else.
_SOME = re.compile(r"\d(?:[^\d]{0,8}\d){3}")
_PAIR = re.compile(r"\d\d(?<=[A-Za-z]..)")
_MANY = re.compile(r"\d(?:[^\d]{0,8}\d){6}")
_MARKED = re.compile(r"\d\.\d|:")
MASK = "\0"  # stands where something was found already: no letter, digit or sign of any pattern


@dataclass(frozen=True, slots=True)
class Found:
    """Something personal at text[start:end]."""

    kind: Redaction
    start: int
    end: int


def find(text: str, kinds: Iterable[Redaction] = KINDS) -> tuple[Found, ...]:
    """What stands in the text, from left to right, never overlapping; linear in the text's length.

    Every kind is looked for whichever are asked for, so that digits inside an IBAN are no phone number for
    somebody who asked for phones alone: find(text, some) is find(text) without the other kinds.

    Example:
        >>> find("mail ana@example.org from 10.0.0.7")
        (Found(kind='email', start=5, end=20), Found(kind='ip', start=26, end=34))
        >>> find("order 12345678")
        ()
    """
    wanted = frozenset(kinds)
    found: list[Found] = []
    if not suspect(text):
        return ()
    left = text
    for kind, (may, look) in _LOOKS.items():
        if not may(left):
            continue
        spans = list(look(left))
        found += [Found(kind, start, end) for start, end in spans if kind in wanted]
        left = _masked(left, spans)
    return tuple(sorted(found, key=lambda one: one.start))


def suspect(text: str) -> bool:
    """A quick look: False where nothing of any kind can stand."""
    return (
        "@" in text
        or _SOME.search(text) is not None
        or (":" in text and text.count(":") > 1)
        or may_hold(text)
    )


def _masked(text: str, spans: list[Span]) -> str:
    """The text with the spans out of sight, every other character in its place."""
    if not spans:
        return text
    parts = [text[: spans[0][0]]]
    for (start, end), after in pairwise([*spans, (len(text), len(text))]):
        parts += [MASK * (end - start), text[end : after[0]]]
    return "".join(parts)


_HOST = re.compile(rf"@((?:[{LETTERS}0-9]|\.(?![.-])|-(?!\.)){{1,255}})")
_NAME_SIGN = re.compile(rf"[{LETTERS}0-9._%+'-]")
_TOP = re.compile(rf"\.(?:[{LETTERS}]{{2,63}}|xn--[A-Za-z0-9-]{{2,59}})(?![{LETTERS}0-9])")
_LABEL = re.compile(rf"[{LETTERS}0-9](?:[{LETTERS}0-9-]{{0,61}}[{LETTERS}0-9])?")


def _emails(text: str) -> Iterator[Span]:
    """name@host.top; the host ends with its last top-level name of letters.

    Source: RFC 1035 for the host; of the signs RFC 5322 allows in names only those that people have.
    """
    behind = 0
    for at in _HOST.finditer(text):
        ends = [top.end() for top in _TOP.finditer(at[1])]
        host = at[1][: ends[-1]] if ends else ""
        if not host or not all(map(_LABEL.fullmatch, host.split("."))):
            continue
        # however long: a name cut off inside would make what is left of it look like something else
        begin = at.start()
        while begin > behind and _NAME_SIGN.match(text, begin - 1):
            begin -= 1
        bare = text[begin : at.start()].lstrip("._%+'-")
        if bare:
            behind = at.start() + 1 + len(host)
            yield at.start() - len(bare), behind


# Lengths by country. Source: SWIFT IBAN Registry.
_IBAN_LENGTHS: Mapping[str, int] = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC",
        32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_EDGE = rf"[{LETTERS}0-9_]"
_IBAN = re.compile(rf"(?<!{_EDGE})[A-Za-z]{{2}}\d\d(?=[ \u00a0-]?[A-Za-z0-9])", re.ASCII)
_AFTER = re.compile(_EDGE)
_IBAN_REST = re.compile(r"[A-Za-z0-9](?:[ \u00a0-]?[A-Za-z0-9]){0,40}")


def _ibans(text: str) -> Iterator[Span]:
    """The country's length, and a remainder of 1 by 97. Source: ISO 13616, ISO 7064 (mod 97-10)."""
    behind = 0
    for head in _IBAN.finditer(text):
        start = head.start()
        length = _IBAN_LENGTHS.get(head[0][:2].upper(), 0)
        rest = _IBAN_REST.match(text, start)
        if start < behind or not length or rest is None:
            continue
        places = [place for place, sign in enumerate(rest[0], start) if sign.isalnum()][:length]
        if len(places) < length or _AFTER.match(text, places[-1] + 1):
            continue
        signs = "".join(text[place] for place in places).upper()
        if int("".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4])) % 97 == 1:
            behind = places[-1] + 1
            yield start, behind


_IP4 = re.compile(rf"(?<!{_EDGE})(?<!\.)\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?!\.?{_EDGE})", re.ASCII)
# "]" and the mask: what is left of a run after something was taken from its beginning is no address
_IP6 = re.compile(rf"(?<!{_EDGE})(?<![:.\]{MASK}])[0-9A-Fa-f:.]{{6,}}+(?!{_EDGE})", re.ASCII)
_IP6_LONGEST = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
_VERSION = re.compile(
    r"(?<!\w)(?:version|release|build|firmware|section|v)[\s:.=]{0,2}\Z", re.IGNORECASE
)


def _ips(text: str) -> Iterator[Span]:
    """What the standard library takes for an address; no versions, and of "::" forms those with a digit."""
    sixes = []
    for six in _IP6.finditer(text):
        start, end = six.span()
        # what follows a colon or a point may be something else: the longest address that ends at one
        reach = min(end, start + _IP6_LONGEST + 1)
        signs = [place for place in range(reach - 1, start, -1) if text[place] in ":."]
        ends = [reach, *(cut for place in signs for cut in (place + 1, place))]
        longest = next((one for one in ends if _is_ip6(text[start:one])), None)
        if longest is not None:
            sixes.append((start, longest))
    left = _masked(text, sixes)
    fours = [
        four.span()
        for four in _IP4.finditer(left)
        if _is_address(four[0])
        and not _VERSION.search(text, max(0, four.start() - 12), four.start())
    ]
    return iter(sorted([*sixes, *fours]))


def _is_ip6(text: str) -> bool:
    many = text.count(":") >= 2 and len(text) >= 6
    return many and any(sign.isdigit() for sign in text) and _is_address(text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# Issuers by their first digits, with the lengths they give. Source: ISO/IEC 7812 and the issuers' own ranges.
_ISSUERS: tuple[tuple[re.Pattern[str], frozenset[int]], ...] = tuple(
    (re.compile(pattern), frozenset(lengths))
    for pattern, lengths in (
        (r"4", {13, 16, 19}),  # Visa
        (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", {16}),  # Mastercard
        (r"3[47]", {15}),  # American Express
        (r"6011|64[4-9]|65", {16, 19}),  # Discover
        (r"352[89]|35[3-8]", {16, 19}),  # JCB
        (r"30[0-5]|3095|3[689]", {14, 16, 19}),  # Diners
        (r"62|81", {16, 17, 18, 19}),  # UnionPay
        (r"5018|5020|5038|5893|6304|6759|676[1-3]|6390", {13, 14, 15, 16, 17, 18, 19}),  # Maestro
        (r"60|508|82", {16}),  # RuPay
        (r"220[0-4]", {16, 19}),  # Mir
        (r"9792", {16}),  # Troy
    )
)
_GROUPINGS = frozenset(
    {(4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 4, 4, 1), (4, 6, 5), (4, 6, 4), (4, 4, 5), (8, 8), (6, 13)}
)
_CARD_RUN = re.compile(rf"(?<!{_EDGE})\d+(?:[ \u00a0-]\d+)*(?!{_EDGE})", re.ASCII)
_DIGITS = re.compile(r"\d+")


def _cards(text: str) -> Iterator[Span]:
    """13 to 19 digits of a known issuer that pass the Luhn check, whole or in the groups cards show.

    Source: Luhn (1960), US patent 2,950,048; ISO/IEC 7812-1 annex B.
    """
    for run in _CARD_RUN.finditer(text):
        groups = [group.span() for group in _DIGITS.finditer(text, *run.span())]
        first = 0
        while first < len(groups):
            past = _card(text, groups, first)
            if past is not None:
                yield groups[first][0], groups[past - 1][1]
            first = past or first + 1


def _card(text: str, groups: list[Span], first: int) -> int | None:
    """The group after a card number that begins with group `first`."""
    start = groups[first][0]
    for count in (5, 4, 3, 2, 1):
        taken = groups[first : first + count]
        shape = tuple(end - begin for begin, end in taken)
        if len(taken) < count or (count == 1 and not 13 <= shape[0] <= 19):
            continue
        if count > 1 and (shape not in _GROUPINGS or len(_gaps(text, taken)) > 1):
            continue
        digits = "".join(text[begin:end] for begin, end in taken)
        if not _is_decimal(text, start, taken[-1][1]) and _is_card(digits):
            return first + count
    return None


def _gaps(text: str, groups: list[Span]) -> set[str]:
    return {text[one[1] : two[0]] for one, two in pairwise(groups)}


def _is_decimal(text: str, start: int, end: int) -> bool:
    """Whether the digits are part of a number with a point: 0.4532015112830366."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return (len(before) == 2 and before[0].isdigit() and before[1] in ".,") or (
        len(after) == 2 and after[0] in ".," and after[1].isdigit()
    )


def _is_card(digits: str) -> bool:
    known = any(len(digits) in lengths and prefix.match(digits) for prefix, lengths in _ISSUERS)
    return known and luhn(digits)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others.

    Example:
        >>> luhn("4111111111111111"), luhn("4111111111111112")
        (True, False)
    """
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


# From the surest to the least sure: what one has found, the next does not look at. Each with its quick look.
_LOOKS: Mapping[Redaction, tuple[Callable[[str], object], Callable[[str], Iterable[Span]]]] = {
    "secret": (may_hold, secret_spans),
    "email": (lambda text: "@" in text, _emails),
    "iban": (_PAIR.search, _ibans),
    "ip": (_MARKED.search, _ips),
    "card": (_MANY.search, _cards),
    "national_id": (_SOME.search, national_spans),
    "phone": (_MANY.search, phones),
}
