"""Several versions on one base in memory: each answers as it does alone, and a request names the one it wants."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from adapted_bundles import adapted_bundle, adapter_base
from burnish.deploy.adapter import cached_bases, read_adapter
from burnish.deploy.bundle import open_text_bundle
from burnish.deploy.deployments import promote
from burnish.errors import BurnishError
from burnish.models.chat_model import ChatModel
from burnish.models.fitted_text import TextAnswer
from burnish.models.shared_base import own_bytes
from burnish.models.writer import writer_bytes
from burnish.records.deployment import Bundle
from burnish.store.journal import find_prediction
from burnish.store.workspace import Workspace
from burnish.tasks.kind import writing_kind_of
from deployed import TOKEN, WHO, Server, forge, ledger_of, make_workspace, server_on
from written_bundles import TALK, chat_task

TASK = chat_task()
ASKS: list[list[Any]] = [[{"role": "user", "content": text}] for text in TALK]


def answers_of(model: Any) -> list[str]:
    """What a model writes to each of the asks."""
    return [one.text for one in model.answer(TASK, [{"messages": json.dumps(a)} for a in ASKS])]


def surprise_of(model: Any) -> list[float]:
    """How unlikely a model finds one text after each of the asks."""
    ids = (5, 6, 7, 8, 9)
    prompts = [model.codec.prompt(kind_of_chat(ask)).ids_T.tolist() for ask in ASKS]
    return model.surprise(
        [TextAnswer("", prompt_ids=tuple(one), answer_ids=ids) for one in prompts]
    )


def kind_of_chat(ask: list[Any]) -> Any:
    """The messages that the kind asks a model with."""
    return writing_kind_of(TASK).prompt(TASK, {"messages": json.dumps(ask)})


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace with three versions on one base, the first live, and a server that holds two of them beside it."""

    workspace: Workspace
    bundles: tuple[Bundle, ...]
    cache: Path
    server: Server

    def alone(self, number: int) -> list[str]:
        """What a version writes with weights of its own."""
        return answers_of(
            open_text_bundle(self.workspace.bundles / self.bundles[number - 1].id).fitted
        )

    def client(self) -> openai.OpenAI:
        """OpenAI's own."""
        return openai.OpenAI(base_url=f"{self.server.url}/v1", api_key=TOKEN, max_retries=0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("adapters")
    workspace, cache = make_workspace(root / "burnish"), root / "cache"
    base = adapter_base(cache, "llama")
    bundles = tuple(adapted_bundle(workspace, TASK, base, seed=seed) for seed in (1, 2, 3))
    with ledger_of(workspace) as ledger:
        promote(ledger, bundles[0], **WHO)
        for bundle in bundles[1:]:
            promote(ledger, bundle, stage="shadow", **WHO)
    also = ("service-1", "service-2")
    with server_on(workspace, task=TASK, also=also, cache=cache) as server:
        yield Place(workspace, bundles, cache, server)


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "t5", "bart"])
@pytest.mark.parametrize("method", ["lora", "dora", "rslora"])
def test_on_a_shared_base_each_version_answers_as_alone(
    tmp_path: Path, model_type: str, method: str
) -> None:
    base = adapter_base(tmp_path / "cache", model_type)
    workspace = make_workspace(tmp_path / "burnish")
    bundles = [adapted_bundle(workspace, TASK, base, seed=s, method=method) for s in (1, 2)]
    bases = cached_bases(tmp_path / "cache")
    shared = [open_text_bundle(workspace.bundles / one.id, host=bases) for one in bundles]
    assert all(one.shares_base for one in shared) and len(bases.held) == 1
    (held,) = bases.held.values()
    alone = [open_text_bundle(workspace.bundles / one.id).fitted for one in bundles]
    assert [answers_of(one.fitted) for one in shared] == [answers_of(one) for one in alone]
    nats = [surprise_of(one) for one in alone]
    assert [surprise_of(one.fitted) for one in shared] == [pytest.approx(n, abs=5e-3) for n in nats]
    assert nats[0] != pytest.approx(nats[1], abs=1e-2)
    for one in shared:
        assert isinstance(one.fitted, ChatModel)
        # the base's weights are the very same tensors: only the adapter is a version's own
        assert own_bytes(one.fitted.writer, held) < writer_bytes(held) / 2
    bases.keep(())
    assert not bases.held


