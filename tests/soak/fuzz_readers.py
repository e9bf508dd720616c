"""Fuzz every reader: files of a grammar, then files that are changed wherever a change reached new code.

    python tests/soak/fuzz_readers.py --files 500000
    python tests/soak/fuzz_readers.py --files 500000 --seconds 240     # whichever comes first

The law is `hold_to_the_law` in tests/reader_files.py: rows in are rows told, places are right and single, nothing is
raised but our own errors with documented codes, and no file takes longer than SLOW_SECONDS. A file that breaks it is
kept, with the reason, in the folder that --faults names. Half of the files come from the grammar; half are guided by
coverage (the package atheris, `pip install atheris`): real files and grammar files are changed, and those that reach
code none reached before are kept and changed further. Without atheris the second half is changed blindly, and that
is said.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import io
import os
import random
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

try:
    import atheris
except ImportError:
    atheris = None

with atheris.instrument_imports(include=["burnish.data"]) if atheris else contextlib.nullcontext():
    import burnish.data.read  # noqa: F401 - the readers, before anything imports them uninstrumented

import reader_files

SUFFIXES = [*reader_files.WRITERS, ".csv.gz", ".jsonl.gz", ".json.gz"]
SLOW_SECONDS = 10.0
SEED_BYTES = 4096


class Soak:
    """What was tried and what came of it."""

    def __init__(self, faults: Path, seconds: float) -> None:
        self.faults = faults
        self.until = time.monotonic() + seconds
        self.started = time.monotonic()
        self.files: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.broken: dict[str, str] = {}
        self.work = Path(tempfile.mkdtemp(prefix="fuzz-readers-"))
        self.phases: list[str] = []

    def one(self, data: bytes, suffix: str, records: int | None = None) -> None:
        """One file through the readers."""
        path = self.work / f"t{suffix}"
        path.write_bytes(data)
        self._held(path, suffix, records)

    def folder(self, rng: random.Random) -> None:
        """One folder of texts."""
        path = self.work / "texts"
        if reader_files.folder(rng, path):
            self._held(path, "/", None)

    def _held(self, path: Path, suffix: str, records: int | None) -> None:
        begun = time.monotonic()
        self.files[suffix] += 1
        try:
            outcome = reader_files.hold_to_the_law(path, records=records)
        except Exception as error:  # noqa: BLE001 - the fault is what is looked for
            outcome = f"FAULT {type(error).__name__}: {str(error)[:200]}"
        if time.monotonic() - begun > SLOW_SECONDS:
            outcome = f"FAULT slow: {time.monotonic() - begun:.1f} s"
        if outcome.startswith("FAULT") and outcome not in self.broken and path.is_file():
            self.faults.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes()
            kept = self.faults / f"{hashlib.sha256(data).hexdigest()[:12]}{suffix}"
            kept.write_bytes(data)
            self.broken[outcome] = str(kept)
        self.outcomes[outcome] += 1

    @property
    def over(self) -> bool:
        return time.monotonic() > self.until

    def summary(self) -> None:
        """What was done, in lines that a log can quote."""
        took = time.monotonic() - self.started
        total = self.files.total()
        print(f"\n{total:,} files in {took:.0f} s ({total / took:.0f} files/s)", flush=True)
        for phase in self.phases:
            print(f"  {phase}")
        print(
            "  by reader: "
            + ", ".join(f"{name} {count:,}" for name, count in self.files.most_common())
        )
        print(
            "  came to:   "
            + ", ".join(f"{name} {count:,}" for name, count in self.outcomes.most_common(30))
        )
        faults = sum(count for name, count in self.outcomes.items() if name.startswith("FAULT"))
        print(f"faults: {faults} ({len(self.broken)} different)")
        for outcome, kept in self.broken.items():
            print(f"  {outcome}  {kept}")
        sys.stdout.flush()
        sys.stderr.flush()


def seeds(rng: random.Random) -> list[tuple[str, bytes]]:
    """Files of the grammar, and the beginnings of real files where they are found."""
    found = [
        (suffix, reader_files.document(rng, suffix)[0]) for suffix in SUFFIXES for _ in range(12)
    ]
    root = Path(os.environ.get("BURNISH_DATA", Path(__file__).parents[3] / "shared" / "data"))
    for path in sorted(root.rglob("*")) if root.is_dir() else []:
        if path.suffix in SUFFIXES and path.is_file():
            with path.open("rb") as handle:
                begin = handle.read(SEED_BYTES)
            found.append((path.suffix, begin))
            if path.suffix == ".csv":
                found.append((".csv.gz", gzip.compress(begin, 1)))
    return found


def changed(rng: random.Random, suffix: str, data: bytes) -> bytes:
    """The file with one thing wrong: inside the archive where it is one, mostly."""
    if rng.random() < 0.8:
        try:
            if suffix.endswith(".gz"):
                return gzip.compress(reader_files.harm(rng, gzip.decompress(data)), 1)
            if suffix == ".xlsx":
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    parts = {name: archive.read(name) for name in archive.namelist()}
                name = rng.choice(list(parts))
                parts[name] = reader_files.harm(rng, parts[name])
                return reader_files.zipped(parts)
        except Exception:  # noqa: BLE001 - an archive that is broken already is changed as it is
            pass
    return reader_files.harm(rng, data)


def by_grammar(soak: Soak, files: int, seed: int) -> None:
    begun, before = time.monotonic(), soak.files.total()
    half = time.monotonic() + (soak.until - time.monotonic()) / 2
    for number in range(files):
        if time.monotonic() > half:
            break
        rng = random.Random(f"{seed}.{number}")
        suffix = rng.choice([*SUFFIXES, "/"])
        if suffix == "/":
            soak.folder(rng)
        else:
            soak.one(*_placed(reader_files.document(rng, suffix), suffix))
    done = soak.files.total() - before
    soak.phases.append(f"grammar: {done:,} files, {done / (time.monotonic() - begun):.0f} files/s")


def _placed(drawn: tuple[bytes, int | None], suffix: str) -> tuple[bytes, str, int | None]:
    return drawn[0], suffix, drawn[1]


def blindly(soak: Soak, files: int, seed: int) -> None:
    begun, before = time.monotonic(), soak.files.total()
    rng = random.Random(seed)
    pool = seeds(rng)
    for _ in range(files):
        if soak.over:
            break
        suffix, data = rng.choice(pool)
        for _ in range(rng.randint(1, 4)):
            data = changed(rng, suffix, data)
        soak.one(data, suffix)
    done = soak.files.total() - before
    took = time.monotonic() - begun
    soak.phases.append(
        f"changed blindly (atheris is not installed): {done:,} files, {done / took:.0f} files/s"
    )


def guided(soak: Soak, files: int, seed: int) -> None:
    """Does not return: the fuzzer ends the process, after the summary."""
    corpus = soak.work / "corpus"
    corpus.mkdir()
    for number, (suffix, data) in enumerate(seeds(random.Random(seed))):
        (corpus / f"{number}").write_bytes(bytes([SUFFIXES.index(suffix)]) + data)
    given = len(list(corpus.iterdir()))
    begun, before = time.monotonic(), soak.files.total()

    def try_one(data: bytes) -> None:
        if data:
            soak.one(data[1:], SUFFIXES[data[0] % len(SUFFIXES)])
        if soak.over or soak.files.total() >= before + files:
            finished()
            # the fuzzer's own way out prints nothing and knows one exit code
            os._exit(1 if soak.broken else 0)

    def mutate(data: bytes, most: int, drawn: int) -> bytes:
        rng = random.Random(drawn)
        if len(data) < 2 or rng.random() < 0.02:
            suffix = rng.choice(SUFFIXES)
            return (bytes([SUFFIXES.index(suffix)]) + reader_files.document(rng, suffix)[0])[:most]
        if rng.random() < 0.3:
            return atheris.Mutate(data, most)
        place = data[0] % len(SUFFIXES)
        return (bytes([place]) + changed(rng, SUFFIXES[place], data[1:]))[:most]

    def finished() -> None:
        done = soak.files.total() - before
        took = time.monotonic() - begun
        new = len(list(corpus.iterdir())) - given
        soak.phases.append(
            f"guided by coverage: {done:,} files, {done / took:.0f} files/s, {given} seeds, {new} files that reached new code"
        )
        soak.summary()

    options = [sys.argv[0], str(corpus), f"-seed={seed}", "-max_len=16384", "-rss_limit_mb=4096"]
    atheris.Setup([*options, "-verbosity=0", "-timeout=60"], try_one, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=500_000)
    parser.add_argument("--seconds", type=float, default=float("1e9"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=Path, default=Path("build/fuzz-faults"))
    asked = parser.parse_args()
    soak = Soak(asked.faults, asked.seconds)
    by_grammar(soak, asked.files // 2, asked.seed)
    left = asked.files - soak.files.total()
    if atheris is not None:
        guided(soak, left, asked.seed)
    blindly(soak, left, asked.seed)
    soak.summary()
    return 1 if soak.broken else 0


if __name__ == "__main__":
    sys.exit(main())
