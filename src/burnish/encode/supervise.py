"""A conversation becomes a row for a model that writes text: which tokens it reads, and which it must say.

Where an answer begins and ends is found by rendering, never by looking for a marker: the text of the turns before it,
with the assistant's turn opened, is what a server sends, so it must begin the text of the whole; and the whole,
tokenised as one, must begin with the very tokens that a server sends.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from burnish.encode.chat_template import ChatTemplate, render_shielded
from burnish.encode.marks import ChatTokeniser, Written, shield, write
from burnish.encode.pack import answer_row, causal_row
from burnish.errors import BurnishError, fail
from burnish.records.encoding import IntArray, TokenRow
from burnish.records.message import Message

# Which assistant turns carry loss: all that are not marked otherwise, or the last of these alone.
Turns = Literal["all", "last"]
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """An answer among a row's tokens: `turn` counts messages from 0, tokens start to end (exclusive), stop included."""

    turn: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Supervised:
    """A row and where its answers are. Behind the last one nothing is left: it could teach nothing."""

    row: TokenRow
    answers: tuple[AnswerSpan, ...]


def prompt_ids(
    template: ChatTemplate, tokeniser: ChatTokeniser, messages: Sequence[Message]
) -> IntArray:
    """What a server feeds the model for these turns, the assistant's turn opened. Training rows begin with the same.

    Raises: template-refused, template-limits, template-broken, chat-mark-unbroken.
    """
    return _prompt(template, tokeniser, messages)[1].ids_T


def stop_ids(template: ChatTemplate, tokeniser: ChatTokeniser) -> tuple[int, ...]:
    """The tokens at which serving stops: the one that the template puts behind an answer first, then eos.

    Raises: template-no-stop when it puts no control token there, and the codes of rendering.
    """
    first = _stop_id(template, tokeniser)
    eos = tokeniser.eos_id
    return (first,) if eos is None or eos == first else (first, eos)


def answer_text(
    template: ChatTemplate, tokeniser: ChatTokeniser, ids: Sequence[int] | IntArray
) -> str:
    """The text of an answer from the tokens that a model wrote: without its stop token, and without the blanks that
    the template itself puts around an answer.

    Raises: template-no-stop and the codes of rendering.
    """
    stops = set(stop_ids(template, tokeniser))
    kept = [int(one) for one in ids]
    end = next((place for place, one in enumerate(kept) if one in stops), len(kept))
    before, behind = _around(template, tokeniser)
    text = tokeniser.tokenizer.decode(kept[:end], skip_special_tokens=True)
    return text.removeprefix(before).removesuffix(behind)


def supervise(
    template: ChatTemplate,
    tokeniser: ChatTokeniser,
    messages: Sequence[Message],
    *,
    where: str = "",
    turns: Turns = "all",
    weight: float = 1.0,
) -> Supervised:
    """The row of a conversation for a decoder: assistant turns and their stop tokens carry loss, unless `train` is False.

    The tokens before each such answer are those that `prompt_ids` gives for the turns before it.

    Raises: row-unsupervised, template-not-nested, answer-straddles, conversation-too-long, template-no-stop, and the codes of
    rendering. The turn is named, counted from 1.
    """
    asked = [
        place
        for place, one in enumerate(messages)
        if one.role == "assistant" and one.train is not False
    ]
    if not asked:
        raise fail(
            "row-unsupervised",
            "has no token that carries the loss",
            where=where,
            expected="an assistant's turn that is to be learnt",
            fix="add an answer, or take the row out",
        )
    if turns == "last":
        asked = asked[-1:]
    stop = _stop_id(template, tokeniser)
    known = messages[: asked[-1] + 1]
    whole = render_shielded(template, tokeniser, known, asking=False)
    prompt, before = _prompt(template, tokeniser, messages[: asked[-1]])
    _check_nests(whole, prompt, turn=asked[-1], where=_place(where, asked[-1]), turns=turns)
    written = _continued(before, write(tokeniser, whole), where=_place(where, asked[-1]))
    answers: list[AnswerSpan] = []
    for turn in asked[:-1]:
        at = _place(where, turn)
        prompt, sent = _prompt(template, tokeniser, messages[:turn])
        _check_nests(whole, prompt, turn=turn, where=at, turns=turns)
        start = len(sent.ids_T)
        if not np.array_equal(written.ids_T[:start], sent.ids_T):
            raise _straddles(written, sent, where=at, turns=turns)
        end = _end(written, start, stop, where=at)
        through = render_shielded(template, tokeniser, messages[: turn + 1], asking=False)
        # Phi-3's writes eos behind the last turn of all: what stands up to the stop token is what counts
        if not whole.startswith(through) and not np.array_equal(
            write(tokeniser, through).ids_T[:end], written.ids_T[:end]
        ):
            _check_nests(whole, through, turn=turn, where=at, turns=turns)
        answers.append(AnswerSpan(turn, start, end))
    start = len(before.ids_T)
    answers.append(
        AnswerSpan(asked[-1], start, _end(written, start, stop, where=_place(where, asked[-1])))
    )
    end = answers[-1].end
    if end > tokeniser.max_tokens:
        raise fail(
            "conversation-too-long",
            f"has {end} tokens with its answer",
            where=where,
            expected=f"at most {tokeniser.max_tokens}",
            fix="raise max_tokens in recipe.toml if the model takes more, or take the row out",
        )
    answer_T = np.zeros(end, dtype=bool)
    for one in answers:
        answer_T[one.start : one.end] = True
    return Supervised(
        causal_row(written.ids_T[:end], answer_T=answer_T, weight=weight), tuple(answers)
    )


