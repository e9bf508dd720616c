"""Kill server, scheduler and retraining with SIGKILL at random moments; nothing acknowledged may be lost, nothing done twice.

    python tests/soak/kill_circle.py --kills 50

A client asks and corrects without end and remembers what was acknowledged. `burnish schedule` retrains on every 30 new
labels and promotes by policy. At the end everything is left alone until no retraining is open; then: every acknowledged
prediction and piece of feedback is in the ledger, the ledger is sound, every retraining ended once, no feedback started
two retrainings, no evidence made two versions. Exit code 1 when any of that is not so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from burnish.deploy.deployments import history
from burnish.edge import cache_folder
from burnish.retrain.book import EVENT_KIND, retrainings
from burnish.store.feedback import feedback
from burnish.store.journal import find_many
from burnish.store.ledger import check_ledger, events
from live_project import Project, first_version, sentences

POLICIES = """
[monitor]
window_rows = 100

[retrain]
on_labels = 30
cooldown_hours = 0
promote = "policy"
shadow_rows = 10
"""


class Client(threading.Thread):
    """Asks and corrects until told to stop; what the server acknowledged is remembered."""

    def __init__(self, address: str, token_path: Path) -> None:
        super().__init__(daemon=True)
        self.predictions: list[str] = []
        self.feedback: list[str] = []
        self.ended = threading.Event()
        self.correcting = True
        self._address = address
        self._token_path = token_path

    def run(self) -> None:
        """Go on whatever happens to the server."""
        rows = sentences(2000, start=10**6)
        for text, intent in rows:
            if self.ended.is_set():
                return
            with contextlib.suppress(httpx.HTTPError, OSError, KeyError, ValueError):
                self._once(text, intent)
            time.sleep(0.03)

    def _once(self, text: str, intent: str) -> None:
        headers = {"Authorization": f"Bearer {self._token_path.read_text().strip()}"}
        with httpx.Client(base_url=self._address, headers=headers, timeout=10) as client:
            reply = client.post("/v1/predictions", json={"inputs": text})
            if reply.status_code != 200 or not reply.json()["journalled"]:
                return
            id = reply.json()["predictions"][0]["id"]
            self.predictions.append(id)
            if not self.correcting:
                return
            said = {"prediction": id, "label": intent, "by": "ann"}
            reply = client.post("/v1/feedback", json=said)
            if reply.status_code == 200:
                self.feedback.append(reply.json()["feedback"][0]["id"])


class Crew:
    """The server and the scheduler, started again when they are gone."""

    def __init__(self, project: Project, port: int, log: Path) -> None:
        self._project, self._port, self._log = project, port, log
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def keep(self) -> None:
        """Start whatever does not run."""
        commands = {
            "server": ["serve", "--port", str(self._port)],
            "scheduler": ["schedule", "--every", "1"],
        }
        for name, command in commands.items():
            found = self.processes.get(name)
            if found is None or found.poll() is not None:
                with self._log.open("ab") as log:
                    self.processes[name] = subprocess.Popen(
                        [sys.executable, "-m", "burnish", *command],
                        cwd=self._project.folder, env=self._project.environment, stdout=log, stderr=log,
                    )  # fmt: skip

    def wait_until_ready(self) -> None:
        """Until the server answers, or for a minute."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self._port}/readyz", timeout=5).status_code == 200:
                    return
            time.sleep(0.1)

    def kill(self, chance: random.Random) -> str:
        """Kill one of server, scheduler and a running retraining."""
        found = {name: one.pid for name, one in self.processes.items() if one.poll() is None}
        retraining = retraining_of(self._project.folder)
        if retraining is not None:
            found["retraining"] = retraining
        if not found:
            return "nobody"
        name = chance.choice(sorted(found))
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[name], signal.SIGKILL)
        if name in self.processes:
            self.processes[name].wait()
        return name

    def stop(self) -> None:
        """End both in good order."""
        for one in self.processes.values():
            one.terminate()
        for one in self.processes.values():
            one.wait(60)


