"""What a server is told at start: where, as whom, and every limit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from burnish.deploy.vllm_process import VllmSettings
from burnish.records.task import Task
from burnish.store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Everything a server needs to know; nothing is read from the environment.

    `task` is that of task.toml: it says what the journal keeps and what is audited. What a version answers is
    its bundle's own task.

    `also` are versions that answer beside the live one, to requests that name them; `cache` is where base models rest, for
    versions that share one. `vllm` says how vLLM is started where it computes; None computes here.

    `token` is what clients send as "Authorization: Bearer TOKEN". `hosts` are the names a client may
    call the server by, beside `host` itself and the loopback names.

    Units: *_seconds, *_bytes, *_rows and *_characters (of text, before tokenisation). `body_seconds`
    and `head_seconds` bound how long a client may take to send; `deadline_seconds` how long an
    accepted request may wait and be computed, `writing_seconds` the same for texts that are written; `drain_seconds` how long SIGTERM waits for them.
    `replies_seconds` lie between two rows of counted replies, `forget_seconds` between two looks for
    texts older than the task's `keep_days`.
    """

    workspace: Workspace
    task: Task
    token: str
    host: str = "127.0.0.1"
    port: int = 8000
    hosts: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    cache: Path | None = None
    vllm: VllmSettings | None = None
    body_bytes: int = 2 << 20
    request_rows: int = 1024
    head_bytes: int = 32 << 10
    head_lines: int = 100
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    deadline_seconds: float = 30.0
    writing_seconds: float = 300.0
    drain_seconds: float = 25.0
    queue_rows: int = 2048
    queue_characters: int = 8 << 20
    # Larger batches gain nothing on a CPU: rows are computed in rectangles of 4096 tokens anyway.
    batch_rows: int = 64
    batch_characters: int = 64 << 10
    poll_seconds: float = 0.2
    retry_seconds: float = 30.0
    # Rows that may wait for the candidate in shadow.
    silent_rows: int = 4096
    replies_seconds: float = 10.0
    forget_seconds: float = 3600.0

    @property
    def task_name(self) -> str:
        """The task's name, under which its live version answers."""
        return self.task.name
