"""For tests: a live version of the majority engine with its dataset, and a journal to watch."""

from __future__ import annotations

from pathlib import Path

from burnish.data.dataset import make_dataset
from burnish.data.examples import ReadResult
from burnish.deploy.bundle import make_bundle
from burnish.deploy.deployments import promote
from burnish.deploy.engine import load_engine
from burnish.deploy.engines import majority
from burnish.monitor.reference import Embed
from burnish.monitor.watch import Watching, watch
from burnish.records.deployment import Deployment, Prediction
from burnish.records.example import input_id
from burnish.records.task import Monitor, Task
from burnish.store.journal import journal
from burnish.store.ledger import Ledger
from burnish.store.workspace import Workspace
from deployed import AT, GOLDEN, WHO, ledger_of, make_workspace
from support_task import LABELS, make_example, make_task

SHARES = (0.6, 0.3, 0.1)


def task_of(**changes: object) -> Task:
    return make_task(**{"monitor": Monitor(window_rows=50), **changes})


class Scene:
    """A version of the majority engine with a dataset and a report folder, live in a ledger."""

    def __init__(self, root: Path) -> None:
        self.workspace: Workspace = make_workspace(root)
        self.ledger: Ledger = ledger_of(self.workspace)
        task = make_task()
        rows = [
            make_example(f"question {n} about {LABELS[n % 3]}", LABELS[n % 3], n + 2)
            for n in range(600)
        ]
        read = ReadResult(examples={"train": tuple(rows)}, rejections=(), files=(), rows_in=600)
        dataset = make_dataset(task, read, self.workspace, salt="s", at=AT)
        scratch = self.workspace.root / "scratch"
        scratch.mkdir()
        values = dict(zip(LABELS, SHARES, strict=True))
        majority.write(scratch, values)
        fitted = load_engine(scratch, task, engine="majority", precision="fp32", max_tokens=32)
        bundle = make_bundle(
            task,
            fitted,
            model_folder_writer=lambda folder: majority.write(folder, values),
            workspace=self.workspace,
            engine="majority",
            run_id=None,
            dataset_id=dataset.id,
            report_id="e" * 16,
            golden_inputs=GOLDEN,
            precision="fp32",
            max_tokens=32,
            card="# Card\n",
            at=AT,
        )
        self.live: Deployment = promote(self.ledger, bundle, **WHO)
        self.made = 0

    def answer(
        self, rows: int, *, at: str = AT, text: str | None = "question {n}", **changes: object
    ) -> None:
        given = []
        for _ in range(rows):
            self.made += 1
            inputs = {"text": (text or "").format(n=self.made)}
            fields: dict[str, object] = {
                "id": f"{self.made:016x}",
                "version": self.live.version,
                "input_id": input_id(inputs),
                "inputs": inputs if text is not None else None,
                "labels": ("refund",),
                "confidence": 0.6,
                "scores": dict(zip(LABELS, SHARES, strict=True)),
                "latency_ms": 1.0 + self.made % 7,
                "at": at,
            }
            given.append(Prediction.model_validate(fields | changes))
        journal(self.ledger, given)

    def watch(self, task: Task | None = None, *, embed: Embed | None = None) -> Watching:
        return watch(
            task or task_of(),
            self.workspace,
            self.ledger,
            deployment=self.live,
            embed=embed,
            seed=1,
            now=lambda: AT,
            announce=lambda text: None,
        )
