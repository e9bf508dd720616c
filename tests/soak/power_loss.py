"""Simulate power losses at every moment of every kind of durable act, and check what is found after each.

    python tests/soak/power_loss.py --states 100000

tests/crash_disk.py says what a power loss may leave, tests/crash_scenes.py what must be found then. A tenth of the
states goes to whole trainings; every RESUME_EVERY-th of those is trained on from and must end in the same bytes.
Exit code 1 at the first state that is wrong, with its number: the same seed finds it again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from crash_scenes import SCENES, in_memory, survive, training_scene

RESUME_EVERY = 20


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--states", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    states = distinct = 0
    started = time.monotonic()
    with in_memory() as root:
        training = training_scene(root / "base", resume_every=RESUME_EVERY)
        shares = {name: (scene, 0.18) for name, scene in SCENES.items()} | {
            "training": (training, 0.1)
        }
        for name, (scene, share) in shares.items():
            began = time.monotonic()
            folder = root / name
            folder.mkdir()
            count = round(options.states * share)
            try:
                tally = survive(scene, folder, count=count, seed=options.seed)
            except AssertionError as error:
                print(f"{name}: WRONG {error}")
                return 1
            states, distinct = states + tally.states, distinct + tally.distinct
            seconds = time.monotonic() - began
            print(
                f"{name:12} {tally.states:7} states, {tally.distinct:6} distinct, {seconds:7.1f} s",
                flush=True,
            )
    seconds = time.monotonic() - started
    print(f"{states} crash states, {distinct} distinct, all right, {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
