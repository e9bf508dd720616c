"""The HTTP server: parse, ask the queue, render. The edge where clock and randomness come in."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from burnish.deploy.adapter import cached_bases
from burnish.deploy.feedback import Said, Taken, give_feedback
from burnish.deploy.host import Host
from burnish.deploy.vllm import Vllm
from burnish.errors import BurnishError, Problem, fail, nearest
from burnish.records.deployment import Deployment
from burnish.serve.auth import App, Guard
from burnish.serve.body import (
    ModelFacts,
    ModelList,
    PredictionReply,
    PredictionRequest,
    ProblemReply,
    Status,
    read_request,
    reply_of,
    rows_of,
)
from burnish.serve.body_text import TextReply, text_reply
from burnish.serve.chat_body import ChatRequest, CompletionRequest, read_chat, read_completion
from burnish.serve.feedback import (
    FeedbackReply,
    FeedbackRequest,
    FeedbackRow,
    feedback_reply,
    read_feedback,
)
from burnish.serve.listen import bind, listen
from burnish.serve.live import Answering, Live
from burnish.serve.metrics import CONTENT_TYPE, Metrics
from burnish.serve.openai import Writers, complete_chat, complete_text
from burnish.serve.problems import MEDIA_TYPE, STATUS, problem_body, public
from burnish.serve.queue import Answers, Queue, QueueFull, disk_refused
from burnish.serve.settings import ServeSettings
from burnish.serve.silent import Silent
from burnish.serve.token import read_token
from burnish.serve.upkeep import Upkeep
from burnish.serve.writing import WritingLine
from burnish.store.ledger import Ledger, close_ledger, open_ledger
from burnish.store.workspace import Workspace, lock

if TYPE_CHECKING:
    from burnish.models.fitted_text import FittedText

_JSON = "application/json"
_RETRY_SOON_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Serving:
    """What the routes share."""

    settings: ServeSettings
    ledger: Ledger
    live: Live
    queue: Queue
    metrics: Metrics
    writers: Writers
    feedback_turn: threading.Lock


def serve(settings: ServeSettings, *, announce: Callable[[str], None] = lambda line: None) -> None:
    """Answer over HTTP until SIGTERM or Ctrl-C, then drain and return.

    `announce` hears one line when the port is open. Log lines go to the logger "burnish.serve".

    Raises: port-busy, port-refused, host-unknown, ledger-damaged.
    """
    # First of all: a busy port must be told before anything is loaded.
    listener = bind(settings.host, settings.port)
    with listener:
        host, port = listener.getsockname()[:2]
        app = make_app(settings)
        announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        listen(app, settings, listener=listener)


def token_of(workspace: Workspace) -> str:
    """The workspace's bearer token, made by the first call.

    Raises: token-weak, not-readable, not-writable, busy.
    """
    with lock(workspace, "token"):
        return read_token(workspace.token_path, fresh=lambda: secrets.token_urlsafe(32))


def make_app(settings: ServeSettings) -> App:
    """The guarded ASGI application. It follows the ledger from its start-up event to its shutdown.

    Raises: ledger-damaged, ledger-newer.
    """
    ledger = open_ledger(settings.workspace.ledger_path)
    metrics = Metrics()
    live = Live(settings, ledger, metrics=metrics, host=_host(settings))
    chance = secrets.SystemRandom()
    queue = Queue(settings, ledger, metrics=metrics, now=_now, draw=chance.random)
    line = WritingLine(settings)
    silent = Silent(
        live,
        ledger,
        metrics=metrics,
        busy=lambda: queue.busy or line.busy,
        now=_now,
        rows=settings.silent_rows,
    )
    queue.answered = silent.offer
    upkeep = Upkeep(settings, ledger, metrics=metrics, now=_now)
    serving = Serving(
        settings=settings,
        ledger=ledger,
        live=live,
        queue=queue,
        metrics=metrics,
        writers=Writers(line, queue, _fresh_id, _now),
        feedback_turn=threading.Lock(),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        live.start()
        silent.start()
        upkeep.start()
        yield
        # in threads, so that the answers of the last batch still reach their requests
        for part in (line, queue, silent, live, upkeep):
            await asyncio.to_thread(part.stop)
        close_ledger(ledger)

    api = FastAPI(
        title=f"Burnish: {settings.task_name}",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # the pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        # whatever OTEL_* variables say, nothing about a request leaves this machine
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    api.state.serving = serving
    _add_routes(api)
    api.add_exception_handler(BurnishError, _on_error)
    api.add_exception_handler(HTTPException, _on_http_error)
    api.add_exception_handler(Exception, _on_error)

    def observe(route: str, status: int, seconds: float) -> None:
        metrics.reply(route, status, seconds)
        upkeep.count(route, status)

    return Guard(api, settings, fresh_id=_fresh_id, observe=observe)


def _host(settings: ServeSettings) -> Host | None:
    """Who holds weights for versions that write: vLLM, or bases in this process where versions may share them."""
    shared = cached_bases(settings.cache) if settings.also and settings.cache is not None else None
    if settings.vllm is None:
        return shared
    find = shared.find if shared is not None else None
    return Vllm(settings.vllm, secrets.token_urlsafe(32), find)


async def predict_route(request: Request) -> Response:
    """Answer one input or many, all by one version: the live one, or the one that the request names."""
    serving = _serving(request)
    asked = read_request(await request.body())
    answering = _answering(serving, asked.model)
    task, version = answering.task, answering.deployment.version
    rows = rows_of(asked, task, at_most=serving.settings.request_rows)
    if not task.is_closed:
        # one row that cannot be asked must not cost others of its batch their answers
        await asyncio.to_thread(cast("FittedText", answering.fitted).check, task, rows)
    ids = [_fresh_id() for _ in rows]
    answers = await _unless_left(request, serving.queue.ask(answering, rows, ids=ids))
    made, journalled = answers.predictions, answers.journalled
    reply = (
        reply_of(made, task=task, version=version, journalled=journalled)
        if task.is_closed
        else text_reply(made, answers.given, task=task, version=version, journalled=journalled)
    )
    return Response(reply.model_dump_json(), media_type=_JSON)


async def chat_route(request: Request) -> Response:
    """Go on with a conversation, as OpenAI's clients ask it."""
    serving = _serving(request)
    asked = read_chat(await request.body())
    answering = _answering(serving, asked.model)
    return await complete_chat(request, asked, answering, serving.writers)


