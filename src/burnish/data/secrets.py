"""Keys, tokens and passwords in running text, by the marks their makers give them or by the word before them.

A string that merely looks random is no secret: hashes, ids and codes look the same.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from burnish.data.phones import LETTERS, Span

_EDGE = r"(?<![A-Za-z0-9_+/-])"
_END = r"(?![A-Za-z0-9_])"
# Bits a sign below which a value after a word is a word itself: "token: subscription" has 3.3, but no digit.
_BITS = 2.8
_FEWEST = 12
_MOST = 512  # what is longer is data
# What stands before the underscore of tokens.
_MARKED = re.compile(
    r"_(?:(?<=gh[pousr]_)|(?<=b_pat_)|(?<=_live_|_test_)|(?<=whsec_)|(?<=hf_)|(?<=npm_|_v1_)|(?<=glsa_)"
    r"|(?<=shp(?:at|ca|pa|ss)_))"
)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret at text[start:end] and what it is ("aws_access_key")."""

    form: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Form:
    """What one maker's secrets look like. The pattern's group 1, or all of it, is the secret; one of the `needles`
    stands in every text that has one.
    """

    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    right: Callable[[str], bool] = bool


def secrets(text: str) -> Iterator[Secret]:
    """Every secret from left to right, never overlapping.

    Example:
        >>> [one.form for one in secrets("use AKIAIOSFODNN7EXAMPLE, password=hunter22")]
        ['aws_access_key', 'password']
    """
    if not may_hold(text):
        return
    found: list[Secret] = []
    plain = text.lower()
    for name, form in FORMS.items():
        if not any(needle in plain for needle in form.needles):
            continue
        for match in form.pattern.finditer(text):
            group = 1 if form.pattern.groups and match[1] is not None else 0
            if form.right(match[group]):
                found.append(Secret(name, *match.span(group)))
    behind = 0
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if one.start >= behind:
            behind = one.end
            yield one


def secret_spans(text: str) -> Iterator[Span]:
    """Where they stand."""
    return ((one.start, one.end) for one in secrets(text))


def may_hold(text: str) -> bool:
    """A quick look: nearly no text passes, and every text with a secret does."""
    # one after another and not in a loop: each costs 30 nanoseconds so, and a search for all of them twenty times that
    if (
        "KIA" in text
        or "ASIA" in text
        or "AIza" in text
        or "eyJ" in text
        or "-----BEGIN" in text
        or ("_" in text and _MARKED.search(text) is not None)
        or ("-" in text and ("sk-" in text or "xox" in text or "gl" in text or "pypi-" in text))
        or ("." in text and ("SG." in text or "ya29." in text or "hooks.slack" in text))
    ):
        return True
    if "=" in text or ":" in text or " is " in text or " IS " in text:
        plain = text.lower()
        return (
            "pass" in plain
            or "key" in plain
            or "token" in plain
            or "secret" in plain
            or "://" in plain
            or "pwd" in plain
            or "auth" in plain
            or "credential" in plain
            or "bearer" in plain
            or "kennwort" in plain
            or "contraseña" in plain
            or "senha" in plain
            or "mot de" in plain
        )
    return "earer " in text or "EARER " in text


def _is_jwt(text: str) -> bool:
    """Whether the first part is a JSON object that names an algorithm. Source: RFC 7519, RFC 7515."""
    head = text.partition(".")[0]
    try:
        said = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and "alg" in said


_STANDS_FOR = re.compile(
    r"[<\[{$%*(]|x{3,}|\.{3}|•|(?:your|my|the|null|none|true|false|undefined|example|changeme|placeholder|redacted)\b"
    r"|(?:your|my)[_-]",
    re.IGNORECASE,
)


def _is_value(text: str) -> bool:
    """Not something that stands for a value: "<password>", "your_key", "****"."""
    code = any(sign in text for sign in "([{<")
    return not code and _STANDS_FOR.match(text) is None and len(set(text)) > 2


def _is_random(text: str) -> bool:
    mixed = any(map(str.isdigit, text)) and any(map(str.isalpha, text))
    return mixed and _is_value(text) and entropy(text) >= _BITS


def entropy(text: str) -> float:
    """Bits a sign, by how often each sign stands in the text.

    Example:
        >>> entropy("aaaa"), entropy("abcd")
        (0.0, 2.0)
    """
    parts = [count / len(text) for count in Counter(text).values()]
    return max(0.0, -sum(part * math.log2(part) for part in parts))


def _token(prefix: str, signs: str) -> re.Pattern[str]:
    return re.compile(f"{_EDGE}{prefix}{signs}{_END}", re.ASCII)


