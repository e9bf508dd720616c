"""Between messages and tokens for one base: the one door of training, evaluation, batches and the server.

What a row of training begins with and what a server sends are made by the same call, so they are equal id by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from burnish.encode.chat_template import ChatTemplate
from burnish.encode.fit_prompt import FittedPrompt, Truncate, fit_prompt
from burnish.encode.marks import ChatTokeniser
from burnish.encode.supervise import (
    answer_text,
    prompt_ids,
    seq2seq_row,
    source_ids,
    stop_ids,
    supervise,
    text_ids,
)
from burnish.errors import BurnishError, fail
from burnish.records.encoding import IntArray, TokenRow
from burnish.records.message import Message


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """How a base reads turns, and how what it writes is read.

    A decoder has a `template`; an encoder-decoder has none, and `start_id`, which its decoder reads first.
    `prompt_tokens` bounds what it is asked, marks included; longer prompts are refused unless `truncate` says how to cut.
    `stop_ids` end an answer.
    """

    tokeniser: ChatTokeniser
    template: ChatTemplate | None
    start_id: int | None
    stop_ids: tuple[int, ...]
    prompt_tokens: int
    truncate: Truncate | None = None

    def prompt(self, messages: Sequence[Message], *, where: str = "") -> FittedPrompt:
        """What the model is fed for these turns, and what was cut for it.

        Raises: prompt-too-long, and the codes of rendering.
        """
        return fit_prompt(
            messages,
            encode=self._encode,
            most_tokens=self.prompt_tokens,
            truncate=self.truncate,
            where=where,
        )

    def text_prompt(self, text: str, *, where: str = "") -> FittedPrompt:
        """What the model is fed to go on with a text, nothing put around it.

        Raises: prompt-too-long, chat-mark-unbroken.
        """
        return fit_prompt(
            (Message(role="user", content=text),),
            encode=lambda turns: text_ids(self.tokeniser, turns[-1].content),
            most_tokens=self.prompt_tokens,
            truncate=self.truncate,
            where=where,
        )

    def with_room(self, *, new_tokens: int) -> Codec:
        """The same for answers of at most so many tokens: longer ones than it was made for leave less to the prompt,
        shorter ones change nothing, so that prompts are cut as they were in training.

        Raises: answer-room.
        """
        if self.template is None:
            return self
        room = self.tokeniser.max_tokens - new_tokens
        if room >= self.prompt_tokens:
            return self
        if room < 1:
            raise no_room(new_tokens, most=self.tokeniser.max_tokens)
        return replace(self, prompt_tokens=room)

    def length(self, messages: Sequence[Message]) -> int:
        """The tokens of these turns as a prompt, nothing cut."""
        return len(self._encode(messages))

    def row(
        self, messages: Sequence[Message], *, where: str = "", weight: float = 1.0
    ) -> tuple[TokenRow, FittedPrompt]:
        """The row that teaches the last turn, the assistant's, and those before it that may be learnt; its prompt is
        `prompt` of the turns before the last.

        Raises: prompt-too-long, conversation-too-long, row-unsupervised, template-not-nested, answer-straddles, and the
            codes of rendering.
        """
        fitted = self.prompt(messages[:-1], where=where)
        turns = (*fitted.messages, messages[-1])
        if self.template is None:
            row = seq2seq_row(
                self.tokeniser, turns, start_id=self._start, where=where, weight=weight
            )
            return row, fitted
        made = supervise(self.template, self.tokeniser, turns, where=where, weight=weight)
        return made.row, fitted

    def last_answer(self, messages: Sequence[Message], *, where: str = "") -> TokenRow:
        """The row of which the last turn alone carries loss: how likely the model finds it."""
        asked = [
            one.model_copy(update={"train": None if place == len(messages) - 1 else False})
            if one.role == "assistant"
            else one
            for place, one in enumerate(messages)
        ]
        return self.row(asked, where=where)[0]

    def text(self, ids: Sequence[int] | IntArray) -> str:
        """The text of an answer that a model wrote, its stop token left out."""
        if self.template is not None:
            return answer_text(self.template, self.tokeniser, ids)
        ends = set(self.stop_ids)
        kept = [int(one) for one in ids if int(one) not in ends and int(one) != self.start_id]
        return self.tokeniser.tokenizer.decode(kept, skip_special_tokens=True)

    def plain(self, ids: Sequence[int]) -> str:
        """Tokens as text, wherever they stand: for stop texts, which are looked for while an answer is written."""
        return self.tokeniser.tokenizer.decode(list(ids), skip_special_tokens=True)

    @property
    def _start(self) -> int:
        if self.start_id is None:
            raise ValueError(
                "a model without a chat template is an encoder-decoder and has a start_id"
            )
        return self.start_id

    def _encode(self, messages: Sequence[Message]) -> IntArray:
        if self.template is None:
            return source_ids(self.tokeniser, messages)
        return prompt_ids(self.template, self.tokeniser, messages)


def make_codec(
    tokeniser: ChatTokeniser,
    *,
    template: ChatTemplate | None,
    start_id: int | None,
    new_tokens: int,
    truncate: Truncate | None,
) -> Codec:
    """The codec of a base whose decoder holds prompt and answer together in `tokeniser.max_tokens`, or whose encoder
    holds as many.

    Raises: answer-room when `new_tokens` leave no room for a prompt; template-no-stop; tokenizer-no-eos for an
        encoder-decoder whose tokenizer names no end.
    """
    most = tokeniser.max_tokens
    room = most - new_tokens if template is not None else most
    if room < 1:
        raise no_room(new_tokens, most=most)
    if template is not None:
        ends = stop_ids(template, tokeniser)
    elif tokeniser.eos_id is None:
        raise fail(
            "tokenizer-no-eos",
            "names no eos_token, so nothing could end an answer",
            where="tokenizer_config.json",
            expected="eos_token",
            fix="name it there, or take another base model",
        )
    else:
        ends = (tokeniser.eos_id,)
    return Codec(tokeniser, template, start_id, ends, room, truncate)


def no_room(new_tokens: int, *, most: int) -> BurnishError:
    """The error of an answer that may take all there is."""
    return fail(
        "answer-room",
        f"max_new_tokens = {new_tokens} leave no room for a prompt within max_tokens = {most}",
        expected="max_new_tokens below max_tokens",
        fix="lower [decoding] max_new_tokens in task.toml, or raise max_tokens in recipe.toml",
    )
