"""The terminal's side of the edge: signals, the progress bar, libraries told to be quiet."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from burnish.cli import say
from burnish.errors import EXIT_INTERRUPTED, EXIT_TERMINATED

if TYPE_CHECKING:
    from types import FrameType

    from rich.progress import Progress

    from burnish.project import Edge
    from burnish.records.run import Step

LINES_PER_TRAINING = 20
# What a terminal, a wrapper or a scheduler sends twice comes within this; a person who insists is slower.
BURST_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 0.02
_STOPPING = (signal.SIGINT, signal.SIGTERM)


def terminal_edge(*, quiet: bool = False, save_every_seconds: float | None = None) -> Edge:
    """The edge of a command line: announcements and a progress bar on standard error, signals that checkpoint."""
    from burnish.edge import make_edge

    return make_edge(
        announce=_silent if quiet else say.progress,
        on_step=(lambda step: None) if quiet else _bar(),
        interruptible=_interruptible,
        save_every_seconds=save_every_seconds,
    )


def end_on_signals() -> None:
    """Outside training SIGTERM and Ctrl-C end the command at once, each with its own exit code, and only once:
    whatever comes after the first finds the command on its way out. An import under way is finished first.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        _hear_no_more()
        if _imports(frame):
            signal.signal(signal.SIGALRM, lambda _, frame: leave(number, frame))
            signal.setitimer(signal.ITIMER_REAL, _LOOK_AGAIN_SECONDS)
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(EXIT_TERMINATED)

    for number in _STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a shell's background job
            signal.signal(number, leave)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being loaded: torch's own loading aborts the process at an exception out of Python."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _hear_no_more() -> None:
    told = sys.unraisablehook

    def quiet(unraisable: sys.UnraisableHookArgs) -> None:
        # Python's note of a signal that came in the very moment its handler was taken away
        if "race condition" not in str(unraisable.exc_value):
            told(unraisable)

    sys.unraisablehook = quiet
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)


def quiet_libraries() -> None:
    """Telemetry off, offline where we are, and no advice on the terminal, before any library is imported."""
    if os.environ.get("BURNISH_OFFLINE"):
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # threads wait a little before they sleep: as fast as endless spinning alone, and beside other work
    # they give the core away. Source: LOG.md, 2026-11-22, waiting threads.
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    # peft imports it wherever it is installed, and it advises everybody to fetch a kernel
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def _silent(text: str) -> None:
    del text


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], int | None]]:
    """Signals set a flag that training reads between updates; Ctrl-C again, a second or more later, ends at once.

    Signals that come in a burst are one signal. Once one has asked to stop, the command ends with its exit code, also
    when training had ended by itself meanwhile, and hears no others on its way out.
    """
    asked: list[int] = []
    since = 0.0

    def ask(number: int, frame: object) -> None:
        nonlocal since
        del frame
        if not asked:
            since = time.monotonic()
            asked.append(EXIT_TERMINATED if number == signal.SIGTERM else EXIT_INTERRUPTED)
            say.progress("stopping after this update, with a checkpoint (Ctrl-C again: at once)")
        elif number == signal.SIGINT and time.monotonic() - since >= BURST_SECONDS:
            _hear_no_more()
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in _STOPPING}
    try:
        yield lambda: asked[0] if asked else None
    finally:
        if asked:
            _hear_no_more()
        else:
            for number, handler in before.items():
                signal.signal(number, handler)
    if asked:
        raise SystemExit(asked[0])


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
            bar.console.print(f"  epoch {step.epoch}: {_judged(step.validation)}{mark}")
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


def _judged(validation: float) -> str:
    """What validation said: a metric, or of models that write the loss a token, which is kept as its negative.

    Example:
        >>> _judged(0.91), _judged(-2.5)
        ('validation 0.9100', 'validation loss 2.5000')
    """
    if math.copysign(1, validation) < 0:
        return f"validation loss {-validation:.4f}"
    return f"validation {validation:.4f}"


def _lines(step: Step) -> None:
    every = max(1, step.of // LINES_PER_TRAINING)
    if step.validation is not None:
        mark = " (best so far)" if step.best else ""
        say.progress(
            f"step {step.step} of {step.of}, epoch {step.epoch}: loss {step.loss:.3f}, "
            f"{_judged(step.validation)}{mark}"
        )
    elif step.step % every == 0:
        say.progress(f"step {step.step} of {step.of}: loss {step.loss:.3f}")
