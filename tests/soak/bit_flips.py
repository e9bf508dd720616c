"""Flip bits in every kind of file that rests on the disk, and read it as it is used: what is damaged is never used.

    python tests/soak/bit_flips.py --flips 500

Each fifth damage cuts the file short instead. "harmless" is a damage after which everything read is the same to the
last bit: free pages of the database, comments in files that people write; no other kind may have one. Exit code 1 when
a damaged file was used.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from crash_scenes import in_memory
from whole_workspace import KINDS, damaged_again_and_again, make_whole


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{'kind':22} {'damages':>8} {'caught':>7} {'harmless':>9} {'used':>5} {'seconds':>8}")
    failed = False
    with in_memory() as folder:
        made = make_whole(folder / "whole")
        for name in KINDS:
            began = time.monotonic()
            found, wrong = damaged_again_and_again(
                made, name, flips=options.flips, seed=options.seed
            )
            seconds = time.monotonic() - began
            print(
                f"{name:22} {found.done:8} {found.caught:7} {found.harmless:9} {found.used:5} {seconds:8.1f}",
                flush=True,
            )
            for line in wrong[:5]:
                print(f"  USED {line}")
            failed |= bool(found.used)
    print("a damaged file was used" if failed else "no damaged file was used")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
