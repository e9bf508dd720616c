"""Leaks planted between a train and a test file cut from real data: recall and precision of the checks that tell them.

    python benchmarks/planted_leaks.py                     # as a Markdown table
    python benchmarks/planted_leaks.py --rows 2000 --seed 7

Every tenth row is test. Text, nearly text, group and template are counted by the rows of train that leak, time by
the rows of test that are older than train's newest. Beside each leak stands as much that only resembles it: the same
words about something else, a group of nearly the same name, another sentence around the same number. What the checks say
of the clean files is no false alarm.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from planted_faults import TEXTS, Row, edited, load

from burnish.curate import Checked, check_data
from burnish.data.start import start
from burnish.project import open_project

TRAIN, TEST = "rows.jsonl", "test.jsonl"


@dataclass(frozen=True, slots=True)
class Files:
    """Rows of both files, and the numbers of those that leak in the file `told`."""

    train: list[Row]
    test: list[Row]
    truth: frozenset[int] = frozenset()
    told: str = TRAIN


def cut(name: str, *, rows: int | None, chance: random.Random) -> tuple[Files, str, str]:
    """A set in two files without a leak: one text once, each row with a group and a day; its text and label column."""
    data = load(name, rows=rows)
    assert data.label
    seen: dict[str, Row] = {}
    for row in data.rows:
        seen.setdefault(row[data.text].casefold(), dict(row))
    train, test = [], []
    for number, row in enumerate(seen.values()):
        late = number % 10 == 0
        days = chance.randrange(1, 29)
        row["customer"] = f"{'T' if late else 'A'}{chance.randrange(len(seen) // 3):05}"
        row["date"] = f"2026-{'11' if late else f'{chance.randrange(1, 11):02}'}-{days:02}"
        (test if late else train).append(row)
    return Files(train, test), data.text, data.label


def of_text(files: Files, text: str, chance: random.Random) -> Files:
    """Rows of train word for word in test; as many with three words taken out."""
    return _copied(files, text, chance, right=lambda said: said, wrong=_shortened)


def nearly(files: Files, text: str, chance: random.Random) -> Files:
    """Rows of train with a small edit in test; as many with three words taken out."""
    return _copied(files, text, chance, right=lambda said: edited(said, chance), wrong=_shortened)


def of_group(files: Files, text: str, chance: random.Random) -> Files:
    """Rows of train with a customer of test; as many with a customer of a similar name."""
    del text
    train = [dict(row) for row in files.train]
    picked = _picked(train, chance)
    half = len(picked) // 2
    for number in picked[:half]:
        train[number]["customer"] = chance.choice(files.test)["customer"]
    for number in picked[half:]:
        train[number]["customer"] = chance.choice(files.test)["customer"].lower()
    return Files(train, files.test, frozenset(picked[:half]))


def of_template(files: Files, text: str, chance: random.Random) -> Files:
    """Rows of train that test has with another number; as many that share only the number's words."""
    train, test = [dict(row) for row in files.train], list(files.test)
    picked = _picked(train, chance)
    half = len(picked) // 2
    for place, number in enumerate(picked):
        said = train[number][text]
        train[number][text] = f"{said} (order {chance.randrange(10**5, 10**6)})"
        if place < half:
            other = f"{said} (order {chance.randrange(10**5, 10**6)})"
        else:
            other = f"{_shortened(said)} (order {chance.randrange(10**5, 10**6)})"
        test.append(train[number] | {text: other, "customer": f"N{place}", "date": "2026-11-20"})
    return Files(train, test, frozenset(picked[:half]))


def of_time(files: Files, text: str, chance: random.Random) -> Files:
    """Days of a tenth of the test rows set back into train's."""
    del text
    test = [dict(row) for row in files.test]
    picked = sorted(chance.sample(range(len(test)), len(test) // 10))
    for number in picked:
        test[number]["date"] = f"2026-{chance.randrange(1, 10):02}-14"
    return Files(files.train, test, frozenset(picked), told=TEST)


def _copied(
    files: Files,
    text: str,
    chance: random.Random,
    *,
    right: Callable[[str], str],
    wrong: Callable[[str], str],
) -> Files:
    test = list(files.test)
    picked = _picked(files.train, chance, column=text)
    half = len(picked) // 2
    for place, number in enumerate(picked):
        row = files.train[number]
        said = (right if place < half else wrong)(row[text])
        test.append(row | {text: said, "customer": f"N{place}", "date": "2026-11-20"})
    return Files(files.train, test, frozenset(picked[:half]))


def _picked(rows: Sequence[Row], chance: random.Random, *, column: str | None = None) -> list[int]:
    long = [n for n, row in enumerate(rows) if column is None or len(row[column].split()) >= 9]
    return chance.sample(long, min(len(long), max(40, len(rows) // 16)))


def _shortened(text: str) -> str:
    """Another text of the same words: every second one is gone."""
    return " ".join(text.split()[::2])


LEAKS: dict[
    str, tuple[str, tuple[str, ...], Callable[[Files, str, random.Random], Files], float | None]
] = {
    "the same text": ("leakage", ("leakage",), of_text, 1.0),
    "nearly the same text": ("near-duplicates", ("near-leakage", "leakage"), nearly, 0.95),
    "the same group": ("leakage", ("group-leakage",), of_group, 1.0),
    "the same template": ("template-leakage", ("template-leakage",), of_template, None),
    "older than train": ("time-leakage", ("time-leakage",), of_time, None),
}


def checked(folder: Path, files: Files) -> Checked:
    """What the product says of the two files, under the task that init proposes for the first."""
    for name, rows in ((TRAIN, files.train), (TEST, files.test)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name).write_text(lines, encoding="utf-8")
    task = folder / "task.toml"
    if not task.exists():
        start([folder / TRAIN], folder)
        toml = task.read_text(encoding="utf-8")
        assert 'group = "customer"' in toml
        given = f'train = ["{TRAIN}"]\n'
        assert given in toml
        toml = toml.replace(given, f'{given}test = ["{TEST}"]\n', 1)
        task.write_text(toml.replace("test_fraction = 0.2\n", ""), encoding="utf-8")
    return check_data(open_project(folder))


def named(found: Checked, codes: Sequence[str], file: str) -> set[int]:
    """The rows of one file that findings of these codes name, from 0."""
    places = (
        found.scene.place(number)
        for one in found.findings
        if one.issue.code in codes
        for number in one.numbers
    )
    return {
        int(line) - 1
        for name, _, line in (place.rpartition(":") for place in places)
        if name == file
    }


def main() -> None:
    """Print a row for each leak in each set."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print("| check | leak | data | planted | found | false alarms | recall | precision | promise |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in TEXTS:
        clean, text, _ = cut(name, rows=asked.rows, chance=random.Random(asked.seed))
        with tempfile.TemporaryDirectory() as folder:
            before = checked(Path(folder), clean)
            for fault, (check, codes, plant, target) in LEAKS.items():
                files = plant(clean, text, random.Random(f"{asked.seed} {fault}"))
                known = named(before, codes, files.told) - files.truth
                found = named(checked(Path(folder), files), codes, files.told) - known
                right = len(found & files.truth)
                print(
                    f"| {check} | {fault} | {name} | {len(files.truth)} | {right} | {len(found) - right} | "
                    f"{right / len(files.truth):.3f} | {right / max(1, len(found)):.3f} | "
                    f"{'reported' if target is None else f'>= {target}'} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
