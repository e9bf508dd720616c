"""For tests: a project with a live classifier on the real base, and what happens to it: answers, feedback, policies."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from burnish.deploy.deployments import live
from burnish.deploy.feedback import Said, give_feedback
from burnish.edge import now
from burnish.records.deployment import Prediction
from burnish.records.example import input_id
from burnish.store.journal import journal
from burnish.store.ledger import Ledger, open_ledger
from burnish.tasks.load import load_task
from quick_circle import SAID, environment

# the real base: a tiny one from scratch is another model for every dataset, and no fair rival of itself
RECIPE = """\
method = "head"
epochs = 3
max_tokens = 32
"""


def sentences(each: int, *, start: int) -> list[tuple[str, str]]:
    """So many rows of each phrase, no two alike."""
    return [
        (f"{phrase} {number * 37 + start}", intent)
        for number in range(each)
        for intent, phrases in SAID.items()
        for phrase in phrases
    ]


def first_version(folder: Path, cache: Path) -> None:
    """Make the project in `folder`: few rows to learn from, many to judge by, a head on the real base, live."""
    project = Project(folder, cache)
    for name, rows in (("few", sentences(8, start=0)), ("test", sentences(30, start=10**5))):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "intent"), *rows])
    (folder / "recipe.toml").write_text(RECIPE)
    project.run("init", "few.csv", "--test", "test.csv")
    shadows = json.loads(project.run("run", "--json").stdout)["shadows"]
    project.run("promote", shadows["tuned"]["version"])


class Project:
    """A folder, its ledger, and the command."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.environment = environment(cache) | {"BURNISH_OFFLINE": ""}
        self.made = 0

    @property
    def task(self) -> str:
        """The task's name."""
        return load_task(self.folder / "task.toml").name

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "burnish", *arguments],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def add_policies(self, text: str) -> None:
        path = self.folder / "task.toml"
        path.write_text("audit = 1.0\n" + path.read_text() + text)

    def ledger(self) -> Ledger:
        return open_ledger(self.folder / ".burnish" / "ledger.db")

    def answered(
        self, rows: list[tuple[str, str]], *, say: Callable[[str], str], audit: bool
    ) -> None:
        """Journal answers of the live version and what people say about them."""
        task = load_task(self.folder / "task.toml")
        with self.ledger() as ledger:
            version = live(ledger, task.name)
            assert version is not None
            given, said = [], []
            for text, intent in rows:
                self.made += 1
                inputs = {"text": text}
                given.append(
                    Prediction(
                        id=f"{self.made:016x}",
                        version=version.version,
                        input_id=input_id(inputs),
                        inputs=inputs,
                        labels=(intent,),
                        confidence=0.9,
                        scores={name: 0.9 if name == intent else 0.05 for name in task.label_names},
                        latency_ms=1.0,
                        audit=audit,
                        at=now().replace("Z", ".000+00:00"),
                    )
                )
                said.append(Said(prediction=given[-1].id, by="ann", labels=(say(intent),)))
            journal(ledger, given)
            give_feedback(ledger, task, said, at=now())
