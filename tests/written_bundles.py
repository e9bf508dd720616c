"""For tests: published bundles of models that answer with texts, fresh from their seeds."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

from burnish.deploy.bundle import make_bundle
from burnish.deploy.engine import load_text_engine
from burnish.models.pretrained import open_pretrained
from burnish.records.decoding import Decoding
from burnish.records.deployment import Bundle
from burnish.records.task import Task
from burnish.store.workspace import Workspace
from deployed import AT
from span_models import span_base

TALK = (
    "My order has not arrived. Where is it?",
    "I am sorry to hear that; your parcel is on its way.",
    "Can I have my money back? Überweisung, 返金, 🎉",
    'Yes: {"name": "Ada", "age": 36}',
)
NEW_TOKENS = 24


def chat_task(**changes: object) -> Task:
    """A task of conversations."""
    fields: dict[str, object] = {
        "name": "service",
        "kind": "chat",
        "inputs": ("messages",),
        "label": "messages",
        "primary_metric": "chrf",
        "instruction": "Be kind.",
        "decoding": Decoding(max_new_tokens=NEW_TOKENS),
    }
    return Task.model_validate(fields | changes)


@cache
def writer_base(cache_folder: Path, model_type: str = "llama") -> Path:
    """A tiny base that writes, with words of the talk."""
    base = open_pretrained(
        f"tiny:{model_type}", cache=cache_folder, texts=lambda: TALK, announce=lambda line: None
    )
    return base.folder


def text_bundle(workspace: Workspace, task: Task, base: Path, *, max_tokens: int = 256) -> Bundle:
    """A bundle whose model is the base itself."""
    engine = "span" if task.finds else "writer"
    fitted = load_text_engine(base, task, engine=engine, precision="fp32", max_tokens=max_tokens)
    example = {name: TALK[place % len(TALK)] for place, name in enumerate(task.inputs)}
    if task.inputs == ("messages",):
        example = {"messages": '[{"role":"user","content":"Hi"}]'}

    def write(folder: Path) -> None:
        for path in base.iterdir():
            if path.name != "manifest.json":
                shutil.copyfile(path, folder / path.name)
        codec = getattr(fitted, "codec", None)
        if codec is not None and codec.template is not None:
            (folder / "chat_template.jinja").write_text(codec.template.text, encoding="utf-8")

    return make_bundle(
        task,
        fitted,
        model_folder_writer=write,
        workspace=workspace,
        engine=engine,
        run_id=None,
        dataset_id="d" * 16,
        report_id="e" * 16,
        golden_inputs=[example],
        precision="fp32",
        max_tokens=max_tokens,
        card="# Card\n",
        at=AT,
        verdict="passed",
    )


@cache
def span_folder(cache_folder: Path) -> Path:
    """A tiny encoder with a span head, both fresh."""
    import torch
    from transformers import AutoModelForQuestionAnswering

    base = span_base(cache_folder).folder
    folder = cache_folder / "with-a-head"
    shutil.copytree(base, folder)
    torch.manual_seed(3)
    AutoModelForQuestionAnswering.from_pretrained(base).save_pretrained(folder)
    return folder