def retraining_of(folder: Path) -> int | None:
    """The process of `burnish retrain` in that folder."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"retrain" in words and str(folder.resolve()).encode() in words:
                    return int(entry.name)
    return None


def main() -> None:
    """Kill, wait, look; print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        first_version(folder, cache_folder())
        project = Project(folder, cache_folder())
        project.add_policies(POLICIES)
        crew = Crew(project, port=chance.randrange(20000, 40000), log=folder / "log.txt")
        crew.keep()
        client = Client(f"http://127.0.0.1:{crew._port}", folder / ".burnish" / "token")
        client.start()
        killed: Counter[str] = Counter()
        while sum(killed.values()) < chosen.kills:
            # half of the kills hit what is just starting, half what has been at work for a while
            if chance.random() < 0.5:
                crew.wait_until_ready()
            time.sleep(chance.uniform(0.2, 8.0))
            who = crew.kill(chance)
            if who != "nobody":
                killed[who] += 1
                print(f"kill {sum(killed.values())}: {who}", flush=True)
            crew.keep()
        client.correcting = False
        settle(project, crew)
        client.ended.set()
        client.join()
        crew.stop()
        wrong = look(project, client)
        print(
            f"{dict(killed)}: {len(client.predictions)} predictions and {len(client.feedback)} pieces of feedback acknowledged"
        )
        for line in wrong:
            print(f"WRONG {line}")
        if wrong:
            print((folder / "log.txt").read_text()[-3000:])
        print("nothing lost, nothing twice" if not wrong else f"{len(wrong)} faults")
        sys.exit(1 if wrong else 0)


def settle(project: Project, crew: Crew) -> None:
    """Leave everything alone until no retraining is open and none is due for some turns."""
    quiet = 0
    until = time.monotonic() + 600
    while quiet < 8 and time.monotonic() < until:
        crew.keep()
        time.sleep(1)
        with project.ledger() as ledger:
            open_ones = [one for one in retrainings(ledger, project.task) if one.outcome is None]
        quiet = 0 if open_ones or retraining_of(project.folder) is not None else quiet + 1


def look(project: Project, client: Client) -> list[str]:
    """Everything that is not as promised."""
    wrong: list[str] = []
    if len(client.feedback) < 100:
        wrong.append(
            f"only {len(client.feedback)} pieces of feedback were acknowledged: too few to show anything"
        )
    with project.ledger() as ledger:
        if not retrainings(ledger, project.task):
            wrong.append("no retraining began: nothing was shown about them")
        wrong += [problem.what for problem in check_ledger(ledger)]
        known = find_many(ledger, client.predictions)
        wrong += [f"prediction {id} is lost" for id in client.predictions if id not in known]
        said = {one.id for _, one in feedback(ledger)}
        wrong += [f"feedback {id} is lost" for id in client.feedback if id not in said]
        done = retrainings(ledger, project.task)
        wrong += [f"retraining {one.id} did not end" for one in done if one.outcome is None]
        wrong += [
            f"retraining {one.id} failed: {one.message}" for one in done if one.outcome == "failed"
        ]
        ends = Counter(
            event.payload["id"]
            for event in events(ledger, kind=EVENT_KIND)
            if event.payload["outcome"]
        )
        wrong += [
            f"retraining {id} ended {count} times" for id, count in ends.items() if count != 1
        ]
        starts = Counter(one.feedback_until for one in done)
        wrong += [
            f"{count} retrainings on feedback up to {n}" for n, count in starts.items() if count > 1
        ]
        shadows = Counter(
            one.bundle_id for one in history(ledger, project.task) if one.stage == "shadow"
        )
        wrong += [f"bundle {id} went into shadow {n} times" for id, n in shadows.items() if n > 1]
        lives = [one.bundle_id for one in history(ledger, project.task) if one.stage == "live"]
        wrong += [
            f"bundle {id} was promoted {n} times" for id, n in Counter(lives).items() if n > 1
        ]
        print(
            f"{len(done)} retrainings: {dict(Counter(str(one.outcome) for one in done))}; {len(lives)} promotions"
        )
    return wrong


if __name__ == "__main__":
    main()
