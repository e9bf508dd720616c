"""A server whose tokens vLLM computes: the same answers, the same contract, and what happens when vLLM does not behave.

With BURNISH_VLLM set to a real vllm command these run against it, and without against a stand-in that speaks its protocol.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from adapted_bundles import adapted_bundle
from burnish.deploy.bundle import open_text_bundle
from burnish.deploy.deployments import promote
from burnish.models.chat_model import ChatModel
from burnish.records.deployment import Bundle
from burnish.records.task import Task
from burnish.store.journal import find_prediction
from burnish.store.workspace import Workspace
from deployed import TOKEN, WHO, Server, ledger_of, make_workspace, server_on
from vllm_scenes import command_of, wide_base
from written_bundles import TALK, chat_task, text_bundle

REAL = os.environ.get("BURNISH_VLLM")
# a real one compiles nothing in the tests, and is given time to start
FURTHER = ["--enforce-eager"]
PATIENCE = 900.0 if REAL else 120.0
TASK = chat_task()
ASKS: list[list[Any]] = [[{"role": "user", "content": text}] for text in TALK]

needs_real = pytest.mark.skipif(not REAL, reason="the stand-in does not do it: set BURNISH_VLLM")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command that is vLLM here."""
    if REAL:
        return REAL
    return command_of(tmp_path_factory.mktemp("stand-in"))


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace with versions on one base, the first live, and a server in front of vLLM."""

    workspace: Workspace
    bundles: tuple[Bundle, ...]
    server: Server

    def local(self, number: int) -> ChatModel:
        """A version with weights of its own in this process."""
        opened = open_text_bundle(self.workspace.bundles / self.bundles[number - 1].id).fitted
        assert isinstance(opened, ChatModel)
        return opened

    def client(self) -> openai.OpenAI:
        """OpenAI's own."""
        return openai.OpenAI(base_url=f"{self.server.url}/v1", api_key=TOKEN, max_retries=0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, command: str) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("vllm")
    workspace, cache = make_workspace(root / "burnish"), root / "cache"
    base = wide_base(cache, root / "base")
    bundles = tuple(adapted_bundle(workspace, TASK, base, seed=seed) for seed in (1, 2))
    with ledger_of(workspace) as ledger:
        promote(ledger, bundles[0], **WHO)
        promote(ledger, bundles[1], stage="shadow", **WHO)
    with server_on(
        workspace,
        task=TASK,
        also=("service-1", "service-2"),
        cache=cache,
        vllm=[command, *FURTHER],
        patience=PATIENCE,
    ) as server:
        yield Place(workspace, bundles, server)


def answers_of(model: Any, task: Task = TASK) -> list[str]:
    """What a model writes to each of the asks."""
    return [one.text for one in model.answer(task, [{"messages": json.dumps(a)} for a in ASKS])]


def vllms_of(server: Server) -> list[int]:
    """The processes of vLLM itself below a server: children of its keepers."""
    return [one for keeper in children(server.process.pid) for one in children(keeper)]


def children(parent: int) -> list[int]:
    """Process ids."""
    found: list[int] = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        found += [int(one) for one in (task / "children").read_text().split()]
    return found


