"""Made-up numbers with right check digits, and the same with one that is wrong, for benchmarks/planted_faults.py.

Written forwards (digits first, then what checks them) and by other formulas than the product's, which checks what is there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Made:
    """A number, its twin whose check is wrong, and the words around it."""

    right: str
    wrong: str
    around: str


def digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choice("0123456789") for _ in range(count))


def other(chance: random.Random, sign: str) -> str:
    """Another sign of the same sort."""
    signs = "0123456789" if sign.isdigit() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return chance.choice([one for one in signs if one != sign])


def luhn_digit(number: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(number)):
        total += sum(divmod(int(digit) * 2, 10)) if place % 2 == 0 else int(digit)
    return str(-total % 10)


def grouped(number: str, sizes: tuple[int, ...], sign: str = " ") -> str:
    parts, place = [], 0
    for size in sizes:
        parts.append(number[place : place + size])
        place += size
    return sign.join(parts)


def card(chance: random.Random) -> Made:
    prefix, length = chance.choice(
        [("4", 16), ("51", 16), ("55", 16), ("34", 15), ("37", 15), ("6011", 16), ("3530", 16)]
    )
    body = prefix + digits(chance, length - len(prefix) - 1)
    check = luhn_digit(body)
    shape = {16: (4, 4, 4, 4), 15: (4, 6, 5)}[length]
    spaced = chance.random() < 0.5
    right, wrong = (
        grouped(one, shape) if spaced else one
        for one in (body + check, body + other(chance, check))
    )
    return Made(
        right, wrong, chance.choice(["My card {} was stopped", "paid with {} yesterday", "{}"])
    )


def iban(chance: random.Random) -> Made:
    country, length = chance.choice(
        [
            ("DE", 22),
            ("NL", 18),
            ("GB", 22),
            ("FR", 27),
            ("ES", 24),
            ("AT", 20),
            ("BE", 16),
            ("NO", 15),
        ]
    )
    bank = "".join(chance.choice("ABCDEFGHIJ") for _ in range(4)) if country in ("NL", "GB") else ""
    body = bank + digits(chance, length - 4 - len(bank))
    number = int("".join(str(int(sign, 36)) for sign in body + country) + "00")
    check = f"{98 - number % 97:02}"
    right = country + check + body
    # a checksum of two digits misses nothing of one digit
    wrong = right[:-1] + other(chance, right[-1])
    if chance.random() < 0.5:
        right, wrong = (
            " ".join(one[at : at + 4] for at in range(0, length, 4)) for one in (right, wrong)
        )
    return Made(
        right, wrong, chance.choice(["send it to {} please", "IBAN {}", "my account is {}."])
    )


def ip(chance: random.Random) -> Made:
    parts = [chance.randint(1, 254) for _ in range(4)]
    wrong = [*parts[:3], chance.randint(256, 999)]
    return Made(
        ".".join(map(str, parts)), ".".join(map(str, wrong)), "I was logged in from {} last night"
    )


def day(chance: random.Random) -> tuple[str, str, str]:
    return (
        f"{chance.randint(30, 99):02}",
        f"{chance.randint(1, 12):02}",
        f"{chance.randint(1, 28):02}",
    )


def de_tax(chance: random.Random) -> Made:
    while True:
        nine = chance.sample("0123456789", 9)
        ten = [*nine, chance.choice(nine)]
        chance.shuffle(ten)
        if ten[0] != "0":
            break
    product = 10
    for digit in ten:
        total = (int(digit) + product) % 10
        product = (2 * (10 if total == 0 else total)) % 11
    check = str((11 - product) % 10)
    body = "".join(ten)
    return Made(
        body + check,
        body + other(chance, check),
        chance.choice(["Steuer-ID: {}", "meine IdNr ist {}"]),
    )


def fr_nir(chance: random.Random) -> Made:
    year, month, _ = day(chance)
    body = f"{chance.choice('12')}{year}{month}{chance.randint(10, 95):02}{digits(chance, 6)}"
    key = 97 - int(body) % 97
    return Made(
        f"{body}{key:02}", f"{body}{key % 97 + 1:02}", chance.choice(["NIR {}", "je suis {}"])
    )


def es_dni(chance: random.Random) -> Made:
    body = digits(chance, 8)
    letter = "TRWAGMYFPDXBNJZSQVHLCKE"[int(body) % 23]
    wrong = chance.choice([one for one in "TRWAGMYFPDXBNJZSQVHLCKE" if one != letter])
    return Made(body + letter, body + wrong, chance.choice(["DNI {}", "soy {}, gracias"]))


_ODD = [
    1,
    0,
    5,
    7,
    9,
    13,
    15,
    17,
    19,
    21,
    2,
    4,
    18,
    20,
    11,
    3,
    6,
    8,
    12,
    14,
    16,
    10,
    22,
    25,
    24,
    23,
]


def it_fiscal(chance: random.Random) -> Made:
    letters = "".join(chance.choice("BCDFGLMNPRST") for _ in range(6))
    body = f"{letters}{digits(chance, 2)}{chance.choice('ABCDEHLMPRST')}{chance.randint(1, 28):02}{chance.choice('ABCDEFGHIL')}{digits(chance, 3)}"
    total = 0
    for place, sign in enumerate(body, 1):
        value = int(sign) if sign.isdigit() else ord(sign) - ord("A")
        total += _ODD[value] if place % 2 else value
    check = chr(ord("A") + total % 26)
    return Made(body + check, body + other(chance, check), "il mio codice è {}")


def nl_bsn(chance: random.Random) -> Made:
    while True:
        body = "1" + digits(chance, 7)
        check = (
            sum(int(digit) * weight for digit, weight in zip(body, range(9, 1, -1), strict=True))
            % 11
        )
        if check < 10:
            return Made(f"{body}{check}", body + other(chance, str(check)), "mijn BSN is {}")


def pl_pesel(chance: random.Random) -> Made:
    body = "".join(day(chance)) + digits(chance, 4)
    total = sum(int(digit) * weight for digit, weight in zip(body, (1, 3, 7, 9) * 3, strict=False))
    check = str((10 - total % 10) % 10)
    return Made(body + check, body + other(chance, check), "PESEL: {}")


def se_personal(chance: random.Random) -> Made:
    first, last = "".join(day(chance)), digits(chance, 3)
    check = luhn_digit(first + last)
    return Made(
        f"{first}-{last}{check}", f"{first}-{last}{other(chance, check)}", "jag är {} och undrar"
    )


def br_cpf(chance: random.Random) -> Made:
    body = digits(chance, 9)
    for _ in range(2):
        left = (
            sum(
                int(digit) * weight
                for digit, weight in zip(reversed(body), range(2, 12), strict=False)
            )
            % 11
        )
        body += "0" if left < 2 else str(11 - left)
    wrong = body[:10] + other(chance, body[10])
    right, wrong = (f"{one[:3]}.{one[3:6]}.{one[6:9]}-{one[9:]}" for one in (body, wrong))
    return Made(right, wrong, chance.choice(["meu CPF {}", "{}, obrigado"]))


def _turn(one: int, two: int) -> int:
    """The product in the group of a pentagon's turns (0 to 4) and mirrorings (5 to 9)."""
    if one < 5:
        return (one + two) % 5 if two < 5 else (one + two - 5) % 5 + 5
    return (one - 5 - two) % 5 + 5 if two < 5 else (one - two) % 5


