"""Which versions vLLM is given, and how it is called."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapted_bundles import adapted_bundle, adapter_base
from burnish.deploy.vllm import Vllm, refuse_unfit
from burnish.deploy.vllm_process import VllmSettings, Weights, command_line
from burnish.errors import BurnishError
from burnish.records.decoding import Decoding
from burnish.records.deployment import Bundle
from burnish.records.task import Task
from burnish.store.workspace import Workspace
from deployed import make_workspace, record_of
from written_bundles import chat_task, text_bundle, writer_base

TASK = chat_task()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("deploy-vllm"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def refusal(workspace: Workspace, bundle: Bundle, task: Task = TASK) -> str:
    with pytest.raises(BurnishError) as caught:
        refuse_unfit(workspace.bundles / bundle.id, task, bundle)
    (problem,) = caught.value.problems
    assert problem.code == "vllm-refused"
    assert problem.fix is not None
    assert "--engine torch" in problem.fix
    return problem.text()


def test_decoders_that_write_are_taken(workspace: Workspace, cache: Path) -> None:
    bundle = text_bundle(workspace, TASK, writer_base(cache))
    refuse_unfit(workspace.bundles / bundle.id, TASK, bundle)


def test_others_are_refused_by_name(workspace: Workspace, cache: Path) -> None:
    labels = record_of(1)
    assert 'run by "majority"' in refusal(workspace, labels)
    summary = chat_task().model_copy(update={"kind": "summarization", "inputs": ("text",)})
    t5 = text_bundle(workspace, summary, writer_base(cache, "t5"))
    assert "encoder-decoder" in refusal(workspace, t5, summary)


@pytest.mark.parametrize(
    ("decoding", "word"), [(Decoding(beams=2), "beams"), (Decoding(temperature=2.5), "temperature")]
)
def test_ways_of_decoding_that_it_has_not_are_refused(
    workspace: Workspace, cache: Path, decoding: Decoding, word: str
) -> None:
    bundle = text_bundle(workspace, TASK, writer_base(cache))
    assert word in refusal(workspace, bundle, TASK.model_copy(update={"decoding": decoding}))


def test_the_users_arguments_come_last() -> None:
    settings = VllmSettings("vllm", ("--dtype", "half"))
    line = command_line(settings, Weights(Path("m"), "bf16", 512, lora_rank=16), port=9)
    assert line[-2:] == ["--dtype", "half"]
    assert line[line.index("--dtype") + 1] == "bfloat16"
    assert line[line.index("--max-lora-rank") + 1] == "16"
    plain = command_line(settings, Weights(Path("m"), "fp32", 512), port=9)
    assert "--enable-lora" not in plain


@pytest.mark.parametrize(
    ("changes", "rank"),
    [
        ({"r": 8}, 8),
        ({"r": 9}, 16),
        ({"r": 4, "rank_pattern": {"q_proj": 100}}, 128),
        # more than vLLM takes, and a kind of adapter that it does not compute: weights of its own
        ({"r": 600}, 0),
        ({"r": 8, "use_dora": True}, 0),
    ],
)
def test_an_adapter_stands_on_its_base_where_vllm_computes_it(
    workspace: Workspace, cache: Path, changes: dict[str, Any], rank: int, tmp_path: Path
) -> None:
    base = adapter_base(cache, "llama")
    bundle = adapted_bundle(workspace, TASK, base, seed=1)
    folder = tmp_path / bundle.id
    copy_with(workspace.bundles / bundle.id, folder, changes)
    host = Vllm(VllmSettings(), "key", find=lambda digest: base.folder)
    weights, adapter = host.weights_of(folder, bundle)
    assert weights.lora_rank == rank
    assert (weights.folder, adapter is not None) == (
        (base.folder, True) if rank else (folder, False)
    )
    # without the base, and without versions beside it, the merged weights
    alone, adapter = replace(host, find=None).weights_of(folder, bundle)
    assert (alone, adapter) == (Weights(folder, "fp32", bundle.max_tokens), None)


def copy_with(source: Path, folder: Path, changes: dict[str, Any]) -> None:
    """A bundle whose adapter says something else."""
    shutil.copytree(source, folder)
    path = folder / "adapter/adapter_config.json"
    path.chmod(0o600)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
