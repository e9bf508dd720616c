"""A model that writes text with everything between messages and its answer: the one path of evaluation, batches and the
server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from burnish.encode.chat_template import (
    ChatTemplate,
    built_in_template,
    chat_template,
    find_template,
)
from burnish.encode.codec import Codec, make_codec
from burnish.encode.fit_prompt import FittedPrompt, Truncate
from burnish.encode.marks import ChatTokeniser, load_chat_tokeniser
from burnish.encode.pack import pack_tokens
from burnish.encode.template_trial import try_template
from burnish.errors import fail
from burnish.models.draw import Mask
from burnish.models.family import model_type_of
from burnish.models.fitted_text import TextAnswer
from burnish.models.generate import (
    Asked,
    generate,
    stream,
)
from burnish.models.likelihood import answer_logprobs
from burnish.models.pieces import Finished, Generated, Piece, spread
from burnish.models.room import Room, passes
from burnish.models.shortage import Tightest
from burnish.models.task_prompts import said_text, task_prompts, text_answer
from burnish.models.writer import Writer, load_writer, supervised_losses, writer_bytes
from burnish.models.writer_family import writer_family_of
from burnish.records.decoding import Decoding
from burnish.records.encoding import FloatArray, IntArray, TokenRow
from burnish.records.task import Task

# A base without a chat template of its own gets this one.
PLAIN = "plain"
OWN = "own"
_INFERENCE_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its text, and how it came about. `generated` holds tokens and log-probabilities."""

    text: str
    generated: Generated

    @property
    def finished(self) -> Finished:
        """What ended it: a stop token or text, or the limit of new tokens."""
        return self.generated.finished


@dataclass(frozen=True, slots=True, eq=False)
class ChatModel:
    """A writer and its codec. `tightest` remembers the passes that memory made smaller; `schemas` what was compiled to hold
    answers to JSON schemas.
    """

    writer: Writer
    codec: Codec
    tightest: Tightest
    schemas: list[Callable[[str], Mask]] = field(default_factory=list[Callable[[str], Mask]])

    def answer(
        self,
        task: Task,
        inputs: Sequence[Mapping[str, str]],
        *,
        decoding: Decoding | None = None,
    ) -> list[TextAnswer]:
        """One text a row of inputs, in order; decoded as the task says, or as `decoding` does.

        Raises: prompt-too-long, input-missing, and the codes of rendering and `generate`.
        """
        decoding = decoding or task.decoding
        prompts = task_prompts(self.codec, task, inputs, new_tokens=decoding.max_new_tokens)
        replies = self.replies(prompts, decoding)
        return [
            text_answer(prompt, reply.text, reply.generated)
            for prompt, reply in zip(prompts, replies, strict=True)
        ]

    def surprise(self, answers: Sequence[TextAnswer]) -> list[float | None]:
        """Minus the log-probability of each answer as it was written, in nats: what it was made with, recomputed."""
        prompts = [one.prompt_ids for one in answers]
        told = answer_logprobs(self.writer, prompts, [one.answer_ids for one in answers])
        return [-sum(scores) for scores in told]

    def replies(
        self,
        prompts: Sequence[FittedPrompt],
        decoding: Decoding,
        *,
        seeds: Sequence[int] | None = None,
        masks: Sequence[Mask | None] | None = None,
        alternatives: int = 0,
        cancelled: Callable[[int], bool] | None = None,
    ) -> list[Reply]:
        """One answer a prompt, in order; a row's answer depends on its prompt, the decoding and its seed alone.

        Raises: the codes of `generate`.
        """
        masks = masks or self._masks(decoding, len(prompts))
        made = generate(
            self.writer,
            [one.ids_T.tolist() for one in prompts],
            decoding,
            self.asked(
                decoding, seeds=seeds, masks=masks, alternatives=alternatives, cancelled=cancelled
            ),
        )
        return [Reply(self.reply_text(one, decoding), one) for one in made]

    def pieces(
        self,
        prompts: Sequence[FittedPrompt],
        decoding: Decoding,
        *,
        seeds: Sequence[int] | None = None,
        masks: Sequence[Mask | None] | None = None,
        alternatives: int = 0,
        cancelled: Callable[[int], bool] | None = None,
    ) -> Iterator[Piece]:
        """The same answers token by token, rows taking turns; beams, which are sure of no token before the last, at once.

        Raises: the codes of `stream`.
        """
        masks = masks or self._masks(decoding, len(prompts))
        asked = self.asked(
            decoding, seeds=seeds, masks=masks, alternatives=alternatives, cancelled=cancelled
        )
        ids = [one.ids_T.tolist() for one in prompts]
        if decoding.beams > 1:
            return iter(spread(generate(self.writer, ids, decoding, asked)))
        return stream(self.writer, ids, decoding, asked)

    def text_prompt(self, text: str, *, new_tokens: int) -> FittedPrompt:
        """A text to go on with as it stands, nothing around it; control tokens written in it are text.

        Raises: prompt-too-long, chat-mark-unbroken, answer-room.
        """
        return self.codec.with_room(new_tokens=new_tokens).text_prompt(text, where="prompt")

    def schema_mask(self, schema: str) -> Mask:
        """A mask that holds one answer to a JSON schema, given as its text.

        Raises: decoding-missing-extra, schema-refused.
        """
        if not self.schemas:
            from burnish.models.json_schema import schema_masks

            head = cast(Any, self.writer.model).get_output_embeddings()
            made = schema_masks(
                self.codec.tokeniser.tokenizer,
                vocabulary=head.weight.shape[0],
                stop_ids=self.codec.stop_ids,
            )
            self.schemas.append(made)
        return self.schemas[0](schema)

    def _masks(self, decoding: Decoding, count: int) -> list[Mask] | None:
        """What the task's own schema allows, a mask an answer; None without a schema."""
        schema = decoding.json_schema
        return None if schema is None else [self.schema_mask(schema) for _ in range(count)]

    def check(self, task: Task, inputs: Sequence[Mapping[str, str]]) -> None:
        """Refuse rows that cannot be asked, before anything is computed.

        Raises: prompt-too-long, and the codes of rendering.
        """
        task_prompts(self.codec, task, inputs, new_tokens=task.decoding.max_new_tokens)

    def asked(
        self,
        decoding: Decoding,
        *,
        seeds: Sequence[int] | None = None,
        masks: Sequence[Mask | None] | None = None,
        alternatives: int = 0,
        cancelled: Callable[[int], bool] | None = None,
    ) -> Asked:
        """What is asked of this model beside prompts and decoding."""
        return Asked(
            stop_ids=self.codec.stop_ids,
            seeds=seeds,
            masks=masks,
            decode=self.codec.plain if decoding.stop else None,
            cancelled=cancelled,
            alternatives=alternatives,
        )

    def reply_text(self, made: Generated, decoding: Decoding) -> str:
        """The text of what was generated, cut before the stop text that ended it."""
        return said_text(self.codec, made)

    def nats(self, rows: Sequence[TokenRow]) -> tuple[FloatArray, IntArray]:
        """Minus the log-probability of each row's supervised tokens, summed, and how many they are. Shapes: (R,), (R,).

        Raises: memory-full naming a row that alone does not fit.
        """
        writer = self.writer
        lengths = [len(row) + (0 if row.source_T is None else len(row.source_T)) for row in rows]
        nats_R = np.zeros(len(rows))
        places = [f"row {number + 1}" for number in range(len(rows))]

        def compute(piece: IntArray) -> FloatArray:
            batch = pack_tokens(rows, piece, places=places)
            losses_S = supervised_losses(writer, batch).double().cpu().numpy()
            told_K = np.zeros(len(piece))
            np.add.at(told_K, batch.owners_S, losses_S)
            return told_K

        room = Room(_INFERENCE_TOKENS, self.tightest.note)
        was_training = writer.model.training
        writer.model.eval()
        try:
            with torch.inference_mode():
                every = np.arange(len(rows))
                for piece, told in passes(
                    every, lengths, room=room, compute=compute, place=places.__getitem__
                ):
                    nats_R[piece] = told
        finally:
            writer.model.train(was_training)
        supervised_R = np.array([int((row.targets_T >= 0).sum()) for row in rows], dtype=np.int64)
        return nats_R, supervised_R

    def size_bytes(self) -> int:
        """Memory of the weights."""
        return writer_bytes(self.writer)


