"""Phrases and signs that try to command a language model. A list of patterns: it finds the blunt, it defends nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator

from burnish.data.evidence import Finding, Scene, Seen, excerpt
from burnish.data.tally import Tally

_PHRASE = re.compile(
    r"(?:ignore|disregard|forget|override|bypass)\s+(?:(?:all|any|everything|the|of|your|my|these|those|previous|prior|above|earlier|"
    r"preceding|foregoing|system|initial|original|current|last|it|you|were|have|been|to|instructions?)\s+){0,6}"
    r"(?:above|before|previous|prior|instructions?|prompts?|rules|guidelines|directions|context|told|restrictions|safety)\b"
    r"|(?:reveal|print|show|repeat|output|leak|tell me)\s+(?:me\s+)?(?:your|the)\s+(?:(?:full|initial|hidden|secret|entire|original)\s+)?"
    r"(?:system prompt|system message|hidden instructions|initial instructions|initial prompt)"
    r"|you are now\s+(?:a|an|in|the|dan|free|no longer|going to act)\b"
    r"|(?:pretend|act|behave)\s+(?:to be|as if|as though|as)\s+(?:you\s+)?(?:have no|are not bound|an? unrestricted|an? unfiltered|dan\b|an evil)"
    r"|pretend (?:to|that you|you) have no\b|from now on,?\s+(?:you (?:will|must|are)|(?:only )?(?:answer|respond|reply))|do anything now|developer mode (?:enabled|on)|jailbreak(?:ed)? mode|new instructions\s*:|"
    r"(?:ignoriere|vergiss)\s+(?:alle\s+)?(?:vorherigen|bisherigen|obigen)\s+(?:anweisungen|instruktionen)"
    r"|ignor(?:ez|e)\s+(?:toutes\s+)?les\s+instructions\s+(?:précédentes|ci-dessus)"
    r"|ignora\s+(?:todas\s+)?las\s+instrucciones\s+(?:anteriores|previas)",
    re.IGNORECASE,
)
# One of them stands in every phrase; each that is looked for costs every row 50 nanoseconds.
_NEEDLES = (
    "ignor", "regard", "forget", "from now", "overrid", "bypass", "prompt", "are now", "pretend", "act as", "behave",
    "ything now", "per mode", "break", "nstruction", "vergiss", "m message",
)  # fmt: skip
# A line that plays another speaker. "user:" at the start of a whole text is a transcript; inside it is a trick as often.
_ROLE = re.compile(
    r"^[ \t]*(?:#+ *)?\[?(?:system|assistant|developer)(?: prompt| message)?\]?[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
# Tags (U+E0000 and on) spell text that no screen shows; after a black flag they spell the flag's region.
_TAGS = re.compile("(?<!\U0001f3f4)(?<![\U000e0000-\U000e007f])[\U000e0000-\U000e007f]+")
_HIDDEN = re.compile(
    r"<[^<>]{0,200}(?:display\s*:\s*none|font-size\s*:\s*0|visibility\s*:\s*hidden)[^<>]{0,200}>",
    re.IGNORECASE,
)


class InjectionMarks:
    """`injection-phrase` and `role-spoof` (notes), `hidden-text` (warning)."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._phrases, self._roles, self._hidden = Tally(), Tally(), Tally()

    def see(self, row: Seen) -> None:
        text = self._scene.text
        plain = text.lower()
        for needle in _NEEDLES:
            if needle in plain:
                phrase = _PHRASE.search(text)
                if phrase is not None:
                    self._phrases.add(row.number, excerpt(text[phrase.start() :]))
                break
        if self._scene.odd:
            self._look(row.number, text)

    def _look(self, number: int, text: str) -> None:
        if ":" in text:
            role = _ROLE.search(text)
            if role is not None:
                self._roles.add(number, excerpt(text[role.start() :]))
            if "<" in text and _HIDDEN.search(text):
                self._hidden.add(number, "text in an element that is not shown")
        if not text.isascii():
            tags = _TAGS.search(text)
            if tags is not None:
                spelt = "".join(chr(ord(sign) - 0xE0000) for sign in tags[0])
                self._hidden.add(number, f"tag characters that spell {excerpt(spelt)}")

    def findings(self) -> Iterator[Finding]:
        listed = "this is a list of patterns, not a defence"
        if len(self._phrases):
            yield self._phrases.finding(
                self._scene,
                "injection-phrase",
                "note",
                f"{len(self._phrases)} texts try to command a model ({listed}), for instance {self._phrases.first}",
                fix="read them: drop what was put there to steer a model, keep and label what users really write",
            )
        if len(self._roles):
            yield self._roles.finding(
                self._scene,
                "role-spoof",
                "note",
                f"{len(self._roles)} texts have a line that speaks as system or assistant ({listed}), "
                f"for instance {self._roles.first}",
                fix="read them; transcripts belong into messages with roles",
            )
        if len(self._hidden):
            yield self._hidden.finding(
                self._scene,
                "hidden-text",
                "warning",
                f"{len(self._hidden)} texts hold what people cannot see and a model reads, for instance {self._hidden.first}",
                fix="[normalise] zero_width = true in task.toml takes tag characters out; drop the rows otherwise",
            )
