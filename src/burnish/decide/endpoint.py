"""A model behind somebody's HTTP endpoint as a candidate: any server that speaks OpenAI's /chat/completions.

The endpoint reads the test rows it is asked; nothing else is sent, and nothing without being asked for.
"""

from __future__ import annotations

import json
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from burnish.data.normalise import normalise_inputs
from burnish.decide.text_candidates import TriedText
from burnish.errors import BurnishError, fail
from burnish.evaluate.metric import measure
from burnish.evaluate.written import written_from
from burnish.records.decision import Candidate
from burnish.records.encoding import IntArray
from burnish.records.example import Example
from burnish.records.task import Task
from burnish.tasks.conversation import turn_fields
from burnish.tasks.kind import writing_kind_of
from burnish.train.text_lessons import references_of

ENDPOINT = "endpoint"
_TRIES = 4
_TOGETHER = 4
_SECONDS = 120.0
_MILLION = 1_000_000
# What a server says that may answer a moment later.
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask: the address up to and without "/chat/completions", the model's name there, and the key.

    Units: prices in any currency per million tokens of prompts and of answers; None where they are not known.
    """

    url: str
    model: str
    key: str | None = None
    prompt_price: float | None = None
    answer_price: float | None = None


@dataclass(frozen=True, slots=True)
class _Reply:
    text: str
    finished: bool
    prompt_tokens: int
    answer_tokens: int
    seconds: float


def try_endpoint(
    task: Task,
    test: Sequence[Example],
    endpoint: Endpoint,
    *,
    metric: str,
    groups_R: IntArray | None,
    seed: int,
    announce: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> TriedText:
    """Ask for an answer to every test row, four at a time, decoded as the task says, and measure the answers.

    A server that is busy is asked again, four times in all, after as long as it says. The latency is that of requests
    as they were made, network included.

    Raises: endpoint-address, endpoint-unreachable, endpoint-refused, endpoint-broken.
    """
    address = urlsplit(endpoint.url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise fail(
            "endpoint-address",
            "is no web address",
            where=endpoint.url[:200],
            expected="http://HOST:PORT/v1 or https://HOST/v1",
            fix="correct --endpoint",
        )
    announce(f"answers of {endpoint.model} at {address.netloc}: it reads {len(test)} test rows")
    kind = writing_kind_of(task)
    bodies = [
        _body(task, kind.prompt(task, normalise_inputs(task, one.inputs)), endpoint.model)
        for one in test
    ]
    with ThreadPoolExecutor(_TOGETHER) as pool:
        asked = [pool.submit(_ask, endpoint, body, sleep=sleep) for body in bodies]
        try:
            replies = [one.result() for one in asked]
        except BaseException:
            pool.shutdown(cancel_futures=True)  # one refusal stands for all
            raise
    scored = written_from(
        [one.text for one in replies],
        [references_of(one) for one in test],
        prompts=[body["messages"][-1]["content"] for body in bodies],
        finished=[one.finished for one in replies],
        new_tokens=[one.answer_tokens for one in replies],
        groups_R=groups_R,
    )
    candidate = Candidate(
        name=ENDPOINT,
        title=f"{endpoint.model} at {address.netloc}",
        quality=measure(metric, scored, seed=seed),
        latency_ms=statistics.median(one.seconds * 1000 for one in replies),
        memory_bytes=0,
        build_seconds=0.0,
        explains="its prompt is the question alone",
        needs=f"{address.netloc}, which reads every text",
        deployable=False,
    )
    return TriedText(candidate, scored, notes=_cost(endpoint, replies))


def _body(task: Task, turns: Sequence[Any], model: str) -> dict[str, Any]:
    decoding = task.decoding
    body: dict[str, Any] = {
        "model": model,
        "messages": [turn_fields(one) for one in turns],
        "max_tokens": decoding.max_new_tokens,
        "temperature": decoding.temperature,
    }
    if decoding.temperature > 0:
        body |= {"top_p": decoding.top_p, "seed": decoding.seed}
    if decoding.stop:
        body["stop"] = list(decoding.stop)
    if decoding.json_schema is not None:
        form = {"name": task.name, "schema": json.loads(decoding.json_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return body


def _ask(endpoint: Endpoint, body: Mapping[str, Any], *, sleep: Callable[[float], None]) -> _Reply:
    for attempt in range(1, _TRIES + 1):
        started = time.perf_counter()
        try:
            told = _post(endpoint, body)
        except urllib.error.HTTPError as error:
            if error.code not in _AGAIN or attempt == _TRIES:
                raise _refused(endpoint, error) from None
            sleep(_pause(error.headers.get("Retry-After"), attempt))
            continue
        except (urllib.error.URLError, HTTPException, OSError) as error:
            if attempt == _TRIES:
                raise fail(
                    "endpoint-unreachable",
                    f"did not answer: {getattr(error, 'reason', error)}",
                    where=endpoint.url,
                    expected="a server that answers /chat/completions",
                    fix="look whether it runs and the address is right",
                ) from None
            sleep(float(attempt))
            continue
        return _read(endpoint, told, seconds=time.perf_counter() - started)
    raise AssertionError("the last attempt returns or raises")


def _post(endpoint: Endpoint, body: Mapping[str, Any]) -> bytes:
    headers = {"Content-Type": "application/json", "User-Agent": "burnish"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        f"{endpoint.url.rstrip('/')}/chat/completions",
        data=json.dumps(body).encode("ascii"),
        headers=headers,
    )
    with urllib.request.urlopen(request, timeout=_SECONDS) as reply:  # noqa: S310
        return reply.read()


def _read(endpoint: Endpoint, told: bytes, *, seconds: float) -> _Reply:
    try:
        value = json.loads(told)
        choice, usage = value["choices"][0], value.get("usage") or {}
        return _Reply(
            text=choice["message"]["content"] or "",
            finished=choice.get("finish_reason") != "length",
            prompt_tokens=int(usage.get("prompt_tokens", 0)),
            answer_tokens=int(usage.get("completion_tokens", 0)),
            seconds=seconds,
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise fail(
            "endpoint-broken",
            f"answered with something else than a chat completion: {told[:60]!r}",
            where=endpoint.url,
            expected='{"choices": [{"message": {"content": "..."}}]}',
            fix="look whether the address ends where /chat/completions begins, mostly in /v1",
        ) from None


def _refused(endpoint: Endpoint, error: urllib.error.HTTPError) -> BurnishError:
    said = error.read(2000).decode("utf-8", errors="replace")
    try:
        said = str(json.loads(said)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        said = " ".join(said.split())
    return fail(
        "endpoint-refused",
        f"status {error.code}: {said[:300]}",
        where=endpoint.url,
        expected="an answer",
        fix="check --model, and the key in BURNISH_ENDPOINT_KEY"
        if error.code in (401, 403, 404)
        else "mend what it says",
    )


def _pause(after: str | None, attempt: int) -> float:
    """As long as the server says, a minute at most; else one second more each time."""
    if after is not None and after.strip().isdigit():
        return float(min(60, int(after)))
    return float(attempt)


def _cost(endpoint: Endpoint, replies: Sequence[_Reply]) -> tuple[str, ...]:
    """What the answers cost, and what a thousand like them would."""
    read = sum(one.prompt_tokens for one in replies)
    written = sum(one.answer_tokens for one in replies)
    if not read and not written:
        return ()
    said = f"the endpoint counted {read:,} tokens of prompts and {written:,} of answers"
    if endpoint.prompt_price is None and endpoint.answer_price is None:
        return (said,)
    paid = read * (endpoint.prompt_price or 0) + written * (endpoint.answer_price or 0)
    each = paid / _MILLION / len(replies)
    return (f"{said}: {each * len(replies):.4g} for these rows, {each * 1000:.4g} for a thousand",)
