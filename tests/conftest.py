"""Fixtures every test may use: the real data's folder, a cache of base models, a command runner, no network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# before torch is imported, here and in every command a test starts: the models are so small that a second thread
# only waits for the first, and beside other work it waits long (LOG.md, 2026-11-23)
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]


def data_root() -> Path | None:
    """BURNISH_DATA when set, else the folder beside the checkout; None when neither is there."""
    named = os.environ.get("BURNISH_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real, licensed data; tests that need it are skipped, and counted, without it."""
    folder = data_root()
    if folder is None:
        pytest.skip("real data not found: set BURNISH_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where base models are kept between test runs: inside the checkout's ignored build folder."""
    named = os.environ.get("BURNISH_CACHE")
    folder = Path(named) if named else ROOT / "build" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def burnish(cache: Path) -> Run:
    """Run the real command in a folder and return what it printed; the exit code is checked."""

    def run(
        *arguments: str, cwd: Path, code: int = 0, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "burnish", *arguments],
            cwd=cwd,
            env={**os.environ, "BURNISH_CACHE": str(cache)},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture(autouse=True, scope="session")
def _no_outside() -> Iterator[None]:
    """The promise "nothing leaves the machine", watched in this process: only loopback connections."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "local"
        if self.family != socket.AF_UNIX and host not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a connection to {host} was tried")
        connect(self, address)  # type: ignore[arg-type]

    socket.socket.connect = guarded  # type: ignore[method-assign,assignment]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]