def source_text(messages: Sequence[Message]) -> str:
    """What an encoder reads: a single question as it is, below the system's turn; several turns with their speakers.

    Example:
        >>> source_text([Message(role="system", content="Be brief."), Message(role="user", content="Why?")])
        'Be brief.\\n\\nWhy?'
    """
    system = [one.content for one in messages if one.role == "system"]
    said = [one for one in messages if one.role != "system"]
    if len(said) == 1:
        return "\n\n".join([*system, said[0].content])
    told = "\n".join(f"{one.role.capitalize()}: {one.content}" for one in said)
    return "\n\n".join([*system, told])


def source_ids(tokeniser: ChatTokeniser, messages: Sequence[Message]) -> IntArray:
    """What a server feeds an encoder-decoder for these turns, with the marks that its tokenizer adds.

    Raises: chat-mark-unbroken.
    """
    return text_ids(tokeniser, source_text(messages))


def seq2seq_row(
    tokeniser: ChatTokeniser,
    messages: Sequence[Message],
    *,
    start_id: int,
    where: str = "",
    weight: float = 1.0,
) -> TokenRow:
    """The row of an encoder-decoder: it reads the turns before the last, which is the assistant's, and says that one.

    The answer ends with eos, which the tokenizer adds or we do. `start_id` is the model's decoder_start_token_id.

    Raises: row-unsupervised, conversation-too-long, chat-mark-unbroken.
    """
    if not messages or messages[-1].role != "assistant" or messages[-1].train is False:
        raise fail(
            "row-unsupervised",
            "does not end with an answer that is to be learnt",
            where=where,
            expected="the assistant's turn at the end",
            fix="add the answer, or take the row out",
        )
    source = source_ids(tokeniser, messages[:-1])
    answer = text_ids(tokeniser, messages[-1].content)
    eos = tokeniser.eos_id
    if eos is not None and answer[-1:].tolist() != [eos]:
        answer = np.append(answer, eos)
    longest = max(len(source), len(answer))
    if longest > tokeniser.max_tokens:
        raise fail(
            "conversation-too-long",
            f"has {len(source)} tokens to read and {len(answer)} to write",
            where=where,
            expected=f"at most {tokeniser.max_tokens} of each",
            fix="raise max_tokens in recipe.toml if the model takes more, or take the row out",
        )
    return answer_row(source, answer, start_id=start_id, weight=weight)


def text_ids(tokeniser: ChatTokeniser, text: str) -> IntArray:
    """A text as it stands, with the marks that the tokenizer adds; control tokens written in it are text.

    Raises: chat-mark-unbroken.
    """
    return write(tokeniser, shield(tokeniser, text), ends="tokenizer").ids_T


def _prompt(
    template: ChatTemplate, tokeniser: ChatTokeniser, messages: Sequence[Message]
) -> tuple[str, Written]:
    shielded = render_shielded(template, tokeniser, messages, asking=True)
    return shielded, write(tokeniser, shielded)


