"""Train under a memory limit, from far too little up to enough: told or finished, never torn.

    python tests/soak/memory_ladder.py --rungs 60
    python tests/soak/memory_ladder.py --rungs 40 --from-start

Each rung is the command `burnish train` with RLIMIT_AS (or `--limit data`: RLIMIT_DATA) at what the process holds
already and so many bytes more. It must end with exit code 0, or with exit code 1 and a problem that has a code. After
it `burnish doctor` must find the workspace whole, and the same command without a limit must end the run. Where no pass
was cut the weights are those of a training that was never short, byte for byte; where one was cut, the run's record
and `burnish runs show` say so, and with a dropout of 0 the weights are equal within rounding. Exit code 1 when a rung
breaks this.

One end is not ours to choose: the C library and some others end the process themselves when they find no memory for
a thread (LIBRARIES). Such a rung is counted, named, and held to everything after it. Without `--from-start` the limit
is set when Python's modules are loaded (forked from this process, as in kill_training.py); with it, before Python
starts, where being loaded without memory has more such ends.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from kill_training import SAID, finish, fork, result, warm, write_project

from burnish.cli.main import main as burnish

RECIPE = """
base = "tiny:bert"
epochs = 2
batch_rows = 96
batch_tokens = 65536
max_tokens = 256
learning_rate = 1e-3
head_start = "random"
precision = "fp32"
dropout = 0.0
"""
COMMAND = ("train", "--save-every", "0")
LIMITS = {"as": resource.RLIMIT_AS, "data": resource.RLIMIT_DATA}
# What libraries say when they end a process that has no memory.
LIBRARIES = (
    "cannot allocate memory for thread-local data: ABORT",
    "libgomp: Thread creation failed",
    "OpenBLAS error: Memory allocation still failed",
    "OpenBLAS blas_thread_init",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "memory allocation of",
    "error while loading shared libraries",
)
SECONDS = 240
# The first rung is this much more than what is held, the last this much.
LEAST, MOST = 4 << 20, 512 << 20


def held(kind: str) -> int:
    """Bytes this process holds of what the limit counts."""
    name = {"as": "VmSize", "data": "VmData"}[kind]
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"no {name} here")


def limited(project: Path, kind: str, more: int) -> int:
    """Fork a training that may take so many bytes more; its process id."""

    def act() -> int:
        limit = held(kind) + more
        resource.setrlimit(LIMITS[kind], (limit, limit))
        sys.argv = ["burnish", *COMMAND]
        return burnish() or 0

    return fork(project, act)


def from_start(project: Path, kind: str, size: int) -> int:
    """Start a training in a new Python that may take so many bytes in all; its process id."""
    with (project / SAID).open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "burnish", *COMMAND],
            cwd=project,
            stdout=said,
            stderr=said,
            preexec_fn=lambda: resource.setrlimit(LIMITS[kind], (size, size)),
        ).pid


def ended(child: int) -> int | None:
    """The exit code of a child; None when it had to be ended for taking too long."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def record(project: Path) -> dict[str, Any] | None:
    """run.json of the one run, None when there is none yet."""
    found = list(project.glob(".burnish/runs/*/run.json"))
    return json.loads(found[0].read_text()) if found else None


def far(project: Path, reference: Path) -> float:
    """The largest difference between two trainings' weights."""
    from safetensors.numpy import load_file

    ours, theirs = (
        load_file(next(one.glob(".burnish/runs/*/model/model.safetensors")))
        for one in (project, reference)
    )
    return max(float(abs(ours[name] - theirs[name]).max()) for name in theirs)


def rung(
    project: Path, reference: Path, start: Callable[[Path], int], *, strict: bool
) -> dict[str, object]:
    """One training under a limit and everything that must hold after it."""
    (project / SAID).write_bytes(b"")
    began = time.monotonic()
    code = ended(start(project))
    seconds = time.monotonic() - began
    said = (project / SAID).read_text(errors="replace")
    told = [line.removeprefix("error: ") for line in said.splitlines() if "error: " in line[:7]]
    before = record(project)
    faults = []
    library = next((one for one in LIBRARIES if one in said), None)
    if strict and library is None:
        if code not in (0, 1) or (code == 1 and not told) or "bug" in told:
            faults.append("ended without a code of ours")
        if "Traceback" in said or "panicked" in said:
            faults.append("a traceback")
    (project / SAID).write_bytes(b"")
    finish(project, ["doctor"])
    finish(project, COMMAND)
    after = record(project)
    splits = [] if after is None else after["splits"]
    if not splits and result(project) != result(reference):
        faults.append("other bytes")
    if splits:
        (project / SAID).write_bytes(b"")
        finish(project, ["runs", "show", next(project.glob(".burnish/runs/*")).name])
        if "out of memory at step" not in (project / SAID).read_text():
            faults.append("runs show does not say so")
    if splits and (gap := far(project, reference)) > 1e-3:
        faults.append(f"weights differ by {gap:.2g}")
    return {
        "code": code,
        "told": told,
        "ended_by": library,
        "status": before and before["status"],
        "steps": before and before["steps"],
        "splits": [(one["during"], one["step"], one["tokens"]) for one in splits],
        "seconds": round(seconds, 1),
        "faults": faults,
        "said": said.strip().splitlines()[-1][:160] if faults and said.strip() else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rungs", type=int, default=20)
    parser.add_argument("--limit", choices=sorted(LIMITS), default="as")
    parser.add_argument("--from-start", action="store_true")
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    warm()
    counted: Counter[str] = Counter()
    broken = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["BURNISH_CACHE"] = str(root / "cache")
        reference = root / "reference"
        reference.mkdir()
        write_project(reference, rows=200, words=200)
        (reference / "recipe.toml").write_text(RECIPE)
        (reference / SAID).touch()
        finish(reference, ["init", "tickets.csv"])
        seed = root / "seed"
        shutil.copytree(reference, seed)
        finish(reference, COMMAND)
        least, most = (64 << 20, 4 << 30) if options.from_start else (LEAST, MOST)
        for number in range(options.rungs):
            size = int(least * (most / least) ** (number / max(1, options.rungs - 1)))
            project = root / f"rung-{number}"
            shutil.copytree(seed, project)
            way = from_start if options.from_start else limited
            told = rung(
                project,
                reference,
                lambda project, way=way, size=size: way(project, options.limit, size),
                strict=not options.from_start,
            )
            broken += bool(told["faults"])
            cut = ", passes cut" if told["splits"] else ""
            counted[f"exit {told['code']}{', by a library' if told['ended_by'] else ''}{cut}"] += 1
            line = json.dumps({"megabytes": round(size / (1 << 20), 1), **told})
            print(line, flush=True)
            if options.log is not None:
                with options.log.open("a") as out:
                    out.write(line + "\n")
            shutil.rmtree(project)
    ends = "; ".join(f"{count} with {end}" for end, count in sorted(counted.items()))
    print(f"{options.rungs} rungs: {ends}; {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
