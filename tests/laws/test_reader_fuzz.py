"""Five thousand fuzzed files through every reader: rows in are rows told, and no exception but our own.

The long version, guided by coverage, is tests/soak/fuzz_readers.py.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.data.read import FOLDER, READERS
from reader_files import document, folder, hold_to_the_law

FILES_AN_EXAMPLE = 20
EXAMPLES = {
    ".csv": 70, ".tsv": 15, ".txt": 20, ".csv.gz": 20, ".jsonl": 35, ".jsonl.gz": 10, ".ndjson": 2, ".json": 35,
    ".parquet": 13, ".xlsx": 22, FOLDER: 8,
}  # fmt: skip


def test_the_counts_make_five_thousand_and_leave_no_reader_out() -> None:
    assert sum(EXAMPLES.values()) * FILES_AN_EXAMPLE == 5000
    assert set(READERS) <= set(EXAMPLES)


@pytest.mark.parametrize("suffix", EXAMPLES)
def test_fuzzed_files_keep_the_law(tmp_path: Path, suffix: str) -> None:
    @settings(
        max_examples=EXAMPLES[suffix],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(0, 2**48))
    def files(seed: int) -> None:
        for number in range(FILES_AN_EXAMPLE):
            rng = random.Random(f"{seed}.{number}.{suffix}")
            if suffix == FOLDER:
                path = tmp_path / "texts"
                records = folder(rng, path)
                hold_to_the_law(path, records=None if records else 0) if records else None
                continue
            path = tmp_path / f"t{suffix}"
            data, records = document(rng, suffix)
            path.write_bytes(data)
            hold_to_the_law(path, records=records)

    files()
