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
COMMAND = """
import sys, time
from burnish.cli.edge import end_on_signals
end_on_signals()
try:
    import loaded
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_during_an_import_waits_for_its_end(tmp_path: Path, name: str, code: int) -> None:
    (tmp_path / "loaded.py").write_text(LOADED.format(name=name))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", COMMAND],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, "loaded to its end\n", "")
