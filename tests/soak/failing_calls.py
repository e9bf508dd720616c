"""Let every single call of a training to the operating system fail once; each time the same call ends in the same bytes.

    python tests/soak/failing_calls.py --every 1

The short version is tests/stages/test_train_full_disk.py, which says what must hold.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "stages"))

from test_train_full_disk import RECIPE, fail_every, lasting

from crash_scenes import in_memory
from tiny_training import train_tiny


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, in_memory() as runs:
        root = Path(name)
        train_tiny(root, runs, RECIPE, save_every_seconds=0.0)
        wanted = lasting(runs)
        for code in (errno.EIO, errno.ENOSPC):
            began = time.monotonic()
            failures = fail_every(options.every, code, root, wanted, start=1)
            seconds = time.monotonic() - began
            print(
                f"{errno.errorcode[code]}: {failures} calls failed, all told, all mended, {seconds:.0f} s",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
