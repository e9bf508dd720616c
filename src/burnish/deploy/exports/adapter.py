"""The adapter alone, in peft's layout, for whoever has its base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from burnish.deploy.adapter import ADAPTER_FOLDER, read_adapter
from burnish.deploy.export import Rescored, Source, refused
from burnish.deploy.exports_plain import plain_writer, reads_as_golden, versions_of, writer_score
from burnish.encode.chat_template import TEMPLATE_FILE
from burnish.errors import fail
from burnish.models.classifier import copy_tokenizer

WEIGHTS: Sequence[str] = ("f32",)
_CONFIG = "adapter_config.json"
_HUB = "hub:"


def write(source: Source, target: Path) -> str:
    """Copy adapter, tokenizer and template; the base is named as it was asked for, never by a path of this machine.

    Raises: export-refused.
    """
    adapter = read_adapter(source.folder)
    if adapter is None:
        raise refused(
            source, "adapter", takes="a model that writes, tuned with lora, dora or rslora"
        )
    for path in sorted((source.folder / ADAPTER_FOLDER).iterdir()):
        if path.name != _CONFIG:
            shutil.copyfile(path, target / path.name)
    config = json.loads((source.folder / ADAPTER_FOLDER / _CONFIG).read_text(encoding="utf-8"))
    name, _, revision = adapter.base.removeprefix(_HUB).partition("@")
    on_hub = adapter.base.startswith(_HUB)
    config["base_model_name_or_path"] = name if on_hub else adapter.base
    config["revision"] = revision or None if on_hub else None
    text = json.dumps(config, indent=2, sort_keys=True)
    (target / _CONFIG).write_text(f"{text}\n", encoding="utf-8")
    copy_tokenizer(source.folder, target)
    if (source.folder / TEMPLATE_FILE).is_file():
        shutil.copyfile(source.folder / TEMPLATE_FILE, target / TEMPLATE_FILE)
    auto = f"AutoModelFor{'Seq2SeqLM' if 'SEQ_2_SEQ' in config['task_type'] else 'CausalLM'}"
    return (
        f"An adapter for `{adapter.base}` (digest of its files `{adapter.base_sha256[:16]}`); `BASE` is that model:\n\n"
        "```python\n"
        "from peft import PeftModel\n"
        f"from transformers import {auto}\n\n"
        f'model = PeftModel.from_pretrained({auto}.from_pretrained("BASE"), "FOLDER")\n```'
    )


def rescore(source: Source, target: Path) -> Rescored:
    """Read with plain transformers and peft, on the base.

    Raises: export-refused when the base is not here.
    """
    from burnish.models.adapters import load_adapter

    adapter = read_adapter(source.folder)
    base = source.base_folder(adapter.base_sha256) if adapter is not None else None
    if adapter is None or base is None:
        name = adapter.base if adapter is not None else "its base"
        raise fail(
            "export-refused",
            f"{name} is not in the cache, so the adapter cannot be asked again",
            expected="the base that the adapter was trained on",
            fix="burnish train fetches it again; or --format safetensors",
        )
    model = cast(Any, load_adapter(plain_writer(base), target)).eval()
    tools = versions_of("peft", "transformers", "torch")
    return reads_as_golden(writer_score(model), source, tools=tools)
