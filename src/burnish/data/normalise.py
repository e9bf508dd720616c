"""Differences between texts that are none, taken away by named rules: the same in training and in serving.

The rules and what they promise are in docs/define.md. Nothing here depends on a locale, a clock or an order of rows.
"""

from __future__ import annotations

import functools
import html
import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from html.entities import html5
from typing import TYPE_CHECKING

from burnish.errors import BurnishError
from burnish.records.message import Message
from burnish.records.task import Normalise, Task
from burnish.tasks.conversation import read_conversation, write_conversation
from burnish.tasks.kinds.chat import is_conversation
from burnish.tasks.written import input_text

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

Rule = Callable[[str], str]

# One round settles what people write, two what was escaped twice. A text that needs more than this is a trap (each
# round reads it whole) and is left as it came.
ROUNDS = 12

# An entity ends in a semicolon: "?a=1&copy=2" is an address, not a copyright sign.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|([A-Za-z][A-Za-z0-9]{1,31}));")

# Control characters by what becomes of them. Tab and the two line ends are text; vertical tab, form feed and NEL end
# lines; the others mean nothing to a reader.
_ENDS_LINE = "\x0b\x0c\x85"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

# Zero width space, soft hyphen, directions, word joiner, invisible operators, deprecated format marks, byte order
# mark. Not here: variation selectors (they choose between text and picture), the Mongolian vowel separator and the
# combining grapheme joiner (they change how letters read).
_INVISIBLE = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
# Tags spell the regions of flags after U+1F3F4 and, anywhere else, text that people cannot see.
_TAGS = re.compile("(\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f)|[\U000e0000-\U000e007f]+")
# Scripts in which a joiner or non-joiner changes a word: Arabic and its relatives (Persian), Mongolian, the Indic
# scripts and those that grew from them. Beside one of their letters it stays: "می‌خواهم", "क्‍ष", "SMS‌ها".
_JOINING = (
    "\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1900-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00010aff\U00011000-\U00011fff\U0001e900-\U0001e95f"
)
# Pictures, and what may stand between a picture and its joiner: skin tones, the emoji form, tags.
_PICTURE = "\u00a9\u00ae\u203c\u2049\u2100-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_JOINERS = re.compile(
    f"((?<=[{_JOINING}])[\u200c\u200d]+|[\u200c\u200d]+(?=[{_JOINING}])"
    f"|(?<=[{_PICTURE}\ufe0f\u20e3\U000e007f])\u200d(?=[{_PICTURE}]))|[\u200c\u200d]+"
)

# Putting marks in order takes time that grows with the square of their number. Unicode's own limit is 30 in a row
# (UAX #15, stream-safe text); beyond this many the text's form is left alone.
_MOST_MARKS = 256
_MAYBE_MARKS = re.compile(f"[^\x00-\u02ff]{{{_MOST_MARKS},}}")

_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_BLANKS = re.compile(r"[^\S\n]+")
_BESIDE_LINE_END = re.compile(r" ?\n ?")
_EMPTY_LINES = re.compile(r"\n{3,}")


def normalise(rules: Normalise, text: str) -> str:
    """The text as the rules leave it: each in the order of the record, again until none changes anything.

    Doing it twice is doing it once, with every choice of rules, so that every door may do it. Any text is taken,
    half of a UTF-16 pair included. A text that `ROUNDS` rounds do not settle comes back as it was.

    Example:
        >>> normalise(Normalise(html=True, whitespace=True), "Fish &amp;amp; chips&nbsp;  twice ")
        'Fish & chips twice'
    """
    return normalise_counted(rules, text)[0]


def normalise_counted(rules: Normalise, text: str) -> tuple[str, tuple[str, ...]]:
    """The text as `normalise` gives it, and the rules that changed it, in their order.

    Example:
        >>> normalise_counted(Normalise(html=True, mojibake=True), "caf&Atilde;&copy;")
        ('café', ('html', 'mojibake'))
    """
    steps = _steps(rules)
    if not steps:
        return text, ()
    found = text
    changed: set[str] = set()
    for _ in range(ROUNDS):
        before = found
        for name, rule in steps:
            after = rule(found)
            if after != found:
                found = after
                changed.add(name)
        if found == before:
            return found, tuple(name for name, _ in steps if name in changed)
    return text, ()


def would_change(rules: Normalise, text: str) -> bool:
    """Whether any of the rules, on its own, finds something in the text: one look, not rounds of them.

    Example:
        >>> would_change(Normalise(html=True), "a &lt; b"), would_change(Normalise(html=True), "a < b")
        (True, False)
    """
    return any(rule(text) != text for _, rule in _steps(rules))