def wait_for(true: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def is_ready(server: Server) -> bool:
    return httpx.get(f"{server.url}/readyz", timeout=10).status_code == 200


def test_two_adapters_on_one_base_answer_as_they_do_with_torch(place: Place) -> None:
    client = place.client()
    wanted = {f"service-{n}": answers_of(place.local(n)) for n in (1, 2)}
    assert wanted["service-1"] != wanted["service-2"]
    asks = [(version, at) for at in range(len(ASKS)) for version in wanted] * 3

    def ask(one: tuple[str, int]) -> Any:
        return client.chat.completions.create(model=one[0], messages=ASKS[one[1]])

    with ThreadPoolExecutor(len(asks)) as pool:
        replies = list(pool.map(ask, asks))
    for (version, at), reply in zip(asks, replies, strict=True):
        assert (reply.model, reply.choices[0].message.content) == (version, wanted[version][at])
    with ledger_of(place.workspace) as ledger:
        kept = [find_prediction(ledger, reply.choices[0].prediction) for reply in replies]
    assert [one.version for one in kept if one] == [version for version, _ in asks]
    # one process holds them both
    assert len(vllms_of(place.server)) == 1
    listed = {one.id: one.model_dump() for one in client.models.list()}
    assert [listed[f"service-{n}"]["shares_base"] for n in (1, 2)] == [True, True]


def test_logprobs_are_those_of_torch(place: Place) -> None:
    asked: dict[str, Any] = {"model": "service", "messages": ASKS[0]}
    reply = place.client().chat.completions.create(**asked, logprobs=True, top_logprobs=3)
    told = reply.choices[0].logprobs.content
    chat = place.local(1)
    (local,) = chat.replies(
        [chat.codec.prompt(kind_prompt(ASKS[0]))], TASK.decoding, alternatives=3
    )
    # what a chat model says includes the token that ends it
    assert len(told) == len(local.generated.ids)
    assert [one.logprob for one in told] == pytest.approx(local.generated.logprobs, abs=5e-3)
    for one, others in zip(told, local.generated.alternatives, strict=True):
        assert [alt.logprob for alt in one.top_logprobs] == pytest.approx(
            [alt.logprob for alt in others], abs=5e-3
        )
    assert reply.usage.completion_tokens == len(local.generated.ids)


def kind_prompt(ask: list[Any]) -> Any:
    from burnish.tasks.kind import writing_kind_of

    return writing_kind_of(TASK).prompt(TASK, {"messages": json.dumps(ask)})


def test_streams_are_the_answer_in_pieces(place: Place) -> None:
    client = place.client()
    whole = client.chat.completions.create(model="service-2", messages=ASKS[0])
    stream = client.chat.completions.create(
        model="service-2",
        messages=ASKS[0],
        stream=True,
        stream_options={"include_usage": True},
    )
    pieces = list(stream)
    text = "".join(one.choices[0].delta.content or "" for one in pieces if one.choices)
    assert text == whole.choices[0].message.content
    assert pieces[-1].usage == whole.usage
    reasons = [one.choices[0].finish_reason for one in pieces if one.choices]
    assert reasons[-1] == whole.choices[0].finish_reason


def test_a_stop_text_ends_the_answer_and_does_not_belong_to_it(place: Place) -> None:
    client = place.client()
    whole = client.completions.create(model="service", prompt="My order", max_tokens=24)
    text = whole.choices[0].text
    stop = text[len(text) // 2 :][:3]
    cut = client.completions.create(model="service", prompt="My order", max_tokens=24, stop=[stop])
    assert cut.choices[0].text == text[: text.index(stop)]
    assert cut.choices[0].finish_reason == "stop"


def test_drawn_answers_repeat_by_their_seed(place: Place) -> None:
    client = place.client()

    def draw(seed: int, n: int = 2) -> list[str]:
        reply = client.chat.completions.create(
            model="service", messages=ASKS[0], temperature=1.5, seed=seed, n=n, max_tokens=12
        )
        return [one.message.content for one in reply.choices]

    assert draw(7) == draw(7) != draw(8)
    # an answer is drawn by its own number, whatever company it has
    assert draw(8, n=1)[0] == draw(7)[1]


def test_predictions_take_the_same_way(place: Place) -> None:
    wanted = answers_of(place.local(2))
    reply = httpx.post(
        f"{place.server.url}/v1/predictions",
        headers={"Authorization": f"Bearer {TOKEN}"},
        json={"inputs": [{"messages": json.dumps(ask)} for ask in ASKS], "model": "service-2"},
        timeout=120,
    ).json()
    assert [one["text"] for one in reply["predictions"]] == wanted
    assert reply["version"] == "service-2"


@needs_real
def test_a_schema_holds_the_answer(place: Place) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["age"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    reply = place.client().chat.completions.create(
        model="service", messages=ASKS[0], response_format=form, max_tokens=24
    )
    assert 0 <= json.loads(reply.choices[0].message.content)["age"] <= 99


def test_a_value_that_is_none_of_its_own_is_told(place: Place) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature must be in"):
        place.client().chat.completions.create(model="service", messages=ASKS[0], temperature=3)


def test_who_goes_away_is_not_written_for(place: Place) -> None:
    client = place.client()
    stream = client.chat.completions.create(
        model="service", messages=ASKS[0], stream=True, max_tokens=150, temperature=2.0
    )
    next(iter(stream))
    stream.close()
    # the line is free for others at once
    good = client.chat.completions.create(model="service", messages=ASKS[0])
    assert good.choices[0].message.content == answers_of(place.local(1))[0]


def test_a_vllm_that_is_killed_is_started_again_and_nothing_answers_unchecked(
    place: Place,
) -> None:
    (before,) = vllms_of(place.server)
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: not is_ready(place.server), seconds=30)
    with pytest.raises(openai.InternalServerError, match="not-ready|may not answer|vllm-failed"):
        place.client().chat.completions.create(model="service", messages=ASKS[0])
    wait_for(lambda: is_ready(place.server))
    (after,) = vllms_of(place.server)
    assert after != before
    reply = place.client().chat.completions.create(model="service-2", messages=ASKS[0])
    assert reply.choices[0].message.content == answers_of(place.local(2))[0]


def test_a_server_that_is_killed_takes_its_vllm_along(tmp_path: Path, command: str) -> None:
    workspace = make_workspace(tmp_path / "burnish")
    bundle = text_bundle(workspace, TASK, wide_base(tmp_path / "cache", tmp_path / "base").folder)
    with ledger_of(workspace) as ledger:
        promote(ledger, bundle, **WHO)
    with server_on(workspace, task=TASK, vllm=[command, *FURTHER], patience=PATIENCE) as server:
        (vllm,) = vllms_of(server)
        text = httpx.post(
            f"{server.url}/v1/chat/completions",
            headers=server.headers,
            json={"messages": ASKS[0]},
            timeout=120,
        ).json()["choices"][0]["message"]["content"]
        assert text == answers_of(open_text_bundle(workspace.bundles / bundle.id).fitted)[0]
        server.process.kill()
        server.process.wait()
        wait_for(lambda: not Path(f"/proc/{vllm}").exists(), seconds=30)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("--other-tokens", "golden-ids-differ"), ("--blur=3", "golden-texts-differ")],
)
@pytest.mark.skipif(bool(REAL), reason="a real one has no such faults on demand")
def test_a_vllm_that_reads_or_writes_otherwise_never_answers(
    tmp_path: Path, command: str, fault: str, code: str
) -> None:
    workspace, base = make_workspace(tmp_path / "burnish"), tmp_path / "base"
    bundle = text_bundle(workspace, TASK, wide_base(tmp_path / "cache", base).folder)
    with ledger_of(workspace) as ledger:
        promote(ledger, bundle, **WHO)
    with server_on(workspace, task=TASK, vllm=[command, fault], ready=False) as server:
        wait_for(lambda: code in server.log(), seconds=120)
        assert not is_ready(server)
        reply = httpx.post(
            f"{server.url}/v1/chat/completions",
            headers=server.headers,
            json={"messages": ASKS[0]},
            timeout=30,
        )
        assert (reply.status_code, code in reply.text) == (503, True)