@lru_cache(maxsize=16)
def _stop_id(template: ChatTemplate, tokeniser: ChatTokeniser) -> int:
    probe = _probe("two")
    whole = render_shielded(template, tokeniser, probe, asking=False)
    prompt, before = _prompt(template, tokeniser, probe[:1])
    _check_nests(whole, prompt, turn=1, where="any conversation", turns="last")
    written = write(tokeniser, whole)
    behind = np.flatnonzero(written.marks_T & (written.offsets_T2[:, 0] >= len(before.text)))
    if not len(behind):
        raise _no_stop("any conversation")
    return int(written.ids_T[behind[0]])


@lru_cache(maxsize=16)
def _around(template: ChatTemplate, tokeniser: ChatTokeniser) -> tuple[str, str]:
    """What the template writes between the opened turn and an answer, and between the answer and its stop token."""
    said = "two"
    made = supervise(template, tokeniser, _probe(said))
    # read from tokens: some tokenizers put a blank of their own behind a control token
    tokens = made.row.ids_T[made.answers[0].start : made.answers[0].end - 1].tolist()
    before, _, behind = tokeniser.tokenizer.decode(tokens).partition(said)
    return before, behind


def _probe(answer: str) -> list[Message]:
    return [Message(role="user", content="one"), Message(role="assistant", content=answer)]


def _end(written: Written, start: int, stop: int, *, where: str) -> int:
    """One past the answer's stop token: the first that the template itself wrote behind the answer's start."""
    stops = np.flatnonzero(written.marks_T[start:] & (written.ids_T[start:] == stop))
    if not len(stops):
        raise _no_stop(where)
    return start + int(stops[0]) + 1


def _check_nests(whole: str, part: str, *, turn: int, where: str, turns: Turns) -> None:
    if whole.startswith(part):
        return
    at = next(
        (i for i, (a, b) in enumerate(zip(whole, part, strict=False)) if a != b),
        min(len(whole), len(part)),
    )
    other = turns == "all"
    raise fail(
        "template-not-nested",
        f"the chat template writes the turns before this one as {_excerpt(part, at)} while they are the last, "
        f"and as {_excerpt(whole, at)} once more follows, so training would not see what a server sends",
        where=where,
        expected="a text that only grows as turns are added",
        fix='train on the last answer only (turns = "last"), or choose a built-in template by name'
        if other
        else "choose a built-in template by name",
    )


def _excerpt(text: str, at: int) -> str:
    return json.dumps(text[max(0, at - _SHOWN // 2) : at + _SHOWN // 2])


def _continued(before: Written, whole: Written, *, where: str) -> Written:
    """The whole, beginning with the very tokens of the prompt.

    The whole text tokenised as one nearly always begins so. Where it does not, because a tokenizer looks ahead (two
    line breaks at the end of a prompt are one token for GPT-2, and two once a word follows), a server still sends the
    prompt's own tokens, and the model's continue from there: so must the row, if the answer starts with a token of
    its own in the whole.
    """
    start, border = len(before.ids_T), len(before.text)
    if np.array_equal(whole.ids_T[:start], before.ids_T):
        return whole
    starts_T, ends_T = whole.offsets_T2[:, 0], whole.offsets_T2[:, 1]
    if ((starts_T < border) & (ends_T > border)).any():
        raise _straddles(whole, before, where=where, turns="last")
    first = int(np.searchsorted(starts_T, border))
    return Written(
        whole.text,
        np.concatenate([before.ids_T, whole.ids_T[first:]]),
        np.concatenate([before.offsets_T2, whole.offsets_T2[first:]]),
        np.concatenate([before.marks_T, whole.marks_T[first:]]),
    )


def _straddles(whole: Written, before: Written, *, where: str, turns: Turns) -> BurnishError:
    border = len(before.text)
    around = json.dumps(whole.text[max(0, border - 8) : border + 8])
    return fail(
        "answer-straddles",
        f"the answer's beginning and the text before it melt into one token at {around}, "
        "so training would not see the tokens that a server sends",
        where=where,
        expected="an answer that starts with a token of its own",
        fix=("" if turns == "last" else 'train on the last answer only (turns = "last"), ')
        + "take blanks and line breaks away from the start of the answer, or choose another template",
    )


def _no_stop(where: str) -> BurnishError:
    return fail(
        "template-no-stop",
        "the chat template puts no control token behind an answer, so a model could not learn to stop",
        where=where,
        expected="eos_token or the template's own mark behind every assistant's turn",
        fix='choose a built-in template by name ("plain")',
    )


def _place(where: str, turn: int) -> str:
    return f"{where}, turn {turn + 1}" if where else f"turn {turn + 1}"