def normalise_inputs(task: Task, inputs: Mapping[str, str]) -> dict[str, str]:
    """The inputs of a row as the task's rules leave them, columns that the task does not read as they are.

    A context that answers are cut out of stays as it is too: their offsets count its characters. What a model writes
    about reads a JSON list of sentences as their text, and of a conversation every turn but the assistant's own, which
    are the model's words.
    """
    rules = task.normalise
    if is_conversation(task):
        return {
            name: _conversation(rules, cell) if name == task.label else cell
            for name, cell in inputs.items()
        }
    ruled = task.inputs[:-1] if task.finds else task.inputs
    rule = functools.partial(_written if task.writes else normalise, rules)
    return {name: rule(text) if name in ruled else text for name, text in inputs.items()}


def normalise_turns(rules: Normalise, turns: Sequence[Message]) -> tuple[Message, ...]:
    """The turns of a conversation as the rules leave them; the assistant's own stay as they are.

    Example:
        >>> (turn,) = normalise_turns(Normalise(html=True), [Message(role="user", content="a &lt; b")])
        >>> turn.content
        'a < b'
    """
    return tuple(
        one
        if one.role == "assistant"
        else one.model_copy(update={"content": normalise(rules, one.content)})
        for one in turns
    )


def _written(rules: Normalise, text: str) -> str:
    # a rule may bring a list to light: doing it twice must be doing it once
    for _ in range(ROUNDS):
        before, text = text, normalise(rules, input_text(text))
        if text == before:
            break
    return text


def _conversation(rules: Normalise, cell: str) -> str:
    try:
        turns = read_conversation(cell)
    except BurnishError:
        return cell  # whoever reads it tells what is wrong with it
    return write_conversation(normalise_turns(rules, turns))


@functools.cache
def every_choice() -> tuple[Normalise, ...]:
    """Every choice of rules there is, the gentlest first.

    Example:
        >>> len(every_choice()), every_choice()[0] == Normalise()
        (96, True)
    """
    fields = Normalise.model_fields
    values = [("off", "NFC", "NFKC") if name == "unicode" else (False, True) for name in fields]
    found = [
        Normalise.model_validate(dict(zip(fields, chosen, strict=True)))
        for chosen in itertools.product(*values)
    ]
    return tuple(sorted(found, key=lambda rules: len(_steps(rules))))


def _steps(rules: Normalise) -> list[tuple[str, Rule]]:
    """The rules that are on, by name, in the order in which they are applied."""
    form = None if rules.unicode == "off" else _FORMS[rules.unicode]
    return [
        *([("html", _html)] if rules.html else ()),
        *([("mojibake", _mojibake)] if rules.mojibake else ()),
        *([("unicode", form)] if form else ()),
        *([("control", _control)] if rules.control else ()),
        *([("zero_width", _zero_width)] if rules.zero_width else ()),
        *([("whitespace", _whitespace)] if rules.whitespace else ()),
    ]


def _nfc(text: str) -> str:
    return text if text.isascii() or _piled(text) else unicodedata.normalize("NFC", text)


def _nfkc(text: str) -> str:
    return text if text.isascii() or _piled(text) else unicodedata.normalize("NFKC", text)


def _piled(text: str) -> bool:
    """Whether more marks stand on one letter than anybody writes."""
    for run in _MAYBE_MARKS.findall(text):
        marks = 0
        for letter in run:
            marks = marks + 1 if unicodedata.combining(letter) else 0
            if marks == _MOST_MARKS:
                return True
    return False


def _html(text: str) -> str:
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(found: re.Match[str]) -> str:
    if found[1] is not None and f"{found[1]};" not in html5:
        return found[0]
    # a number that is no character stays as it is written: nothing is lost
    meant = html.unescape(found[0])
    return found[0] if meant in ("", "\ufffd") else meant


def _mojibake(text: str) -> str:
    if text.isascii():
        return text
    from ftfy import fix_encoding

    # line by line: one line may be whole and the next broken
    return "\n".join(fix_encoding(line, _repair_only()) for line in text.split("\n"))


@functools.cache
def _repair_only() -> TextFixerConfig:
    from ftfy import TextFixerConfig

    return TextFixerConfig(unescape_html=False, explain=False)


def _control(text: str) -> str:
    return _CONTROL.sub(lambda found: "\n" if found[0] in _ENDS_LINE else "", text)


def _zero_width(text: str) -> str:
    if text.isascii():
        return text
    text = _TAGS.sub(lambda found: found[1] or "", _INVISIBLE.sub("", text))
    return _JOINERS.sub(lambda found: found[1] or "", text)


def _whitespace(text: str) -> str:
    text = _BLANKS.sub(" ", _LINE_END.sub("\n", text))
    return _EMPTY_LINES.sub("\n\n", _BESIDE_LINE_END.sub("\n", text)).strip()


_FORMS: Mapping[str, Rule] = {"NFC": _nfc, "NFKC": _nfkc}
