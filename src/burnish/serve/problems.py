"""Errors as HTTP sees them: the one error shape in RFC 9457 clothes, nothing about our insides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.errors import BurnishError, Problem

MEDIA_TYPE = "application/problem+json"

# The codes a client may see, with their status. Anything else is our fault and becomes "internal".
STATUS: Mapping[str, int] = {
    "body-not-json": 400,
    "host-refused": 400,
    "http-broken": 400,
    "parameter-refused": 400,
    "token-refused": 401,
    "route-unknown": 404,
    "model-unknown": 404,
    "prediction-unknown": 404,
    "method-refused": 405,
    "body-slow": 408,
    "body-too-large": 413,
    "too-many-rows": 413,
    "encoding-refused": 415,
    "body-wrong": 422,
    "input-missing": 422,
    "input-unknown": 422,
    "empty-text": 422,
    "chat-broken": 422,
    "chat-empty-turn": 422,
    "chat-last-turn": 422,
    "chat-mark-unbroken": 422,
    "chat-part": 422,
    "chat-role-unknown": 422,
    "chat-system-late": 422,
    "chat-tool-orphan": 422,
    "chat-turn-twice": 422,
    "chat-weight": 422,
    "answer-room": 422,
    "decoding-conflict": 422,
    "decoding-missing-extra": 422,
    "generation-empty": 422,
    "generation-too-long": 422,
    "prompt-too-long": 422,
    "question-too-long": 422,
    "schema-refused": 422,
    "task-answers-otherwise": 422,
    "template-refused": 422,
    "tokens-refused": 422,
    "label-unknown": 422,
    "feedback-empty": 422,
    "feedback-contradicts-itself": 422,
    "feedback-other-text": 422,
    "feedback-text-missing": 422,
    "feedback-unsigned": 422,
    "queue-full": 429,
    "head-too-large": 431,
    "internal": 500,
    "journal-closed": 503,
    "not-ready": 503,
    "stopping": 503,
    "vllm-failed": 503,
    "deadline-passed": 504,
}

_INTERNAL = Problem(
    code="internal",
    what="the server could not answer; its log has the details under the request id",
    fix="try again; if it stays, give the request id to whoever runs the server",
)


def public(error: BaseException) -> tuple[Problem, ...]:
    """The problems of an error that a client may see; one fixed problem for everything else.

    Example:
        >>> public(ValueError("/secret/path"))[0].code
        'internal'
    """
    if isinstance(error, BurnishError) and all(p.code in STATUS for p in error.problems):
        return error.problems
    return (_INTERNAL,)


def problem_body(problems: Sequence[Problem], *, instance: str, request_id: str) -> bytes:
    """The JSON of one or more problems: RFC 9457 members first, then ours; all of them in `problems`.

    Under "error" the first is told as OpenAI's clients read errors.

    Example:
        >>> body = problem_body([Problem(code="empty-text", what="no text")], instance="/v1", request_id="1")
        >>> json.loads(body)["type"], json.loads(body)["status"]
        ('urn:burnish:problem:empty-text', 422)
    """
    first = problems[0]
    place = f"{first.where}: " if first.where else ""
    value: dict[str, Any] = {
        "type": f"urn:burnish:problem:{first.code}",
        "title": first.code.replace("-", " "),
        "status": STATUS[first.code],
        "detail": f"{place}{first.what}",
        "instance": instance,
        "request_id": request_id,
        **first.as_json(),
        "problems": [problem.as_json() for problem in problems],
    }
    value["error"] = {
        "message": "; ".join(
            part
            for part in (
                value["detail"],
                first.expected and f"expected {first.expected}",
                first.fix,
            )
            if part
        ),
        "type": "invalid_request_error" if value["status"] < 500 else "server_error",
        "param": first.where or None,
        "code": first.code,
    }
    # ASCII, so that half a UTF-16 pair in an echoed name cannot break the reply
    return json.dumps(value).encode("ascii")