def open_codec(
    folder: Path, *, max_tokens: int, new_tokens: int, template: str, truncate: Truncate | None
) -> Codec:
    """How the model in this folder reads and writes, without loading its weights.

    `template` is "own" (the folder's chat template; a base without one gets the plain built-in) or a built-in's name.
    A template that comes with a base is tried in a process of its own before it is compiled here.

    Raises: model-type-unknown, base-config-broken, tokenizer-missing, tokenizer-broken, answer-room, tokenizer-no-eos,
        and the codes of templates.
    """
    if not (folder / "config.json").is_file():
        raise fail(
            "base-config-broken",
            "is not there",
            where="config.json",
            expected="a model folder in the Hugging Face layout",
            fix="download or save the model folder again",
        )
    family = writer_family_of(model_type_of(folder))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tokeniser = load_chat_tokeniser(folder, max_tokens=max_tokens)
    start = config.get("decoder_start_token_id")
    seq2seq = family.PEFT_TASK == "SEQ_2_SEQ_LM"
    if seq2seq and not isinstance(start, int):
        raise fail(
            "base-config-broken",
            "does not state decoder_start_token_id",
            where="config.json",
            expected="the token that the decoder reads first",
            fix="download or save the model folder again",
        )
    return make_codec(
        tokeniser,
        template=None if seq2seq else _template(folder, template, tokeniser),
        start_id=start if seq2seq else None,
        new_tokens=new_tokens,
        truncate=truncate,
    )


def open_chat_model(
    folder: Path,
    *,
    precision: str,
    max_tokens: int,
    new_tokens: int,
    template: str = OWN,
    truncate: Truncate | None = None,
    writer: Writer | None = None,
) -> ChatModel:
    """A base or saved model that writes text, ready to answer. With `writer` the weights are its own, the folder's none.

    Raises: the codes of open_codec and load_writer.
    """
    codec = open_codec(
        folder, max_tokens=max_tokens, new_tokens=new_tokens, template=template, truncate=truncate
    )
    return ChatModel(writer or load_writer(folder, precision=precision), codec, Tightest())


def _template(folder: Path, name: str, tokeniser: ChatTokeniser) -> ChatTemplate:
    own = find_template(folder) if name == OWN else None
    if own is None:
        return built_in_template(PLAIN if name == OWN else name, tokeniser=tokeniser)
    try_template(own, names=tokeniser.names)
    return chat_template(own)
