"""Redaction: what is personal goes, everything else stays; in linear time, and once is enough."""

from __future__ import annotations

import gc
import itertools
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from burnish.data.personal import KINDS, find, luhn
from burnish.data.redact import redact

SAMPLES = settings(max_examples=500, deadline=None, derandomize=True)

# text with one {} where the find stands; what stands there
EMAILS = [
    ("Write to {} please", "ana@example.org"),
    ("<{}>", "ana.maria+shop@mail.example.co.uk"),
    ("mailto:{}?subject=x", "o'neil@example.com"),
    ("{}, {}".replace("{}, {}", "{}, thanks"), "jörg.müller@bücher.example"),
    ("Почта: {}.", "иван@пример.рф"),
    ("我的邮箱是{}谢谢", "zhang_wei@example.cn"),
    ("'{}'...More", "x%y@a-b.example"),
    ("{}", "a@xn--bcher-kva.example"),
    ("see {}.", "12345678@qq.com"),
]
IBANS = [
    ("IBAN {}.", "DE89 3704 0044 0532 0130 00"),
    ("pay {} now", "GB29NWBK60161331926819"),
    ("iban:{}", "fr14 2004 1010 0505 0001 3m02 606"),
    ("({})", "NO93 8601 1117 947"),
    ("{},", "MT84MALT011000012345MTLCAST001S"),
    ("{} 100 EUR", "NL91-ABNA-0417-1643-00"),
    ("{}", "CH93 0076 2011 6238 5295 7"),
    ("{}", "BR1800360305000010009795493C1"),
]
CARDS = [
    ("Visa {} 12/27", "4111 1111 1111 1111"),
    ("{}", "4012888888881881"),
    ("my card is {}, thanks", "5555-5555-5555-4444"),
    ("Amex {}", "3782 822463 10005"),
    ("{}.", "6011111111111117"),
    ("JCB {}", "3530 1113 3330 0000"),
    ("Diners {}", "3056 930902 5904"),
    ("2 {}", "2223 0031 2200 3222"),
    ("{}", "6200000000000005"),
]
IPS = [
    ("from {} at noon", "10.0.0.7"),
    ("{}:8080", "192.168.1.254"),
    ("[{}]", "2001:db8::8a2e:370:7334"),
    ("{}.", "fe80::1"),
    ("host {}/64", "2001:db8:0:1::"),
    ("地址{}是", "203.0.113.9"),
    ("{}", "::ffff:192.0.2.128"),
    ("see {}: it hangs", "2001:db8::17"),
]
PHONES = [
    ("Tel. {}", "+49 30 123456"),
    ("{} anrufen", "+49 (0)30 12 34 567"),
    ("{}", "030 - 1234567"),
    ("unter {} erreichbar", "0171/1234567"),
    ("{}", "+44 20 7946 0958"),
    ("{}!", "020 7946 0958"),
    ("{}", "07946 095812"),
    ("call ({}", "+44 20 7946 0958"),
    ("{}", "06 12 34 56 78"),
    ("{}", "06.12.34.56.78"),
    ("{}", "0612345678"),
    ("{}", "+33 6 12 34 56 78"),
    ("{}", "0033 6 12 34 56 78"),
    ("móvil {}", "612 345 678"),
    ("Móvil: {}", "612345678"),
    ("{}", "+34 612 345 678"),
    ("cellulare {}", "347 123 4567"),
    ("{}", "+39 06 1234 5678"),
    ("{}", "(212) 555-0123"),
    ("{}", "212-555-0123"),
    ("{}", "1-800-555-0199"),
    ("{}", "212.555.0123"),
    ("{}", "+1 212 555 0123"),
    ("{} ext. 12", "555 123 4567"),
    ("phone: {}", "555-1234"),
    ("my number is {}", "2125550123"),
    ("call me back at {}", "2125550123"),
    ("{}", "(11) 91234-5678"),
    ("{}", "+55 11 91234-5678"),
    ("{}", "8 (916) 123-45-67"),
    ("тел. {}", "89161234567"),
    ("{}", "+7 916 123-45-67"),
    ("{}", "138 1234 5678"),
    ("我的电话是{}请联系", "13812345678"),
    ("{}", "+86 138 1234 5678"),
    ("{}", "03-1234-5678"),
    ("電話{}", "０９０－１２３４－５６７８"),
    ("번호는 {}입니다", "010-1234-5678"),
    ("{}", "+91 98765 43210"),
    ("mobile no. {}", "98765 43210"),
    ("{}", "0412 345 678"),
    ("{}", "+61 412 345 678"),
    ("{}", "0803 123 4567"),
    ("{}", "+254 712 345678"),
    ("هاتف {}", "٠٥٠١٢٣٤٥٦٧"),
    ("{}", "+966 50 123 4567"),
    ("{}", "0212 345 67 89"),
    ("{}", "+48 601 234 567"),
    ("tel {}", "601 234 567"),
    ("{}", "+45 12 34 56 78"),
    ("{}", "+353 85 123 4567"),
    ("{}", "0475 12 34 56"),
    ("US line {}", "011 44 20 7946 0958"),
    ("{} 12.03.2024", "030 1234567"),
    ("{} order 12345678", "+49 30 1234567"),
]
# shapes and sums by the countries' published rules; the numbers are the examples of the authorities, or made up
NATIONAL = [
    ("SSN {}", "123-45-6789"),
    ("my social security number is {}.", "123456789"),
    ("NI {}", "QQ 12 34 56 C".replace("QQ", "AB")),
    ("Steuer-ID: {}", "86095742719"),
    ("IdNr. {}", "65 929 970 489"),
    ("né, {}.", "2 55 08 14 168 025 38"),
    ("{}", "255081416802538"),
    ("DNI {}", "12345678Z"),
    ("({})", "X1234567L"),
    ("{}", "RSSMRA85T10A562S"),
    ("BSN {}", "111222333"),
    ("PESEL: {}", "44051401359"),
    ("personnummer {}", "8112189876"),
    ("{} is hers", "811218-9876"),
    ("CPF {}", "111.444.777-35"),
    ("meu CPF é {}", "11144477735"),
    ("Aadhaar no. {}", "234123412346"),
    ("{}", "2341 2341 2346"),
    ("{}", "131052-308T"),
    ("{}", "85.07.30-033.28"),
    ("{}", "756.9217.0769.85"),
    ("身份证 {}", "11010519491231002X"),
    ("RUT {}", "12.345.678-5"),
    ("NIF {}", "123456789"),
    ("SIN {}", "130 692 544"),
]
SECRETS = [
    ("key {} here", "AKIAIOSFODNN7EXAMPLE"),
    ("{}", "ghp_" + "aB3dE6gH9" * 4),
    ("push with {}.", "glpat-x1Y2z3A4b5C6d7E8f9G0"),
    ("slack {}", "xoxb-" + "123456789012-abcDEF"),
    ("{}", "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc"),
    ("maps?key={}", "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"),
    ("{}", "-----BEGIN RSA PRIVATE KEY-----\nMIIB0000\n-----END RSA PRIVATE KEY-----"),
    ("token {}", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"),
    ("postgres://ana:{}@db/x", "s3cr3t"),
    ("password={} please", "hunter2"),
    ("DB_PASSWORD = '{}'", "correct-horse"),
    ("my password is {} now", "hunter2hunter"),
    ("API_KEY: {}", "9f8e7d6c5b4a39281706"),
    ("aws_secret_access_key={}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
]
# nothing personal stands here
PLAIN = [
    "area 666-12-3456, group 123-00-4567, serial 123-45-0000, 900-12-3456",
    "NIN QQ 12 34 56 E and BG123456C",
    "Steuer-ID 86095742718, order 86095742719",
    "255081416802539 and 2 55 13 14 168 025 38",
    "DNI 12345678A, X1234567T",
    "RSSMRA85T10A562T",
    "BSN 111222334 and order 111222333",
    "PESEL 44051401358, PESEL 44451401359",
    "811218-9875 and 811318-9876",
    "CPF 111.444.777-36",
    "2341 2341 2347 Aadhaar 234123412347",
    "131052-308U, 85.07.30-033.29, 756.9217.0769.84, RUT 12.345.678-4",
    "11010519491231002Y and 110105194912310021",
    "SIN 130 692 545; the original SIN of 130692544x",
    "I forgot my password: what now?",
    "your password is incorrect!",
    "password=<password> password=**** password={pw} pwd=null",
    "the token: subscription-renewal and api key: your_api_key_here_123",
    "AKIAIOSFODNN7EXAMPL and AKIAiosfodnn7example",
    "eyJub3QiOiJqd3QifQ.abcdef.ghijkl",
    "ghp_short, sk-1, hf_x, AIzaShort",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "order 12345678",
    "Order no. 0612345678 is late",
    "order number is 0171 1234567",
    "Bestellnummer: 0301234567",
    "订单号0212345678",
    "commande n° 0612345678",
    "invoice #20240115",
    "#0612345678",
    "ISBN 0-306-40615-2",
    "ISBN 0306406157",
    "EAN 4006381333931",
    "0012345678",
    "article 4711-0815",
    "1234567890",
    "1 234 567 890",
    "12345678901234567890123",
    "on 01/02/2024 and 2024-01-15 10:30:45",
    "from 12.03.2024 to 14.03.2024",
    "open 08:00-17:00, 08.30 - 17.00",
    "open 08.30-12.30 14.00-18.00",
    "0.1234567890 and 3.14159265358979",
    "loss 0.4532015112830366",
    "1,234,567,890.00 EUR",
    "$1234567890",
    "https://example.com/0612345678/item",
    "file_0612345678.txt and a0612345678",
    "-0.1277583, 51.5073219",
    "ratio 16:9, score 3-2, 7/8",
    "01 02 03 04 05 06",
    "Smith (2019) 123-145",
    "version 1.2.3.4 and v10.0.0.1",
    "256.1.1.1 and 1.2.3 and 1.2.3.4.5",
    "std::vector and a::b and 10:30:45",
    "00:1A:2B:3C:4D:5E",
    "4111 1111 1111 1112",
    "1234 5678 9012 3456",
    "IMEI 352099001761481",
    "DE89 3704 0044 0532 0130 01",
    "AB12 is a seat, and XX89370400440532013000 nothing",
    "me@localhost, a @ b, @name, x@y, a@b.c1",
    "100% of 0000000000",
    "",
    "no numbers here, only words — “quotes” and 🙂",
]


@pytest.mark.parametrize(
    ("kind", "around", "personal"),
    [
        pytest.param(kind, *case, id=f"{kind} {case[1]}")
        for kind, cases in {
            "email": EMAILS, "iban": IBANS, "card": CARDS, "ip": IPS, "phone": PHONES,
            "national_id": NATIONAL, "secret": SECRETS
        }.items()
        for case in cases
    ],
)  # fmt: skip
def test_what_is_personal_is_found_whole(kind: str, around: str, personal: str) -> None:
    text = around.replace("{}", personal)
    found = [(one.kind, text[one.start : one.end]) for one in find(text)]
    assert found == [(kind, personal)]
    assert redact(text).text == around.replace("{}", f"[{kind}]")
    assert redact(text).counts == {kind: 1}


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_not_personal_stays(text: str) -> None:
    assert find(text) == ()
    assert redact(text).text is text


def test_several_in_one_text() -> None:
    text = (
        "I'm ana@example.org, phone 555-1234 or 0612345678 / 0712345678. Card 4111111111111111, order "
        "12345678, from 10.0.0.7; IBAN DE89370400440532013000."
    )
    assert redact(text).text == (
        "I'm [email], phone [phone] or [phone] / [phone]. Card [card], order 12345678, from [ip]; "
        "IBAN [iban]."
    )
    assert redact(text).counts == {"email": 1, "phone": 3, "card": 1, "ip": 1, "iban": 1}
    assert redact(text, ()).text is text
    assert redact(text, ["ip"]).text == text.replace("10.0.0.7", "[ip]")


# pieces that belong to patterns, so that they meet and overlap
pieces = st.sampled_from(
    [case[1] for case in (*EMAILS, *IBANS, *CARDS, *IPS, *PHONES, *NATIONAL, *SECRETS)]
    + ["tel ", "order ", "SSN ", "BSN: ", "password=", "password is ", "api_key: ", "://u:", "call me at ", "my number is ", "id ", "+", "(", ")", "@", ".com", "[phone]",
       " ", "-", ".", ":", "/", ",", "#", "_", "\0", "\n", "0", "00", "1", "49", "0612", "2024-01-15",
       "12.03.2024", "4111", "DE89", "a", "x", "电话", "é", "٣", "@a.b", "x@", "::", "fe80"]
)  # fmt: skip
texts = st.lists(pieces, max_size=9).map("".join) | st.text(max_size=60)
some_kinds = st.lists(st.sampled_from(KINDS), unique=True)


@SAMPLES
@given(text=texts, kinds=some_kinds)
@example(text="a@foo.com-4111111111111111", kinds=["card"])
@example(text="2001:db8::1:0612345678", kinds=list(KINDS))
@example(
    text="ana@example.orgBR18003603050000100097954934012888888881881192.168.1.25412@qq.com",
    kinds=["email"],
)
@example(text="+49 30 123456:030 - 1234567", kinds=["phone"])
@example(text=f"a@b.example{'1' * 70}@c.example", kinds=["email"])
def test_redacting_twice_is_redacting_once(text: str, kinds: list[str]) -> None:
    once = redact(text, kinds).text  # type: ignore[arg-type]
    assert redact(once, kinds).text is once  # type: ignore[arg-type]


@SAMPLES
@given(text=texts, kinds=some_kinds)
def test_nothing_else_is_touched(text: str, kinds: list[str]) -> None:
    found = find(text, kinds)  # type: ignore[arg-type]
    ends = [place for one in found for place in (one.start, one.end)]
    assert ends == sorted(ends)
    assert all(one.start < one.end <= len(text) for one in found)
    kept = [text[a:b] for a, b in zip([0, *ends[1::2]], [*ends[::2], len(text)], strict=True)]
    labels = [f"[{one.kind}]" for one in found]
    rebuilt = "".join(itertools.chain(*itertools.zip_longest(kept, labels, fillvalue="")))
    done = redact(text, kinds)  # type: ignore[arg-type]
    assert done.text == rebuilt
    assert sum(done.counts.values()) == len(found)
    if not found:
        assert done.text is text


@SAMPLES
@given(text=texts, kinds=some_kinds)
def test_the_kinds_say_what_is_shown_not_what_is_seen(text: str, kinds: list[str]) -> None:
    every = find(text)
    assert find(text, kinds) == tuple(one for one in every if one.kind in kinds)  # type: ignore[arg-type]
    assert find(text, reversed(kinds)) == find(text, kinds)  # type: ignore[arg-type]


HOSTILE = [
    "1", "1 ", "0", "01 ", "+", "+1", "(", "(0", "-", ". ", "@", "a@", "@a", "a.", "a@a.", ".a@a-", "a-a.",
    "DE89", "DE89 ", "de", "::", ":1", "1.", "1.1.1.1.", "4111111111111111", "4111 ", "4111-", "12/", "0612345678 ",
    "0612345678/", "tel ", "tel 1234567 ", "1234567 x ", "number is ", "电话", "\0", "2024-01-01-", "1a ", "f:",
    "password=", "password is ", "://a:", "eyJ", "eyJa.", "-----BEGIN PRIVATE KEY-----", "token: ", "ssn ", "A1", "AB12", "_", "a_",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear_in_hostile_text(piece: str) -> None:
    def seconds(characters: int) -> float:
        text = piece * (characters // len(piece))
        # a collection of all that the tests before left would count as ours
        gc.collect()
        started = time.process_time()
        redact(text)
        redact(text + "@")
        redact(text + "a")
        return time.process_time() - started

    small = min(seconds(20_000), seconds(20_000))
    # eight times the text: a quadratic search would take 64 times as long, each time
    assert any(seconds(160_000) < 24 * small + 0.2 for _ in range(5))


def test_one_wrong_digit_is_noticed() -> None:
    card = "4012888888881881"
    for place, wrong in itertools.product(range(len(card)), "0123456789"):
        changed = card[:place] + wrong + card[place + 1 :]
        assert luhn(changed) == (changed == card)
