"""Signals outside training: a command ends at once with the signal's exit code, but never inside an import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# torch's own loading calls Python from C++ and aborts the process (exit -6) when an exception comes out
LOADED = """
import os, signal, time
os.kill(os.getpid(), signal.{name})
time.sleep(0.2)
print("loaded to its end", flush=True)
"""
# As in a terminal, or as in a shell's background job, whatever the tests themselves were started by.
COMMAND = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.{interrupt})
from burnish.cli.edge import end_on_signals
end_on_signals()
try:
    import loaded
    time.sleep({seconds})
except KeyboardInterrupt:
    sys.exit(130)
"""


def run(folder: Path, name: str, *, interrupt: str, seconds: int) -> tuple[int, str, str]:
    (folder / "loaded.py").write_text(LOADED.format(name=name))
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", COMMAND.format(interrupt=interrupt, seconds=seconds)],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_during_an_import_waits_for_its_end(tmp_path: Path, name: str, code: int) -> None:
    told = run(tmp_path, name, interrupt="default_int_handler", seconds=60)
    assert told == (code, "loaded to its end\n", "")


def test_a_background_job_goes_on_through_a_ctrl_c_meant_for_another(tmp_path: Path) -> None:
    assert run(tmp_path, "SIGINT", interrupt="SIG_IGN", seconds=0) == (0, "loaded to its end\n", "")
