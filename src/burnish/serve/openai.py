"""The two routes that OpenAI's clients use: /v1/chat/completions and /v1/completions.

Both answer through the model's own codec, so that a conversation is the token ids it was trained on; every answer is
journalled before its last word goes out.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from burnish.data.normalise import normalise_turns
from burnish.errors import BurnishError, fail
from burnish.records.decoding import Decoding
from burnish.records.message import Message
from burnish.serve.body_text import usage_of
from burnish.serve.chat_body import (
    ChatRequest,
    CompletionRequest,
    decoding_of,
    finish_reason,
    schema_of,
)
from burnish.serve.given import Given
from burnish.serve.live import Answering
from burnish.serve.problems import problem_body, public
from burnish.serve.queue import Queue
from burnish.serve.spoken import Spoken
from burnish.serve.writing import WritingLine
from burnish.tasks.conversation import read_conversation, turn_problems, write_conversation

if TYPE_CHECKING:
    from burnish.encode.fit_prompt import FittedPrompt
    from burnish.models.chat_model import ChatModel
    from burnish.models.draw import Mask
    from burnish.models.pieces import Alternative, Piece

_EVENTS = "text/event-stream"
_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Writers:
    """What the two routes need of the server."""

    line: WritingLine
    queue: Queue
    fresh_id: Callable[[], str]
    now: Callable[[], str]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """One request on its way: what is asked, of whom, and how the reply is shaped."""

    answering: Answering
    decoding: Decoding
    prompts: tuple[FittedPrompt, ...]
    inputs: tuple[Mapping[str, str], ...]
    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    masks: tuple[Mask | None, ...] | None
    alternatives: int
    logprobs: bool
    is_chat: bool
    created: int
    name: str
    include_usage: bool

    @property
    def chat(self) -> ChatModel:
        return cast("ChatModel", self.answering.fitted)

    @property
    def kind(self) -> str:
        return "chat.completion" if self.is_chat else "text_completion"


async def complete_chat(
    request: Request, asked: ChatRequest, answering: Answering, writers: Writers
) -> Response:
    """Go on with a conversation.

    Raises: task-answers-otherwise, the codes of conversations, prompts and requests, queue-full, deadline-passed.
    """
    chat, decoding = _chat(answering), decoding_of(asked, answering.task.decoding)
    messages = _messages(asked, answering)
    schema = schema_of(asked)
    count = asked.n or 1
    prompt = await asyncio.to_thread(_prompt, chat, messages, decoding)
    masks: tuple[Mask | None, ...] | None = None
    if schema is not None:
        text = json.dumps(schema)
        masks = tuple([await asyncio.to_thread(chat.schema_mask, text) for _ in range(count)])
    job = _job(
        asked,
        answering,
        writers,
        decoding=decoding,
        prompts=(prompt,) * count,
        inputs=({"messages": write_conversation(messages)},) * count,
        masks=masks,
        alternatives=asked.top_logprobs or 0,
        logprobs=bool(asked.logprobs),
    )
    return await _answer(request, job, writers, stream=bool(asked.stream))


async def complete_text(
    request: Request, asked: CompletionRequest, answering: Answering, writers: Writers
) -> Response:
    """Go on with texts as they stand.

    Raises: as complete_chat.
    """
    chat, decoding = _chat(answering), decoding_of(asked, answering.task.decoding)
    texts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    count = asked.n or 1
    if not texts or not all(texts) or len(texts) * count > 64:
        raise fail(
            "body-wrong",
            f"{len(texts)} prompts, {count} answers each, or an empty one",
            where="prompt",
            expected="at least one text, and at most 64 answers in all",
            fix="correct the body",
        )
    prompts = await asyncio.to_thread(
        lambda: [chat.text_prompt(text, new_tokens=decoding.max_new_tokens) for text in texts]
    )
    job = _job(
        asked,
        answering,
        writers,
        decoding=decoding,
        prompts=tuple(prompt for prompt in prompts for _ in range(count)),
        inputs=tuple({"prompt": text} for text in texts for _ in range(count)),
        masks=None,
        alternatives=asked.logprobs or 0,
        logprobs=asked.logprobs is not None,
    )
    return await _answer(request, job, writers, stream=bool(asked.stream))


def _chat(answering: Answering) -> ChatModel:
    if not hasattr(answering.fitted, "pieces"):
        raise fail(
            "task-answers-otherwise",
            f'{answering.deployment.version} answers the kind "{answering.task.kind}" and writes nothing',
            expected="a version whose model writes",
            fix="ask /v1/predictions",
        )
    return cast("ChatModel", answering.fitted)


def _messages(asked: ChatRequest, answering: Answering) -> tuple[Message, ...]:
    said = read_conversation(asked.messages, where="messages")
    messages = normalise_turns(answering.task.normalise, said)
    problems = [
        one for one in turn_problems(messages, where="messages") if one.code != "chat-last-turn"
    ]
    if problems:
        raise BurnishError(tuple(problems))
    if messages[-1].role == "assistant":
        raise fail(
            "chat-last-turn",
            "the last turn is the assistant's",
            where="messages",
            expected="a turn that asks for an answer",
            fix="take the last turn out, or add the user's",
        )
    instruction = answering.task.instruction
    if answering.task.kind == "chat" and instruction and messages[0].role != "system":
        return (Message(role="system", content=instruction), *messages)
    return messages


def _prompt(chat: ChatModel, messages: Sequence[Message], decoding: Decoding) -> FittedPrompt:
    codec = chat.codec.with_room(new_tokens=decoding.max_new_tokens)
    return codec.prompt(messages, where="messages")


def _job(
    asked: ChatRequest | CompletionRequest,
    answering: Answering,
    writers: Writers,
    *,
    decoding: Decoding,
    prompts: tuple[FittedPrompt, ...],
    inputs: tuple[Mapping[str, str], ...],
    masks: tuple[Mask | None, ...] | None,
    alternatives: int,
    logprobs: bool,
) -> _Job:
    return _Job(
        answering=answering,
        decoding=decoding,
        prompts=prompts,
        inputs=inputs,
        # each answer of one request is drawn by its own number
        seeds=tuple(decoding.seed + place for place in range(len(prompts))),
        ids=tuple(writers.fresh_id() for _ in prompts),
        masks=masks,
        alternatives=alternatives,
        logprobs=logprobs,
        is_chat=isinstance(asked, ChatRequest),
        created=int(datetime.fromisoformat(writers.now()).timestamp()),
        name=answering.deployment.version,
        include_usage=asked.stream_options is not None and asked.stream_options.include_usage,
    )


async def _answer(request: Request, job: _Job, writers: Writers, *, stream: bool) -> Response:
    started = time.perf_counter()
    spoken = [Spoken(job.chat, job.decoding) for _ in job.prompts]
    pieces = writers.line.write(
        job.answering,
        job.prompts,
        job.decoding,
        seeds=job.seeds,
        masks=job.masks,
        alternatives=job.alternatives,
    )
    if stream:
        # the first token is waited for: until then an error is a plain error
        first = await anext(pieces)
        events = _events(
            job, spoken, pieces, first, writers, started=started, path=request.url.path
        )
        return StreamingResponse(events, media_type=_EVENTS, headers=_headers(job))
    left = asyncio.ensure_future(request.receive())
    try:
        async for piece in pieces:
            spoken[piece.row].hear(piece)
            if left.done():
                return Response(status_code=499)
    finally:
        left.cancel()
        await pieces.aclose()  # type: ignore[attr-defined]
    journalled = await _journal(job, spoken, writers, started=started)
    body = _head(job) | {
        "choices": [_choice(job, place, one, _whole(job, one)) for place, one in enumerate(spoken)],
        "usage": _usage(job, spoken),
        "journalled": journalled,
    }
    return Response(json.dumps(body), media_type="application/json", headers=_headers(job))


async def _events(
    job: _Job,
    spoken: Sequence[Spoken],
    pieces: AsyncIterator[Piece],
    first: Piece,
    writers: Writers,
    *,
    started: float,
    path: str,
) -> AsyncIterator[bytes]:
    """The reply as server-sent events. An error behind the first token is told as an event, and ends the stream."""
    try:
        if job.is_chat:
            for place in range(len(spoken)):
                yield _chunk(job, place, {"delta": {"role": "assistant", "content": ""}})
        held: list[list[Piece]] = [[] for _ in spoken]
        async for piece in _with(first, pieces):
            one = spoken[piece.row]
            held[piece.row].append(piece)
            text = one.hear(piece)
            if not text and piece.finished is None:
                continue
            told = {"delta": {"content": text}} if job.is_chat else {"text": text}
            if job.logprobs:
                told["logprobs"] = _logprobs(job, held[piece.row])
            held[piece.row] = []
            if text or job.logprobs:
                yield _chunk(job, piece.row, told)
        journalled = await _journal(job, spoken, writers, started=started)
        for place, one in enumerate(spoken):
            told: dict[str, Any] = {"delta": {}} if job.is_chat else {"text": ""}
            yield _chunk(
                job, place, told, finish=finish_reason(one.finished), journalled=journalled
            )
        if job.include_usage:
            yield _event(_head(job, chunk=True) | {"choices": [], "usage": _usage(job, spoken)})
        yield _DONE
    except BurnishError as error:
        broken = problem_body(public(error), instance=path, request_id=job.ids[0])
        yield b"data: " + broken + b"\n\n"
    finally:
        await pieces.aclose()  # type: ignore[attr-defined]


async def _with(first: Piece, rest: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    yield first
    async for piece in rest:
        yield piece


async def _journal(
    job: _Job, spoken: Sequence[Spoken], writers: Writers, *, started: float
) -> bool:
    at, latency_ms = writers.now(), (time.perf_counter() - started) * 1000
    predictions = [
        writers.queue.prediction(
            job.answering,
            inputs,
            Given(
                labels=(),
                confidence=math.exp(sum(one.logprobs)),
                scores={"prompt_tokens": float(len(prompt.ids_T))} | one.prediction_scores,
                dropped_characters=prompt.dropped_characters,
                text=one.said,
            ),
            id=id,
            at=at,
            latency_ms=latency_ms,
        )
        for id, inputs, prompt, one in zip(job.ids, job.inputs, job.prompts, spoken, strict=True)
    ]
    return await writers.queue.record(predictions, started=started)


def _headers(job: _Job) -> dict[str, str]:
    return {"X-Burnish-Version": job.answering.deployment.version}


def _head(job: _Job, *, chunk: bool = False) -> dict[str, Any]:
    object_name = f"{job.kind}.chunk" if chunk and job.is_chat else job.kind
    return {
        "id": f"{'chatcmpl' if job.is_chat else 'cmpl'}-{job.ids[0]}",
        "object": object_name,
        "created": job.created,
        "model": job.name,
        # which weights answered: the same fingerprint and seed give the same text
        "system_fingerprint": job.answering.deployment.bundle_id,
    }


def _whole(job: _Job, one: Spoken) -> dict[str, Any]:
    told: dict[str, Any] = (
        {"message": {"role": "assistant", "content": one.said, "refusal": None}}
        if job.is_chat
        else {"text": one.said}
    )
    told["logprobs"] = _logprobs(job, one.pieces) if job.logprobs else None
    return told


def _choice(job: _Job, place: int, one: Spoken, told: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": place,
        **told,
        "finish_reason": finish_reason(one.finished),
        "prediction": job.ids[place],
    }


def _chunk(
    job: _Job,
    place: int,
    told: Mapping[str, Any],
    *,
    finish: str | None = None,
    journalled: bool = True,
) -> bytes:
    choice = {"index": place, "logprobs": None, **told, "finish_reason": finish}
    if finish is not None:
        choice |= {"prediction": job.ids[place], "journalled": journalled}
    return _event(_head(job, chunk=True) | {"choices": [choice]})


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode("ascii") + b"\n\n"


def _usage(job: _Job, spoken: Sequence[Spoken]) -> dict[str, int]:
    # a prompt is read once, however many answers it gets
    read = sum(len(prompt.ids_T) for prompt in {id(one): one for one in job.prompts}.values())
    return usage_of(read, sum(len(one.ids) for one in spoken)).model_dump()


def _logprobs(job: _Job, pieces: Sequence[Piece]) -> dict[str, Any]:
    said = [piece for piece in pieces if piece.token is not None]
    if job.is_chat:
        return {
            "content": [
                _token(job, int(piece.token or 0), piece.logprob)
                | {"top_logprobs": [_alternative(job, one) for one in piece.alternatives]}
                for piece in said
            ],
            "refusal": None,
        }
    return {
        "tokens": [job.chat.codec.plain([int(piece.token or 0)]) for piece in said],
        "token_logprobs": [piece.logprob for piece in said],
        "top_logprobs": [
            {job.chat.codec.plain([one.token]): one.logprob for one in piece.alternatives}
            for piece in said
        ],
    }


def _alternative(job: _Job, one: Alternative) -> dict[str, Any]:
    return _token(job, one.token, one.logprob)


def _token(job: _Job, token: int, logprob: float) -> dict[str, Any]:
    text = job.chat.codec.plain([token])
    # half a character has no text of its own
    data = None if "\ufffd" in text else list(text.encode("utf-8"))
    return {"token": text, "logprob": logprob, "bytes": data}
