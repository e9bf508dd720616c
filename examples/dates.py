"""Write rows of dates in four spellings with their ISO form, and a task for them: something a tiny model learns whole.

python examples/dates.py dates --base tiny:t5
burnish run --project dates
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
from pathlib import Path

TASK = """name = "dates"
kind = "qa"
inputs = ["question"]
label = "answer"
primary_metric = "exact_match"

[data]
train = ["train.jsonl"]
validation = ["validation.jsonl"]
test = ["test.jsonl"]

[decoding]
max_new_tokens = 16

[[gates]]
metric = "exact_match"
at_least = 0.99
"""
RECIPE = """base = "{base}"
method = "full"
epochs = {epochs}
batch_rows = 32
batch_tokens = 4096
max_tokens = 64
learning_rate = {rate}
patience = {epochs}
"""
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
FIRST = datetime.date(1900, 1, 1)


def spelt(day: datetime.date, form: int) -> str:
    """The day in one of four spellings."""
    month = MONTHS[day.month - 1]
    return (
        f"{day:%d.%m.%Y}", f"{day:%d/%m/%Y}", f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}",
    )[form]  # fmt: skip


def main() -> None:
    """Write the project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", default="tiny:t5")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    asked = parser.parse_args()
    choose = random.Random(4)
    # no day is in two files
    days = choose.sample(range(45_000), asked.rows + 400)
    rows = [
        {"question": spelt(day, choose.randrange(4)), "answer": day.isoformat()}
        for day in (FIRST + datetime.timedelta(days=number) for number in days)
    ]
    asked.folder.mkdir(parents=True, exist_ok=True)
    parts = {"train": rows[400:], "validation": rows[:200], "test": rows[200:400]}
    for name, part in parts.items():
        text = "".join(json.dumps(row) + "\n" for row in part)
        (asked.folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (asked.folder / "task.toml").write_text(TASK, encoding="utf-8")
    recipe = RECIPE.format(base=asked.base, epochs=asked.epochs, rate=asked.rate)
    (asked.folder / "recipe.toml").write_text(recipe, encoding="utf-8")


if __name__ == "__main__":
    main()
