"""For tests: bundles of models tuned with adapters on one tiny base, as training leaves them: merged, the adapter beside."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from burnish.deploy.adapter import write_adapter
from burnish.deploy.bundle import make_bundle
from burnish.encode.chat_template import TEMPLATE_FILE
from burnish.models.adapters import merge_lora
from burnish.models.cached_base import BaseModel
from burnish.models.chat_model import open_chat_model
from burnish.models.pretrained import open_pretrained
from burnish.models.writer import choose_method, new_writer, save_writer
from burnish.records.deployment import Adapter, Bundle
from burnish.records.recipe import Recipe
from burnish.records.task import Task
from burnish.store.workspace import Workspace
from deployed import AT
from written_bundles import TALK

MAX_TOKENS = 256


@cache
def adapter_base(cache_folder: Path, model_type: str) -> BaseModel:
    """A tiny base that writes, as it rests in the cache."""
    return open_pretrained(
        f"tiny:{model_type}", cache=cache_folder, texts=lambda: TALK, announce=lambda line: None
    )


def adapted_bundle(
    workspace: Workspace,
    task: Task,
    base: BaseModel,
    *,
    seed: int,
    method: str = "lora",
    precision: Literal["fp32", "bf16"] = "fp32",
) -> Bundle:
    """A bundle of the base with an adapter drawn from `seed`, merged."""
    recipe = Recipe.model_validate({"base": base.spec, "method": method})
    writer = new_writer(base.folder, recipe=recipe)
    choose_method(writer, recipe)
    draws = torch.Generator().manual_seed(seed)
    for name, parameter in writer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3, generator=draws)
    with tempfile.TemporaryDirectory() as scratch:
        adapter, model = Path(scratch, "adapter"), Path(scratch, "model")
        writer.model.save_pretrained(str(adapter), save_embedding_layers=False)  # pyright: ignore
        writer.model = merge_lora(writer.model)
        shutil.copytree(base.folder, model, ignore=shutil.ignore_patterns("manifest.json"))
        save_writer(writer, model, stop_ids=writer.end_ids)
        fitted = open_chat_model(
            model,
            precision=precision,
            max_tokens=MAX_TOKENS,
            new_tokens=task.decoding.max_new_tokens,
        )

        def write(folder: Path) -> None:
            shutil.copytree(model, folder, dirs_exist_ok=True)
            if fitted.codec.template is not None:
                (folder / TEMPLATE_FILE).write_text(fitted.codec.template.text, encoding="utf-8")
            stands_on = Adapter(base=base.spec, base_sha256=base.sha256)
            write_adapter(adapter, folder, adapter=stands_on)

        return make_bundle(
            task,
            fitted,
            model_folder_writer=write,
            workspace=workspace,
            engine="writer",
            run_id=None,
            dataset_id="d" * 16,
            report_id=f"{seed:016x}",
            golden_inputs=[{"messages": '[{"role":"user","content":"Hi"}]'}],
            precision=precision,
            max_tokens=MAX_TOKENS,
            card="# Card\n",
            at=AT,
            verdict="passed",
        )
