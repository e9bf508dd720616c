"""vLLM as a process beside the server: its command line, its start, its health and its end."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from burnish.deploy import vllm_keeper
from burnish.deploy.vllm_http import Address, Refused, ask
from burnish.errors import BurnishError, fail

_log = logging.getLogger("burnish.vllm")
# The name under which vLLM serves the folder it was started with.
SERVED = "weights"
_DTYPES: Mapping[str, str] = {"fp32": "float32", "bf16": "bfloat16"}
_LAST_LINES = 40
_HEALTH_SECONDS, _PROBE_SECONDS = 5.0, 2.0
_MISSED = 3


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """How vLLM is started: the command, further arguments of its own, and the variables it finds.

    Units: `start_seconds` until it must answer, `answer_seconds` between two tokens.
    """

    command: str = "vllm"
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    start_seconds: float = 1200.0
    answer_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Weights:
    """What one vLLM holds: a model folder, read in a precision, for so many tokens of prompt and answer together.
    `lora_rank` is the largest rank of adapters on it, 0 for none.
    """

    folder: Path
    precision: str
    max_tokens: int
    lora_rank: int = 0

    def holds(self, other: Weights) -> bool:
        """Whether adapters that were to stand on the other can stand here.

        Example:
            >>> held = Weights(Path("base"), "fp32", 512, lora_rank=16)
            >>> held.holds(Weights(Path("base"), "fp32", 256, lora_rank=8))
            True
            >>> held.holds(Weights(Path("base"), "fp32", 1024, lora_rank=8))
            False
        """
        return (
            (self.folder, self.precision) == (other.folder, other.precision)
            and self.max_tokens >= other.max_tokens
            and self.lora_rank >= other.lora_rank > 0
        )


@dataclass(slots=True, eq=False)
class VllmProcess:
    """A vLLM that answers. `adapters` are loaded, by the names they go by there."""

    address: Address
    keeper: subprocess.Popen[bytes]
    adapters: set[str] = field(default_factory=set[str])
    looked: float = 0.0
    missed: int = 0

    @property
    def healthy(self) -> bool:
        """Whether it runs and says so; asked at most every few seconds, and forgiven twice."""
        if self.keeper.poll() is not None:
            return False
        now = time.monotonic()
        if now - self.looked < _HEALTH_SECONDS:
            return True
        self.looked = now
        self.missed = 0 if is_healthy(self.address) else self.missed + 1
        return self.missed < _MISSED

    def stop(self) -> None:
        """End it and wait for its end."""
        if self.keeper.stdin is not None:
            self.keeper.stdin.close()
        self.keeper.wait()


def command_line(settings: VllmSettings, weights: Weights, *, port: int) -> list[str]:
    """How vLLM is called; the user's own arguments come last and so go before ours.

    Example:
        >>> line = command_line(VllmSettings(), Weights(Path("m"), "fp32", 512), port=9000)
        >>> " ".join(line[:9])
        'vllm serve m --host 127.0.0.1 --port 9000 --served-model-name weights'
    """
    line = [
        settings.command, "serve", str(weights.folder), "--host", "127.0.0.1", "--port", str(port),
        "--served-model-name", SERVED, "--dtype", _DTYPES[weights.precision],
        "--max-model-len", str(weights.max_tokens),
        # sampling is told with every request; the folder's own defaults must not mix in
        "--generation-config", "vllm",
        "--disable-log-stats", "--uvicorn-log-level", "warning",
    ]  # fmt: skip
    if weights.lora_rank:
        line += ["--enable-lora", "--max-lora-rank", str(weights.lora_rank), "--max-loras", "4"]
    return [*line, *settings.arguments]


def start_vllm(
    settings: VllmSettings,
    weights: Weights,
    *,
    key: str,
    stopped: Callable[[], bool],
) -> VllmProcess:
    """Start vLLM and wait until it is healthy. `stopped` is asked meanwhile whether nobody wants it any more.

    Raises: vllm-failed with its last words.
    """
    port = _free_port()
    line = command_line(settings, weights, port=port)
    _log.info("starting: %s", " ".join(line))
    keeper = subprocess.Popen(
        [sys.executable, "-I", str(vllm_keeper.__file__), *line],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**settings.environment, **_variables(key)},
        # Ctrl-C is for the server, which drains before it lets vLLM go
        start_new_session=True,
    )
    last: deque[str] = deque(maxlen=_LAST_LINES)
    threading.Thread(target=_hear, args=(keeper, last), name="burnish-vllm", daemon=True).start()
    process = VllmProcess(Address(f"http://127.0.0.1:{port}", key), keeper)
    until = time.monotonic() + settings.start_seconds
    while not is_healthy(process.address):
        if keeper.poll() is None and time.monotonic() < until and not stopped():
            time.sleep(0.2)
            continue
        ended = keeper.poll()
        process.stop()
        if stopped():
            raise fail(
                "vllm-failed", "vLLM was stopped while it started", fix="start the server again"
            )
        raise _not_started(settings, ended, last)
    return process


def is_healthy(address: Address) -> bool:
    """Whether it answers at /health."""
    try:
        ask(address, "/health", None, seconds=_PROBE_SECONDS)
    except (BurnishError, Refused):
        return False
    return True


def _variables(key: str) -> dict[str, str]:
    return {
        "VLLM_API_KEY": key,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        # no word leaves the machine, and nothing is fetched to it
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
    }


def _hear(keeper: subprocess.Popen[bytes], last: deque[str]) -> None:
    for line in keeper.stdout or ():
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            last.append(text)
            _log.info("%s", text)


def _not_started(settings: VllmSettings, ended: int | None, last: Sequence[str]) -> BurnishError:
    if ended is None:
        what = f"vLLM did not answer within {settings.start_seconds:g} s"
    else:
        what = f"vLLM ended with status {ended} while it started"
    words = [line for line in last if "rror" in line][-1:] or list(last)[-1:]
    said = f"; it said last: {words[0][-400:]}" if words else ""
    return fail(
        "vllm-failed",
        f"{what}{said}",
        expected="vLLM to read the folder and listen",
        fix="look at the server's log, where every line of vLLM stands; --vllm-argument passes arguments on",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
