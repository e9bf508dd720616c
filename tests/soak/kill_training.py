"""Kill a training with SIGKILL at random moments, again and again; its weights must end byte-identical.

    python tests/soak/kill_training.py --kills 2000 --kills-a-run 20 --save-every 0 --log kills.jsonl
    python tests/soak/kill_training.py --kills 200 --kills-a-run 20 --log trainer.jsonl --trainer

Every attempt is the command `burnish train`, forked from this process, which has imported everything and computed
nothing: an attempt starts in milliseconds. A run is killed `--kills-a-run` times and then left to finish; the SHA-256
of its weights and of its steps must be those of the same training left alone. Methods take turns. With `--trainer` the
attempts are trainings with the Trainer of transformers instead (trainer_peer.py). Each line of the log is a kill, or
how a run ended. Exit code 1 when any run of Burnish's differs or any attempt of it failed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# before torch is imported: one thread is what makes thousands of runs comparable on any machine
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import trainer_peer

from burnish.cli.main import main as burnish
from tiny_training import write_project

# What an attempt would spend its first seconds on; the children find it done.
IMPORTED = (
    "burnish.lifecycle",
    "burnish.edge",
    "burnish.train.recipe_file",
    "burnish.models.adapters",
    "burnish.train.fit",
    "transformers.models.auto.modeling_auto",
)
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
SAID = "soak.log"


@dataclass(frozen=True)
class Contender:
    """Who is killed: how an attempt starts, how far it has come, and what it ends with."""

    start: Callable[[Path, Sequence[str]], int]
    updates: Callable[[Path], int]
    result: Callable[[Path], tuple[str, ...]]
    give_way: Callable[[Path], str]


def warm() -> None:
    """Import what the attempts need, and build transformers' table of renamed weights, a second of patterns."""
    for room in IMPORTED:
        importlib.import_module(room)
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    get_checkpoint_conversion_mapping("bert")


def start(project: Path, arguments: Sequence[str]) -> int:
    """Fork a `burnish` command in the project; its process id."""

    def command() -> int:
        sys.argv = ["burnish", *arguments]
        return burnish() or 0

    return fork(project, command)


def fork(project: Path, act: Callable[[], int]) -> int:
    """Fork a child that does `act` in the project, its words in soak.log; its process id."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(project)
        log = os.open(SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = act()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 70
    except BaseException:  # noqa: BLE001 - told in the log, and by the exit code
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def finish(project: Path, arguments: Sequence[str]) -> None:
    """Run a command to its end; it must succeed."""
    _, status = os.waitpid(start(project, arguments), 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{arguments} failed:\n{(project / SAID).read_text()[-4000:]}")


def logged(project: Path) -> int:
    """Lines of the newest run's steps.jsonl."""
    files = sorted(
        project.glob(".burnish/runs/*/steps.jsonl"), key=lambda path: path.stat().st_mtime
    )
    return files[-1].read_bytes().count(b"\n") if files else 0


def result(project: Path) -> tuple[str, ...]:
    """SHA-256 of the weights and of the steps of the one run of a project."""
    (folder,) = project.glob(".burnish/runs/*")
    told = json.loads((folder / "run.json").read_text())
    weights = hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
    if told["status"] != "done" or told["weights_sha256"] != weights:
        raise SystemExit(f"run {folder.name} says {told['status']}, {told['weights_sha256']}")
    return weights, hashlib.sha256((folder / "steps.jsonl").read_bytes()).hexdigest()


def _never_gives_way(project: Path) -> str:
    raise SystemExit(f"an attempt failed:\n{(project / SAID).read_text()[-4000:]}")


OURS = Contender(start, logged, result, _never_gives_way)
TRAINER = Contender(
    lambda project, arguments: fork(project, lambda: trainer_peer.train(project, arguments)),
    trainer_peer.updates,
    trainer_peer.result,
    trainer_peer.remove_newest,
)