_WORD = r"[A-Za-z0-9_-]"
_PASS = ("pass", "pwd", "kennwort", "contraseña", "senha", "mot de")
_NAMED = (
    rf"(?<![{LETTERS}])(?:\w{{1,32}}_)?"
    r"(?:pass(?:word|wd|phrase|wort)|pwd|kennwort|contraseña|senha|mot de passe)['\"]?"
)
# After "is" or ":" goes a sentence as often as a password: a password has a digit or a sign inside.
_ODD = re.compile(r"[0-9!#$%^*@]")

# Source: each maker's own pages on the shape of its tokens.
FORMS: Mapping[str, Form] = {
    "private_key": Form(
        ("private key-",),
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?:[A-Za-z0-9+/=\s:,\\]{1,8192}+|-(?!-)){0,64}+-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----)?"
        ),
    ),
    "aws_access_key": Form(("akia", "asia"), _token("(?:AKIA|ASIA)", "[A-Z2-7]{16}")),
    "github_token": Form(
        ("gh", "github_pat_"), _token("", r"(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})")
    ),
    "gitlab_token": Form(("gl",), _token("gl(?:pat|dt|rt|ptt|cbt)-", rf"{_WORD}{{20,255}}")),
    "slack_token": Form(
        ("xox", "hooks.slack.com"),
        re.compile(
            rf"{_EDGE}xox[abeoprs]-[A-Za-z0-9-]{{10,255}}|https://hooks\.slack\.com/services/T\w{{6,16}}/B\w{{6,16}}/\w{{16,40}}",
            re.ASCII,
        ),
    ),
    "stripe_key": Form(("_live_", "_test_", "whsec_"), _token("", r"(?:[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}|whsec_[A-Za-z0-9+/]{24,255})")),
    "google_key": Form(("aiza", "ya29."), _token("", rf"(?:AIza{_WORD}{{35}}|ya29\.{_WORD}{{20,512}})")),
    "model_api_key": Form(("sk-", "hf_"), _token("", rf"(?:sk-{_WORD}{{20,255}}|hf_[A-Za-z0-9]{{30,64}})"), _is_random),
    "package_token": Form(("npm_", "pypi-"), _token("", rf"(?:npm_[A-Za-z0-9]{{36}}|pypi-AgE{_WORD}{{40,255}})")),
    "service_token": Form(
        ("sg.", "dop_v1_", "shp", "glsa_"),
        _token("", rf"(?:SG\.{_WORD}{{22}}\.{_WORD}{{43}}|dop_v1_[a-f0-9]{{64}}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{{32}}|glsa_\w{{32,64}})"),
    ),
    "jwt": Form(
        ("eyj",), re.compile(rf"{_EDGE}eyJ[A-Za-z0-9_-]{{8,2048}}\.[A-Za-z0-9_-]{{2,8192}}\.[A-Za-z0-9_-]{{0,1024}}"), _is_jwt
    ),
    "url_password": Form(
        ("://",), re.compile(r"://[^\s:/@\x00]{1,64}:([^\s:/@\x00]{3,128})@[^\s@\x00]"), _is_value
    ),
    "password": Form(
        _PASS, re.compile(rf"{_NAMED}\s{{0,3}}=\s{{0,3}}['\"]?([^\s'\",;&\x00]{{4,64}})", re.IGNORECASE), _is_value
    ),
    "said_password": Form(
        _PASS,
        re.compile(rf"{_NAMED}(?:\s{{1,3}}is\s{{1,3}}|\s{{0,3}}:\s{{0,3}})['\"]?([^\s'\",;&\x00]{{6,64}})", re.IGNORECASE),
        lambda text: _is_value(text) and _ODD.search(text.rstrip("!.?)*")) is not None,
    ),
    "named_key": Form(
        ("key", "secret", "token", "bearer", "auth"),
        re.compile(
            rf"(?<![{LETTERS}])(?:\w{{1,32}}[_-])?(?:api[ _-]?key|access[ _-]?key|secret(?:[ _-]?(?:access[ _-]?)?key)?"
            r"|(?:auth|access|refresh|bot)?[ _-]?token|authorization|credential)['\"]?"
            r"(?:\s{0,3}[:=]\s{0,3}| is )['\"]?(?:bearer |basic )?"
            rf"([A-Za-z0-9+/_.=-]{{{_FEWEST},{_MOST}}})|(?<![{LETTERS}])bearer ([A-Za-z0-9+/_.=-]{{20,{_MOST}}})",
            re.IGNORECASE,
        ),
        lambda text: _is_random(text.rpartition(" ")[2]),
    ),
}  # fmt: skip