async def completion_route(request: Request) -> Response:
    """Go on with texts, as OpenAI's clients ask it."""
    serving = _serving(request)
    asked = read_completion(await request.body())
    answering = _answering(serving, asked.model)
    return await complete_text(request, asked, answering, serving.writers)


async def feedback_route(request: Request) -> Response:
    """Record what people say about predictions: all of it, or none. It is on the disk when the reply goes."""
    serving = _serving(request)
    said = read_feedback(await request.body(), at_most=serving.settings.request_rows)
    taken = await asyncio.to_thread(_take, serving, said)
    return Response(feedback_reply(taken).model_dump_json(), media_type=_JSON)


def _take(serving: Serving, said: Sequence[Said]) -> tuple[Taken, ...]:
    # one at a time: two people who disagree at the same moment must both hear of it
    with serving.feedback_turn:
        try:
            taken = give_feedback(serving.ledger, serving.settings.task, said, at=_now())
        except BurnishError as error:
            if not disk_refused(error):
                raise
            raise fail(
                "journal-closed",
                "the disk takes no feedback now; nothing was recorded",
                fix="send the same feedback again later: saying it twice does no harm",
            ) from error
    for one in taken:
        if one.new:
            serving.metrics.feedback(str(one.feedback.right).lower())
    return taken


async def models_route(request: Request) -> Response:
    """The versions of the task: the one that answers first, under the task's name as well."""
    serving = _serving(request)
    current = serving.live.current
    known = sorted(serving.live.known, key=lambda d: -d.sequence)
    data = [_facts(d, serving.live, name=d.version) for d in known]
    if current is not None:
        data.insert(0, _facts(current.deployment, serving.live, name=current.task.name))
    return Response(ModelList(data=tuple(data)).model_dump_json(), media_type=_JSON)


async def health_route(request: Request) -> Response:
    """The process is there."""
    return Response(Status(status="ok").model_dump_json(), media_type=_JSON)


async def ready_route(request: Request) -> Response:
    """Verified versions answer: the live one, and those held beside it; 503 before that."""
    ready = _serving(request).live.ready
    body = Status(status="ready" if ready else "not ready").model_dump_json()
    return Response(body, media_type=_JSON, status_code=200 if ready else 503)


async def metrics_route(request: Request) -> Response:
    """Counters in Prometheus' text format."""
    return Response(_serving(request).metrics.text(), media_type=CONTENT_TYPE)


