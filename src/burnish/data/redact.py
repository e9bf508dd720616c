"""Taking personal numbers and addresses out of a text before it is written anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from burnish.data.personal import KINDS, Found, find
from burnish.records.task import Redaction

__all__ = ["KINDS", "Found", "Redacted", "find", "redact"]


@dataclass(frozen=True, slots=True)
class Redacted:
    """The text without them, and how many of each kind there were (kinds without any are left out)."""

    text: str
    counts: Mapping[Redaction, int]


def redact(text: str, kinds: Iterable[Redaction] = KINDS) -> Redacted:
    """Put "[email]", "[phone]", "[card]", "[iban]", "[ip]", "[national_id]" or "[secret]" where one stands; no other
    character changes.

    A text without any comes back as the same object; what was redacted once is not changed by doing it again;
    the order of `kinds` says nothing.

    Example:
        >>> redact("Write to ana@example.org or +44 20 7946 0958", ("email", "phone")).text
        'Write to [email] or [phone]'
    """
    found = find(text, kinds)
    if not found:
        return Redacted(text, {})
    parts: list[str] = []
    behind = 0
    for one in found:
        parts += [text[behind : one.start], f"[{one.kind}]"]
        behind = one.end
    counts: dict[Redaction, int] = Counter(one.kind for one in found)
    return Redacted("".join([*parts, text[behind:]]), dict(counts))
