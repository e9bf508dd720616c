"""Stop a training with storms of SIGTERM and Ctrl-C at random moments; it ends once, and goes on to the same bytes.

    python tests/soak/signal_storms.py --storms 20

A storm is 2 to 40 signals of both kinds within a second. After each: the exit code is that of the first signal, nothing
was printed that looks like a fault, every update that was logged before the storm is in a checkpoint (stopped while an
epoch is judged: those up to the newest checkpoint, which the message says), and the record says "interrupted". A run is stopped STORMS_A_RUN times and then left to finish; its weights and steps must be those of
the same training left alone. Exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from kill_training import IMPORTED, RECIPE, finish, logged, result, start, write_project

from burnish.train.checkpoint_files import Checkpoints, checkpoint_fault
from burnish.train.runs import load_run

STORMS_A_RUN = 4
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def storm(project: Path, command: list[str], chance: random.Random) -> str | None:
    """One attempt and one storm on it; what happened, or None when training had ended before."""
    before = logged(project)
    (project / "soak.log").write_bytes(b"")
    child = start(project, command)
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0.3, 0.8))
    else:
        wanted = before + chance.randint(1, 4)
        while logged(project) < wanted and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.01))
    stood = logged(project)
    first, sent = None, 0
    began = time.monotonic()
    try:
        for _ in range(chance.randint(2, 40)):
            number = chance.choice((signal.SIGTERM, signal.SIGINT))
            os.kill(child, number)
            first, sent = first or number, sent + 1
            time.sleep(chance.choice((0.0, 0.0, 0.001, 0.02)))
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
        else:
            _, status = os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        return None
    seconds = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    said = (project / "soak.log").read_text(errors="replace")
    if code == 0:
        return None
    told = f"{sent} signals at line {stood}: exit {code} after {seconds:.2f} s"
    # two that come in the same instant are heard in the order of their numbers
    if code not in CODES.values() or (sent == 1 and first and code != CODES[first]):
        raise SystemExit(f"{told}\n{said}")
    if "Traceback" in said or "fault of Burnish" in said or seconds > 10:
        raise SystemExit(f"{told}\n{said}")
    for folder in project.glob(".burnish/runs/*"):
        if stood == before or not (folder / "checkpoints").is_dir():
            continue
        run = load_run(folder)
        checkpoints = Checkpoints(folder / "checkpoints")
        found = sorted((checkpoints.folder / "latest").glob("step-*"))
        judging = "between two steps" in said
        if judging and not found:
            continue
        if not found or checkpoint_fault(checkpoints, found[-1]) is not None:
            raise SystemExit(f"{told}: no whole checkpoint\n{said}")
        reached = int(found[-1].name[-8:])
        if run.status != "interrupted" or (reached < stood and not judging):
            raise SystemExit(
                f"{told}: {run.status}, checkpoint {found[-1].name}, {stood} lines\n{said}"
            )
    return told


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--storms", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for room in IMPORTED:
        importlib.import_module(room)
    chance = random.Random(options.seed)
    storms = runs = same = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["BURNISH_CACHE"] = str(root / "cache")
        seed_project = root / "project"
        seed_project.mkdir()
        write_project(seed_project)
        (seed_project / "recipe.toml").write_text(RECIPE)
        finish(seed_project, ["init", "tickets.csv"])
        while storms < options.storms:
            runs += 1
            command = [
                "train",
                "--save-every",
                str(chance.choice((0, 0.05, 1000))),
                "--seed",
                str(runs),
            ]
            alone, stormy = (root / f"{kind}-{runs}" for kind in ("alone", "stormy"))
            shutil.copytree(seed_project, alone)
            shutil.copytree(seed_project, stormy)
            finish(alone, command)
            for _ in range(min(STORMS_A_RUN, options.storms - storms)):
                told = storm(stormy, command, chance)
                if told is None:
                    break
                storms += 1
                print(f"run {runs} storm {storms}: {told}", flush=True)
            finish(stormy, command)
            equal = result(stormy) == result(alone)
            same += equal
            print(f"run {runs}: {'byte-identical' if equal else 'DIFFERENT'}", flush=True)
            shutil.rmtree(alone)
            shutil.rmtree(stormy)
    print(f"{storms} storms, {runs} runs, {same} byte-identical")
    return 0 if same == runs else 1


if __name__ == "__main__":
    sys.exit(main())
