"""What is asked of vLLM to see its protocol, of a real one and of the stand-in alike.

BURNISH_VLLM=/path/to/vllm python tests/vllm_scenes.py

asks a real vLLM and writes its replies to tests/recorded/vllm.json.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from adapted_bundles import adapter_base
from burnish.deploy.vllm_http import Address, Refused, ask, events
from burnish.deploy.vllm_process import VllmSettings, Weights, start_vllm
from burnish.deploy.vllm_protocol import completion_body, surprise_body
from burnish.models.cached_base import BaseModel
from burnish.models.pretrained import open_pretrained
from burnish.records.decoding import Decoding
from written_bundles import TALK

RECORDED = Path(__file__).parent / "recorded/vllm.json"
PROMPT = [1, 50, 60, 70]
DIGITS = "root ::= [1-9] [0-9]"


def wide_base(cache: Path, scratch: Path) -> BaseModel:
    """A tiny base with heads of 32 numbers, the smallest that vLLM computes with on a CPU."""
    narrow = adapter_base(cache, "llama").folder
    shutil.copytree(narrow, scratch, ignore=shutil.ignore_patterns("manifest.json"))
    config = AutoConfig.from_pretrained(narrow, head_dim=32)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(scratch)
    return open_pretrained(
        f"folder:{scratch}", cache=cache, texts=lambda: TALK, announce=lambda line: None
    )


def command_of(folder: Path) -> str:
    """A stand-in as a command in a folder."""
    script = folder / "vllm"
    stand_in = Path(__file__).parent / "vllm_stand_in.py"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n')
    script.chmod(0o700)
    return str(script)


def settings_of(command: str) -> VllmSettings:
    """How the tests start vLLM: nothing is compiled, and little memory taken."""
    variables = {"VLLM_CPU_KVCACHE_SPACE": "1", **os.environ}
    return VllmSettings(command, ("--enforce-eager",), variables, start_seconds=900)


def streams(greedy: list[int], text: str) -> dict[str, dict[str, Any]]:
    """The streamed requests by name, given what is written greedily and the text of its third token."""

    def body(alternatives: int = 0, stop_ids: tuple[int, ...] = (2,), **decoding: Any) -> Any:
        grammar = decoding.pop("grammar", None)
        return completion_body(
            "weights",
            PROMPT,
            Decoding(**{"max_new_tokens": 6, **decoding}),
            seed=7,
            stop_ids=stop_ids,
            alternatives=alternatives,
            grammar=grammar,
        )

    return {
        "greedy": body(),
        "alternatives": body(alternatives=2),
        "stop_text": body(stop=(text,)),
        "stop_token": body(stop_ids=(2, greedy[1])),
        "drawn": body(temperature=1.0, alternatives=1),
        "grammar": body(grammar=DIGITS),
    }


def refusals() -> dict[str, dict[str, Any]]:
    """Requests that vLLM refuses."""
    hot = completion_body(
        "weights",
        PROMPT,
        Decoding(temperature=3.0),
        seed=1,
        stop_ids=(2,),
        alternatives=0,
        grammar=None,
    )
    return {"temperature": hot, "model": {**hot, "model": "nobody", "temperature": 0}}


def asked_and_told(command: str, folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every request with its reply."""
    weights = Weights(folder, "fp32", 256)
    process = start_vllm(
        settings_of(command), weights, key="key-of-the-scene", stopped=lambda: False
    )
    try:
        address = process.address
        first = _stream(address, streams([0, 0], "x")["greedy"])
        ids = [one["choices"][0]["token_ids"][0] for one in first]
        told: dict[str, Any] = {"streams": {}, "refusals": {}}
        for name, body in streams(ids, first[2]["choices"][0]["text"]).items():
            if name not in without:
                told["streams"][name] = {"asked": body, "told": _stream(address, body)}
        for name, body in refusals().items():
            told["refusals"][name] = {"asked": body, "told": _refusal(address, body)}
        body = surprise_body("weights", PROMPT)
        told["surprise"] = {
            "asked": body,
            "told": ask(address, "/v1/completions", body, seconds=60),
        }
        text = {"model": "weights", "prompt": "Where is it?", "add_special_tokens": False}
        told["tokenize"] = {"asked": text, "told": ask(address, "/tokenize", text, seconds=60)}
        return told
    finally:
        process.stop()


def _stream(address: Address, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(events(address, "/v1/completions", body, seconds=60))


def _refusal(address: Address, body: Mapping[str, Any]) -> str:
    try:
        _stream(address, body)
    except Refused as error:
        return str(error)
    raise AssertionError("nothing was refused")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        base = wide_base(Path(scratch, "cache"), Path(scratch, "base"))
        found = asked_and_told(os.environ["BURNISH_VLLM"], base.folder)
    RECORDED.write_text(json.dumps(found, indent=1, ensure_ascii=True) + "\n")
