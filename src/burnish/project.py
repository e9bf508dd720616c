"""What every verb is given: a task with its workspace, and the edge to the outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.records.run import Step
from burnish.records.task import Task
from burnish.store.workspace import Workspace, lock, open_workspace
from burnish.tasks.load import load_task

if TYPE_CHECKING:
    from burnish.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Edge:
    """What the outside gives to the verbs: the clock, who acts, the cache of base models, a voice, the signals.

    `now` gives ISO 8601 in UTC. Inside `interruptible()` signals only set a flag: the function it gives
    returns the exit code of a signal that asked to stop, or None.
    """

    now: Callable[[], str]
    by: str
    cache: Path
    announce: Callable[[str], None]
    on_step: Callable[[Step], None]
    interruptible: Callable[[], AbstractContextManager[Callable[[], int | None]]]
    # A checkpoint takes about 1 s for 23 M parameters; a kill costs at most this much work.
    save_every_seconds: float = 30.0
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    """A task and the workspace around it."""

    task: Task
    workspace: Workspace


def open_project(root: Path) -> Project:
    """The task of a folder, every problem of its task.toml told at once.

    Raises: workspace-missing and the codes of load_task.
    """
    task = load_task(open_workspace(root).task_path)
    return Project(task, open_workspace(root, create=True))


def using_rows(project: Project) -> AbstractContextManager[None]:
    """Held while rows are in hand, from reading them to the last record made from them: `forget` waits for nobody
    and refuses to run beside it, and nothing that was forgotten can be written after it.

    Raises: busy while rows are being forgotten.
    """
    return lock(project.workspace, "rows", shared=True)


@contextmanager
def ledger_of(workspace: Workspace) -> Iterator[Ledger | None]:
    """The ledger, where there is one: a first look at the data makes none."""
    from burnish.store.ledger import open_ledger

    if not workspace.ledger_path.is_file():
        yield None
        return
    with open_ledger(workspace.ledger_path) as ledger:
        yield ledger
