"""The terminal's side of the edge: signals, the progress bar, libraries told to be quiet."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from burnish.cli import say
from burnish.errors import EXIT_INTERRUPTED, EXIT_TERMINATED

if TYPE_CHECKING:
    from rich.progress import Progress

    from burnish.project import Edge
    from burnish.records.run import Step

LINES_PER_TRAINING = 20


def terminal_edge(*, quiet: bool = False, save_every_seconds: float | None = None) -> Edge:
    """The edge of a command line: announcements and a progress bar on standard error, signals that checkpoint."""
    from burnish.edge import make_edge

    return make_edge(
        announce=_silent if quiet else say.progress,
        on_step=(lambda step: None) if quiet else _bar(),
        interruptible=_interruptible,
        save_every_seconds=save_every_seconds,
    )


def terminate_like_interrupt() -> None:
    """Outside training SIGTERM ends the command at once, with its own exit code."""

    def leave(number: int, frame: object) -> None:
        del number, frame
        raise SystemExit(EXIT_TERMINATED)

    signal.signal(signal.SIGTERM, leave)


def quiet_libraries() -> None:
    """Telemetry off and no advice on the terminal, before any library is imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # threads wait a little before they sleep: as fast as endless spinning alone, and beside other work
    # they give the core away. Source: LOG.md, 2026-11-22, waiting threads.
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")


def _silent(text: str) -> None:
    del text


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], int | None]]:
    """Signals set a flag that training reads between updates; a second Ctrl-C ends at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        del frame
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(EXIT_TERMINATED if number == signal.SIGTERM else EXIT_INTERRUPTED)
        say.progress("stopping after this update, with a checkpoint (Ctrl-C again: at once)")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked[0] if asked else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bar() -> Callable[[Step], None]:
    """A bar with loss, rate and time left on a terminal; otherwise a line for every twentieth of the way."""
    if not sys.stderr.isatty():
        return _lines
    shown: list[tuple[Progress, object]] = []

    def on_step(step: Step) -> None:
        if not shown:
            shown.append(_start(step))
        bar, row = shown[0]
        bar.update(row, completed=step.step, loss=step.loss, rate=step.learning_rate)  # pyright: ignore
        if step.validation is not None:
            mark = " (best so far)" if step.best else ""
            bar.console.print(f"  epoch {step.epoch}: validation {step.validation:.4f}{mark}")
        if step.step == step.of:
            bar.stop()

    return on_step


def _start(step: Step) -> tuple[Progress, object]:
    import atexit

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("  training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  rate {task.fields[rate]:.1e}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.start()
    # early stopping and errors leave the bar running; the cursor must come back
    atexit.register(bar.stop)
    row = bar.add_task("train", total=step.of, loss=step.loss, rate=step.learning_rate)
    return bar, row


def _lines(step: Step) -> None:
    every = max(1, step.of // LINES_PER_TRAINING)
    if step.validation is not None:
        mark = " (best so far)" if step.best else ""
        say.progress(
            f"step {step.step} of {step.of}, epoch {step.epoch}: loss {step.loss:.3f}, "
            f"validation {step.validation:.4f}{mark}"
        )
    elif step.step % every == 0:
        say.progress(f"step {step.step} of {step.of}: loss {step.loss:.3f}")
