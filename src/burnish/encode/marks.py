"""Who may write a control token: the template may, the text of a turn never.

`<|im_end|>` in a user's text is seven ordinary characters and more, not the end of the turn. Texts are shielded
before they are rendered: a private character behind the first character of every such spelling. After rendering it
is taken out again, and a spelling that had one is tokenised as plain text (docs/decisions/0016).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from burnish.encode.template_sandbox import BREAK
from burnish.encode.tokenise import model_limit, read_tokenizer
from burnish.errors import BurnishError, fail
from burnish.records.encoding import IntArray
from burnish.tasks.conversation import whole_characters

# Unicode keeps these for private use inside a process; in a text that comes from outside they are faults.
_OPEN, _CLOSE = "\ufdd1", "\ufdd2"
_PRIVATE = re.compile(f"[{BREAK}{_OPEN}{_CLOSE}]")
_NAMES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True, eq=False)
class ChatTokeniser:
    """A tokenizer for models that write text: nothing cut, nothing padded. `names` are what templates may write.

    `names` holds bos_token, eos_token and their like as tokenizer_config.json spells them. `max_tokens` counts
    prompt and answer together.
    """

    tokenizer: Tokenizer
    max_tokens: int
    names: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def eos_id(self) -> int | None:
        """The id of eos_token, if the tokenizer has one."""
        name = self.names.get("eos_token")
        return None if name is None else self.tokenizer.token_to_id(name)

    @cached_property
    def controls(self) -> Mapping[str, int]:
        """The control tokens: every added token that is special."""
        added = self.tokenizer.get_added_tokens_decoder()
        return {
            token.content: number
            for number, token in added.items()
            if token.special and token.content
        }

    @cached_property
    def control_ids(self) -> IntArray:
        """Their ids, without that of the unknown token: plain text may become it."""
        unknown = _unknown_of(self.tokenizer)
        return np.array(
            [number for text, number in self.controls.items() if text != unknown], dtype=np.int64
        )

    @cached_property
    def spelling(self) -> re.Pattern[str]:
        """The longest control token that starts at a place."""
        return _any_of(self.controls)

    @cached_property
    def added_spelling(self) -> re.Pattern[str]:
        """The longest added token, control or not, that starts at a place."""
        added = self.tokenizer.get_added_tokens_decoder().values()
        return _any_of([token.content for token in added])

    @cached_property
    def guarded(self) -> Tokenizer:
        """The same tokenizer, but its control tokens are spelled between private characters; ids are the same."""
        return _guarded(self.tokenizer, self.controls)


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A text with its tokens. `marks_T` is true where a token is a control token that the text's author meant.

    Shapes: ids_T int64; offsets_T2 int64 (start, end) in characters of `text`; marks_T bool.
    """

    text: str
    ids_T: IntArray
    offsets_T2: IntArray
    marks_T: NDArray[np.bool_]


def load_chat_tokeniser(folder: Path, *, max_tokens: int | None = None) -> ChatTokeniser:
    """The tokenizer of a model folder for texts that it reads and writes, with the names of its special tokens.

    Raises: tokenizer-missing, tokenizer-broken.
    """
    tokenizer, (config, names) = read_tokenizer(
        folder, beside=("config.json", "tokenizer_config.json")
    )
    limit = min((n for n in (max_tokens, model_limit(config)) if n), default=1 << 20)
    return chat_tokeniser(tokenizer, max_tokens=limit, names=token_names(names))


def chat_tokeniser(
    tokenizer: Tokenizer, *, max_tokens: int, names: Mapping[str, str]
) -> ChatTokeniser:
    """A tokenizer made ready for chats, its own truncation and padding put aside."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return ChatTokeniser(tokenizer, max_tokens, dict(names))


def token_names(config: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens that tokenizer_config.json names, as texts.

    Example:
        >>> token_names({"bos_token": None, "eos_token": {"content": "</s>", "special": True}})
        {'eos_token': '</s>'}
    """
    found: dict[str, str] = {}
    for name in _NAMES:
        value = config.get(f"{name}_token")
        text = value.get("content") if isinstance(value, Mapping) else value
        if isinstance(text, str) and text:
            found[f"{name}_token"] = text
    return found


