"""For tests: a workspace with real bundles of the majority engine, and real servers on it.

Run as a program it is a server: python tests/deployed.py ROOT PORT [SETTING=NUMBER ...]
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from burnish.deploy.bundle import identity, make_bundle
from burnish.deploy.engine import load_engine
from burnish.deploy.engines import majority
from burnish.deploy.vllm_process import VllmSettings
from burnish.records.deployment import Bundle
from burnish.records.report import Verdict
from burnish.records.task import Task
from burnish.serve.settings import ServeSettings
from burnish.store.durable import new_folder
from burnish.store.ledger import Ledger, open_ledger
from burnish.store.workspace import Workspace, open_workspace
from support_task import make_task

AT = "2026-11-22T10:00:00.000+00:00"
TOKEN = "a-token-for-tests-only"
GOLDEN = (
    {"text": "Where is my parcel?"},
    {"text": "I want my money back"},
    {"text": "ä \ud800 🎉"},
)


def make_workspace(root: Path) -> Workspace:
    """An empty workspace."""
    root.mkdir(parents=True, exist_ok=True)
    return open_workspace(root, create=True)


def bundle_of(
    workspace: Workspace,
    shares: Sequence[float],
    *,
    task: Task | None = None,
    golden: Sequence[Mapping[str, str]] = GOLDEN,
    verdict: Verdict | None = "passed",
    max_tokens: int = 32,
) -> Bundle:
    """A published bundle that answers with these label shares."""
    task = task or make_task()
    values = dict(zip(task.label_names, shares, strict=True))
    scratch = workspace.root / "scratch"
    scratch.mkdir(exist_ok=True)
    majority.write(scratch, values)
    fitted = load_engine(scratch, task, engine="majority", precision="fp32", max_tokens=max_tokens)
    return make_bundle(
        task,
        fitted,
        model_folder_writer=lambda folder: majority.write(folder, values),
        workspace=workspace,
        engine="majority",
        run_id=None,
        dataset_id="d" * 16,
        report_id="e" * 16,
        golden_inputs=golden,
        precision="fp32",
        max_tokens=max_tokens,
        card="# Card\n",
        at=AT,
        verdict=verdict,
    )


WHO = {"by": "ann", "because": "better", "at": AT}


def record_of(number: int, *, task: str = "support", verdict: Verdict | None = "passed") -> Bundle:
    """The record of a bundle that exists nowhere else."""
    return Bundle(
        id=f"{number:016x}",
        task_name=task,
        task_id="t",
        engine="majority",
        run_id=f"run{number}",
        dataset_id="d",
        report_id=f"report{number}",
        precision="fp32",
        max_tokens=8,
        verdict=verdict,
        at=AT,
    )


def forge(workspace: Workspace, bundle: Bundle, changes: Mapping[str, bytes]) -> Bundle:
    """A bundle with other bytes in some files and everything that proves them made to match: what
    only somebody with the keys to the house, or a fault of ours, can make."""
    source = workspace.bundles / bundle.id
    files = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in sorted(source.rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", "bundle.json")
    } | changes
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    forged = bundle.model_copy(update={"id": identity(bundle, digests)})
    with new_folder(workspace.bundles / forged.id) as staging:
        for name, data in files.items():
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_bytes(data)
        (staging / "burnish/bundle.json").write_text(forged.model_dump_json())
    return forged


def ledger_of(workspace: Workspace) -> Ledger:
    """The workspace's ledger, open."""
    return open_ledger(workspace.ledger_path)


def settings_of(workspace: Workspace, **changes: object) -> ServeSettings:
    """Settings with a known token and quick polling."""
    fields: dict[str, object] = {"token": TOKEN, "task": make_task(), "poll_seconds": 0.02}
    return ServeSettings(workspace=workspace, **(fields | changes))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str]

    @property
    def headers(self) -> dict[str, str]:
        """What a client with the token sends."""
        return {"Authorization": f"Bearer {TOKEN}"}

    def log(self) -> str:
        """What the server wrote so far."""
        return "".join(self.lines)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


@contextmanager
def server_on(
    workspace: Workspace,
    *,
    ready: bool = True,
    task: Task | None = None,
    also: Sequence[str] = (),
    cache: Path | None = None,
    vllm: Sequence[str] = (),
    patience: float = 120,
    **limits: float,
) -> Iterator[Server]:
    """A running server; with `ready` it has said so. `vllm` is its command and further arguments."""
    import httpx

    port = free_port()
    command = [sys.executable, __file__, str(workspace.root), str(port)]
    command += [f"{name}={value}" for name, value in limits.items()]
    if task is not None:
        command.append(f"task={task.model_dump_json()}")
    if cache is not None:
        command += [f"also={','.join(also)}"] if also else []
        command += [f"cache={cache}"]
    if vllm:
        command.append(f"vllm={json.dumps(list(vllm))}")
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    lines: list[str] = []
    threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True).start()
    server = Server(process, f"http://127.0.0.1:{port}", lines)
    probe = "/readyz" if ready else "/healthz"
    try:
        until = time.monotonic() + patience
        while True:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server did not start:\n{server.log()}")
            try:
                if httpx.get(server.url + probe, timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=10)


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    import logging

    from burnish.serve.app import serve

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    root, port, *rest = sys.argv[1:]
    limits: dict[str, object] = {}
    for item in rest:
        name, _, value = item.partition("=")
        if name == "task":
            limits[name] = Task.model_validate_json(value)
        elif name == "also":
            limits[name] = tuple(value.split(","))
        elif name == "cache":
            limits[name] = Path(value)
        elif name == "vllm":
            first, *others = json.loads(value)
            limits[name] = VllmSettings(first, tuple(others), dict(os.environ))
        else:
            limits[name] = int(number) if (number := float(value)).is_integer() else number
    serve(
        settings_of(open_workspace(Path(root), create=True), port=int(port), **limits),
        announce=print,
    )


if __name__ == "__main__":
    main()
