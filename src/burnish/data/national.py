"""National identity and tax numbers in running text: a shape, and where the country made one, a check digit.

A number that people also write for other things (nine or eleven bare digits) counts only after a word that says what
it is. Between that word and the number stand letters, blanks and a few signs, never another find.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from burnish.data.phones import LETTERS, Span

_BEFORE = rf"(?<![{LETTERS}0-9_])(?<![{LETTERS}0-9_][.+/-])(?<!\+)"
_AFTER = rf"(?![{LETTERS}0-9_]|[-./][0-9])"
# The word that names a number, and what people put between: "SSN: 1", "my CPF number is 1", "BSN (new) 1".
_BETWEEN = re.compile(rf"[{LETTERS} \u00a0:#.=°'()-]{{0,24}}\Z")
_REACH = 64


@dataclass(frozen=True, slots=True)
class Scheme:
    """One country's number: its shape, whether its signs add up, and the words that name it.

    `alone`: the shape or its check is so particular that no word is needed. `loose` is a plainer shape that counts
    only after a word.
    """

    country: str
    shape: re.Pattern[str]
    right: Callable[[str], bool]
    words: re.Pattern[str]
    alone: bool = True
    loose: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class NationalId:
    """A number at text[start:end] and whose it is ("us_ssn")."""

    scheme: str
    start: int
    end: int


# Where any of them may stand: a digit, signs that are written after it, and what parts groups.
_RUN = re.compile(r"\d[\dA-Za-z]*(?:[ .+-](?=[\dA-Z])[\dA-Za-z]+)*", re.ASCII)
_DIGIT = re.compile(r"\d", re.ASCII)
_FEWEST_DIGITS = 5
_BEFORE_RUN = 8  # letters that come before the first digit
_BEYOND = 3  # signs after a run that say whether a number ends with it


def national_ids(text: str) -> Iterator[NationalId]:
    """Every number that is right by its country's rules, from left to right, never overlapping.

    Example:
        >>> [one.scheme for one in national_ids("PESEL 44051401359, order 44051401359, CPF 111.444.777-35")]
        ['pl_pesel', 'br_cpf']
    """
    found: list[NationalId] = []
    for run in _RUN.finditer(text):
        if len(_DIGIT.findall(run[0])) >= _FEWEST_DIGITS:
            for name, scheme in SCHEMES.items():
                found += [
                    NationalId(name, *span)
                    for span in _of(text, scheme, (run.start() - _BEFORE_RUN, run.end() + _BEYOND))
                ]
    behind = 0
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if one.start >= behind:
            behind = one.end
            yield one


def national_spans(text: str) -> Iterator[Span]:
    """Where they stand."""
    return ((one.start, one.end) for one in national_ids(text))


def _of(text: str, scheme: Scheme, run: Span) -> Iterator[Span]:
    for shape, alone in ((scheme.shape, scheme.alone), (scheme.loose, False)):
        if shape is None:
            continue
        for match in shape.finditer(text, max(0, run[0]), run[1]):
            signs = "".join(sign for sign in match[0] if sign.isalnum()).upper()
            varied = (
                len(set(filter(str.isdigit, signs))) > 1
            )  # not what people type to fill a field
            if (
                varied
                and scheme.right(signs)
                and (alone or _is_named(text, match.start(), scheme.words))
            ):
                yield match.span()


def _is_named(text: str, start: int, words: re.Pattern[str]) -> bool:
    """Whether a word before says that the number is one."""
    near = text[max(0, start - _REACH) : start]
    ends = [match.end() for match in words.finditer(near)]
    return bool(ends) and _BETWEEN.match(near, ends[-1]) is not None


def _date(text: str, *, months: int = 12) -> bool:
    """Whether YYMMDD could be a day; countries add to months or days for centuries."""
    month, day = int(text[2:4]), int(text[4:6])
    return 1 <= month <= months and 1 <= day <= 31


def _weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 if place % 2 else 1)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _us_ssn(digits: str) -> bool:
    """No check digit: area not 000, 666 or 900 and above, group not 00, serial not 0000.

    Source: Social Security Administration, "Social Security Number Randomization", 2011.
    """
    return (
        digits[:3] not in ("000", "666")
        and digits[0] != "9"
        and digits[3:5] != "00"
        and digits[5:] != "0000"
        and digits not in ("078051120", "219099999")  # printed in advertisements
    )


def _uk_nino(signs: str) -> bool:
    """No check digit: prefixes that are never given. Source: HMRC, National Insurance Manual NIM39110."""
    return signs[:2] not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}


def _mod_11_10(digits: str) -> bool:
    """ISO 7064 mod 11,10."""
    product = 10
    for digit in digits[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def _de_tax(digits: str) -> bool:
    """Of the first ten digits one stands twice or three times, no other twice; ISO 7064 mod 11,10.

    Source: Bundeszentralamt für Steuern, "Struktur der Identifikationsnummer".
    """
    times = sorted((digits[:10].count(digit) for digit in set(digits[:10])), reverse=True)
    return times[0] in (2, 3) and times[1] == 1 and _mod_11_10(digits)


def _fr_nir(signs: str) -> bool:
    """97 less the remainder by 97 of the first thirteen; Corsica's 2A and 2B count as 19 and 18.

    Source: INSEE, "Numéro de sécurité sociale", decree 82-103.
    """
    plain = signs[:5] + signs[5:7].replace("2A", "19").replace("2B", "18") + signs[7:]
    return plain.isdigit() and 97 - int(plain[:13]) % 97 == int(plain[13:])


_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def _es_dni(signs: str) -> bool:
    """The letter is the remainder by 23; X, Y, Z of foreigners count as 0, 1, 2. Source: Real Decreto 1553/2005."""
    digits = str("XYZ".find(signs[0])) + signs[1:-1] if signs[0] in "XYZ" else signs[:-1]
    return signs[-1] == _DNI_LETTERS[int(digits) % 23]


_FISCAL_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14,
         16, 10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def _it_fiscal(signs: str) -> bool:
    """Sums of odd and even places by 26 give the last letter. Source: Decreto Ministeriale 23 December 1976."""
    odd = sum(_FISCAL_ODD[sign] for sign in signs[:15:2])
    even = sum(int(sign) if sign.isdigit() else ord(sign) - 65 for sign in signs[1:15:2])
    return chr(65 + (odd + even) % 26) == signs[15]


def _nl_bsn(digits: str) -> bool:
    """The 11-test. Source: Besluit burgerservicenummer, article 1."""
    return _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _pl_pesel(digits: str) -> bool:
    """Weights 1 3 7 9; centuries add 20, 40, 60 or 80 to the month. Source: Ustawa o ewidencji ludności, art. 15."""
    dated = f"{digits[:2]}{int(digits[2:4]) % 20:02}{digits[4:6]}"
    return _date(dated) and _weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def _se_personal(digits: str) -> bool:
    """A day (from 61 on: a coordination number) and a Luhn digit. Source: Skatteverket, SKV 704."""
    short = digits[-10:]
    dated = short[:4] + f"{(int(short[4:6]) - 1) % 60 + 1:02}"
    return short[4:6] != "00" and _date(dated) and _luhn(short)


def _br_cpf(digits: str) -> bool:
    """Two check digits by 11. Source: Receita Federal, Instrução Normativa 1548/2015."""
    for length in (9, 10):
        left = _weighted(digits[:length], range(length + 1, 1, -1)) * 10 % 11 % 10
        if left != int(digits[length]):
            return False
    return True


_VERHOEFF_TIMES = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_MOVES = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def verhoeff(digits: str) -> bool:
    """Whether the last digit is the check digit of the others.

    Source: Verhoeff, "Error Detecting Decimal Codes", Mathematical Centre Tract 29, 1969.

    Example:
        >>> verhoeff("2363"), verhoeff("2364")
        (True, False)
    """
    check = 0
    for place, digit in enumerate(reversed(digits)):
        moved = int(_VERHOEFF_MOVES[place % 8][int(digit)])
        check = int(_VERHOEFF_TIMES[check][moved])
    return check == 0


def _fi_hetu(signs: str) -> bool:
    """The remainder by 31 names the last sign. Source: Digi- ja väestötietovirasto, "Henkilötunnus"."""
    day, month = int(signs[:2]), int(signs[2:4])
    digits = signs[:6] + signs[-4:-1]
    letter = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(digits) % 31]
    return 1 <= day <= 31 and 1 <= month <= 12 and letter == signs[-1]


def _be_national(digits: str) -> bool:
    """97 less the remainder by 97, with a 2 before it for those born since 2000. Source: Arrêté royal, 3 April 1984."""
    check = int(digits[9:])
    return any(97 - int(century + digits[:9]) % 97 == check for century in ("", "2"))


def _ch_ahv(digits: str) -> bool:
    """An EAN-13 that begins with 756. Source: AHVV, article 133."""
    return _weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0


def _cn_resident(signs: str) -> bool:
    """A date, and ISO 7064 mod 11-2. Source: GB 11643-1999."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    check = "10X98765432"[_weighted(signs[:17], weights) % 11]
    return signs[6:8] in ("18", "19", "20") and _date(signs[8:14]) and check == signs[17]


