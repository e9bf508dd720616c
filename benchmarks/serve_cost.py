"""What journalling and watching cost a server: requests a second with the journal, without it, and beside a monitor.

    python benchmarks/serve_cost.py --rounds 5 --seconds 8

Two versions of one project are asked: the tuned model (a head on the default base) and the TF-IDF baseline, whose
answers cost next to nothing, so that the journal stands out. `--connections` clients each wait for their answer before
they ask again. In every round each way runs once, in a new order; a ratio compares two ways of one round.

The server has no switch that turns the journal off: "without" is the same command with the writing function replaced
by one that does nothing, which `--serve-without-journal` starts. "beside a monitor" is the journalling server with
`burnish monitor --watch` at work on the same cores; it had 20 windows to look at when the round began.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from burnish.edge import cache_folder
from live_project import Project, first_version, sentences

WAYS = ("without journal", "with journal", "beside a monitor")
WATCHED = "[monitor]\nwindow_rows = 200\n"


def main() -> None:
    """Print requests a second of every way, and the ratios round by round."""
    if "--serve-without-journal" in sys.argv:
        serve_without_journal()
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--connections", type=int, default=16)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        first_version(folder, cache_folder())
        project = Project(folder, cache_folder())
        (folder / "task.toml").write_text((folder / "task.toml").read_text() + WATCHED)
        for one in json.loads(project.run("deployments", "--json").stdout):
            if one["stage"] != "live":
                project.run("promote", one["version"])
            measure(project, one["engine"], chosen)


def measure(project: Project, model: str, chosen: argparse.Namespace) -> None:
    """All rounds of one version."""
    rates: dict[str, list[float]] = defaultdict(list)
    latencies: dict[str, list[float]] = defaultdict(list)
    order = random.Random(1)
    for _ in range(chosen.rounds):
        for way in order.sample(WAYS, k=len(WAYS)):
            with server(project, way) as (port, token):
                seconds = asyncio.run(ask(port, token, chosen.connections, chosen.seconds))
            rates[way].append(len(seconds) / chosen.seconds)
            latencies[way].append(statistics.quantiles(seconds, n=20)[-1] * 1000)
    for way in WAYS:
        ratios = [mine / base for mine, base in zip(rates[way], rates[WAYS[0]], strict=True)]
        print(
            f"{model}, {way}: {statistics.median(rates[way]):,.0f} requests/s"
            f" ({min(rates[way]):,.0f} to {max(rates[way]):,.0f}), p95 {statistics.median(latencies[way]):.1f} ms;"
            f" {statistics.median(ratios):.2f} of without ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


@contextmanager
def server(project: Project, way: str):
    """A server that answers, alone or with a monitor at work; gives its port and token."""
    port = random.randrange(20000, 40000)
    command = [sys.executable, "-m", "burnish", "serve", "--port", str(port)]
    if way == "without journal":
        command = [sys.executable, __file__, "--serve-without-journal", str(port)]
    settings = {"cwd": project.folder, "env": project.environment, "stdout": subprocess.DEVNULL}
    started = [subprocess.Popen(command, stderr=subprocess.DEVNULL, **settings)]
    try:
        until = time.monotonic() + 120
        while not answers(port):
            if time.monotonic() > until:
                sys.exit("the server did not answer within two minutes")
            time.sleep(0.2)
        token = (project.folder / ".burnish" / "token").read_text().strip()
        if way == "beside a monitor":
            # what the last rounds left is looked at while this one runs
            watching = [sys.executable, "-m", "burnish", "monitor", "--watch", "--every", "1"]
            started.append(subprocess.Popen(watching, stderr=subprocess.DEVNULL, **settings))
        yield port, token
    finally:
        for one in reversed(started):
            one.terminate()
            one.wait(60)


def answers(port: int) -> bool:
    """Whether the server is ready."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


async def ask(port: int, token: str, connections: int, seconds: float) -> list[float]:
    """Seconds of every answered request; after one second of warming up."""
    texts = [text for text, _ in sentences(500, start=2 * 10**6)]
    await asyncio.gather(*(one(port, token, texts[n:], 1.0) for n in range(connections)))
    found = await asyncio.gather(
        *(one(port, token, texts[n:], seconds) for n in range(connections))
    )
    return [each for part in found for each in part]


async def one(port: int, token: str, texts: list[str], seconds: float) -> list[float]:
    """One connection that asks, waits for the answer and asks again. By hand, because the client shares the cores."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    until = time.perf_counter() + seconds
    place = 0
    while time.perf_counter() < until:
        body = json.dumps({"inputs": texts[place % len(texts)]}).encode()
        place += 1
        started = time.perf_counter()
        writer.write(
            f"POST /v1/predictions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            sys.exit(head.decode())
        length = next(
            line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        await reader.readexactly(int(length.split(b":")[1]))
        found.append(time.perf_counter() - started)
    writer.close()
    return found


def serve_without_journal() -> None:
    """`burnish serve` whose journal writes nothing."""
    import burnish.serve.queue
    from burnish.cli.main import main as command

    burnish.serve.queue.journal = lambda *_: None
    port = sys.argv[sys.argv.index("--serve-without-journal") + 1]
    sys.argv = ["burnish", "serve", "--port", port]
    command()


if __name__ == "__main__":
    main()