def in_aadhaar(chance: random.Random) -> Made:
    body = chance.choice("23456789") + digits(chance, 10)
    moves = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    check = 0
    for place, sign in enumerate(reversed(body), 1):
        moved = int(sign)
        for _ in range(place % 8):
            moved = moves[moved]
        check = _turn(check, moved)
    digit = next(d for d in range(10) if _turn(check, d) == 0)
    right, wrong = (
        grouped(body + one, (4, 4, 4)) for one in (str(digit), other(chance, str(digit)))
    )
    return Made(right, wrong, "my Aadhaar number is {}")


def fi_hetu(chance: random.Random) -> Made:
    year, month, date = day(chance)
    signs = "0123456789ABCDEFHJKLMNPRSTUVWXY"
    last = f"{chance.randint(2, 899):03}"
    check = signs[int(date + month + year + last) % 31]
    wrong = chance.choice([one for one in signs if one != check])
    return Made(
        f"{date}{month}{year}-{last}{check}",
        f"{date}{month}{year}-{last}{wrong}",
        "tunnukseni on {}",
    )


def be_national(chance: random.Random) -> Made:
    year, month, date = day(chance)
    last = digits(chance, 3)
    check = 97 - int(year + month + date + last) % 97
    shown = f"{year}.{month}.{date}-{last}."
    return Made(f"{shown}{check:02}", f"{shown}{check % 97 + 1:02}", "mijn nummer: {}")


def ch_ahv(chance: random.Random) -> Made:
    body = "756" + digits(chance, 9)
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(body))
    check = str(-total % 10)
    right, wrong = (grouped(body + one, (3, 4, 4, 2), ".") for one in (check, other(chance, check)))
    return Made(right, wrong, "AHV {}")


