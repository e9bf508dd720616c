"""What answers without any model are worth: each text baseline on held-out rows of real data, with 95% intervals.

    python benchmarks/text_baselines.py                       # every set below
    python benchmarks/text_baselines.py scitldr xquad_en      # some

Where a set has files for train and test they are honoured; else a fifth of the *groups* (documents, titles, topics) is
held out, drawn with --seed. Rows whose question also stands in train, word for word, stay: that is what the data is.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from burnish.decide.asked import Asked
from burnish.decide.text_baseline import TEXT_BASELINES
from burnish.evaluate.degenerate import degenerate
from burnish.evaluate.metric import measure
from burnish.evaluate.metrics import rouge
from burnish.evaluate.written import written_from

FOLDER = Path(os.environ.get("BURNISH_DATA", Path(__file__).parents[2] / "shared" / "data"))
Row = tuple[Asked, tuple[str, ...], str]
Split = tuple[list[Row], list[Row]]


def json_lines(path: str) -> Iterator[dict]:
    """Objects of a JSONL file."""
    with (FOLDER / path).open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def csv_rows(path: str) -> Iterator[dict]:
    """Rows of a CSV file."""
    with (FOLDER / path).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def held_out(rows: list[Row], seed: int) -> Split:
    """A fifth of the groups as test rows."""
    groups = sorted({group for *_, group in rows})
    test = {
        groups[place]
        for place in np.random.default_rng(seed).permutation(len(groups))[: -(-len(groups) // 5)]
    }
    return [row for row in rows if row[2] not in test], [row for row in rows if row[2] in test]


def scitldr(seed: int) -> Split:
    """Abstracts and their one-sentence summaries, several for each test row."""
    del seed
    parts = []
    for name in ("train", "test"):
        found = json_lines(f"scitldr/{name}.jsonl")
        parts.append(
            [
                (Asked(" ".join(row["source"])), tuple(row["target"]), row["paper_id"])
                for row in found
            ]
        )
    return parts[0], parts[1]


def mts_dialog(seed: int) -> Split:
    """Dialogues of doctor and patient, and the section of the note; both test files."""
    del seed
    parts = [[(Asked(row["dialogue"]), (row["section_text"],), row["ID"]) for file in files
              for row in csv_rows(f"mts_dialog/{file}.csv")]
             for files in (("train",), ("test1", "test2"))]  # fmt: skip
    return parts[0], parts[1]


def legal_summ(seed: int) -> Split:
    """Contract clauses to plain English, held out by document."""
    rows = json_lines("legal_summ/all_v1.jsonl")
    return held_out(
        [(Asked(r["original_text"]), (r["reference_summary"],), r["doc"]) for r in rows], seed
    )


def medquad(seed: int) -> Split:
    """Medical questions and answers, held out by what they are about."""
    rows = json_lines("medquad/qa.jsonl")
    return held_out([(Asked(r["question"]), (r["answer"],), r["focus"]) for r in rows], seed)


def xquad_en(seed: int) -> Split:
    """Questions about paragraphs, held out by title."""
    rows = json_lines("xquad_en/validation.jsonl")
    return held_out(
        [
            (Asked(r["question"], r["context"]), tuple(r["answers"]["text"]), r["title"])
            for r in rows
        ],
        seed,
    )


SETS: dict[str, tuple[Callable[[int], Split], str, tuple[str, ...]]] = {
    "scitldr": (scitldr, "lead", ("rougeL", "rouge1", "rouge2", "chrf")),
    "mts_dialog": (mts_dialog, "lead", ("rougeL", "rouge1", "rouge2", "chrf")),
    "legal_summ": (legal_summ, "lead", ("rougeL", "rouge1", "rouge2", "chrf")),
    "medquad": (medquad, "retrieval", ("rougeL", "rouge1", "chrf", "bleu")),
    "xquad_en": (xquad_en, "sentence", ("f1", "exact_match")),
}


def main() -> None:
    """Build on train, measure on test, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(rouge.signature())
    print("| set | baseline | train | test | metric | value | 95% | built s | measured s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in asked.sets or SETS:
        read, baseline, metrics = SETS[name]
        train, test = read(asked.seed)
        started = time.perf_counter()
        fitted = TEXT_BASELINES[baseline].build(
            [row for row, *_ in train],
            [refs for _, refs, _ in train],
            metric=metrics[0],
            seed=asked.seed,
        )
        built = time.perf_counter() - started
        rows = [row for row, *_ in test]
        written = written_from(
            fitted.answers(rows),
            [refs for _, refs, _ in test],
            prompts=[f"{row.context}\n{row.text}" for row in rows],
        )
        for metric in metrics:
            started = time.perf_counter()
            found = measure(metric, written, seed=asked.seed)
            took = time.perf_counter() - started
            print(
                f"| {name} | {fitted.said()} | {len(train):,} | {len(test):,} | {metric} | {found.value:.4f} | "
                f"{found.low:.4f} to {found.high:.4f} | {built:.1f} | {took:.1f} |",
                flush=True,
            )
        # to copy is what these do; anything else would be news
        for one in degenerate(written, where=[f"{name}:{place}" for place in range(len(test))]):
            if one.fault == "copies-prompt":
                continue
            print(f"  {name}: {one.sentence}")


if __name__ == "__main__":
    main()