def test_a_server_that_is_stopped_does_not_wait_for_a_vllm_that_starts(
    tmp_path: Path, command: str
) -> None:
    workspace = make_workspace(tmp_path / "burnish")
    bundle = text_bundle(workspace, TASK, wide_base(tmp_path / "cache", tmp_path / "base").folder)
    with ledger_of(workspace) as ledger:
        promote(ledger, bundle, **WHO)
    slow = [command, *FURTHER, *([] if REAL else ["--sleep-at-start=600"])]
    with server_on(workspace, task=TASK, vllm=slow, ready=False) as server:
        wait_for(lambda: bool(vllms_of(server)), seconds=60)
        (vllm,) = vllms_of(server)
        assert server.stop() == 0
        assert not Path(f"/proc/{vllm}").exists()


def test_a_vllm_that_does_not_start_is_told_with_its_last_words(
    tmp_path: Path, command: str
) -> None:
    workspace = make_workspace(tmp_path / "burnish")
    bundle = text_bundle(workspace, TASK, wide_base(tmp_path / "cache", tmp_path / "base").folder)
    with ledger_of(workspace) as ledger:
        promote(ledger, bundle, **WHO)
    wrong = "--max-num-seqs=none" if REAL else "--fail-at-start"
    with server_on(workspace, task=TASK, vllm=[command, wrong], ready=False) as server:
        wait_for(lambda: "vllm-failed" in server.log(), seconds=120)
        reply = httpx.post(
            f"{server.url}/v1/chat/completions",
            headers=server.headers,
            json={"messages": ASKS[0]},
            timeout=30,
        )
        assert reply.status_code == 503
        assert "vllm-failed" in reply.text
        assert "Traceback" not in reply.text
        assert server.stop() == 0
    assert "while it started" in server.log()