def cn_resident(chance: random.Random) -> Made:
    year, month, date = day(chance)
    body = f"110105{19}{year}{month}{date}{digits(chance, 3)}"
    left = sum(int(digit) * 2 ** (17 - place) for place, digit in enumerate(body)) % 11
    check = "10X98765432"[left]
    wrong = other(chance, check) if check != "X" else "1"
    return Made(body + check, body + wrong, "身份证号 {}")


def cl_rut(chance: random.Random) -> Made:
    body = chance.choice("12") + digits(chance, 7)
    left = (
        11
        - sum(
            int(digit) * (2, 3, 4, 5, 6, 7)[place % 6] for place, digit in enumerate(reversed(body))
        )
        % 11
    )
    check = {11: "0", 10: "K"}.get(left, str(left))
    shown = f"{body[:2]}.{body[2:5]}.{body[5:]}-"
    return Made(shown + check, shown + (other(chance, check) if check != "K" else "1"), "RUT {}")


def ca_sin(chance: random.Random) -> Made:
    body = chance.choice("1234567") + digits(chance, 7)
    check = luhn_digit(body)
    right, wrong = (grouped(body + one, (3, 3, 3)) for one in (check, other(chance, check)))
    return Made(right, wrong, "my SIN is {}")


NATIONAL: dict[str, Callable[[random.Random], Made]] = {
    one.__name__: one
    for one in (
        de_tax, fr_nir, es_dni, it_fiscal, nl_bsn, pl_pesel, se_personal, br_cpf, in_aadhaar, fi_hetu, be_national,
        ch_ahv, cn_resident, cl_rut, ca_sin,
    )
}  # fmt: skip


def national(chance: random.Random) -> Made:
    return NATIONAL[chance.choice(sorted(NATIONAL))](chance)


def email(chance: random.Random) -> Made:
    name = chance.choice(["ana", "j.smith", "li_wei", "o'neil", "m+shop", "jörg"]) + str(
        chance.randint(1, 99)
    )
    host = chance.choice(["example.org", "mail.example.co.uk", "example.com", "bücher.example"])
    return Made(
        f"{name}@{host}",
        f"{name} @ {host.replace('.', ' dot ')}",
        chance.choice(["write to {}", "my mail: {}, thanks"]),
    )


def phone(chance: random.Random) -> Made:
    right, wrong = chance.choice(
        [
            (
                f"+49 30 {digits(chance, 3)}{chance.randint(1000, 9999)}",
                f"order {chance.randint(10**7, 10**8)}",
            ),
            (
                f"({chance.randint(201, 989)}) 555-0{digits(chance, 3)}",
                f"{digits(chance, 4)}-{digits(chance, 2)}",
            ),
            (f"07{digits(chance, 3)} {digits(chance, 6)}", f"£{chance.randint(10**6, 10**7)}"),
            (
                f"+91 9{digits(chance, 4)} {digits(chance, 5)}",
                f"{chance.randint(2000, 2030)}-0{chance.randint(1, 9)}-12",
            ),
        ]
    )
    return Made(right, wrong, chance.choice(["call {}", "I am at {}", "{}"]))


def us_ssn(chance: random.Random) -> Made:
    tail = f"{chance.randint(1, 99):02}-{chance.randint(1, 9999):04}"
    return Made(
        f"{chance.randint(1, 665):03}-{tail}",
        f"{chance.choice(['000', '666', '912'])}-{tail}",
        chance.choice(["SSN {}", "{} is mine"]),
    )


def secret(chance: random.Random) -> Made:
    def token(signs: str, count: int) -> str:
        return "".join(chance.choice(signs) for _ in range(count))

    wide = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return chance.choice(
        [
            Made(
                "AKIA" + token("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
                "AKIA" + token(wide, 9),
                "key {} leaked",
            ),
            Made("ghp_" + token(wide, 36), "ghp_" + token(wide, 8), "use {}"),
            Made("glpat-" + token(wide, 20), "glpat-" + token(wide, 5), "use {}"),
            Made("xoxb-" + token("0123456789", 12) + "-" + token(wide, 24), "xoxb-", "bot {}"),
            Made("sk_" + "live_" + token(wide, 24), "sk_" + "live_x", "stripe {}"),
            Made("AIza" + token(wide, 35), "AIza" + token(wide, 12), "maps {}"),
            Made("hf_" + token(wide, 34), "hf_hub", "hub {}"),
            Made(token(wide, 8) + "7!", "forgotten", "my password is {}"),
            Made(token(wide, 10), "<password>", "password={}"),
            Made(token(wide, 30) + "7a", "subscription-renewal-form", "api_key: {}"),
        ]
    )
