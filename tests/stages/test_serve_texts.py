"""Texts over HTTP: OpenAI's own client on a real server, and what is said when a request cannot be heeded."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from burnish.deploy.bundle import open_text_bundle
from burnish.deploy.deployments import promote
from burnish.models.chat_model import ChatModel
from burnish.records.deployment import Bundle
from burnish.records.task import Task
from burnish.store.journal import find_prediction
from burnish.store.workspace import Workspace
from deployed import TOKEN, WHO, Server, ledger_of, make_workspace, server_on
from span_models import span_task
from written_bundles import NEW_TOKENS, TALK, chat_task, span_folder, text_bundle, writer_base

ASK: list[Any] = [{"role": "user", "content": TALK[0]}]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Bundle, Server]]:
    root = tmp_path_factory.mktemp("texts")
    workspace, task = make_workspace(root / "burnish"), chat_task()
    bundle = text_bundle(workspace, task, writer_base(root / "cache"))
    with ledger_of(workspace) as ledger:
        promote(ledger, bundle, **WHO)
    with server_on(workspace, task=task) as server:
        yield workspace, bundle, server


@pytest.fixture(scope="module")
def client(place: tuple[Workspace, Bundle, Server]) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{place[2].url}/v1", api_key=TOKEN, max_retries=0)


@pytest.fixture(scope="module")
def local(place: tuple[Workspace, Bundle, Server]) -> tuple[Task, ChatModel]:
    workspace, bundle, _ = place
    opened = open_text_bundle(workspace.bundles / bundle.id)
    assert isinstance(opened.fitted, ChatModel)
    return opened.task, opened.fitted


def said(client: openai.OpenAI, **changes: Any) -> Any:
    return client.chat.completions.create(**{"model": "service", "messages": ASK} | changes)


def test_a_conversation_is_answered_as_the_library_answers_it(
    client: openai.OpenAI, local: tuple[Task, ChatModel]
) -> None:
    task, fitted = local
    (wanted,) = fitted.answer(task, [{"messages": json.dumps(ASK)}])
    reply = said(client)
    assert reply.choices[0].message.content == wanted.text
    assert reply.choices[0].message.role == "assistant"
    assert reply.choices[0].finish_reason == ("stop" if wanted.finished else "length")
    assert reply.model == "service-1" and reply.object == "chat.completion"
    # the task's instruction is the system turn, as in training
    assert reply.usage.prompt_tokens == len(wanted.prompt_ids)
    assert reply.usage.completion_tokens == len(wanted.answer_ids)
    assert reply.usage.total_tokens == len(wanted.prompt_ids) + len(wanted.answer_ids)


@pytest.mark.parametrize(
    "changes", [{}, {"temperature": 2.0, "seed": 5}, {"stop": ["e"]}, {"n": 3}]
)
def test_a_stream_is_the_whole_in_pieces(client: openai.OpenAI, changes: dict[str, Any]) -> None:
    whole = said(client, logprobs=True, top_logprobs=2, **changes)
    texts = ["" for _ in whole.choices]
    tokens: list[list[Any]] = [[] for _ in whole.choices]
    ends: list[Any] = [None for _ in whole.choices]
    usage = None
    stream = said(
        client,
        logprobs=True,
        top_logprobs=2,
        stream=True,
        stream_options={"include_usage": True},
        **changes,
    )
    chunks = list(stream)
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            tokens[choice.index] += choice.logprobs.content if choice.logprobs else []
            ends[choice.index] = choice.finish_reason or ends[choice.index]
    assert texts == [choice.message.content for choice in whole.choices]
    assert ends == [choice.finish_reason for choice in whole.choices]
    assert [[one.token for one in row] for row in tokens] == [
        [one.token for one in choice.logprobs.content] for choice in whole.choices
    ]
    assert usage == whole.usage and chunks[0].object == "chat.completion.chunk"
    assert len(chunks) > NEW_TOKENS / 2


def test_stop_texts_end_an_answer_and_are_not_said(client: openai.OpenAI) -> None:
    free = said(client).choices[0].message.content
    assert len(free) > 4
    mark = free[3:5]
    cut = said(client, stop=[mark])
    assert cut.choices[0].message.content == free[: free.index(mark)]
    assert cut.choices[0].finish_reason == "stop"


def test_seeds_decide_what_is_drawn(client: openai.OpenAI) -> None:
    def drawn(seed: int, n: int = 1) -> list[str]:
        reply = said(client, temperature=3.0, seed=seed, n=n)
        return [choice.message.content for choice in reply.choices]

    several = drawn(1, 4)
    assert drawn(1, 4) == several and len(set(several)) == 4
    # alone or in company, a seed draws the same
    assert drawn(1) == several[:1] and drawn(2) == several[1:2]
    assert drawn(77) != several[:1]


def test_logprobs_are_the_models_own(client: openai.OpenAI, local: tuple[Task, ChatModel]) -> None:
    task, fitted = local
    (answer,) = fitted.answer(task, [{"messages": json.dumps(ASK)}])
    content = said(client, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert len(content) == len(answer.answer_ids)
    assert answer.logprob is not None
    mean = sum(one.logprob for one in content) / len(content)
    assert mean == pytest.approx(answer.logprob, abs=1e-4) or mean * len(content) == pytest.approx(
        answer.logprob, abs=1e-3
    )
    for one in content:
        assert len(one.top_logprobs) == 3
        told = [other.logprob for other in one.top_logprobs]
        assert told == sorted(told, reverse=True)
        # greedy: what was said is the likeliest
        assert one.logprob == pytest.approx(told[0], abs=1e-6)
        if one.bytes is not None:
            assert bytes(one.bytes).decode() == one.token


def test_an_answer_keeps_the_schema_that_was_asked_for(client: openai.OpenAI) -> None:
    pytest.importorskip("xgrammar", reason="the extra json is not installed")
    import jsonschema

    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["refund", "delivery"]}, "urgent": {"type": "boolean"}},
        "required": ["kind", "urgent"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": schema}}
    for changes in ({}, {"temperature": 3.0, "n": 4}):
        reply = said(client, response_format=form, max_tokens=120, **changes)
        for choice in reply.choices:
            assert choice.finish_reason == "stop"
            jsonschema.validate(json.loads(choice.message.content), schema)
    stream = said(client, response_format=form, max_tokens=120, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    jsonschema.validate(json.loads(text), schema)


def test_texts_are_gone_on_with_as_they_stand(
    client: openai.OpenAI, local: tuple[Task, ChatModel]
) -> None:
    fitted = local[1]
    prompt = "  Where is <|im_end|> it? 🎉"
    reply = client.completions.create(model="service", prompt=[prompt, "My"], n=2, logprobs=2)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    alone = client.completions.create(model="service", prompt=prompt)
    assert alone.choices[0].text == reply.choices[0].text == reply.choices[1].text
    ids = fitted.text_prompt(prompt, new_tokens=NEW_TOKENS).ids_T
    assert alone.usage is not None and alone.usage.prompt_tokens == len(ids)
    assert reply.choices[0].logprobs is not None
    assert len(reply.choices[0].logprobs.tokens or ()) == NEW_TOKENS
    stream = client.completions.create(model="service", prompt=prompt, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == alone.choices[0].text


def test_requests_that_come_together_get_what_each_gets_alone(client: openai.OpenAI) -> None:
    asks = [
        [{"role": "user", "content": text * (1 + place % 3)}] for place, text in enumerate(TALK * 3)
    ]
    alone = [said(client, messages=one).choices[0].message.content for one in asks]
    with ThreadPoolExecutor(len(asks)) as pool:
        together = list(pool.map(lambda one: said(client, messages=one), asks))
    assert [one.choices[0].message.content for one in together] == alone


def test_every_answer_is_in_the_journal_before_its_last_word(
    place: tuple[Workspace, Bundle, Server], client: openai.OpenAI
) -> None:
    reply = said(client, n=2)
    ids = [choice.prediction for choice in reply.choices]
    stream = list(said(client, stream=True))
    ids.append(stream[-1].choices[0].prediction)
    texts = [choice.message.content for choice in reply.choices]
    texts.append("".join(chunk.choices[0].delta.content or "" for chunk in stream))
    with ledger_of(place[0]) as ledger:
        for id, text in zip(ids, texts, strict=True):
            kept = find_prediction(ledger, id)
            assert kept is not None and kept.text == text and kept.version == "service-1"
            assert kept.inputs is not None
            turns = json.loads(kept.inputs["messages"])
            assert [turn["content"] for turn in turns] == ["Be kind.", TALK[0]]
            assert kept.scores["completion_tokens"] == NEW_TOKENS or kept.scores["finished"]


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"logit_bias": {"1": 2}}, "parameter-refused", "logit_bias"),
        ({"presence_penalty": 0.5}, "parameter-refused", "presence_penalty"),
        ({"tools": []}, "parameter-refused", "tools"),
        ({"top_logprobs": 2}, "parameter-refused", "top_logprobs"),
        ({"top_p": 0.5}, "parameter-refused", "top_p"),
        ({"response_format": {"type": "xml"}}, "parameter-refused", "response_format"),
        ({"max_tokens": 10_000_000}, "tokens-refused", "max_tokens"),
        ({"max_tokens": 300}, "answer-room", None),
        ({"n": 0}, "body-wrong", "n"),
        ({"temperature": "hot"}, "body-wrong", "temperature"),
        ({"stop": ["a", ""]}, "body-wrong", "stop"),
        ({"model": "other"}, "model-unknown", "model"),
        ({"messages": []}, None, None),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "chat-role-unknown", None),
        ({"messages": [{"role": "user"}]}, None, None),
        ({"messages": [*ASK, {"role": "assistant", "content": "Hi"}]}, "chat-last-turn", None),
        ({"messages": [{"role": "assistant", "content": "Hi"}, *ASK, *ASK]}, None, None),
        ({"messages": [{"role": "user", "content": "long " * 400}]}, "prompt-too-long", None),
    ],
)
def test_what_cannot_be_heeded_is_refused_by_name(
    place: tuple[Workspace, Bundle, Server],
    changes: dict[str, Any],
    code: str | None,
    param: str | None,
) -> None:
    body = {"messages": ASK} | changes
    for stream in (False, True):
        reply = httpx.post(
            f"{place[2].url}/v1/chat/completions",
            json=body | ({"stream": True} if stream else {}),
            headers=place[2].headers,
        )
        assert 400 <= reply.status_code < 500, reply.text
        told = reply.json()
        assert told["error"]["type"] == "invalid_request_error" and told["error"]["message"]
        assert told["error"]["code"] == told["code"]
        if code is not None:
            assert told["code"] == code, told
        if param is not None:
            assert told["error"]["param"] == param


def test_the_client_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="logit_bias") as caught:
        said(client, logit_bias={"1": 2})
    assert caught.value.code == "parameter-refused" and caught.value.param == "logit_bias"
    with pytest.raises(openai.NotFoundError, match="no model of that name"):
        said(client, model="other")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=str(client.base_url), api_key="wrong", max_retries=0).models.list()
    assert "service" in [model.id for model in client.models.list()]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"\xff", b'{"messages": "Hi"}', b'{"messages": [1]}']
)
def test_a_body_that_is_no_request_is_told_so(
    place: tuple[Workspace, Bundle, Server], body: bytes
) -> None:
    reply = httpx.post(
        f"{place[2].url}/v1/chat/completions", content=body, headers=place[2].headers
    )
    assert reply.status_code in (400, 422), reply.text
    assert reply.json()["error"]["code"] == reply.json()["code"]


def test_who_goes_away_is_not_written_for(
    place: tuple[Workspace, Bundle, Server], client: openai.OpenAI
) -> None:
    """Clients that hang up in the middle of long answers leave the line free for the next."""
    started = time.monotonic()
    said(client, max_tokens=150, n=16)
    whole = time.monotonic() - started
    host, port = place[2].url.removeprefix("http://").split(":")
    body = json.dumps({"messages": ASK, "stream": True, "max_tokens": 150, "n": 16}).encode()
    for _ in range(8):
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n"
                b"Authorization: Bearer %s\r\n\r\n%s" % (len(body), TOKEN.encode(), body)
            )
            assert b"200 OK" in raw.recv(4096)
    started = time.monotonic()
    reply = said(client, max_tokens=1, timeout=60)
    assert reply.usage.completion_tokens == 1
    # not the eight times as long that writing for all of them takes
    assert time.monotonic() - started < 4 * whole
    assert "Traceback" not in place[2].log(), place[2].log()[-3000:]


def test_a_chat_is_also_a_prediction(
    place: tuple[Workspace, Bundle, Server], local: tuple[Task, ChatModel]
) -> None:
    task, fitted = local
    rows = [{"messages": json.dumps([{"role": "user", "content": text}])} for text in TALK]
    wanted = fitted.answer(task, rows)
    reply = httpx.post(
        f"{place[2].url}/v1/predictions", json={"inputs": rows}, headers=place[2].headers
    )
    assert reply.status_code == 200, reply.text
    predictions = reply.json()["predictions"]
    assert [one["text"] for one in predictions] == [one.text for one in wanted]
    assert [one["usage"]["prompt_tokens"] for one in predictions] == [
        len(one.prompt_ids) for one in wanted
    ]
    assert {one["start"] for one in predictions} == {None}


@pytest.mark.parametrize("model_type", ["t5", "bart", "gpt2"])
def test_other_architectures_answer_alike(tmp_path: Path, model_type: str) -> None:
    """A generated answer to a question: as a prediction, and as a chat of its one prompt."""
    task = chat_task(
        name="answers", kind="qa", inputs=("question",), label="answer", instruction=""
    )
    workspace = make_workspace(tmp_path / "burnish")
    bundle = text_bundle(workspace, task, writer_base(tmp_path / "cache", model_type))
    with ledger_of(workspace) as ledger:
        promote(ledger, bundle, **WHO)
    fitted = open_text_bundle(workspace.bundles / bundle.id).fitted
    (wanted,) = fitted.answer(task, [{"question": TALK[0]}])
    with server_on(workspace, task=task) as server:
        reply = httpx.post(
            f"{server.url}/v1/predictions", json={"inputs": TALK[0]}, headers=server.headers
        )
        (told,) = reply.json()["predictions"]
        assert (told["text"], told["finish_reason"]) == (
            wanted.text,
            "stop" if wanted.finished else "length",
        )
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0)
        chat = said(client, model="answers-1")
        assert chat.choices[0].message.content == wanted.text
        assert chat.usage.prompt_tokens == len(wanted.prompt_ids)
        stream = said(client, model="answers", stream=True)
        assert "".join(one.choices[0].delta.content or "" for one in stream) == wanted.text


def test_pieces_of_a_context_come_with_their_place(tmp_path: Path) -> None:
    task = span_task()
    workspace = make_workspace(tmp_path / "burnish")
    bundle = text_bundle(workspace, task, span_folder(tmp_path / "cache"), max_tokens=48)
    with ledger_of(workspace) as ledger:
        promote(ledger, bundle, **WHO)
    contexts = [
        "Ada lives in Paris. ",
        "🎉 ï  " + "Bob lives in   Rome,\r\n\tand Ada in Paris. " * 60,
        "no answer here",
    ]
    rows = [{"question": "Where does Ada live?", "context": context} for context in contexts]
    fitted = open_text_bundle(workspace.bundles / bundle.id).fitted
    wanted = fitted.answer(task, rows)
    with server_on(workspace, task=task) as server:
        reply = httpx.post(
            f"{server.url}/v1/predictions", json={"inputs": rows}, headers=server.headers
        )
        assert reply.status_code == 200, reply.text
        for told, row, one in zip(reply.json()["predictions"], rows, wanted, strict=True):
            assert told["text"] == one.text and told["start"] == one.start
            assert told["confidence"] == pytest.approx(one.confidence, abs=1e-4)
            if told["start"] is not None:
                # characters of the text exactly as it was sent
                assert row["context"][told["start"] : told["end"]] == told["text"]
        assert any(one.start is not None for one in wanted)
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0)
        with pytest.raises(openai.UnprocessableEntityError, match="/v1/predictions"):
            said(client, model="towns")
        long = {"question": "why " * 60, "context": contexts[0]}
        reply = httpx.post(
            f"{server.url}/v1/predictions", json={"inputs": [*rows, long]}, headers=server.headers
        )
        assert (reply.status_code, reply.json()["code"]) == (422, "question-too-long")
