"""Kill a training with SIGKILL at random moments, again and again; its weights must end byte-identical.

    python tests/soak/kill_training.py --kills 30

Every attempt is the command `burnish train`, forked from this process, which has imported everything and computed
nothing: an attempt starts in milliseconds. A run is killed KILLS_A_RUN times and then left to finish; the SHA-256 of
its weights must be that of the same training left alone. Methods take turns. Exit code 1 when any run differs.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

# before torch is imported: one thread is what makes thousands of runs comparable on any machine
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).parents[1]))

from burnish.cli.main import main as burnish
from tiny_training import write_project

# What an attempt would spend its first seconds on; the children find it done.
IMPORTED = (
    "burnish.lifecycle",
    "burnish.models.adapters",
    "burnish.train.fit",
    "transformers.models.auto.modeling_auto",
)
KILLS_A_RUN = 5
METHODS = ("full", "lora", "head")
RECIPE = """
base = "tiny:bert"
epochs = 10
patience = 9
batch_rows = 4
max_tokens = 24
learning_rate = 1e-3
head_start = "random"
precision = "fp32"
"""


def start(project: Path, arguments: list[str]) -> int:
    """Fork a `burnish` command in the project; its process id."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(project)
        log = os.open("soak.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["burnish", *arguments]
        code = burnish() or 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 70
    finally:
        os._exit(code)


def finish(project: Path, arguments: list[str]) -> None:
    """Run a command to its end; it must succeed."""
    _, status = os.waitpid(start(project, arguments), 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{arguments} failed:\n{(project / 'soak.log').read_text()[-4000:]}")


def logged(project: Path) -> int:
    """Lines of the newest run's steps.jsonl."""
    files = sorted(
        project.glob(".burnish/runs/*/steps.jsonl"), key=lambda path: path.stat().st_mtime
    )
    return files[-1].read_bytes().count(b"\n") if files else 0


def kill_once(project: Path, command: list[str], chance: random.Random) -> str:
    """Start the training and kill it: a random time after its start, or after a few more updates. What happened."""
    before = logged(project)
    child = start(project, command)
    if chance.random() < 0.3:
        moment = chance.uniform(0.0, 1.5)
        time.sleep(moment)
        told = f"{moment:.3f} s after the start"
    else:
        wanted, jitter = before + chance.randint(1, 6), chance.uniform(0.0, 0.02)
        told = f"at line {wanted} + {1000 * jitter:.1f} ms"
        while logged(project) < wanted and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        time.sleep(jitter)
    try:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        ended = "killed" if os.WIFSIGNALED(status) else "had finished"
    except (ProcessLookupError, ChildProcessError):
        ended = "had finished"
    return f"{told}: {ended}, lines {before} -> {logged(project)}"


def result(project: Path) -> tuple[str, str]:
    """SHA-256 of the weights and of the steps of the one run of a project."""
    (folder,) = project.glob(".burnish/runs/*")
    told = json.loads((folder / "run.json").read_text())
    weights = hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
    if told["status"] != "done" or told["weights_sha256"] != weights:
        raise SystemExit(f"run {folder.name} says {told['status']}, {told['weights_sha256']}")
    return weights, hashlib.sha256((folder / "steps.jsonl").read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for room in IMPORTED:
        importlib.import_module(room)
    chance = random.Random(options.seed)
    kills = runs = same = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["BURNISH_CACHE"] = str(root / "cache")
        seed_project = root / "project"
        seed_project.mkdir()
        write_project(seed_project)
        (seed_project / "recipe.toml").write_text(RECIPE)
        finish(seed_project, ["init", "tickets.csv"])
        while kills < options.kills:
            runs += 1
            command = [
                "train",
                "--save-every",
                "0.05",
                "--method",
                METHODS[runs % 3 - 1],
                "--seed",
                str(runs),
            ]
            alone, killed = (root / f"{kind}-{runs}" for kind in ("alone", "killed"))
            shutil.copytree(seed_project, alone)
            shutil.copytree(seed_project, killed)
            finish(alone, command)
            for _ in range(min(KILLS_A_RUN, options.kills - kills)):
                told = kill_once(killed, command, chance)
                if "had finished" in told:
                    break
                kills += 1
                print(f"run {runs} {METHODS[runs % 3 - 1]} kill {kills} {told}", flush=True)
            finish(killed, command)
            equal = result(killed) == result(alone)
            same += equal
            print(f"run {runs}: {'byte-identical' if equal else 'DIFFERENT'}", flush=True)
            shutil.rmtree(alone)
            shutil.rmtree(killed)
    print(f"{kills} kills, {runs} runs, {same} byte-identical")
    return 0 if same == runs else 1


if __name__ == "__main__":
    sys.exit(main())
