"""Stands between a server and the vLLM it started: when the server is gone, however it went, vLLM goes too.

python vllm_keeper.py COMMAND [ARGUMENT ...]

It reads its standard input until the end, which comes when the server closes it or dies, and then ends the whole group of
processes. It uses nothing of Burnish, and ends with vLLM's own exit status.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

_GRACE_SECONDS = 10


def keep(command: list[str]) -> int:
    """Run the command until it ends or our standard input does."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_end_with_us, args=(child,), daemon=True).start()
    status = child.wait()
    # workers of a process that was killed may be left
    _signal(child, signal.SIGKILL)
    return status if status >= 0 else 128 - status


def _end_with_us(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    _signal(child, signal.SIGTERM)
    try:
        child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _signal(child, signal.SIGKILL)


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