def test_a_request_names_the_version_that_answers_it(place: Place) -> None:
    client = place.client()
    wanted = {f"service-{n}": place.alone(n) for n in (1, 2)}
    assert wanted["service-1"] != wanted["service-2"]
    asks = [(version, at) for at in range(len(ASKS)) for version in wanted] * 3

    def ask(one: tuple[str, int]) -> Any:
        return client.chat.completions.create(model=one[0], messages=ASKS[one[1]])

    with ThreadPoolExecutor(len(asks)) as pool:
        replies = list(pool.map(ask, asks))
    for (version, at), reply in zip(asks, replies, strict=True):
        assert reply.model == version
        assert reply.choices[0].message.content == wanted[version][at]
    # the journal knows which version said it
    with ledger_of(place.workspace) as ledger:
        kept = [find_prediction(ledger, reply.choices[0].prediction) for reply in replies]
    assert [one.version for one in kept if one] == [version for version, _ in asks]
    # the task's name, and no name at all, mean the live version
    by_task = client.chat.completions.create(model="service", messages=ASKS[0])
    assert (by_task.model, by_task.choices[0].message.content) == (
        "service-1",
        wanted["service-1"][0],
    )


def test_streams_completions_and_predictions_take_the_name_too(place: Place) -> None:
    client = place.client()
    pieces = list(client.chat.completions.create(model="service-2", messages=ASKS[0], stream=True))
    assert {one.model for one in pieces} == {"service-2"}
    text = "".join(one.choices[0].delta.content or "" for one in pieces if one.choices)
    assert text == place.alone(2)[0]
    assert client.completions.create(model="service-2", prompt="My").model == "service-2"
    reply = httpx.post(
        f"{place.server.url}/v1/predictions",
        headers={"Authorization": f"Bearer {TOKEN}"},
        json={"inputs": {"messages": json.dumps(ASKS[0])}, "model": "service-2"},
        timeout=60,
    ).json()
    assert reply["predictions"][0]["text"] == place.alone(2)[0]
    assert reply["version"] == "service-2"


def test_the_list_of_models_says_who_shares(place: Place) -> None:
    listed = {one.id: one.model_dump() for one in place.client().models.list()}
    assert [listed[f"service-{n}"]["shares_base"] for n in (1, 2, 3)] == [True, True, False]
    assert listed["service-2"]["inputs"] == ["messages"]


def test_a_version_that_is_not_held_is_not_known(place: Place) -> None:
    with pytest.raises(openai.NotFoundError, match="no model of that name") as caught:
        place.client().chat.completions.create(model="service-3", messages=ASKS[0])
    problem: Any = caught.value.response.json()
    assert "service-1, service-2" in json.dumps(problem)
    assert "--also" in json.dumps(problem)


def test_a_damaged_adapter_answers_nobody_and_the_others_go_on(
    place: Place, tmp_path: Path
) -> None:
    root = tmp_path / "burnish"
    shutil.copytree(place.workspace.root, root)
    workspace = make_workspace(root)
    broken = workspace.bundles / place.bundles[1].id / "adapter/adapter_model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1] + b"\x00")
    with server_on(workspace, task=TASK, also=("service-2",), cache=place.cache) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0)
        with pytest.raises(openai.InternalServerError, match="bundle-tampered"):
            client.chat.completions.create(model="service-2", messages=ASKS[0])
        good = client.chat.completions.create(model="service", messages=ASKS[0])
        assert good.choices[0].message.content == place.alone(1)[0]


def test_an_adapter_that_is_not_that_of_the_merged_weights_is_found_by_the_golden_rows(
    place: Place,
) -> None:
    first, second = (place.workspace.bundles / one.id for one in place.bundles[:2])
    name = "adapter/adapter_model.safetensors"
    forged = forge(place.workspace, place.bundles[0], {name: (second / name).read_bytes()})
    folder = place.workspace.bundles / forged.id
    try:
        # alone the merged weights answer, and they are right
        assert answers_of(open_text_bundle(folder).fitted) == place.alone(1)
        with pytest.raises(BurnishError) as caught:
            open_text_bundle(folder, host=cached_bases(place.cache))
        assert {one.code for one in caught.value.problems} == {"golden-texts-differ"}
    finally:
        shutil.rmtree(folder)
    assert read_adapter(first) is not None


def test_without_its_base_a_version_answers_with_weights_of_its_own(
    place: Place, tmp_path: Path
) -> None:
    folder = place.workspace.bundles / place.bundles[0].id
    opened = open_text_bundle(folder, host=cached_bases(tmp_path / "empty"))
    assert not opened.shares_base
    assert answers_of(opened.fitted) == place.alone(1)
    # a base that is not whole is as good as none
    cache = tmp_path / "cache"
    shutil.copytree(place.cache, cache)
    (weights,) = cache.glob("tiny-llama-*/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    assert not open_text_bundle(folder, host=cached_bases(cache)).shares_base
