"""Reading and checking one CSV: rows a second and peak memory, beside polars and `datasets` loading the same file.

    python benchmarks/read_speed.py                    # 1 GB
    python benchmarks/read_speed.py --megabytes 100 --rounds 3

Every reader runs in a process of its own, rounds interleaved, the file in the page cache. Peak memory is the process's
(`getrusage`), so it includes the library itself. What they do is not the same: `read_rows` looks at the whole file for
its encoding, gives every row its line, types nothing and rejects what is broken; polars and `datasets` are asked for
text columns (`datasets` also writes its Arrow cache, in a fresh folder each time); the check reads every row and
runs every check that always runs, with a task and its 77 labels, as `burnish data check` does. Those that are not installed are
left out: pip install -c constraints.txt polars datasets.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_WORDS = [
    "card",
    "payment",
    "refund",
    "late",
    "order",
    "where",
    "money",
    "please",
    "account",
    "transfer",
    "charge",
    "twice",
    "declined",
    "abroad",
    "help",
    "cancel",
    "statement",
    "balance",
    "né",
    "größer",
    "日本",
    "top-up,",
    "“quoted”",
    "pending",
]


def make_csv(path: Path, megabytes: int) -> int:
    """Write tickets of 40 to 400 characters, a tenth of them quoted, one in fifty over two lines; how many rows."""
    rng = random.Random(7)
    block: list[str] = []
    for number in range(20_000):
        text = " ".join(rng.choices(_WORDS, k=rng.randint(6, 60)))
        if number % 50 == 0:
            text = f'{text}\nand "again"'
        if "," in text or '"' in text:
            text = '"' + text.replace('"', '""') + '"'
        block.append(f"{number},{text},label_{rng.randrange(77)}\n")
    times = max(1, megabytes * 1_000_000 // len("".join(block).encode()))
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write("id,text,label\n")
        for number in range(times):
            # the same words under another reference: no row twice
            out.writelines(line.replace(",", f",ref {number} ", 1) if '"' not in line else
                           line.replace('"', f'"ref {number} ', 1) for line in block)  # fmt: skip
    return times * len(block)


def with_burnish(path: Path) -> int:
    """Every row through the door."""
    from burnish.data.read import read_rows
    from burnish.data.rows import Row

    return sum(isinstance(record, Row) for record in read_rows(path))


def with_check(path: Path) -> int:
    """Every row through the door and every check, under the task that is proposed for the file."""
    from burnish.curate import check_data
    from burnish.data.start import start
    from burnish.project import open_project

    if not (path.parent / "task.toml").exists():
        start([path], path.parent)
    checked = check_data(open_project(path.parent))
    return len(checked.scene)


def with_polars_streaming(path: Path) -> int:
    """The streaming engine; the collected frame is in memory."""
    import polars

    return polars.scan_csv(path, infer_schema=False).collect(engine="streaming").height


def with_polars(path: Path) -> int:
    """The whole frame at once."""
    import polars

    return polars.read_csv(path, infer_schema=False).height


def with_datasets(path: Path) -> int:
    """CSV to its Arrow cache, which is then mapped."""
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(dir=path.parent) as cache:
        columns = datasets.Features(
            {name: datasets.Value("string") for name in ("id", "text", "label")}
        )
        found = datasets.load_dataset(
            "csv",
            data_files=str(path),
            split="train",
            cache_dir=cache,
            features=columns,
            keep_default_na=False,
        )
        return found.num_rows


WAYS: dict[str, tuple[str, Callable[[Path], int]]] = {
    "burnish read_rows": ("burnish", with_burnish),
    "burnish data check": ("burnish", with_check),
    "polars streaming": ("polars", with_polars_streaming),
    "polars read_csv": ("polars", with_polars),
    "datasets load csv": ("datasets", with_datasets),
}
_CHILD = """
import json, resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import read_speed
way = read_speed.WAYS[sys.argv[2]][1]
begun, cpu = time.perf_counter(), time.process_time()
rows = way(Path(sys.argv[3]))
took, cpu = time.perf_counter() - begun, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([rows, took, cpu, peak]))
"""


def main() -> None:
    """Print a line for each way: rows, seconds, CPU seconds, rows a second, peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", choices=list(WAYS), action="append")
    chosen = parser.parse_args()
    ways = [
        name
        for name, (package, _) in WAYS.items()
        if importlib.util.find_spec(package) and name in (chosen.only or WAYS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tickets.csv"
        begun = time.perf_counter()
        expected = make_csv(path, chosen.megabytes)
        size = path.stat().st_size
        print(
            f"{size / 1e6:.0f} MB, {expected:,} rows, made in {time.perf_counter() - begun:.0f} s"
        )
        seen: dict[str, list[tuple[int, float, float, int]]] = {name: [] for name in ways}
        for _ in range(chosen.rounds):
            for name in ways:
                command = [
                    sys.executable,
                    "-c",
                    _CHILD,
                    str(Path(__file__).parent),
                    name,
                    str(path),
                ]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                seen[name].append(tuple(json.loads(done.stdout.splitlines()[-1])))
    print(
        f"{'way':20} {'rows':>12} {'s':>8} {'CPU s':>8} {'rows/s':>10} {'MB/s':>8} {'peak MB':>8}"
    )
    for name, runs in seen.items():
        took = statistics.median(run[1] for run in runs)
        cpu = statistics.median(run[2] for run in runs)
        peak = max(run[3] for run in runs)
        wrong = "" if runs[0][0] == expected else f"  ({expected - runs[0][0]:+,} rows missing)"
        print(
            f"{name:20} {runs[0][0]:12,} {took:8.2f} {cpu:8.2f} {runs[0][0] / took:10,.0f} "
            f"{size / took / 1e6:8.1f} {peak / 1e6:8.0f}{wrong}"
        )


if __name__ == "__main__":
    main()