def _add_routes(api: FastAPI) -> None:
    told: dict[int | str, dict[str, Any]] = {
        status: {
            "model": ProblemReply,
            "content": {MEDIA_TYPE: {}},
            "description": _codes(status),
        }
        for status in sorted(set(STATUS.values()))
    }
    body = {
        "required": True,
        "content": {_JSON: {"schema": PredictionRequest.model_json_schema()}},
    }
    api.post(
        "/v1/predictions",
        response_model=PredictionReply | TextReply,
        responses=told,
        openapi_extra={"requestBody": body},
    )(predict_route)
    for path, route, shape in (
        ("/v1/chat/completions", chat_route, ChatRequest),
        ("/v1/completions", completion_route, CompletionRequest),
    ):
        wanted = {"required": True, "content": {_JSON: {"schema": shape.model_json_schema()}}}
        api.post(
            path, response_class=Response, responses=told, openapi_extra={"requestBody": wanted}
        )(route)
    said = {"oneOf": [m.model_json_schema() for m in (FeedbackRow, FeedbackRequest)]}
    api.post(
        "/v1/feedback",
        response_model=FeedbackReply,
        responses=told,
        openapi_extra={"requestBody": {"required": True, "content": {_JSON: {"schema": said}}}},
    )(feedback_route)
    common: dict[int | str, dict[str, Any]] = {
        status: told[status] for status in (400, 401, 431, 500)
    }
    api.get("/v1/models", response_model=ModelList, responses=common)(models_route)
    api.get("/metrics", response_class=Response, responses=common)(metrics_route)
    api.get("/healthz", response_model=Status)(health_route)
    not_ready: dict[int | str, dict[str, Any]] = {
        503: {"model": Status, "description": "Nothing verified is live."}
    }
    api.get("/readyz", response_model=Status, responses=not_ready)(ready_route)


def _answering(serving: Serving, name: str | None) -> Answering:
    """Who answers a request that names this model, or none.

    Raises: not-ready, model-unknown.
    """
    live, task = serving.live, serving.settings.task_name
    if name is not None and name in live.others:
        return live.others[name]
    if name is not None and name in serving.settings.also:
        raise _not_ready(serving, next((d for d in live.known if d.version == name), None))
    if live.current is None:
        raise _not_ready(serving, next((d for d in live.known if d.stage == "live"), None))
    answers = (task, live.current.deployment.version, *live.others)
    if name is not None and name not in answers:
        raise fail(
            "model-unknown",
            "no model of that name answers here now",
            where="model",
            expected=f"one of: {', '.join(dict.fromkeys(answers))}",
            fix="leave it out, ask /v1/models, or start the server with --also VERSION",
            nearest=nearest(name[:128], answers),
        )
    return live.current


def _not_ready(serving: Serving, wanted: Deployment | None) -> BurnishError:
    if wanted is None:
        task = serving.settings.task_name
        return fail("not-ready", f"no version of {task} is live", fix="burnish promote")
    check = serving.live.checks.get(wanted.bundle_id)
    codes = ", ".join(sorted({p.code for p in check.problems})) if check else "it is being loaded"
    return fail(
        "not-ready",
        f"{wanted.version} may not answer yet: {codes}",
        expected="a bundle that passes its checks",
        fix="the server's log says more; burnish rollback goes back to the version before",
    )


async def _unless_left(request: Request, work: Coroutine[Any, Any, Answers]) -> Answers:
    """The result of `work`, which is dropped when the client goes away before it is there."""
    answer = asyncio.create_task(work)
    left = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise HTTPException(499)
    finally:
        left.cancel()
        answer.cancel()


def _facts(deployment: Deployment, live: Live, *, name: str) -> ModelFacts:
    who = (live.current, *live.others.values())
    found = (a for a in who if a is not None and a.deployment.bundle_id == deployment.bundle_id)
    answers = next(found, None)
    check = live.checks.get(deployment.bundle_id)
    return ModelFacts(
        id=name,
        version=deployment.version,
        stage=deployment.stage,
        engine=deployment.engine,
        bundle_id=deployment.bundle_id,
        report_id=deployment.report_id,
        labels=answers.task.label_names if answers else None,
        inputs=answers.task.inputs if answers else None,
        shares_base=answers is not None and answers.shares_base,
        verified=None if check is None else not check.problems,
        problems=tuple(p.code for p in check.problems) if check else (),
    )


async def _on_error(request: Request, error: Exception) -> Response:
    headers = {}
    if isinstance(error, QueueFull):
        headers["Retry-After"] = str(error.retry_after_seconds)
    problems = public(error)
    if STATUS[problems[0].code] == 503:
        headers["Retry-After"] = str(_RETRY_SOON_SECONDS)
    return _problem_response(request, problems, headers)


async def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 499:
        return Response(status_code=499)
    headers = dict(getattr(error, "headers", None) or {})
    problem = Problem(
        code="method-refused" if status == 405 else "route-unknown",
        what=f"{request.method} does not work here",
        expected=f"one of: {headers.get('Allow', 'GET, POST')}",
        fix="look at /openapi.json",
    )
    return _problem_response(request, (problem,), headers)


def _problem_response(
    request: Request, problems: tuple[Problem, ...], headers: dict[str, str]
) -> Response:
    request_id = request.scope.get("state", {}).get("request_id", "")
    body = problem_body(problems, instance=request.url.path, request_id=request_id)
    return Response(
        body, status_code=STATUS[problems[0].code], media_type=MEDIA_TYPE, headers=headers
    )


def _serving(request: Request) -> Serving:
    return request.app.state.serving


def _codes(status: int) -> str:
    return ", ".join(code for code, number in STATUS.items() if number == status)


def _fresh_id() -> str:
    return secrets.token_hex(8)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