def _cl_rut(signs: str) -> bool:
    """Weights 2 to 7 from the right, by 11. Source: Servicio de Registro Civil, Decreto 18.118."""
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(signs[:-1])))
    return "0K987654321"[total % 11] == signs[-1]


def _no_birth(digits: str) -> bool:
    """A day, a month and two check digits by 11. Source: Skatteetaten, "Fødselsnummer"."""
    first = _weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11
    second = _weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11
    dated = digits[4:6] + digits[2:4] + f"{int(digits[:2]) % 40:02}"
    return first == 0 and second == 0 and _date(dated)


def _pt_nif(digits: str) -> bool:
    """Weights 9 to 2, by 11. Source: Decreto-Lei 14/2013."""
    left = 11 - _weighted(digits[:8], range(9, 1, -1)) % 11
    return (left if left < 10 else 0) == int(digits[8])


def _shape(inside: str) -> re.Pattern[str]:
    return re.compile(f"{_BEFORE}(?:{inside}){_AFTER}", re.ASCII)


def _words(listed: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![{LETTERS}])(?:{listed})(?![{LETTERS}])", re.IGNORECASE)


SCHEMES: Mapping[str, Scheme] = {
    "us_ssn": Scheme(
        "United States", _shape(r"\d{3}-\d{2}-\d{4}"), _us_ssn,
        _words("ssn|social security"), loose=_shape(r"\d{3} ?\d{2} ?\d{4}"),
    ),
    "uk_nino": Scheme(
        "United Kingdom", _shape(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d\d){3} ?[A-D]"), _uk_nino,
        _words("nino|national insurance|ni number"),
    ),
    "de_tax_id": Scheme(
        "Germany", _shape(r"[1-9]\d(?: \d{3}){3}"), _de_tax,
        _words(r"steuer-?id|steuer-?idnr|idnr|steuerliche identifikationsnummer|steueridentifikationsnummer|tax id|tin"),
        loose=_shape(r"[1-9]\d{10}"),
    ),
    "fr_nir": Scheme(
        "France", _shape(r"[1-478] ?\d\d ?(?:0[1-9]|1[0-2]|[2-4]\d|[5-9]\d) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d"), _fr_nir,
        _words("nir|sécurité sociale"),
    ),
    "es_dni": Scheme(
        "Spain", _shape(r"(?:\d{8}|[XYZ]-?\d{7})-?[A-HJ-NP-TV-Z]"), _es_dni, _words("dni|nie|nif"),
    ),
    "it_codice_fiscale": Scheme(
        "Italy",
        _shape(r"[A-Za-z]{6}[0-9LMNPQRSTUVlmnpqrstuv]{2}[A-EHLMPR-Ta-ehlmpr-t][0-9LMNPQRSTUVlmnpqrstuv]{2}[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{3}[A-Za-z]"),
        _it_fiscal, _words("codice fiscale"),
    ),
    "nl_bsn": Scheme(
        "Netherlands", _shape(r"\d{9}|\d{4}[. ]\d\d[. ]\d{3}"), _nl_bsn,
        _words("bsn|burgerservicenummer|sofinummer|sofi-nummer"), alone=False,
    ),
    "pl_pesel": Scheme("Poland", _shape(r"\d{11}"), _pl_pesel, _words("pesel"), alone=False),
    "se_personnummer": Scheme(
        "Sweden", _shape(r"(?:19|20)?\d{6}[-+]\d{4}"), _se_personal,
        _words("personnummer|samordningsnummer"), loose=_shape(r"(?:19|20)?\d{10}"),
    ),
    "br_cpf": Scheme(
        "Brazil", _shape(r"\d{3}\.\d{3}\.\d{3}-\d\d"), _br_cpf, _words("cpf"), loose=_shape(r"\d{11}"),
    ),
    "in_aadhaar": Scheme(
        "India", _shape(r"[2-9]\d{3} \d{4} \d{4}"), verhoeff, _words("aadhaar|aadhar|uidai|uid"),
        loose=_shape(r"[2-9]\d{11}|[2-9]\d{3}-\d{4}-\d{4}"),
    ),
    "fi_hetu": Scheme(
        "Finland", _shape(r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]"), _fi_hetu, _words("hetu|henkilötunnus"),
    ),
    "be_national": Scheme(
        "Belgium", _shape(r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d"), _be_national,
        _words("rijksregisternummer|registre national|insz|niss"), loose=_shape(r"\d{11}"),
    ),
    "ch_ahv": Scheme(
        "Switzerland", _shape(r"756\.\d{4}\.\d{4}\.\d\d|756\d{10}"), _ch_ahv, _words("ahv|avs"),
    ),
    "cn_resident": Scheme("China", _shape(r"[1-9]\d{16}[\dXx]"), _cn_resident, _words("id")),
    "cl_rut": Scheme(
        "Chile", _shape(r"\d{1,2}\.\d{3}\.\d{3}-[\dKk]"), _cl_rut, _words("rut|run"), loose=_shape(r"\d{7,8}-[\dKk]"),
    ),
    "no_birth": Scheme(
        "Norway", _shape(r"\d{11}|\d{6} \d{5}"), _no_birth, _words("fødselsnummer|personnummer|fnr"), alone=False,
    ),
    "pt_nif": Scheme("Portugal", _shape(r"[1-35689]\d{8}|[1-35689]\d\d \d{3} \d{3}"), _pt_nif, _words("nif|contribuinte"), alone=False),
    "ca_sin": Scheme(
        "Canada", _shape(r"[1-79]\d\d[ -]?\d{3}[ -]?\d{3}"), _luhn, _words("sin|social insurance"), alone=False,
    ),
}  # fmt: skip