def kill_once(
    who: Contender, project: Path, command: Sequence[str], chance: random.Random
) -> dict[str, object]:
    """Start the training and kill it: a random time after its start, or after a few more updates. What happened."""
    before = who.updates(project)
    said_before = (project / SAID).stat().st_size
    child = who.start(project, command)
    ended: int | None = None
    if chance.random() < 0.3:
        moment = chance.uniform(0.0, 1.5)
        told = f"{moment:.3f} s after the start"
        time.sleep(moment)
    else:
        wanted, jitter = before + chance.randint(1, 6), chance.uniform(0.0, 0.02)
        told = f"at update {wanted} + {1000 * jitter:.1f} ms"
        while who.updates(project) < wanted and ended is None:
            ended = _ended(child)
            time.sleep(0.001)
        time.sleep(jitter)
    if ended is None:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        ended = os.waitstatus_to_exitcode(status)
    said = (project / SAID).read_bytes()[said_before:].decode(errors="replace")
    resumed = re.search(r"resuming after step (\d+)", said)
    return {
        "moment": told,
        "updates_before": before,
        "updates_after": who.updates(project),
        "resumed_after": int(resumed[1]) if resumed else None,
        "skipped": re.findall(r"checkpoint (\S+) skipped", said),
        "outcome": {-signal.SIGKILL: "killed", 0: "had finished"}.get(ended, "failed"),
        "error": said.strip().splitlines()[-1][:200] if ended > 0 and said.strip() else None,
    }


def _ended(child: int) -> int | None:
    """The exit code of a child that has ended."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def to_the_end(who: Contender, project: Path, command: Sequence[str]) -> list[str]:
    """Let the killed run finish; what had to be done by hand for it."""
    by_hand: list[str] = []
    while True:
        _, status = os.waitpid(who.start(project, command), 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return by_hand
        by_hand.append(who.give_way(project))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--kills-a-run", type=int, default=5)
    parser.add_argument("--save-every", default="0.05", help="seconds, of Burnish")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="where each kill is written, as a line of JSON")
    parser.add_argument("--save-steps", type=int, default=1, help="updates, of the Trainer")
    parser.add_argument("--trainer", action="store_true", help="kill transformers' Trainer instead")
    options = parser.parse_args()
    warm()
    who = TRAINER if options.trainer else OURS
    if options.trainer:
        trainer_peer.warm()
    chance = random.Random(options.seed)
    kills = failed = runs = same = 0
    began = time.monotonic()

    def write(line: dict[str, object]) -> None:
        text = json.dumps(line)
        print(text, flush=True)
        if options.log is not None:
            with options.log.open("a") as out:
                out.write(text + "\n")

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["BURNISH_CACHE"] = str(root / "cache")
        seed_project = root / "project"
        seed_project.mkdir()
        write_project(seed_project)
        (seed_project / "recipe.toml").write_text(RECIPE)
        (seed_project / SAID).touch()
        finish(seed_project, ["init", "tickets.csv"])
        if options.trainer:
            trainer_peer.make_base(root / "cache")
        while kills < options.kills:
            runs += 1
            method = "trainer" if options.trainer else METHODS[runs % 3 - 1]
            command = ["--seed", str(runs), "--save-steps", str(options.save_steps)]
            if not options.trainer:
                command = ["--seed", str(runs)]
                command = [
                    "train",
                    "--save-every",
                    options.save_every,
                    "--method",
                    method,
                    *command,
                ]
            alone, killed = (root / f"{kind}-{runs}" for kind in ("alone", "killed"))
            shutil.copytree(seed_project, alone)
            shutil.copytree(seed_project, killed)
            to_the_end(who, alone, command)
            of_run, wanted = 0, min(options.kills_a_run, options.kills - kills)
            while of_run < wanted:
                told = kill_once(who, killed, command, chance)
                if told["outcome"] == "had finished":
                    break
                if told["outcome"] == "failed":
                    failed += 1
                    told["by_hand"] = who.give_way(killed)
                else:
                    kills, of_run = kills + 1, of_run + 1
                write({"run": runs, "method": method, "kill": kills, **told})
            by_hand = to_the_end(who, killed, command)
            failed += len(by_hand)
            equal = who.result(killed) == who.result(alone)
            same += equal
            ended = "byte-identical" if equal else "DIFFERENT"
            end: dict[str, object] = {"run": runs, "method": method, "kills": of_run}
            write({**end, "by_hand_at_the_end": by_hand, "ended": ended})
            shutil.rmtree(alone)
            shutil.rmtree(killed)
    write(
        {
            "kills": kills,
            "attempts_that_failed": failed,
            "runs": runs,
            "byte_identical": same,
            "minutes": round((time.monotonic() - began) / 60, 1),
        }
    )
    print(f"{kills} kills, {runs} runs, {same} byte-identical")
    return 0 if options.trainer or same == runs else 1


if __name__ == "__main__":
    sys.exit(main())
