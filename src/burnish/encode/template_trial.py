"""A template from outside is tried in a process of its own, which may use so much memory and time and no more.

The budget of encode/template_sandbox.py bounds what a template does; this bounds what parsing, rewriting and compiling
it may cost, and holds even where that budget should have a hole. Run once, when a model is taken in.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from burnish.encode.template_sandbox import compile_template, limits, run_template
from burnish.errors import BurnishError, Problem

MOST_CPU_SECONDS = 5
MOST_MEMORY_BYTES = 512 << 20
# The process starts, waits for a busy machine and ends; its processor time is bounded on its own.
_MOST_SECONDS = 60
_TURNS = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
_LONG = "A sentence that somebody wrote to somebody else. " * 400


def try_template(
    text: str,
    *,
    names: Mapping[str, str],
    cpu_seconds: int = MOST_CPU_SECONDS,
    memory_bytes: int = MOST_MEMORY_BYTES,
) -> None:
    """Refuse a template that does not compile, or cannot render a question and its answer within the limits.

    `names` are the texts of the special tokens.

    Raises: template-limits, template-large, template-unsupported, template-broken, template-refused.
    """
    said = json.dumps(
        {"text": text, "names": dict(names), "cpu": cpu_seconds, "memory": memory_bytes}
    )
    try:
        done = subprocess.run(
            # -P: no module is taken from the folder that somebody happens to stand in
            [sys.executable, "-P", "-m", "burnish.encode.template_trial"],
            input=said,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_MOST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise limits("did not come to an end") from None
    try:
        problem = json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        problem = None
    if problem is None:
        raise limits(
            f"needed more than {cpu_seconds} seconds of processor time or "
            f"{memory_bytes >> 20} MB of memory to be tried"
        )
    if problem:
        raise BurnishError((Problem(**problem),))


def _trial(text: str, names: Mapping[str, str]) -> dict[str, Any]:
    """The problem with a template as JSON, empty when there is none."""
    try:
        program = compile_template(text)
        many = [turn for _ in range(20) for turn in _TURNS]
        long = [{"role": "user", "content": _LONG}, {"role": "assistant", "content": _LONG}]
        for turns in (_TURNS, many, long):
            for shown, asking in ((turns[:-1], True), (turns, False)):
                run_template(
                    program,
                    {**names, "messages": shown, "add_generation_prompt": asking, "tools": None},
                )
    except BurnishError as error:
        return error.problems[0].as_json()
    return {}


def _main() -> None:
    said = json.loads(sys.stdin.read())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (said["memory"], said["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (said["cpu"], said["cpu"]))
    sys.stdout.write(json.dumps(_trial(said["text"], said["names"])))


if __name__ == "__main__":
    _main()
