"""What OpenAI's clients send and read: requests of /v1/chat/completions and /v1/completions, and their replies.

A parameter that would do nothing here is refused with its name: a client must not believe that it was heeded.
Source: the public OpenAPI description of OpenAI's API, version 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import pydantic
from pydantic import Field

from burnish.errors import BurnishError, Problem, fail, nearest
from burnish.records.decoding import MOST_NEW_TOKENS, Decoding
from burnish.records.record import Record
from burnish.serve.body import problems_of

MOST_ANSWERS = 16


class StreamOptions(Record):
    """`include_usage` asks for a last chunk with token counts."""

    include_usage: bool = False


class _Sampling(Record):
    model: str | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=10)
    top_p: float | None = Field(default=None, gt=0, le=1)
    n: int | None = Field(default=None, ge=1, le=MOST_ANSWERS)
    stop: str | list[str] | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class ChatRequest(_Sampling):
    """A conversation to go on with. Null is as good as leaving a parameter out."""

    messages: list[dict[str, Any]]
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    response_format: dict[str, Any] | None = None


class CompletionRequest(_Sampling):
    """Texts to go on with, as they stand: no chat template is put around them."""

    prompt: str | list[str]
    logprobs: int | None = Field(default=None, ge=0, le=5)


Wanted = TypeVar("Wanted", bound=_Sampling)


def read_chat(body: bytes) -> ChatRequest:
    """The request in a body.

    Raises: body-not-json, body-wrong, parameter-refused.

    Example:
        >>> read_chat(b'{"messages": [{"role": "user", "content": "Hi"}], "logit_bias": {}}')
        Traceback (most recent call last):
        burnish.errors.BurnishError: error: parameter-refused
          logit_bias: it would do nothing here.
          expected only: model, max_tokens, temperature, top_p, n, stop, seed, stream, stream_options, messages, max_completion_tokens, logprobs, top_logprobs, response_format.
          fix: leave it out.
    """
    return _read(ChatRequest, body)


def read_completion(body: bytes) -> CompletionRequest:
    """The same for /v1/completions.

    Raises: as read_chat.
    """
    return _read(CompletionRequest, body)


def decoding_of(asked: ChatRequest | CompletionRequest, task_decoding: Decoding) -> Decoding:
    """How this request is answered: the task's own decoding, with what the request says instead.

    Raises: parameter-refused for what would do nothing, tokens-refused for more than any answer may have.
    """
    wanted = asked.max_tokens
    if isinstance(asked, ChatRequest):
        if wanted is not None and asked.max_completion_tokens is not None:
            raise _refused("max_tokens", "max_completion_tokens says the same")
        wanted = asked.max_completion_tokens or wanted
        if asked.top_logprobs is not None and not asked.logprobs:
            raise _refused("top_logprobs", "it does nothing without logprobs = true")
    if asked.stream_options is not None and not asked.stream:
        raise _refused("stream_options", "it does nothing without stream = true")
    if wanted is not None and wanted > MOST_NEW_TOKENS:
        raise fail(
            "tokens-refused",
            f"{wanted:,} new tokens",
            where="max_tokens",
            expected=f"at most {MOST_NEW_TOKENS:,}",
            fix="ask for fewer",
        )
    temperature = task_decoding.temperature if asked.temperature is None else asked.temperature
    if temperature == 0 and asked.top_p is not None and asked.top_p < 1:
        raise _refused("top_p", "at temperature 0 nothing is drawn")
    is_chat = isinstance(asked, ChatRequest)
    form = asked.response_format if is_chat else None
    stop = task_decoding.stop
    if asked.stop is not None:
        stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop)
        if len(stop) > 16 or not all(stop):
            raise fail(
                "body-wrong",
                f"{len(stop)} stop texts, or an empty one",
                where="stop",
                expected="at most 16 texts with something in them",
                fix="correct the body",
            )
    return task_decoding.model_copy(
        update={
            "max_new_tokens": wanted or task_decoding.max_new_tokens,
            "temperature": temperature,
            "top_p": task_decoding.top_p if asked.top_p is None else asked.top_p,
            "stop": stop,
            "seed": task_decoding.seed if asked.seed is None else asked.seed,
            # a request that draws, streams or keeps a schema cannot be a beam search
            "beams": 1 if temperature > 0 or asked.stream or form else task_decoding.beams,
            # what the request says of the form of its answer goes before what the task says
            "json_schema": task_decoding.json_schema if is_chat and not form else None,
        }
    )


def schema_of(asked: ChatRequest) -> dict[str, Any] | None:
    """The JSON schema that the answer must keep, if the request has one.

    Raises: body-wrong, parameter-refused for a format there is none of here.
    """
    wanted = asked.response_format
    if wanted is None or wanted.get("type") == "text":
        return None
    if wanted.get("type") == "json_schema":
        schema = wanted.get("json_schema")
        if isinstance(schema, Mapping) and isinstance(schema.get("schema"), dict):
            return schema["schema"]
        raise fail(
            "body-wrong",
            "it holds no schema",
            where="response_format.json_schema",
            expected='{"type": "json_schema", "json_schema": {"name": NAME, "schema": {...}}}',
            fix="correct the body",
        )
    raise _refused("response_format", f'there is no type "{str(wanted.get("type"))[:40]}"')


def finish_reason(finished: str | None) -> Literal["stop", "length"]:
    """OpenAI's word for what ended an answer."""
    return "stop" if finished == "stop" else "length"


def _refused(name: str, why: str) -> BurnishError:
    return fail(
        "parameter-refused",
        why,
        where=name,
        expected="a parameter that is heeded",
        fix="leave it out",
    )


def _read(shape: type[Wanted], body: bytes) -> Wanted:
    try:
        return shape.model_validate_json(body, strict=True)
    except pydantic.ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        unknown = [
            str(fault["loc"][0])
            for fault in faults
            if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1
        ]
        known = list(shape.model_fields)
        problems: Sequence[Problem] = [
            Problem(
                code="parameter-refused",
                where=name[:64],
                what="it would do nothing here",
                expected=f"only: {', '.join(known)}",
                fix="leave it out",
                nearest=nearest(name[:64], known),
            )
            for name in unknown[:20]
        ] or problems_of(error, expected="a request as OpenAI's API has it")
    raise BurnishError(tuple(problems))