def shield(tokeniser: ChatTokeniser, value: Any) -> Any:
    """A text of a turn, or the texts in its lists and objects, with every spelling of a control token broken."""
    if isinstance(value, str):
        text = _PRIVATE.sub("\ufffd", whole_characters(value))
        return _broken_up(tokeniser.spelling, text)
    if isinstance(value, Mapping):
        return {shield(tokeniser, key): shield(tokeniser, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [shield(tokeniser, one) for one in value]
    return value


def unshield(text: str) -> str:
    """The text that a rendering of shielded texts stands for."""
    return text.replace(BREAK, "")


def write(tokeniser: ChatTokeniser, shielded: str, *, ends: str = "template") -> Written:
    """The tokens of a rendering of shielded texts, tokenised as one.

    With ends="tokenizer" the tokenizer adds its own marks at the ends, as an encoder-decoder's expects; a template
    has written its own.

    Raises: chat-mark-unbroken when the tokenizer makes a control token of plain text.
    """
    text, broken = _taken_out(shielded)
    mine = ends == "tokenizer"
    found = tokeniser.tokenizer.encode(text, add_special_tokens=mine)
    spans = _spans(tokeniser, text, broken)
    written = _written(tokeniser, text, found.ids, found.offsets, spans)
    if not broken and not _strays(tokeniser, written):
        return written
    pieces, places, last = [], [], 0
    for start, end in spans:
        pieces += [text[last:start], _OPEN, text[start:end], _CLOSE]
        places += [*range(last, start), start, *range(start, end), end]
        last = end
    pieces.append(text[last:])
    origin = np.array([*places, *range(last, len(text) + 1)], dtype=np.int64)
    found = tokeniser.guarded.encode("".join(pieces), add_special_tokens=mine)
    offsets_T2 = origin[np.asarray(found.offsets, dtype=np.int64).reshape(-1, 2)]
    written = _written(tokeniser, text, found.ids, offsets_T2, spans)
    strays = _strays(tokeniser, written)
    if strays:
        spelled = tokeniser.tokenizer.id_to_token(strays[0])
        raise fail(
            "chat-mark-unbroken",
            f"this tokenizer makes the control token {spelled} of plain text",
            expected="texts without the model's control tokens",
            fix=f"take {spelled} out of the text",
        )
    return written


def _written(
    tokeniser: ChatTokeniser,
    text: str,
    ids: Sequence[int],
    offsets: Any,
    spans: list[tuple[int, int]],
) -> Written:
    ids_T = np.asarray(ids, dtype=np.int64)
    offsets_T2 = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    marks_T = np.isin(ids_T, list(tokeniser.controls.values()))
    starts = np.array([start for start, _ in spans], dtype=np.int64)
    # a token that swallows the blanks before it starts earlier than its spelling
    first = np.searchsorted(starts, offsets_T2[:, 0])
    padded = np.append(starts, np.iinfo(np.int64).max)
    meant_T = (padded[first] < offsets_T2[:, 1]) | (offsets_T2[:, 0] == offsets_T2[:, 1])
    return Written(text, ids_T, offsets_T2, marks_T & meant_T)


def _strays(tokeniser: ChatTokeniser, written: Written) -> list[int]:
    """Control tokens that nobody meant."""
    stray_T = np.isin(written.ids_T, tokeniser.control_ids) & ~written.marks_T
    return written.ids_T[stray_T].tolist()


def _spans(tokeniser: ChatTokeniser, text: str, broken: set[int]) -> list[tuple[int, int]]:
    """Where the template wrote control tokens."""
    spans: list[tuple[int, int]] = []
    place = 0
    while (found := tokeniser.added_spelling.search(text, place)) is not None:
        start, end = found.span()
        control = found.group() in tokeniser.controls
        if control and start in broken:
            place = start + 1
            continue
        if control:
            spans.append((start, end))
        place = end
    return spans


def _taken_out(shielded: str) -> tuple[str, set[int]]:
    if BREAK not in shielded:
        return shielded, set()
    broken: set[int] = set()
    length = 0
    pieces = shielded.split(BREAK)
    for piece in pieces[:-1]:
        length += len(piece)
        broken.add(length - 1)
    return "".join(pieces), broken


def _broken_up(spelling: re.Pattern[str], text: str) -> str:
    if spelling.search(text) is None:
        return text
    pieces: list[str] = []
    place = last = 0
    # one character on, not past the match: spellings may overlap
    while (found := spelling.search(text, place)) is not None:
        place = found.start() + 1
        pieces += [text[last:place], BREAK]
        last = place
    return "".join([*pieces, text[last:]])


def _any_of(texts: Any) -> re.Pattern[str]:
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _unknown_of(tokenizer: Tokenizer) -> str | None:
    # of Unigram the library tells only the id, and only in its own JSON
    model = json.loads(tokenizer.to_str())["model"]
    if isinstance(model.get("unk_id"), int):
        return model["vocab"][model["unk_id"]][0]
    return model.get("unk_token")


def _guarded(tokenizer: Tokenizer, controls: Mapping[str, int]) -> Tokenizer:
    made: dict[str, Any] = json.loads(tokenizer.to_str())
    renamed = {text: f"{_OPEN}{text}{_CLOSE}" for text in controls}
    for token in made["added_tokens"]:
        token["content"] = renamed.get(token["content"], token["content"])
    model: dict[str, Any] = made["model"]
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):
        model["vocab"] = [[renamed.get(text, text), score] for text, score in vocabulary]
    else:
        model["vocab"] = {renamed.get(text, text): number for text, number in vocabulary.items()}
    if model.get("unk_token") is not None:
        model["unk_token"] = renamed.get(model["unk_token"], model["unk_token"])
    if model.get("merges"):
        # a merge that would spell a control token has no place to lead to
        model["merges"] = [pair for pair in model["merges"] if _merged(pair) not in renamed]
    guarded = Tokenizer.from_str(json.dumps(made))
    if any(guarded.token_to_id(renamed[text]) != number for text, number in controls.items()):
        raise _unguarded()
    return guarded


def _merged(pair: Any) -> str:
    return pair.replace(" ", "") if isinstance(pair, str) else "".join(pair)


def _unguarded() -> BurnishError:
    return fail(
        "tokenizer-broken",
        "the ids of its control tokens depend on their spelling",
        where="tokenizer.json",
        expected="added tokens with the ids that the file gives them",
        fix="save the tokenizer again with AutoTokenizer.from_pretrained(OLD).save_pretrained(FOLDER)",
    )
