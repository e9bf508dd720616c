"""What journalling and watching cost: rows journalled a second, then one `monitor` over all of them.

    python benchmarks/monitor_cost.py --rows 1000000
    python benchmarks/monitor_cost.py --rows 20000 --base

The version is the majority engine on three labels, so that nothing but journal and signals is measured; with `--base` a
sample of each window goes through the default base model. Memory is the peak of this process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from burnish.edge import cache_folder
from burnish.monitor.watch import watch
from burnish.records.deployment import Prediction
from burnish.records.example import input_id
from burnish.records.recipe import Recipe
from burnish.store.journal import journal
from support_task import LABELS
from watched_scene import Scene, task_of

BATCH = 2000
START = datetime(2026, 11, 1, tzinfo=UTC)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--base", action="store_true", help="embed a sample of each window")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        started = time.perf_counter()
        fill(scene, chosen.rows)
        seconds = time.perf_counter() - started
        files = scene.ledger.path.parent.glob(f"{scene.ledger.path.name}*")
        size = sum(path.stat().st_size for path in files) / 1e6
        print(
            f"journal: {chosen.rows:,} rows in {seconds:.1f} s, {chosen.rows / seconds:,.0f} a second, {size:,.0f} MB"
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        started = time.perf_counter()
        found = watch(
            task_of(),
            scene.workspace,
            scene.ledger,
            deployment=scene.live,
            embed=embedding() if chosen.base else None,
            seed=1,
            now=lambda: START.isoformat(),
            announce=print,
        )
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"monitor: {len(found.judged)} windows in {seconds:.1f} s; peak memory {before:.0f} MB before, {after:.0f} MB after"
        )


def fill(scene: Scene, rows: int) -> None:
    """Journal so many answers, in batches, some seconds apart."""
    random = np.random.default_rng(1)
    for start in range(0, rows, BATCH):
        shares = random.dirichlet((6.0, 3.0, 1.0), size=min(BATCH, rows - start))
        given = []
        for place, share in enumerate(shares):
            number = start + place
            inputs = {"text": f"question {number} about {LABELS[number % 3]}"}
            best = int(share.argmax())
            given.append(
                Prediction(
                    id=f"{number:016x}",
                    version=scene.live.version,
                    input_id=input_id(inputs),
                    inputs=inputs,
                    labels=(LABELS[best],),
                    confidence=float(share[best]),
                    scores=dict(zip(LABELS, map(float, share), strict=True)),
                    latency_ms=float(5 + number % 11),
                    audit=number % 100 == 0,
                    at=(START + timedelta(seconds=number)).isoformat(timespec="milliseconds"),
                )
            )
        journal(scene.ledger, given)


def embedding():
    """The default base model's vectors."""
    from burnish.models.embed import load_embedder
    from burnish.models.source import fetch_base

    recipe = Recipe()
    base = fetch_base(recipe.base, cache=cache_folder(), announce=print)
    embedder = load_embedder(base.folder, max_tokens=recipe.max_tokens)
    return lambda texts: embedder.vectors(embedder.encode(texts))


if __name__ == "__main__":
    main()
