"""Signals that wait: what is being saved is saved, then they are heard."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_WAITING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back for this block; each that came goes to its own handler at the end, once.

    Outside the main thread, where Python hears no signals, nothing is held.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: object) -> None:
        del frame
        if number not in came:
            came.append(number)

    before = {number: signal.getsignal(number) for number in _WAITING}
    for number, handler in before.items():
        if handler is not None and handler != signal.SIG_IGN:  # None: not Python's to give back
            signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)
