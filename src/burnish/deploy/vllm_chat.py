"""A version whose tokens vLLM computes: prompts, texts and rules are ours, as with weights of our own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event
from typing import ClassVar

from burnish.deploy.vllm_http import Address, Refused, ask, events
from burnish.deploy.vllm_protocol import (
    completion_body,
    read_pieces,
    read_surprise,
    surprise_body,
)
from burnish.encode.codec import Codec
from burnish.encode.fit_prompt import FittedPrompt
from burnish.errors import BurnishError, fail
from burnish.models.fitted_text import TextAnswer
from burnish.models.json_schema import schema_grammar
from burnish.models.pieces import Piece, whole
from burnish.models.task_prompts import said_text, task_prompts, text_answer
from burnish.records.decoding import Decoding
from burnish.records.task import Task

# Answers asked for at once for one request or batch; vLLM puts together what it has room for.
_TOGETHER = 32


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """What one answer must keep, in the EBNF of xgrammar, which vLLM holds answers to as well."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class VllmChat:
    """A model behind vLLM under a name of its own, and its codec. `bytes` are those of its weights or its adapter."""

    # requests go side by side: vLLM batches them itself
    batches_itself: ClassVar[bool] = True

    codec: Codec
    address: Address
    name: str
    bytes: int
    answer_seconds: float

    def answer(
        self,
        task: Task,
        inputs: Sequence[Mapping[str, str]],
        *,
        decoding: Decoding | None = None,
    ) -> list[TextAnswer]:
        """One text a row of inputs, in order; decoded as the task says, or as `decoding` does.

        Raises: vllm-failed, and the codes of prompts.
        """
        decoding = decoding or task.decoding
        prompts = task_prompts(self.codec, task, inputs, new_tokens=decoding.max_new_tokens)
        told: list[list[Piece]] = [[] for _ in prompts]
        for piece in self.pieces(prompts, decoding):
            told[piece.row].append(piece)
        made = [whole(pieces) for pieces in told]
        return [
            text_answer(prompt, said_text(self.codec, one), one)
            for prompt, one in zip(prompts, made, strict=True)
        ]

    def check(self, task: Task, inputs: Sequence[Mapping[str, str]]) -> None:
        """Refuse rows that cannot be asked, before anything is computed.

        Raises: the codes of prompts.
        """
        task_prompts(self.codec, task, inputs, new_tokens=task.decoding.max_new_tokens)

    def surprise(self, answers: Sequence[TextAnswer]) -> list[float | None]:
        """Minus the log-probability of each answer as it was written, in nats.

        Raises: vllm-failed.
        """
        told: list[float | None] = []
        for one in answers:
            body = surprise_body(self.name, [*one.prompt_ids, *one.answer_ids])
            reply = self._ask("/v1/completions", body) if one.answer_ids else None
            told.append(read_surprise(reply, one.answer_ids) if reply else 0.0)
        return told

    def pieces(
        self,
        prompts: Sequence[FittedPrompt],
        decoding: Decoding,
        *,
        seeds: Sequence[int] | None = None,
        masks: Sequence[Grammar | None] | None = None,
        alternatives: int = 0,
        cancelled: Callable[[int], bool] | None = None,
    ) -> Iterator[Piece]:
        """The answers token by token, as vLLM sends them. Closing the iterator ends the work there too.

        Raises: vllm-failed, parameter-refused, decoding-missing-extra, schema-refused.
        """
        own = None if decoding.json_schema is None else self.schema_mask(decoding.json_schema)
        heard: SimpleQueue[Piece | BaseException | None] = SimpleQueue()
        left = Event()

        def write(row: int) -> None:
            stream = self._stream(
                prompts[row],
                decoding,
                row=row,
                seed=decoding.seed if seeds is None else seeds[row],
                grammar=own if masks is None else masks[row],
                alternatives=alternatives,
            )
            with closing(stream):
                for piece in stream:
                    if left.is_set():
                        return
                    heard.put(piece)
                    if cancelled is not None and cancelled(row):
                        heard.put(Piece(row, None, 0.0, (), "cancelled"))
                        return

        with ThreadPoolExecutor(min(_TOGETHER, max(1, len(prompts)))) as pool:
            try:
                for row in range(len(prompts)):
                    # a row ends with None, or with what went wrong
                    pool.submit(write, row).add_done_callback(
                        lambda work: heard.put(None if work.cancelled() else work.exception())
                    )
                ended = 0
                while ended < len(prompts):
                    found = heard.get()
                    if isinstance(found, BaseException):
                        raise found
                    if found is None:
                        ended += 1
                    else:
                        yield found
            finally:
                left.set()
                pool.shutdown(wait=True, cancel_futures=True)

    def text_prompt(self, text: str, *, new_tokens: int) -> FittedPrompt:
        """A text to go on with as it stands.

        Raises: prompt-too-long, chat-mark-unbroken, answer-room.
        """
        return self.codec.with_room(new_tokens=new_tokens).text_prompt(text, where="prompt")

    def schema_mask(self, schema: str) -> Grammar:
        """What holds one answer to a JSON schema, to the same grammar as with weights of our own.

        Raises: decoding-missing-extra, schema-refused.
        """
        return Grammar(schema_grammar(schema))

    def size_bytes(self) -> int:
        """Memory of the weights that are this version's own."""
        return self.bytes

    def tokens_of(self, text: str) -> tuple[int, ...]:
        """The tokens that vLLM's own tokenizer makes of a text, nothing put around it.

        Raises: vllm-failed.
        """
        body = {"model": self.name, "prompt": text, "add_special_tokens": False}
        reply = self._ask("/tokenize", body)
        return tuple(int(one) for one in reply["tokens"])

    def _ask(self, path: str, body: Mapping[str, object]) -> dict[str, list[int]]:
        try:
            return ask(self.address, path, body, seconds=self.answer_seconds)
        except Refused as error:
            raise _refused(error) from error

    def _stream(
        self,
        prompt: FittedPrompt,
        decoding: Decoding,
        *,
        row: int,
        seed: int,
        grammar: Grammar | None,
        alternatives: int,
    ) -> Generator[Piece]:
        body = completion_body(
            self.name,
            [int(one) for one in prompt.ids_T],
            decoding,
            seed=seed,
            stop_ids=self.codec.stop_ids,
            alternatives=alternatives,
            grammar=None if grammar is None else grammar.text,
        )
        told = events(self.address, "/v1/completions", body, seconds=self.answer_seconds)
        try:
            with closing(told):
                for event in told:
                    pieces = read_pieces(event, row=row, alternatives=alternatives)
                    yield from pieces
                    if pieces and pieces[-1].finished is not None:
                        return
        except Refused as error:
            # what was asked is well formed, so a value in it is none that vLLM takes
            raise fail(
                "parameter-refused",
                f"vLLM does not take it: {error}",
                expected="values that vLLM computes with",
                fix="ask for another value, or serve with --engine torch",
            ) from error
        # it ended without saying why
        raise fail("vllm-failed", "vLLM ended an answer without a reason", fix="ask again")


def _refused(error: Refused) -> BurnishError:
    return fail(
        "vllm-failed",
        f"vLLM refuses what it was asked: {error}",
        expected="a version of vLLM that docs/serve.md names",
        fix="look at the server's log",
    )
