"""vLLM as the one who computes: which versions it can run, which weights and adapters it holds, and the proof that it
reads and writes what they were trained to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from burnish.deploy.adapter import ADAPTER_FOLDER, read_adapter
from burnish.deploy.golden import GOLDEN_FILE, ids_differ, read_golden
from burnish.deploy.host import Hosted
from burnish.deploy.vllm_chat import VllmChat
from burnish.deploy.vllm_http import Address, Refused, ask
from burnish.deploy.vllm_process import (
    SERVED,
    VllmProcess,
    VllmSettings,
    Weights,
    start_vllm,
)
from burnish.errors import BurnishError, fail
from burnish.records.deployment import Bundle
from burnish.records.task import Task

# What vLLM takes as --max-lora-rank.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
_LOAD_SECONDS = 600.0
_MOST_TEMPERATURE = 2.0
# Largest difference of an answer's log-probability to the one at making, nats a token. Other kernels, other order of sums:
# measured 2026-11-23 (LOG.md).
TOLERANCE = {"fp32": 0.005, "bf16": 0.05}


@dataclass(slots=True, eq=False)
class Vllm:
    """The vLLM processes of one server, each once. With `find`, the verified folder of a base by its digest, versions that
    have an adapter stand on their base; without, every version has weights of its own.

    One thread opens and lets go; what was handed out goes on answering until its process is let go.
    """

    settings: VllmSettings
    key: str
    find: Callable[[str], Path | None] | None = None
    hurried: Event = field(default_factory=Event)
    held: dict[Weights, VllmProcess] = field(default_factory=dict[Weights, VllmProcess])

    # a version in shadow would need a process, and room for weights, of its own
    opens_shadows = False

    def open(self, folder: Path, task: Task, bundle: Bundle) -> Hosted:
        """A verified bundle behind vLLM, started if no process has its weights yet.

        Raises: vllm-refused, vllm-failed, golden-ids-differ where its tokenizer reads the golden rows otherwise, golden-broken.
        """
        refuse_unfit(folder, task, bundle)
        weights, adapter = self.weights_of(folder, bundle)
        process = self.held.get(weights)
        if process is not None and not process.healthy:
            self._drop(weights)
            process = None
        if process is None:
            process = start_vllm(self.settings, weights, key=self.key, stopped=self.hurried.is_set)
            self.held[weights] = process
        name = SERVED
        if adapter is not None:
            name = bundle.id
            if name not in process.adapters:
                load_adapter(process.address, name, adapter)
                process.adapters.add(name)
        chat = self._chat(folder, task, bundle, process.address, name, adapter or folder)
        _check_tokens(chat, folder)
        return Hosted(chat, weights, adapter is not None, TOLERANCE[bundle.precision])

    def keep(self, used: Collection[Hashable]) -> None:
        """Let go of what no version stands on any more."""
        for weights in [one for one in self.held if one not in used]:
            self._drop(weights)

    def broken(self) -> set[Hashable]:
        """What does not answer any more."""
        return {weights for weights, process in self.held.items() if not process.healthy}

    def hurry(self) -> None:
        """End what is starting."""
        self.hurried.set()

    def stop(self) -> None:
        """End every process."""
        self.keep(())

    def _drop(self, weights: Weights) -> None:
        self.held.pop(weights).stop()

    def weights_of(self, folder: Path, bundle: Bundle) -> tuple[Weights, Path | None]:
        """What the process of this bundle holds, and the adapter to be put on it."""
        adapter = read_adapter(folder)
        base = self.find(adapter.base_sha256) if adapter is not None and self.find else None
        tuned = folder / ADAPTER_FOLDER
        rank = _rank(tuned) if base is not None else None
        if base is None or rank is None:
            return Weights(folder, bundle.precision, bundle.max_tokens), None
        wanted = Weights(base, bundle.precision, bundle.max_tokens, rank)
        # a base that is held with room for larger adapters and longer prompts has room for this one
        return next((one for one in self.held if one.holds(wanted)), wanted), tuned

    def _chat(
        self, folder: Path, task: Task, bundle: Bundle, address: Address, name: str, own: Path
    ) -> VllmChat:
        from burnish.models.chat_model import OWN, open_codec

        codec = open_codec(
            folder,
            max_tokens=bundle.max_tokens,
            new_tokens=task.decoding.max_new_tokens,
            template=OWN,
            truncate=task.truncate,
        )
        size = sum(path.stat().st_size for path in own.glob("*.safetensors"))
        return VllmChat(codec, address, name, size, self.settings.answer_seconds)


def refuse_unfit(folder: Path, task: Task, bundle: Bundle) -> None:
    """Refuse versions that vLLM does not run as ours do.

    Raises: vllm-refused.
    """
    if bundle.engine != "writer":
        raise _unfit(f'the version is run by "{bundle.engine}"', "a version whose model writes")
    from burnish.models.family import model_type_of
    from burnish.models.writer_family import writer_family_of

    model_type = model_type_of(folder)
    if writer_family_of(model_type).PEFT_TASK == "SEQ_2_SEQ_LM":
        raise _unfit(f'"{model_type}" is an encoder-decoder', "a decoder (GPT-2, LLaMA, Qwen...)")
    if task.decoding.beams > 1:
        raise _unfit(f"the task decodes with beams = {task.decoding.beams}", "beams = 1")
    if task.decoding.temperature > _MOST_TEMPERATURE:
        raise _unfit(
            f"the task decodes with temperature = {task.decoding.temperature:g}",
            f"at most {_MOST_TEMPERATURE:g}",
        )


def load_adapter(address: Address, name: str, folder: Path) -> None:
    """Put an adapter on the weights that a vLLM holds.

    Raises: vllm-failed.
    """
    body = {"lora_name": name, "lora_path": str(folder)}
    try:
        ask(address, "/v1/load_lora_adapter", body, seconds=_LOAD_SECONDS)
    except Refused as error:
        raise fail(
            "vllm-failed",
            f"vLLM does not take the adapter: {error}",
            expected="a LoRA adapter of linear layers",
            fix="serve without --also, so that merged weights are used, or with --engine torch",
        ) from error


def _rank(adapter: Path) -> int | None:
    """The smallest --max-lora-rank that holds the adapter; None for one that vLLM does not run (DoRA)."""
    try:
        config = json.loads((adapter / "adapter_config.json").read_bytes())
        if config.get("use_dora"):
            return None
        wanted = max([int(config["r"]), *config.get("rank_pattern", {}).values()])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return next((rank for rank in _RANKS if rank >= wanted), None)


def _check_tokens(chat: VllmChat, folder: Path) -> None:
    """Hold vLLM's tokenizer to the version's own on the texts of the golden prompts.

    Our prompts go there as tokens, and this says that the tokens mean the same words. Control tokens that a person wrote
    are text to us and marks to a plain tokenizer: the plain one is compared with the plain one.
    """
    tokenizer = chat.codec.tokeniser.tokenizer
    for place, row in enumerate(read_golden(folder)):
        text = tokenizer.decode(list(row.ids), skip_special_tokens=False)
        ours = tuple(tokenizer.encode(text, add_special_tokens=False).ids)
        theirs = chat.tokens_of(text)
        if ours != theirs:
            raise BurnishError((ids_differ(f"{GOLDEN_FILE} line {place + 1}", ours, theirs),))


def _unfit(what: str, expected: str) -> BurnishError:
    return fail("vllm-refused", what, expected=expected, fix="serve it with --engine torch")
